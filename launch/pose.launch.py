"""Start pose_node on a camera's and a detector's topic."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare('vitpose_ros')
RESPAWN_DELAY_S = 2.0  # for the driver to free what the ended process had

# The parameters of pose_node, each an argument of the same name. One that is not given keeps its
# value from params_file.
PARAMETERS = {
    'model': str,
    'keypoint_sets': str,
    'class_keypoint_sets': str,
    'class_names': str,
    'device': str,
    'backend': str,
    'precision': str,
    'cuda_graphs': str,
    'threads': int,
    'autostart': bool,
    'cameras': str,
    'image_transport': str,
    'box_source': str,
    'detection_classes': str,
    'min_detection_score': float,
    'max_subjects': int,
    'max_age_ms': float,
    'max_batch': int,
    'sync_slop_ms': float,
    'sync_queue_size': int,
    'sync_timeout': float,
    'queue_mb': float,
    'frame_queue_size': int,
    'decode': str,
    'flip_test': bool,
    'heatmap_spread': bool,
    'min_keypoint_score': float,
    'palette': str,
    'labels': bool,
    'thickness': float,
    'marker_lifetime': float,
    'marker_distance': float,
}


def generate_launch_description():
    """Declare the arguments."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'image_topic',
                default_value='image',
                description='camera images (sensor_msgs/Image); with several cameras, {camera} '
                'stands for the name of each: /{camera}/image_raw',
            ),
            DeclareLaunchArgument(
                'detections_topic',
                default_value='detections',
                description='boxes for the same images (vision_msgs/Detection2DArray); {camera} '
                'as in image_topic',
            ),
            DeclareLaunchArgument(
                'namespace', default_value='', description='namespace of the node'
            ),
            DeclareLaunchArgument(
                'params_file',
                default_value=PathJoinSubstitution([SHARE, 'config', 'pose.yaml']),
                description='parameters of pose_node',
            ),
            DeclareLaunchArgument(
                'rviz', default_value='false', description='show image, overlay and markers'
            ),
            DeclareLaunchArgument(
                'respawn',
                default_value='false',
                description='start pose_node anew when it ends, as it does when its GPU is lost',
            ),
            *(
                DeclareLaunchArgument(
                    name, default_value='', description=f'see {name} in config/pose.yaml'
                )
                for name in PARAMETERS
            ),
            OpaqueFunction(function=start),
        ]
    )


def topics(cameras, image_topic, detections_topic):
    """Return the remappings of the inputs, for the only camera or for those with names."""
    remappings = []
    for topic, target in (('image', image_topic), ('detections', detections_topic)):
        if '{camera}' in target and not cameras:
            raise ValueError(f"{topic}_topic is '{target}'; name the cameras: cameras:=front,rear")
        if not cameras:
            remappings.append((topic, target))
        elif '{camera}' in target:
            remappings += [(f'{name}/{topic}', target.format(camera=name)) for name in cameras]
        elif target != topic:
            raise ValueError(
                f"{topic}_topic is '{target}' for the cameras {', '.join(cameras)}; "
                f'give a pattern such as /{{camera}}/{target.strip("/")}'
            )
    return remappings


def first_camera(cameras, remappings):
    """Return what lets RViz, whose topics are those of one camera, show the first of several."""
    if not cameras:
        return []
    image = f'{cameras[0]}/image'
    outputs = [
        (f'pose_node/{topic}', f'pose_node/{cameras[0]}/{topic}')
        for topic in ('markers', 'overlay')
    ]
    return [('image', dict(remappings).get(image, image)), *outputs]


def is_true(argument):
    """Tell whether an argument says so."""
    return argument.lower() in ('true', '1')


def value_of(text, kind):
    """Return the value of a parameter; a text of another kind is for the node to refuse."""
    if kind is bool:
        return {'true': True, 'false': False}.get(text.lower(), text)
    try:
        return kind(text)
    except ValueError:
        return text


def start(context):
    """Start the node, and RViz if asked for."""

    def argument(name):
        return LaunchConfiguration(name).perform(context)

    overrides = {
        name: value_of(argument(name), kind) for name, kind in PARAMETERS.items() if argument(name)
    }
    cameras = [name.strip() for name in argument('cameras').split(',') if name.strip()]
    remappings = topics(cameras, argument('image_topic'), argument('detections_topic'))
    namespace = argument('namespace').strip('/')
    nodes = []
    if is_true(argument('rviz')):
        # First: if it is not installed, launch gives up, and must not leave pose_node behind.
        nodes.append(
            Node(
                package='rviz2',
                executable='rviz2',
                namespace=namespace,
                arguments=['-d', PathJoinSubstitution([SHARE, 'config', 'pose.rviz'])],
                remappings=remappings + first_camera(cameras, remappings),
                output='log',
            )
        )
    nodes.append(
        Node(
            package='vitpose_ros',
            executable='pose_node',
            name='pose_node',
            namespace=namespace,
            parameters=[ParameterFile(LaunchConfiguration('params_file')), overrides],
            remappings=remappings,
            respawn=is_true(argument('respawn')),
            respawn_delay=RESPAWN_DELAY_S,
            output='screen',
            emulate_tty=True,
        )
    )
    return nodes
