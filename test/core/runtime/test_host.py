"""What a program that uses the package finds as it was: threads, random numbers, loggers."""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_weights import tiny_state, write

from vitpose_ros.core import PoseEstimator
from vitpose_ros.core.runtime import export, processor
from vitpose_ros.core.runtime.torch import bfloat16_gain
from vitpose_ros.core.weights import load_network

ROOT = Path(__file__).parents[3]
SIZE = (64, 48)
IMAGE = np.zeros((64, 48, 3), np.uint8)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize('backend', ['torch', 'openvino', 'onnx'])
def test_pytorch_has_its_threads_back_after_each_call(backend, three_threads, monkeypatch):
    estimator = PoseEstimator.load('nano', 'cpu', backend=backend, threads=2, image_size=SIZE)
    assert torch.get_num_threads() == 3
    meanwhile, keypoints = [], estimator.backend.keypoints
    monkeypatch.setattr(
        estimator.backend,
        'keypoints',
        lambda *given: meanwhile.append(torch.get_num_threads()) or keypoints(*given),
    )
    estimator.estimate(IMAGE)
    assert meanwhile == [2] and torch.get_num_threads() == 3


def test_whoever_leaves_last_gives_the_threads_back(three_threads):
    entered, leave = threading.Event(), threading.Event()

    def longer():
        with processor.torch_threads(1):
            entered.set()
            leave.wait(60)

    other = threading.Thread(target=longer)
    with processor.torch_threads(2):
        other.start()
        assert entered.wait(60)
    leave.set()
    other.join()
    assert torch.get_num_threads() == 3


def test_random_numbers_are_the_programs_own():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    bfloat16_gain(load_network('nano', image_size=SIZE))
    assert torch.equal(torch.rand(3), expected)


def test_loggers_of_others_keep_their_levels(tmp_path):
    logger = logging.getLogger('torch.onnx')
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        weights = write(tmp_path / 'tiny.safetensors', tiny_state())
        export.write_onnx(load_network(weights, image_size=SIZE), tmp_path / 'x.onnx', 'coco')
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(before)


def test_where_all_of_onnx_is_missing_its_runtime_is_named(tmp_path):
    """Before anything is written, for which more would be needed."""
    code = (
        'import sys\n'
        "sys.modules.update(dict.fromkeys(['onnx', 'onnxruntime', 'onnxscript']))\n"
        'from vitpose_ros.core import BackendError, PoseEstimator\n'
        'try:\n'
        "    PoseEstimator.load('nano', 'cpu', backend='onnx')\n"
        'except BackendError as error:\n'
        '    print(error)\n'
    )
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'VITPOSE_ROS_CACHE': str(tmp_path)}
    result = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.stdout.startswith("backend 'onnx' is not installed: pip install"), result.stderr
    assert list(tmp_path.iterdir()) == []
