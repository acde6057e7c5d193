"""Configuration, launch files and package description agree with the code."""

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml
from write_tables import TABLES

from vitpose_ros.core import SKELETONS
from vitpose_ros.ros import parameters
from vitpose_ros.ros.images import ENCODINGS
from vitpose_ros.ros.parameter import of_type

ROOT = Path(__file__).parents[1]
TABLE = {entry.name: entry for entry in parameters.table()}
LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.launch.py'))


def constants(tree, callee):
    """Return the first arguments of the calls of a function, where they are literal strings."""
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == callee
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def literal(tree, name):
    """Return the dictionary literal assigned to a name: keys, and values as source text."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            keys, values = node.value.keys, node.value.values
            return {k.value: ast.unparse(v) for k, v in zip(keys, values, strict=True)}
    return {}


def test_every_parameter_is_described_and_has_a_sound_default():
    for entry in TABLE.values():
        data = entry.metadata
        assert len(data['description']) > 20
        kind = entry.type if isinstance(entry.type, str) else str(entry.type.__name__)
        assert type(entry.default).__name__ == kind.partition('[')[0]
        if isinstance(entry.default, (int, float)) and not isinstance(entry.default, bool):
            assert data['minimum'] <= entry.default <= data['maximum']


def test_the_configuration_file_holds_every_parameter_with_its_default_and_a_comment():
    text = (ROOT / 'config' / 'pose.yaml').read_text()
    values = yaml.safe_load(text)['/**']['ros__parameters']
    assert list(values) == list(TABLE)
    for name, entry in TABLE.items():
        is_list = isinstance(entry.default, tuple)
        assert values[name] == (list(entry.default) if is_list else entry.default)
        assert isinstance(values[name], list if is_list else type(entry.default))
        comment = re.search(rf'((?:    #.*\n)+)    {name}:', text)
        assert comment, f'{name} has no comment'
        words = ' '.join(re.sub(r'^\s*#\s*', '', line) for line in comment[1].splitlines())
        assert words == entry.metadata['description']


def test_the_launch_file_offers_every_parameter_with_its_type():
    tree = ast.parse((ROOT / 'launch' / 'pose.launch.py').read_text())
    offered = literal(tree, 'PARAMETERS')
    kinds = {name: type(entry.default).__name__ for name, entry in TABLE.items()}
    # Of lists the node makes one of text with commas.
    assert offered == {name: 'str' if kind == 'tuple' else kind for name, kind in kinds.items()}
    declared = constants(tree, 'DeclareLaunchArgument')
    assert declared >= {'image_topic', 'detections_topic', 'namespace', 'params_file', 'rviz'}


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_files_declare_every_argument_that_they_use(path):
    tree = ast.parse(path.read_text())
    declared = constants(tree, 'DeclareLaunchArgument') | set(literal(tree, 'PARAMETERS'))
    used = constants(tree, 'LaunchConfiguration') | constants(tree, 'argument')
    assert used and used <= declared
    documented = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'DeclareLaunchArgument'
    ]
    assert all({'description', 'default_value'} <= {k.arg for k in n.keywords} for n in documented)


def functions_of(path, *names):
    """Return functions of a launch file that need no launch."""
    tree = ast.parse(path.read_text())
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
    scope = {}
    exec(compile(tree, str(path), 'exec'), scope)
    return [scope[name] for name in names]


def test_the_launch_file_finds_the_topics_of_every_camera():
    path = ROOT / 'launch' / 'pose.launch.py'
    topics, first_camera = functions_of(path, 'topics', 'first_camera')
    single = topics([], '/camera/image_raw', '/yolo')
    assert single == [('image', '/camera/image_raw'), ('detections', '/yolo')]
    assert first_camera([], single) == []

    cameras = ['front', 'rear']
    several = topics(cameras, '/{camera}/image_raw', 'detections')
    assert several == [('front/image', '/front/image_raw'), ('rear/image', '/rear/image_raw')]
    outputs = [
        ('pose_node/markers', 'pose_node/front/markers'),
        ('pose_node/overlay', 'pose_node/front/overlay'),
    ]
    assert first_camera(cameras, several) == [('image', '/front/image_raw'), *outputs]
    assert first_camera(cameras, []) == [('image', 'front/image'), *outputs]
    with pytest.raises(ValueError, match="image_topic is '/image_raw' for the cameras front"):
        topics(cameras, '/image_raw', 'detections')
    with pytest.raises(ValueError, match='name the cameras: cameras:=front,rear'):
        topics([], '/{camera}/image_raw', 'detections')


def test_a_launch_argument_of_a_wrong_kind_is_left_to_the_node_which_names_it():
    [value_of] = functions_of(ROOT / 'launch' / 'pose.launch.py', 'value_of')
    assert value_of('abc', int) == 'abc'
    assert [value_of(text, bool) for text in ('true', 'False', '1')] == [True, False, '1']
    assert [value_of('2', int), value_of('2', float), value_of('2', str)] == [2, 2.0, '2']
    with pytest.raises(ValueError, match="threads is 'abc', of type 'str'; give a whole number"):
        of_type(TABLE['threads'], value_of('abc', int))


def test_the_launch_file_starts_the_node_anew_only_where_it_is_asked_to():
    path = ROOT / 'launch' / 'pose.launch.py'
    [is_true] = functions_of(path, 'is_true')
    assert is_true('true') and is_true('True') and is_true('1')
    assert not is_true('false') and not is_true('')
    tree = ast.parse(path.read_text())
    nodes = {
        ast.literal_eval(keywords['executable']): keywords
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, 'id', '') == 'Node'
        for keywords in [{keyword.arg: keyword.value for keyword in call.keywords}]
    }
    assert ast.unparse(nodes['pose_node']['respawn']) == "is_true(argument('respawn'))"
    assert 'respawn_delay' in nodes['pose_node'] and 'respawn' not in nodes['rviz2']
    declared = [
        {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and call.args and ast.unparse(call.args[0]) == "'respawn'"
        if getattr(call.func, 'id', '') == 'DeclareLaunchArgument'
    ]
    assert [arguments['default_value'] for arguments in declared] == ["'false'"]


def test_arguments_passed_on_to_the_included_launch_file_exist_there():
    included = ast.parse((ROOT / 'launch' / 'pose.launch.py').read_text())
    declared = constants(included, 'DeclareLaunchArgument') | set(literal(included, 'PARAMETERS'))
    tree = ast.parse((ROOT / 'launch' / 'demo.launch.py').read_text())
    passed = {
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == 'launch_arguments'
        for key in node.value.func.value.keys
    }
    assert passed and passed <= declared


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_files_start_what_is_installed_with_parameters_that_it_knows(path):
    build = (ROOT / 'CMakeLists.txt').read_text()
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'Node'):
            continue
        arguments = {keyword.arg: keyword.value for keyword in node.keywords}
        if arguments['package'].value != 'vitpose_ros':
            continue
        executable = arguments['executable'].value
        module = re.search(rf'"{executable}=([\w.]+):', build)[1]
        code = (ROOT / 'vitpose_ros' / f'{module.replace(".", "/")}.py').read_text()
        for part in getattr(arguments.get('parameters'), 'elts', []):
            for key in getattr(part, 'keys', []):
                assert f"declare_parameter('{key.value}'" in code


def test_rviz_shows_the_topics_of_the_node():
    rviz = yaml.safe_load((ROOT / 'config' / 'pose.rviz').read_text())
    topics = {
        display['Topic']['Value']
        for display in rviz['Visualization Manager']['Displays']
        if 'Topic' in display
    }
    assert topics == {'image', 'pose_node/overlay', 'pose_node/markers'}


def test_the_package_declares_what_it_imports():
    root = ElementTree.parse(ROOT / 'package.xml').getroot()
    declared = {element.text for element in root if element.tag.endswith('depend')}
    assert root.get('format') == '3'
    needed = set()
    for path in (ROOT / 'vitpose_ros').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                needed |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                needed.add(node.module.split('.')[0])
    python = {'cv2', 'huggingface_hub', 'numpy', 'safetensors', 'torch', 'vitpose_ros'}
    # Backends and their files, the peer of bench, what evaluate counts with.
    optional = {
        'nvidia',
        'onnx',
        'onnxruntime',
        'openvino',
        'torchvision',
        'triton',
        'transformers',
        'pycocotools',
    }
    ros = needed - python - optional - sys.stdlib_module_names
    assert ros <= declared
    assert {'launch', 'launch_ros', 'vision_msgs', 'cv_bridge', 'message_filters'} <= declared


def test_every_version_is_the_same():
    version = ElementTree.parse(ROOT / 'package.xml').getroot().findtext('version')
    assert f"version='{version}'" in (ROOT / 'setup.py').read_text()


def test_setup_installs_every_package_that_needs_no_ros():
    setup = (ROOT / 'setup.py').read_text()
    for room in ('core', 'tools'):
        for path in (ROOT / 'vitpose_ros' / room).rglob('__init__.py'):
            package = '.'.join(path.parent.relative_to(ROOT).parts)
            assert f"'{package}'" in setup


def test_the_readme_lists_every_keypoint_set():
    readme = (ROOT / 'README.md').read_text()
    for name, skeleton in SKELETONS.items():
        how = 'unbiased (UDP), DARK' if skeleton.udp else 'plain, quarter shift'
        assert re.search(
            rf'\| `{name}` \| {len(skeleton)} \| [^|]+ \| {re.escape(how)} \|', readme
        )


@pytest.mark.parametrize('name', TABLES)
def test_the_written_tables_are_those_of_the_code(name):
    text = (ROOT / name).read_text()
    assert TABLES[name](text) == text, 'run python dev/write_tables.py'
    assert all(entry in text for entry in TABLE), 'the tables are written at all'


def test_the_readme_lists_every_encoding():
    assert f'Encodings: {", ".join(ENCODINGS)}; others' in (ROOT / 'README.md').read_text()
