"""Imports only go down, and the core knows nothing of ROS."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'vitpose_ros'
CORE = PACKAGE / 'core'
ALLOWED_IN_CORE = {'cv2', 'numpy', 'safetensors', 'scipy', 'torch', 'vitpose_ros'}
OPTIONAL = {  # within functions
    'boxes': {'PIL', 'openvino', 'transformers'},
    'poses': {'supervision'},
    'runtime': {'nvidia', 'onnx', 'onnxruntime', 'openvino', 'torchvision', 'triton'},
}

# Floors of the core, from the top: each may import from those below it, and from its own.
CORE_FLOORS = [
    {'__init__'},
    {'pipeline'},
    {'estimator', 'follower'},
    {'captures'},
    {'tracks', 'boxes'},
    {'work'},
    {'passes'},
    {'runtime'},
    {'weights'},
    {'model', 'geometry'},
    {'poses'},
    {'drawing'},
    {'realtime', 'types'},
    {'jpeg', 'skeletons'},
    {'option'},
    {'errors', 'paths'},
]
# What the rooms of the package may import from.
ROOMS = {
    'core': {'core'},
    'ros': {'core', 'ros'},
    'demo': {'core', 'ros', 'demo'},
    'tools': {'core', 'tools'},
    '__main__.py': {'tools'},
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            yield node.module


def modules(folder):
    return sorted(folder.rglob('*.py'))


@pytest.mark.parametrize('path', modules(CORE), ids=lambda path: path.stem)
def test_the_core_imports_no_ros(path):
    standard = sys.stdlib_module_names
    tops = {name.split('.')[0] for name in imports(path)} - standard
    optional = OPTIONAL.get(path.relative_to(CORE).parts[0].removesuffix('.py'), set())
    assert tops <= ALLOWED_IN_CORE | optional
    assert not re.search(r'import rclpy|_msgs', path.read_text())


@pytest.mark.parametrize('path', modules(PACKAGE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_downwards(path):
    room = path.relative_to(PACKAGE).parts[0]
    for name in imports(path):
        parts = name.split('.')
        if parts[0] == 'vitpose_ros' and parts[1:] and parts[1] != 'msg':
            assert parts[1] in ROOMS[room], f'{path} imports {name}'


@pytest.mark.parametrize(
    'path', modules(ROOT / 'training') + modules(ROOT / 'world'), ids=lambda path: path.stem
)
def test_training_and_world_import_the_core_alone(path):
    for name in imports(path):
        assert not name.startswith('vitpose_ros') or name.startswith('vitpose_ros.core')
        assert name.split('.')[0] != 'rclpy'
        assert path.parent.name == 'training' or name.split('.')[0] != 'training'


@pytest.mark.parametrize('path', modules(PACKAGE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_package_imports_neither_training_nor_world(path):
    assert not {name.split('.')[0] for name in imports(path)} & {'training', 'world'}


@pytest.mark.parametrize('path', modules(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_floors_of_the_core_import_downwards(path):
    def floor(module):
        return next(index for index, names in enumerate(CORE_FLOORS) if module in names)

    own = floor(path.relative_to(CORE).parts[0].removesuffix('.py'))
    for name in imports(path):
        if name.startswith('vitpose_ros.core.'):
            other = name.split('.')[2]
            assert floor(other) >= own, f'{path} imports {name}'


def test_the_core_works_where_ros_is_not_there(tmp_path):
    code = (
        'import sys\n'
        "absent = 'rclpy message_filters tf2_ros cv_bridge onnx onnxruntime openvino triton'\n"
        'sys.modules.update(dict.fromkeys(absent.split()))\n'
        'from vitpose_ros.core import PoseEstimator, Frame\n'
        'import numpy as np\n'
        'frame = Frame(np.zeros((48, 64, 3), np.uint8), [[5, 5, 30, 40]])\n'
        "assert len(PoseEstimator.load('nano', 'cpu').predict([frame])[0]) == 1\n"
        'assert [n for n in absent.split() if sys.modules[n]] == []\n'
        "print('works')\n"
    )
    result = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        timeout=600,
    )
    assert result.stdout.strip() == 'works', result.stderr
