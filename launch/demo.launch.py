"""Start the demo camera, the demo detector, and pose_node."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare


def generate_launch_description():
    """Declare the arguments and start the nodes."""
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
                'rviz', default_value='false', description='show image, overlay and markers'
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(
                    PathJoinSubstitution(
                        [FindPackageShare('vitpose_ros'), 'launch', 'pose.launch.py']
                    )
                ),
                launch_arguments={'rviz': LaunchConfiguration('rviz')}.items(),
            ),
            Node(
                package='vitpose_ros',
                executable='camera_node',
                name='camera_node',
                parameters=[
                    {
                        'source': ParameterValue(source, value_type=str),
                        'rate': ParameterValue(rate, value_type=float),
                    }
                ],
                output='screen',
            ),
            Node(
                package='vitpose_ros',
                executable='hog_detector_node',
                name='hog_detector_node',
                output='screen',
            ),
        ]
    )
