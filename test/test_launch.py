"""What the launch files offer and start; with launch itself where that is installed."""

import ast
import os
import re
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest
import yaml

from vitpose_ros.ros import large_images, parameters
from vitpose_ros.ros.words import words_of

ROOT = Path(__file__).parents[1]
POSE, DEMO = (ROOT / 'launch' / f'{name}.launch.py' for name in ('pose', 'demo'))
TABLE = {entry.name: entry for entry in parameters.table()}


def parts_of(path, *names):
    """Return functions and constants of a launch file that need no launch."""
    tree = ast.parse(path.read_text())
    tree.body = [
        node
        for node in tree.body
        if (isinstance(node, ast.FunctionDef) and node.name in names)
        or (isinstance(node, ast.Assign) and node.targets[0].id in names)
    ]
    scope = {'re': re, 'yaml': yaml, 'Path': Path, 'words_of': words_of}
    scope['CONFIG'] = ROOT / 'config'
    exec(compile(tree, str(path), 'exec'), scope)
    return [scope[name] for name in names]


def calls(path, callee):
    """Yield the keyword arguments of the calls of a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == callee:
            yield {keyword.arg: keyword.value for keyword in node.keywords}


def test_every_parameter_is_an_argument_with_the_text_and_the_default_of_the_table():
    [read] = parts_of(POSE, 'parameters')
    found = read((ROOT / 'config' / 'pose.yaml').read_text())
    assert set(found) == set(TABLE)
    for name, entry in TABLE.items():
        kind, default, description = found[name]
        scalar = isinstance(entry.default, (bool, int, float, str))
        assert kind is (type(entry.default) if scalar else str), name
        written = yaml.safe_load(default)
        assert written == (entry.default if scalar else list(entry.default)), name
        assert description == entry.metadata['description']


def test_a_configuration_file_without_comments_gives_arguments_without_texts():
    [read] = parts_of(POSE, 'parameters')
    assert read('/**:\n  ros__parameters:\n    model: small\n\n    threads: 3\n') == {
        'model': (str, 'small', ''),
        'threads': (int, '3', ''),
    }


def test_the_arguments_that_users_expect_are_there():
    [arguments] = parts_of(POSE, 'ARGUMENTS')
    expected = {'namespace', 'node_name', 'params_file', 'use_sim_time', 'log_level', 'respawn'}
    topics = {'image_topic', 'detections_topic', 'camera_info_topic'}
    topics |= {'depth_topic', 'depth_camera_info_topic'}
    assert set(arguments) == expected | topics | {'rviz', 'fixed_frame'}
    assert not set(arguments) & set(TABLE)
    assert all(len(description) > 15 for _, description in arguments.values())


def test_the_topics_of_every_camera_are_found():
    topics, rviz_remappings = parts_of(POSE, 'topics', 'rviz_remappings')
    single = topics([], '/camera/image_raw', '/yolo')
    assert single == [
        ('image', '/camera/image_raw'),
        ('detections', '/yolo'),
        ('camera_info', '/camera/camera_info'),
        ('image/compressed', '/camera/image_raw/compressed'),
    ]
    assert rviz_remappings([], single, 'pose_node') == [
        ('image', '/camera/image_raw'),
        ('image/compressed', '/camera/image_raw/compressed'),
        ('camera_info', '/camera/camera_info'),
        ('/camera_info', '/camera/camera_info'),
    ]
    elsewhere = topics([], '/camera/image_raw', '/yolo', '/calibration')
    assert ('camera_info', '/calibration') in rviz_remappings([], elsewhere, 'pose_node')

    cameras = ['front', 'rear']
    several = topics(cameras, '/{camera}/image_raw', 'detections')
    assert several == [
        ('front/image', '/front/image_raw'),
        ('rear/image', '/rear/image_raw'),
        ('front/camera_info', '/front/camera_info'),
        ('rear/camera_info', '/rear/camera_info'),
        ('front/image/compressed', '/front/image_raw/compressed'),
        ('rear/image/compressed', '/rear/image_raw/compressed'),
    ]
    assert rviz_remappings(cameras, several, 'eyes') == [
        ('image', '/front/image_raw'),
        ('image/compressed', '/front/image_raw/compressed'),
        ('camera_info', '/front/camera_info'),
        ('/camera_info', '/front/camera_info'),
        ('pose_node/markers', 'eyes/front/markers'),
        ('pose_node/overlay', 'eyes/front/overlay'),
    ]
    with pytest.raises(ValueError, match="image_topic is '/image_raw' for the cameras front"):
        topics(cameras, '/image_raw', 'detections')
    with pytest.raises(ValueError, match='name the cameras: cameras:=front,rear'):
        topics([], '/{camera}/image_raw', 'detections')


def test_cameras_are_those_of_the_argument_or_of_the_file(tmp_path):
    parameters_in, cameras_in = parts_of(POSE, 'parameters_in', 'cameras_in')
    path = tmp_path / 'mine.yaml'
    for written, found in (
        ('/**:\n  ros__parameters:\n    cameras: [front, rear]', ('front', 'rear')),
        ('pose_node:\n  ros__parameters:\n    cameras: [front]', ('front',)),
        ('/robot/pose_node:\n  ros__parameters:\n    cameras: front, rear', ('front', 'rear')),
        ('other:\n  ros__parameters:\n    cameras: [front]', ()),
        ('/**:\n  ros__parameters:\n    cameras: []', ()),
        ('', ()),
    ):
        path.write_text(written)
        assert cameras_in(parameters_in(path, 'pose_node', 'robot')) == found, written
    path.write_text('/pose_node:\n  ros__parameters:\n    cameras: [front]')
    assert cameras_in(parameters_in(path, 'pose_node', '')) == ('front',)


def test_depth_is_found_beside_its_camera_info_or_where_that_is():
    topics, _ = parts_of(POSE, 'topics', 'rviz_remappings')
    given = topics([], 'image', 'detections', '', '/camera/depth/image_raw')
    assert ('depth', '/camera/depth/image_raw') in given
    below = ('depth/compressedDepth', '/camera/depth/image_raw/compressedDepth')
    assert below in given and 'depth_camera_info' not in dict(given)
    several = topics(['front'], 'image', 'detections', '', '/{camera}/depth', '/{camera}/info')
    assert ('front/depth', '/front/depth') in several
    assert ('front/depth_camera_info', '/front/info') in several


def test_topics_that_nobody_names_stay():
    topics, rviz_remappings = parts_of(POSE, 'topics', 'rviz_remappings')
    assert all(source == target for source, target in topics([], 'image', 'detections'))
    # RViz looks for the calibration in the root, whatever the namespace.
    rules = rviz_remappings([], topics([], 'image', 'detections'), 'pose_node')
    assert rules == [('/camera_info', 'camera_info')]
    assert topics(['front', 'rear'], 'image', 'detections') == []


def test_values_have_the_kind_of_their_parameter_or_are_left_to_the_node():
    _, value_of = parts_of(POSE, 'BOOLEANS', 'value_of')
    assert value_of('5', int) == 5 and value_of('0.5', float) == 0.5
    assert value_of('True', bool) is value_of('1', bool) is value_of('yes', bool) is True
    assert value_of('off', bool) is False and value_of('false', bool) is False
    assert value_of('5', str) == '5' and value_of('front,rear', str) == 'front,rear'
    assert value_of('abc', int) == 'abc' and value_of('maybe', bool) == 'maybe'


def test_arguments_that_are_true_or_false_may_be_written_as_for_launch_and_in_yaml():
    _, is_true = parts_of(POSE, 'BOOLEANS', 'is_true')
    for text in ('true', 'True', 'TRUE', ' true ', '1', 'yes', 'on'):
        assert is_true('rviz', text) is True
    for text in ('false', 'False', '0', 'no', 'off'):
        assert is_true('rviz', text) is False
    for text in ('', 'tru', '2', 'maybe'):
        with pytest.raises(ValueError, match=f"rviz is '{text}'; give true or false"):
            is_true('rviz', text)


def test_a_file_of_parameters_that_is_absent_is_an_error(tmp_path):
    [existing] = parts_of(POSE, 'existing')
    with pytest.raises(ValueError, match="params_file is '/tmp/nosuch'"):
        existing('/tmp/nosuch')
    path = tmp_path / 'mine.yaml'
    path.touch()
    assert existing(str(path)) == str(path)


@pytest.mark.parametrize('path', [POSE, DEMO], ids=['pose', 'demo'])
def test_what_is_started_is_installed_and_knows_its_parameters(path):
    build = (ROOT / 'CMakeLists.txt').read_text()
    for arguments in calls(path, 'Node'):
        if arguments['package'].value != 'vitpose_ros':
            continue
        executable = arguments['executable'].value
        module = re.search(rf'"{executable}=([\w.]+):', build)[1]
        code = (ROOT / 'vitpose_ros' / f'{module.replace(".", "/")}.py').read_text()
        for part in getattr(arguments.get('parameters'), 'elts', []):
            for key in getattr(part, 'keys', []):
                assert f"declare_parameter('{key.value}'" in code
        # What publishes images does it through shared memory, if the user does not say else.
        publishes = executable in ('pose_node', 'camera_node')
        environment = ast.unparse(arguments['additional_env']) if publishes else ''
        assert environment.startswith('publisher_environment(') == publishes


def test_the_demo_passes_on_what_belongs_together():
    """A namespace, or topics, of the command line count in included files, too."""
    [arguments] = parts_of(POSE, 'ARGUMENTS')
    [fixed] = parts_of(DEMO, 'FIXED')
    assert {'image_topic', 'detections_topic', 'camera_info_topic'} <= set(fixed)
    assert set(fixed) <= set(arguments) | set(TABLE)
    nodes = list(calls(DEMO, 'Node'))
    assert [ast.unparse(node['namespace']) for node in nodes] == ['namespace', 'namespace']


@pytest.fixture
def launch():
    """The real launch and launch_ros; not among the wheels of PyPI."""
    pytest.importorskip('launch_ros.actions', reason='launch_ros is not installed')
    return __import__('launch')


def load(path):
    spec = util.spec_from_file_location(path.stem.replace('.', '_'), path)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(launch, monkeypatch):
    """Return a function that tells what a launch file starts: executable → command, variables."""
    from launch_ros.actions import Node

    for name in large_images.CHOICES:
        monkeypatch.delenv(name, raising=False)
    commands = {}

    def note(node, context):
        def text(part):
            return launch.utilities.perform_substitutions(context, part)

        variables = {text(name): text(value) for name, value in node.additional_env or []}
        commands[node.node_executable] = ' '.join(map(text, node.cmd)), variables

    monkeypatch.setattr(launch.actions.ExecuteProcess, 'execute', note)

    def run_file(path, **arguments):
        context = launch.LaunchContext()
        context.launch_configurations.update(arguments)
        waiting = [load(path).generate_launch_description()]
        while waiting:
            waiting = list(waiting.pop(0).visit(context) or []) + waiting
        return commands

    assert issubclass(Node, launch.actions.ExecuteProcess)
    return run_file


def test_show_args_tells_texts_and_defaults(launch):
    shown = {
        argument.name: (argument.description, argument.default_value[0].describe())
        for argument in load(POSE).generate_launch_description().get_launch_arguments()
    }
    assert set(TABLE) < set(shown)
    description, default = shown['max_subjects']
    assert description == TABLE['max_subjects'].metadata['description']
    assert (
        default
        == f'as in params_file; there, unless you changed it: {TABLE["max_subjects"].default}'
    )


def test_the_demo_lists_no_arguments_that_it_fixes(launch):
    shown = [
        argument.name
        for argument in load(DEMO).generate_launch_description().get_launch_arguments()
    ]
    [fixed] = parts_of(DEMO, 'FIXED')
    assert not set(shown) & set(fixed)
    assert {'source', 'rate', 'namespace', 'model', 'rviz'} <= set(shown)


def test_the_command_of_the_node_has_what_was_given(run):
    commands = run(
        POSE,
        image_topic='/camera/image_raw',
        namespace='/robot',
        node_name='eyes',
        log_level='debug',
        use_sim_time='true',
        max_subjects='5',
        class_names='7',
        threads='many',
        rviz='false',
    )
    assert list(commands) == ['pose_node']
    command, variables = commands['pose_node']
    assert variables == large_images.publisher_environment()
    assert '__node:=eyes' in command and '__ns:=/robot' in command
    assert 'image:=/camera/image_raw' in command
    assert 'camera_info:=/camera/camera_info' in command
    assert '--log-level robot.eyes:=debug' in command
    files = re.findall(r'--params-file (\S+)', command)
    assert files[0].endswith('config/pose.yaml')
    [given] = yaml.safe_load(Path(files[1]).read_text()).values()
    assert given['ros__parameters'] == {
        'max_subjects': 5,
        'class_names': '7',
        'threads': 'many',
        'use_sim_time': True,
    }


@pytest.fixture
def rviz(tmp_path, monkeypatch):
    """Something that launch finds as RViz; it is never started."""
    for place in ('share/ament_index/resource_index/packages/rviz2', 'lib/rviz2/rviz2'):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).touch(mode=0o755)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path), prepend=os.pathsep)


def test_the_time_of_the_file_of_parameters_counts_for_rviz_too(run, rviz, tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text('/**:\n  ros__parameters:\n    use_sim_time: true')
    for arguments, seen in (
        ({}, [None, True]),
        ({'use_sim_time': 'false'}, [False, False]),
        ({'params_file': str(ROOT / 'config' / 'pose.yaml')}, [None, False]),
    ):
        commands = run(POSE, **{'params_file': str(path), 'rviz': 'true', **arguments})
        given = []
        for executable in ('pose_node', 'rviz2'):
            files = re.findall(r'--params-file (\S+)', commands[executable][0])
            [values] = yaml.safe_load(Path(files[-1]).read_text()).values()
            own = files[-1] != arguments.get('params_file', str(path))
            given.append(values['ros__parameters'].get('use_sim_time') if own else None)
        assert given == seen, arguments


def test_a_namespace_holds_all_nodes_of_the_demo(run):
    commands = run(DEMO, namespace='robot', image_topic='/elsewhere')
    assert set(commands) == {'camera_node', 'hog_detector_node', 'pose_node'}
    assert all('__ns:=/robot' in command for command, _ in commands.values())
    assert 'elsewhere' not in commands['pose_node'][0]
    assert commands['camera_node'][1] == commands['pose_node'][1] != {}


def test_a_launch_with_an_absent_file_of_parameters_stops(run):
    with pytest.raises(ValueError, match='no such file'):
        run(POSE, params_file='/tmp/nosuch.yaml')


def test_launch_files_import_neither_torch_nor_rclpy():
    """They are read by whoever starts the robot, also with --show-args alone."""
    code = 'import sys, vitpose_ros.ros.large_images; print({"torch", "rclpy"} & set(sys.modules))'
    shown = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert shown.stdout.strip() == 'set()', shown.stderr
