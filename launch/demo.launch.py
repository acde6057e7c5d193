"""Start the demo camera, the demo detector, and pose_node.

The demo clip comes with depth: people are in metres, too. Arguments of pose.launch.py that are not
fixed here are taken, too: model:=small rviz:=true
"""

from launch import LaunchDescription, Substitution
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

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
            # Last: its arguments count in what follows, too. These fit the two nodes above.
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(
                    PathJoinSubstitution(
                        [FindPackageShare('vitpose_ros'), 'launch', 'pose.launch.py']
                    )
                ),
                launch_arguments={
                    'namespace': namespace,
                    'image_topic': 'image',
                    'detections_topic': 'detections',
                    'camera_info_topic': 'camera_info',
                    'cameras': '',
                    'depth': DepthOf(source),
                    'use_sim_time': 'false',
                }.items(),
            ),
        ]
    )
