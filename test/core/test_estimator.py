"""The facade: many subjects and frames at once equal each alone."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vitpose_ros.core import Frame, PoseEstimator

CLIP = Path(__file__).parents[2] / 'vitpose_ros' / 'demo' / 'data' / 'demo_clip.mp4'


@pytest.fixture(scope='module')
def estimator():
    return PoseEstimator.load('nano', 'cpu')


@pytest.fixture(scope='module')
def clip():
    """The first frame of the demo clip, and its people as (n, 4) boxes and (n, 17, 3) truth."""
    ok, image = cv2.VideoCapture(str(CLIP)).read()
    assert ok
    people = json.loads(CLIP.with_suffix('.json').read_text())['frames'][0]
    boxes = np.array([person['bbox'] for person in people], dtype=np.float32)
    boxes[:, 2:] += boxes[:, :2]
    return image, boxes, np.array([person['keypoints'] for person in people])


def test_keypoints_lie_on_the_true_ones(estimator, clip):
    image, boxes, truth = clip
    [poses] = estimator.predict([Frame(image, boxes, 'bgr')])
    for pose, box, true in zip(poses, boxes, truth, strict=True):
        seen = true[:, 2] == 2
        error = np.linalg.norm(pose.keypoints - true[:, :2], axis=1)[seen]
        assert np.median(error) < 0.03 * (box[3] - box[1])
        assert pose.scores.shape == (17,) and pose.skeleton == 'coco'
        assert pose.score == pytest.approx(pose.scores.mean())


def test_many_subjects_at_once_equal_each_alone(estimator, clip):
    image, boxes, _ = clip
    random = np.random.default_rng(0)
    boxes = np.concatenate([boxes + random.uniform(-6, 6, boxes.shape) for _ in range(8)])
    [together] = estimator.predict([Frame(image, boxes, 'bgr')])
    assert len(together) == 24
    for box, pose in zip(boxes, together, strict=True):
        [[alone]] = estimator.predict([Frame(image, box[None], 'bgr')])
        assert np.abs(pose.keypoints - alone.keypoints).max() < 1e-4
        assert np.abs(pose.scores - alone.scores).max() < 1e-5


def test_frames_of_different_sizes_share_a_batch(estimator, clip):
    image, boxes, _ = clip
    half = cv2.resize(image, None, fx=0.5, fy=0.5)
    frames = [
        Frame(image, boxes, 'bgr'),
        Frame(half, np.empty((0, 4)), 'bgr'),
        Frame(half, boxes[:2] / 2, 'bgr'),
        Frame(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), boxes[2:], 'rgb'),
    ]
    together = estimator.predict(frames)
    assert [len(poses) for poses in together] == [3, 0, 2, 1]
    for frame, poses in zip(frames, together, strict=True):
        [alone] = estimator.predict([frame])
        for a, b in zip(poses, alone, strict=True):
            assert np.abs(a.keypoints - b.keypoints).max() < 1e-4


def test_all_subjects_of_a_frame_go_through_the_network_together(clip):
    image, boxes, _ = clip
    estimator = PoseEstimator.load('nano', 'cpu')
    batches = []
    heatmaps = estimator.backend.heatmaps
    estimator.backend.heatmaps = lambda crops: batches.append(len(crops)) or heatmaps(crops)
    estimator.predict([Frame(image, np.repeat(boxes, 5, axis=0), 'bgr')])
    assert batches == [15]

    batches.clear()
    estimator.max_batch = 4
    [poses] = estimator.predict([Frame(image, np.repeat(boxes, 3, axis=0), 'bgr')])
    assert batches == [4, 4, 1] and len(poses) == 9


def test_nothing_to_do_gives_nothing(estimator):
    assert estimator.predict([]) == []


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="device 'tpu'"):
        PoseEstimator.load('nano', 'tpu')
    with pytest.raises(ValueError, match='is not there'):
        PoseEstimator.load('nano', f'cuda:{torch.cuda.device_count()}')


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_cuda_gives_the_keypoints_of_the_cpu(estimator, clip):
    image, boxes, _ = clip
    [expected] = estimator.predict([Frame(image, boxes, 'bgr')])
    [poses] = PoseEstimator.load('nano', 'cuda').predict([Frame(image, boxes, 'bgr')])
    for pose, other in zip(poses, expected, strict=True):
        assert np.abs(pose.keypoints - other.keypoints).max() < 0.1
