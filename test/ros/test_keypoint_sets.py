"""Several keypoint sets in one node, and what parameters add to the keypoints."""

import numpy as np
import pytest
import torch
from harness import START_LIMIT_S, clip_frame, detections_of, image_of

from vitpose_ros.core import SKELETONS, Frame, PoseEstimator
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.weights import write_checkpoint

CONFIG = ViTPoseConfig(
    embed_dim=64,
    depth=2,
    num_heads=2,
    num_keypoints={name: len(skeleton) for name, skeleton in SKELETONS.items()},
    part_features=16,
    deconv_channels=16,
)


@pytest.fixture
def model(tmp_path):
    """A small network of all six sets with random weights."""
    torch.manual_seed(0)
    write_checkpoint(tmp_path / 'six.safetensors', CONFIG, ViTPose(CONFIG).state_dict())
    return tmp_path / 'six.safetensors'


def points(subject):
    return np.stack((subject.x, subject.y), axis=1)


def test_each_class_gets_its_set(model, start, probe):
    # Others take long to load six sets.
    settings = {'device': 'cpu', 'backend': 'torch', 'precision': 'float32'}
    start('pose_node', model=model, keypoint_sets='wholebody, ap10k,mpii', **settings)
    probe.wait_until_matched()
    probe.watch()
    pixels, _ = clip_frame()
    boxes = np.array([[50 + 90 * i, 60, 130 + 90 * i, 300] for i in range(5)], np.float32)
    classes = ['person', 'dog', 'Horse', 'chair', '']
    expected_sets = ['wholebody', 'ap10k', 'ap10k', 'wholebody', 'wholebody']
    image = image_of(pixels)
    answer = probe.ask(image, detections_of(image, boxes, classes=classes))

    estimator = PoseEstimator.load(model, keypoint_sets=['wholebody', 'ap10k'], **settings)
    [poses] = estimator.predict([Frame(pixels, boxes, 'bgr', expected_sets)])
    assert [subject.skeleton for subject in answer.subjects] == expected_sets
    for subject, pose in zip(answer.subjects, poses, strict=True):
        assert len(subject.x) == len(SKELETONS[subject.skeleton])
        assert np.allclose(subject.keypoint_score, pose.scores, atol=1e-4)
        assert np.abs(points(subject) - pose.keypoints).max() < 0.05

    [message] = probe.skeletons  # to a subscriber of depth 1
    assert [info.name for info in message.skeletons] == ['wholebody', 'ap10k', 'mpii']
    for info in message.skeletons:
        assert tuple(info.keypoint_names) == SKELETONS[info.name].keypoint_names

    image = image_of(pixels)
    probe.ask(image, detections_of(image, boxes, classes=classes))
    probe.wait(lambda: probe.markers and probe.overlays, 'markers and overlay')


def test_a_set_that_the_network_lacks_is_named(start, probe):
    node = start('pose_node', device='cpu', keypoint_sets='coco,ap10k')
    probe.wait(lambda: 'not started' in node.log, 'the failed start in the log', START_LIMIT_S)
    assert "give coco, aic, mpii, wholebody, not 'ap10k'" in node.log
    assert 'ros2 run vitpose_ros models fetch vitpose-small-ap10k' in node.log
    assert probe.set_parameter('keypoint_sets', 'coco').successful
    assert probe.transition('configure')


def test_the_spread_of_heatmaps_and_the_flip_test_are_options(start, probe):
    start('pose_node', device='cpu', precision='float32', heatmap_spread='true', flip_test='true')
    probe.wait_until_matched()
    pixels, people = clip_frame()
    boxes = np.array([person.box for person in people], np.float32)
    image = image_of(pixels)
    answer = probe.ask(image, detections_of(image, boxes))
    estimator = PoseEstimator.load(
        'nano', 'cpu', precision='float32', flip_test=True, heatmap_spread=True
    )
    [poses] = estimator.predict([Frame(pixels, boxes, 'bgr')])
    for subject, pose in zip(answer.subjects, poses, strict=True):
        assert np.abs(points(subject) - pose.keypoints).max() < 1e-2
        found = np.reshape(subject.heatmap_spread, (17, 3))
        spread = pose.heatmap_spread
        expected = np.stack((spread[:, 0, 0], spread[:, 0, 1], spread[:, 1, 1]), axis=1)
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-2)
    assert not probe.set_parameter('flip_test', False).successful
