"""Start the demo camera, the demo detector, and pose_node.

The demo clip comes with depth: people are in metres, too. Arguments of pose.launch.py that are not
fixed here are taken, too: model:=small rviz:=true
"""

from pathlib import Path

from launch import LaunchDescription, Substitution
from launch.actions import DeclareLaunchArgument, SetLaunchConfiguration
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from vitpose_ros.ros.large_images import publisher_environment


class DepthOf(Substitution):
    """The parameter depth of pose_node for a source of the camera: only the demo clip has some."""

    def __init__(self, source):
        super().__init__()
        self.source = source

    def describe(self):
        """Return what it stands for."""
        return f"'raw' if {self.source.describe()} is 'demo', else 'off'"

    def perform(self, context):
        """Return the value."""
        return 'raw' if self.source.perform(context) == 'demo' else 'off'


# Arguments of pose.launch.py that fit the two nodes here, and that nobody gives.
FIXED = {
    'image_topic': 'image',
    'detections_topic': 'detections',
    'camera_info_topic': 'camera_info',
    'depth_topic': 'depth',
    'depth_camera_info_topic': 'camera_info',
    'cameras': '',
    'use_sim_time': 'false',
}


def pose_node():
    """Return what pose.launch.py has, without the arguments that are fixed.

    Included, it would have them listed by --show-args, too.
    """
    path = Path(__file__).with_name('pose.launch.py')
    description = get_launch_description_from_python_launch_file(str(path))
    fixed = {**FIXED, 'depth': DepthOf(LaunchConfiguration('source'))}
    return [
        *(SetLaunchConfiguration(name, value) for name, value in fixed.items()),
        *(
            entity
            for entity in description.entities
            if not (isinstance(entity, DeclareLaunchArgument) and entity.name in fixed)
        ),
    ]


def generate_launch_description():
    """Declare the arguments and start the nodes."""
    namespace = LaunchConfiguration('namespace')
    source = LaunchConfiguration('source')
    rate = LaunchConfiguration('rate')
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'source',
                default_value='demo',
                description="video file, folder of images, device such as /dev/video0, or 'demo'",
            ),
            DeclareLaunchArgument('rate', default_value='4.0', description='images a second'),
            DeclareLaunchArgument(
                'namespace', default_value='', description='namespace of all nodes'
            ),
            Node(
                package='vitpose_ros',
                executable='camera_node',
                name='camera_node',
                namespace=namespace,
                parameters=[
                    {
                        'source': ParameterValue(source, value_type=str),
                        'rate': ParameterValue(rate, value_type=float),
                    }
                ],
                additional_env=publisher_environment(),
                output='screen',
            ),
            Node(
                package='vitpose_ros',
                executable='hog_detector_node',
                name='hog_detector_node',
                namespace=namespace,
                output='screen',
            ),
            *pose_node(),
        ]
    )
