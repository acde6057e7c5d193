"""pose_node with each backend, on a processor."""

import numpy as np
import pytest
from harness import START_LIMIT_S, clip_frame, detections_of, image_of

from vitpose_ros.core import Frame, PoseEstimator


@pytest.fixture(scope='module')
def expected():
    picture, people = clip_frame()
    boxes = np.array([person.box for person in people], np.float32)
    estimator = PoseEstimator.load('nano', 'cpu', backend='torch', precision='float32')
    [poses] = estimator.predict([Frame(picture, boxes, 'bgr')])
    return np.array([pose.keypoints for pose in poses])


@pytest.mark.parametrize('backend', ['torch', 'onnx', 'openvino'])
def test_each_backend_gives_the_keypoints(backend, start, probe, expected):
    node = start('pose_node', device='cpu', backend=backend, precision='float32', threads=1)
    probe.wait_until_matched()
    assert f'is ready with {backend} on cpu, float32, 1 thread (asked for)' in node.log
    picture, people = clip_frame()
    boxes = [person.box for person in people]
    image = image_of(picture)
    answer = probe.ask(image, detections_of(image, boxes))
    found = np.array([np.stack((s.x, s.y), axis=1) for s in answer.subjects])
    assert np.abs(found - expected).max() < 1e-3
    status = probe.wait_for_status(b'\x00', 'active', 'network')
    values = {entry.key: entry.value for entry in status.values}
    assert values['backend'] == f'{backend} on cpu, float32, 1 thread'


def test_graphs_are_switched_off_in_a_file_of_parameters_too(start, probe, tmp_path):
    """A bare off is a boolean in YAML."""
    path = tmp_path / 'own.yaml'
    path.write_text('/**:\n  ros__parameters:\n    cuda_graphs: off\n')
    node = start(
        'pose_node',
        arguments=('--ros-args', '--params-file', str(path)),
        device='cpu',
        autostart='false',
    )
    assert probe.transition('configure') and 'is ready with' in node.log
    assert probe.transition('cleanup')
    refused = probe.set_parameter('cuda_graphs', 'never')
    assert not refused.successful and 'give auto or off' in refused.reason


def test_what_does_not_fit_together_is_named(start, probe):
    node = start('pose_node', device='cpu', precision='float16')
    probe.wait(lambda: 'not started' in node.log, 'the failed start in the log', START_LIMIT_S)
    assert "precision 'float16' is not for" in node.log and 'give auto, float32 or' in node.log
    assert probe.state() == 'unconfigured'
    refused = probe.set_parameter('backend', 'tpu')
    assert not refused.successful and 'give auto, torch, onnx or openvino' in refused.reason
    assert probe.set_parameter('precision', 'auto').successful
    assert probe.transition('configure') and probe.transition('activate')
    assert 'is ready with openvino on cpu' in node.log  # which is installed here
