"""Configuration, README and package description agree with the code."""

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml
from write_tables import TABLES

from vitpose_ros import core
from vitpose_ros.core import SKELETONS
from vitpose_ros.core.model.config import PUBLIC_UDP
from vitpose_ros.ros import parameters
from vitpose_ros.ros.images import ENCODINGS

ROOT = Path(__file__).parents[1]
TABLE = {entry.name: entry for entry in parameters.table()}


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
    python = {'cv2', 'huggingface_hub', 'numpy', 'safetensors', 'scipy', 'torch', 'vitpose_ros'}
    # Backends and their files, detectors, the peer of bench, what evaluate counts with, a
    # converter.
    optional = {
        'PIL',
        'nvidia',
        'onnx',
        'onnxruntime',
        'openvino',
        'torchvision',
        'triton',
        'transformers',
        'pycocotools',
        'supervision',
        'yolo_msgs',
    }
    # The package tf2_ros is the one for C++.
    ros = {'tf2_ros_py' if name == 'tf2_ros' else name for name in needed}
    ros -= python | optional | sys.stdlib_module_names
    assert ros <= declared
    assert {'launch', 'launch_ros', 'vision_msgs', 'cv_bridge', 'message_filters'} <= declared
    assert 'tf2_ros_py' in declared


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
        how = 'unbiased (UDP), DARK' if name in PUBLIC_UDP else 'plain, quarter shift'
        assert re.search(
            rf'\| `{name}` \| {len(skeleton)} \| [^|]+ \| {re.escape(how)} \|', readme
        )


@pytest.mark.parametrize('name', TABLES)
def test_the_written_tables_are_those_of_the_code(name):
    text = (ROOT / name).read_text()
    assert TABLES[name](text) == text, 'run python dev/write_tables.py'
    assert all(entry in text for entry in TABLE), 'the tables are written at all'


def test_examples_in_the_readme_import_what_they_use():
    examples = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.S)
    assert len(examples) >= 2
    for nodes in map(list, map(ast.walk, map(ast.parse, examples))):
        imported = {
            name.name for node in nodes if isinstance(node, ast.ImportFrom) for name in node.names
        }
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        assert used & set(core.__all__) <= imported


def test_the_readme_lists_every_encoding():
    assert f'Encodings: {", ".join(ENCODINGS)}; others' in (ROOT / 'README.md').read_text()
