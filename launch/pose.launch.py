"""Start pose_node on a camera's and a detector's topic."""

import re
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription, Substitution
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue

from vitpose_ros.ros.large_images import publisher_environment
from vitpose_ros.ros.words import words_of

CONFIG = Path(get_package_share_directory('vitpose_ros')) / 'config'
RESPAWN_DELAY_S = 2.0  # for the driver to free what the ended process had

# As conditions of launch read them (true, 1), and as YAML does (yes, on); in any case.
BOOLEANS = {
    **dict.fromkeys(('true', '1', 'yes', 'on'), True),
    **dict.fromkeys(('false', '0', 'no', 'off'), False),
}
# Arguments beside the parameters: default and description.
ARGUMENTS = {
    'image_topic': (
        'image',
        'camera images (sensor_msgs/Image, or CompressedImage without its /compressed); with '
        'several cameras, {camera} stands for the name of each: /{camera}/image_raw',
    ),
    'detections_topic': (
        'detections',
        'boxes for the same images (vision_msgs/Detection2DArray); {camera} as in image_topic',
    ),
    'camera_info_topic': (
        '',
        'calibration (sensor_msgs/CameraInfo); {camera} as in image_topic; empty: camera_info '
        'beside the image',
    ),
    'depth_topic': (
        'depth',
        'depth images, where the parameter depth asks for them (sensor_msgs/Image, or '
        'CompressedImage without its /compressedDepth); {camera} as in image_topic',
    ),
    'depth_camera_info_topic': (
        '',
        'their calibration (sensor_msgs/CameraInfo); {camera} as in image_topic; empty: '
        'camera_info beside the depth images',
    ),
    'namespace': ('', 'namespace of the nodes'),
    'node_name': ('pose_node', 'name of the node'),
    'params_file': (
        str(CONFIG / 'pose.yaml'),
        'parameters of the node; those that are given as arguments go before',
    ),
    'use_sim_time': (
        '',
        'take the time from /clock, as with recordings and simulators; empty: as in params_file, '
        'else false',
    ),
    'log_level': ('info', 'what the node logs: debug, info, warn, error or fatal'),
    'respawn': (
        'false',
        'start the node anew when it ends, as it does when its GPU is lost',
    ),
    'rviz': ('false', 'show overlay, markers and frames in RViz'),
    'fixed_frame': (
        'camera_optical_frame',
        "RViz's fixed frame: the frame_id of the images, or one that TF connects with it",
    ),
}


class FromParamsFile(Substitution):
    """Nothing: the parameter keeps the value that params_file gives it."""

    def __init__(self, default):
        super().__init__()
        self.default = default

    def describe(self):
        """Return what --show-args tells of the default."""
        return f'as in params_file; there, unless you changed it: {self.default}'

    def perform(self, _):
        """Return what an argument holds that is not given."""
        return ''


def parameters(text):
    """Return the parameters in a configuration file: name → (type, default, description).

    Lists are strings with commas here.
    """
    found = {}
    for comment, name, default in re.findall(r'((?:^    # .*\n)*)^    (\w+):(.*)$', text, re.M):
        kind = type(yaml.safe_load(default))
        words = ' '.join(line.strip('# ') for line in comment.splitlines())
        found[name] = (kind if kind in (bool, int, float) else str, default.strip(), words)
    return found


def generate_launch_description():
    """Declare the arguments."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    known = parameters((CONFIG / 'pose.yaml').read_text())
    declared += [
        DeclareLaunchArgument(
            name,
            default_value=[FromParamsFile(default)],
            description=description or f'see {name} in params_file',
        )
        for name, (_, default, description) in known.items()
    ]
    kinds = {name: kind for name, (kind, _, _) in known.items()}
    return LaunchDescription([*declared, OpaqueFunction(function=start, args=[kinds])])


def topics(
    cameras,
    image_topic,
    detections_topic,
    camera_info_topic='',
    depth_topic='depth',
    depth_info='',
):
    """Return the remappings of the inputs, for the only camera or for those with names."""
    folder, slash, _ = image_topic.rpartition('/')
    targets = [
        ('image', image_topic),
        ('detections', detections_topic),
        ('camera_info', camera_info_topic or f'{folder}{slash}camera_info'),
    ]
    if depth_topic != 'depth':
        targets.append(('depth', depth_topic))
    if depth_info:
        targets.append(('depth_camera_info', depth_info))
    remappings = []
    for topic, target in targets:
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
    # Compressed images lie below the others.
    below = {'image': 'compressed', 'depth': 'compressedDepth'}
    compressed = [
        (f'{topic}/{below[name]}', f'{target}/{below[name]}')
        for topic, target in remappings
        if (name := topic.rpartition('/')[2]) in below
    ]
    return remappings + compressed


def rviz_remappings(cameras, remappings, node_name):
    """Return what lets RViz, whose topics are those of one camera, show the first camera."""
    camera = f'{cameras[0]}/' if cameras else ''
    targets = dict(remappings)
    inputs = [
        (topic, targets.get(f'{camera}{topic}', f'{camera}{topic}'))
        for topic in ('image', 'image/compressed', 'camera_info')
    ]
    # What its Camera display makes of the topic 'image' lies in the root, whatever the namespace.
    inputs.append(('/camera_info', inputs[-1][1]))
    outputs = [
        (f'pose_node/{topic}', f'{node_name}/{camera}{topic}') for topic in ('markers', 'overlay')
    ]
    return [pair for pair in inputs + outputs if pair[0] != pair[1]]


def is_true(name, text):
    """Tell whether an argument says so; raise ValueError if it says neither."""
    try:
        return BOOLEANS[text.strip().lower()]
    except KeyError:
        raise ValueError(f"{name} is '{text}'; give true or false") from None


def value_of(text, kind):
    """Return the value of a parameter; text of another kind is for the node to refuse."""
    try:
        return BOOLEANS[text.strip().lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        return text


def existing(path):
    """Return the path of a file of parameters; raise ValueError if there is none."""
    if not Path(path).is_file():
        raise ValueError(f"params_file is '{path}', and there is no such file")
    return path


def parameters_in(path, name, namespace):
    """Return the parameters that a file gives the node: name → value."""
    sections = yaml.safe_load(Path(path).read_text()) or {}
    found = {}
    if isinstance(sections, dict):
        full = f'/{namespace}/{name}'.replace('//', '/')
        for section in ('/**', f'/**/{name}', name, full):  # the later ones count
            found.update((sections.get(section) or {}).get('ros__parameters') or {})
    return found


def cameras_in(found):
    """Return the names of the cameras among the parameters of a file."""
    given = found.get('cameras') or ()
    words = [given] if isinstance(given, str) else given
    return words_of(','.join(map(str, words)))


def start(context, kinds):
    """Start the node, and RViz if asked for."""

    def argument(name):
        return LaunchConfiguration(name).perform(context)

    def flag(name):
        return is_true(name, argument(name))

    given = {}
    for parameter, kind in kinds.items():
        if argument(parameter):
            value = value_of(argument(parameter), kind)
            given[parameter] = ParameterValue(value, value_type=type(value))
    params_file = existing(argument('params_file'))
    name, namespace = argument('node_name'), argument('namespace').strip('/')
    of_file = parameters_in(params_file, name, namespace)
    if argument('use_sim_time'):
        given['use_sim_time'] = flag('use_sim_time')
    sim_time = given.get('use_sim_time', of_file.get('use_sim_time', False))
    cameras = words_of(argument('cameras')) or cameras_in(of_file)
    remappings = topics(
        cameras,
        argument('image_topic'),
        argument('detections_topic'),
        argument('camera_info_topic'),
        argument('depth_topic'),
        argument('depth_camera_info_topic'),
    )
    logger = '.'.join([*filter(None, namespace.split('/')), name])
    nodes = []
    if flag('rviz'):
        # First: if it is not installed, launch gives up, and must not leave pose_node behind.
        nodes.append(
            Node(
                package='rviz2',
                executable='rviz2',
                namespace=namespace,
                arguments=['-d', str(CONFIG / 'pose.rviz'), '-f', argument('fixed_frame')],
                parameters=[{'use_sim_time': sim_time}],
                remappings=rviz_remappings(cameras, remappings, name),
                output='log',
            )
        )
    nodes.append(
        Node(
            package='vitpose_ros',
            executable='pose_node',
            name=name,
            namespace=namespace,
            parameters=[ParameterFile(params_file), given],
            remappings=remappings,
            ros_arguments=['--log-level', f'{logger}:={argument("log_level")}'],
            additional_env=publisher_environment(context.environment),
            respawn=flag('respawn'),
            respawn_delay=RESPAWN_DELAY_S,
            output='screen',
            emulate_tty=True,
        )
    )
    return nodes
