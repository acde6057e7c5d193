"""The facade: many subjects and frames at once equal each alone."""

import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from random_weights import SeveralHeads

from vitpose_ros.core import SKELETONS, Frame, FrameError, Options, PoseEstimator
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime.choice import ON_CPU_INSTEAD
from vitpose_ros.core.weights import CheckpointError, load_network, write_checkpoint

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
    estimator.backend.heatmaps = lambda crops, counts: (
        batches.append(len(crops)) or heatmaps(crops, counts)
    )
    estimator.predict([Frame(image, np.repeat(boxes, 5, axis=0), 'bgr')])
    assert batches == [15]

    batches.clear()
    estimator.max_batch = 4
    [poses] = estimator.predict([Frame(image, np.repeat(boxes, 3, axis=0), 'bgr')])
    assert batches == [4, 4, 1] and len(poses) == 9


# Several keypoint sets


@pytest.fixture(scope='module')
def six_sets(tmp_path_factory):
    """An estimator of all six sets, and one of each set alone, of the same weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'six.pth'
    torch.save(SeveralHeads(384, 2, 12).original(), path)

    def load(names):
        return PoseEstimator.load(
            path, 'cpu', backend='torch', keypoint_sets=names, heatmap_spread=True
        )

    return load(list(SKELETONS)), {name: load([name]) for name in SKELETONS}


@pytest.mark.parametrize('seed', range(4))
def test_interleaved_sets_equal_each_subject_alone(six_sets, seed):
    """In any order, as heatmaps."""
    together, alone = six_sets
    random = np.random.default_rng(seed)
    counts = random.integers(0, 4, len(SKELETONS)) if seed else np.ones(len(SKELETONS), int)
    crops = random.integers(0, 256, (counts.sum(), 256, 192, 3), dtype=np.uint8)
    found = together.backend.heatmaps(torch.from_numpy(crops), counts.tolist())
    first = 0
    crops = torch.from_numpy(crops)
    for name, count, heatmaps in zip(SKELETONS, counts, found, strict=True):
        assert heatmaps.shape == (count, len(SKELETONS[name]), 64, 48)
        for index in range(count):
            one = crops[first + index : first + index + 1]
            [expected] = alone[name].backend.heatmaps(one, [1])
            assert (heatmaps[index] - expected[0]).abs().max() < 1e-4
        first += count


@pytest.mark.parametrize('max_batch', [64, 4])
def test_each_box_gets_the_keypoints_of_its_set(six_sets, clip, max_batch):
    """In any order, over several frames, and whatever the batches."""
    together, alone = six_sets
    together.max_batch = max_batch
    image, boxes, _ = clip
    for seed in range(3):
        random = np.random.default_rng(seed)
        frames = []
        for _ in range(2):
            names = random.permutation(list(SKELETONS) * 2)[:9].tolist()
            frames.append(Frame(image, boxes[random.integers(0, 3, 9)], 'bgr', names))
        for frame, poses in zip(frames, together.predict(frames), strict=True):
            for box, name, pose in zip(frame.boxes, frame.keypoint_sets, poses, strict=True):
                [[expected]] = alone[name].predict([Frame(image, box[None], 'bgr')])
                assert pose.skeleton == expected.skeleton == name
                assert pose.keypoints.shape == (len(SKELETONS[name]), 2)
                assert np.abs(pose.scores - expected.scores).max() < 1e-4
                assert np.abs(pose.keypoints - expected.keypoints).max() < 0.05
                # NaN where a map of these random weights has no positive value.
                assert np.allclose(
                    pose.heatmap_spread, expected.heatmap_spread, rtol=1e-2, atol=1, equal_nan=True
                )


def test_boxes_without_a_set_get_the_first(six_sets, clip):
    together, _ = six_sets
    image, boxes, _ = clip
    [poses] = together.predict([Frame(image, boxes, 'bgr')])
    assert {pose.skeleton for pose in poses} == {'coco'}


def test_a_set_that_is_not_loaded_is_named(estimator, clip):
    image, boxes, _ = clip
    with pytest.raises(ValueError, match="keypoint set 'ap10k' is not loaded, only coco"):
        estimator.predict([Frame(image, boxes[:1], 'bgr', ['ap10k'])])
    with pytest.raises(ValueError, match='1 keypoint sets for 3 boxes'):
        Frame(image, boxes, 'bgr', ['coco'])


# Options


def test_the_spread_is_about_as_large_as_the_error(clip):
    image, boxes, _ = clip
    estimator = PoseEstimator.load('nano', 'cpu', heatmap_spread=True)
    [poses] = estimator.predict([Frame(image, boxes, 'bgr')])
    for pose, box in zip(poses, boxes, strict=True):
        assert pose.heatmap_spread.shape == (17, 2, 2)
        assert np.array_equal(pose.heatmap_spread[:, 0, 1], pose.heatmap_spread[:, 1, 0])
        assert (np.linalg.eigvalsh(pose.heatmap_spread) > 0).all()
        sure = pose.scores > 0.5
        deviation = np.sqrt(np.median(pose.heatmap_spread[sure, 0, 0]))
        # Trained on Gaussians of two cells, of which 51 reach over the box's height.
        assert 0.7 < deviation / (2 / 51 * (box[3] - box[1])) < 3


def test_without_the_option_there_is_no_spread(estimator, clip):
    image, boxes, _ = clip
    [poses] = estimator.predict([Frame(image, boxes, 'bgr')])
    assert all(pose.heatmap_spread is None for pose in poses)


def test_the_flip_test_averages_with_the_mirrored_crop(clip):
    image, boxes, _ = clip
    estimator = PoseEstimator.load('nano', 'cpu', flip_test=True)
    plain = PoseEstimator.load('nano', 'cpu')
    [poses] = estimator.predict([Frame(image, boxes, 'bgr')])
    [expected] = plain.predict([Frame(image, boxes, 'bgr')])
    differ = max(np.abs(a.scores - b.scores).max() for a, b in zip(poses, expected, strict=True))
    assert differ > 0.01

    # Of a mirrored image it gives the mirrored keypoints, which the plain one does not.
    mirrored = np.ascontiguousarray(image[:, ::-1])
    width = image.shape[1]
    boxes_there = boxes[:, [2, 1, 0, 3]].copy()
    boxes_there[:, [0, 2]] = width - 1 - boxes_there[:, [0, 2]]
    order = SKELETONS['coco'].flip_order
    [there] = estimator.predict([Frame(mirrored, boxes_there, 'bgr')])
    for pose, other in zip(poses, there, strict=True):
        assert np.abs(pose.scores - other.scores[order]).max() < 0.01


def test_a_larger_input_gives_larger_heatmaps(clip):
    image, boxes, truth = clip
    estimator = PoseEstimator.load('nano', 'cpu', backend='torch', image_size=(320, 240))
    crops = torch.zeros(1, 320, 240, 3, dtype=torch.uint8)
    assert estimator.backend.heatmaps(crops, [1])[0].shape == (1, 17, 80, 60)
    [poses] = estimator.predict([Frame(image, boxes, 'bgr')])
    for pose, box, true in zip(poses, boxes, truth, strict=True):
        seen = true[:, 2] == 2
        error = np.linalg.norm(pose.keypoints - true[:, :2], axis=1)[seen]
        assert np.median(error) < 0.04 * (box[3] - box[1])


def test_nothing_to_do_gives_nothing(estimator):
    assert estimator.predict([]) == []


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="device is 'tpu'"):
        PoseEstimator.load('nano', 'tpu')
    with pytest.raises(ValueError, match='is not there'):
        PoseEstimator.load('nano', f'cuda:{torch.cuda.device_count()}')


def test_the_cpu_serves_instead_where_that_is_asked_for():
    options = Options(device='cuda:77', precision='float16', image_size=(64, 48))
    estimator = PoseEstimator.with_options('nano', options, cpu_instead=True)
    assert estimator.backend.warning.startswith("device 'cuda:77' is not there")
    assert estimator.backend.warning.count(ON_CPU_INSTEAD) == 1
    assert np.isfinite(estimator.estimate(np.zeros((64, 48, 3), np.uint8)).scores).all()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_cuda_gives_the_keypoints_of_the_cpu(estimator, clip):
    image, boxes, _ = clip
    [expected] = estimator.predict([Frame(image, boxes, 'bgr')])
    [poses] = PoseEstimator.load('nano', 'cuda').predict([Frame(image, boxes, 'bgr')])
    for pose, other in zip(poses, expected, strict=True):
        assert np.abs(pose.keypoints - other.keypoints).max() < 0.1


# One image


def test_estimate_gives_what_predict_gives(estimator, clip):
    image, boxes, _ = clip
    [expected] = estimator.predict([Frame(image, boxes, 'bgr')])
    found = estimator.estimate(image, boxes, channels='bgr', class_names=['person'] * 3)
    assert np.array_equal(found.keypoints, expected.keypoints)
    assert found.keypoints.shape == (3, 17, 2) and found.boxes.tolist() == boxes.tolist()
    assert found.class_names == ('person',) * 3
    rgb = np.ascontiguousarray(image[..., ::-1])
    assert np.abs(estimator.estimate(rgb, boxes).keypoints - expected.keypoints).max() < 1e-3
    alone = estimator.estimate(image, boxes[1], channels='bgr')
    assert np.abs(alone.keypoints[0] - expected.keypoints[1]).max() < 1e-4


def test_without_boxes_the_whole_image_is_one_subject(estimator, clip):
    image, _, _ = clip
    height, width = image.shape[:2]
    found = estimator.estimate(image)
    assert found.boxes.tolist() == [[0, 0, width, height]]
    assert np.array_equal(
        found.keypoints, estimator.estimate(image, [0, 0, width, height]).keypoints
    )
    assert len(estimator.estimate(image, [])) == 0


def test_a_bad_box_is_raised_or_skipped_as_asked(estimator, clip):
    image, boxes, _ = clip
    with_bad = np.insert(boxes, 1, [np.nan, 0, 5, 5], axis=0)
    names = ['a', 'b', 'c', 'd']
    with pytest.raises(FrameError, match=r'box 1, .* is not finite'):
        estimator.estimate(image, with_bad, channels='bgr')
    found = estimator.estimate(image, with_bad, channels='bgr', track_ids=names, on_bad_box='skip')
    expected = estimator.estimate(image, boxes, channels='bgr')
    assert np.array_equal(found.keypoints, expected.keypoints)
    assert found.track_ids == ('a', 'c', 'd')
    about = {'track_ids': np.arange(4), 'box_scores': np.arange(4) / 4, 'class_names': None}
    about['keypoint_sets'] = np.array(['coco'] * 4)
    found = estimator.estimate(image, with_bad, channels='bgr', on_bad_box='skip', **about)
    assert found.track_ids == ('0', '2', '3') and found.box_scores == (0, 0.5, 0.75)
    assert not found.class_names
    assert len(estimator.estimate(image, [[9, 9, 1, 1]], on_bad_box='skip')) == 0
    with pytest.raises(FrameError, match="on_bad_box is 'ignore'; give raise or skip"):
        estimator.estimate(image, boxes, on_bad_box='ignore')
    with pytest.raises(FrameError, match='3 track ids for 4 boxes'):
        estimator.estimate(image, with_bad, track_ids=['a'] * 3, on_bad_box='skip')


def test_what_is_no_list_of_frames_is_named_with_the_remedy(estimator, clip):
    image, boxes, _ = clip
    frame = Frame(image, boxes, 'bgr')
    with pytest.raises(FrameError, match=r'frames is one Frame; give a list .* estimate\('):
        estimator.predict(frame)
    with pytest.raises(FrameError, match=r'frames\[0\] is ndarray; give Frame\('):
        estimator.predict([image])
    with pytest.raises(FrameError, match='frames is int'):
        estimator.predict(3)
    [poses] = estimator.predict(one for one in [frame])
    assert len(poses) == 3


def test_a_bottom_up_network_is_told_apart(tmp_path):
    config = ViTPoseConfig(
        embed_dim=32, depth=1, num_heads=2, num_keypoints={'coco': 17}, deconv_channels=8,
        image_size=(64, 96), bottom_up=True,
    )  # fmt: skip
    path = tmp_path / 'crowd.safetensors'
    write_checkpoint(path, config, ViTPose(config).state_dict())
    assert load_network(path).config.bottom_up
    with pytest.raises(CheckpointError, match='bottom-up network, which takes no boxes'):
        PoseEstimator.load(path, device='cpu', backend='torch')


def test_estimators_that_share_a_backend_take_turns(estimator):
    other = PoseEstimator(estimator.backend)
    assert other._passes.lock is estimator._passes.lock
    assert other.work()._passes.lock is estimator.backend.lock


def test_a_backend_has_its_lock_before_a_thread_can_ask_for_it(estimator):
    kind = type(estimator.backend)
    assert 'lock' in vars(kind.__new__(kind))


def test_an_estimator_gets_ready_while_no_other_uses_the_backend(estimator, monkeypatch):
    backend, locked = estimator.backend, []

    def watched(real, *given):
        locked.append(backend.lock.locked())
        return real(*given)

    for name in ('prepare', 'crops'):
        monkeypatch.setattr(backend, name, partial(watched, getattr(backend, name)))
    PoseEstimator(backend).max_batch = 64
    assert locked == [True] * 4


def test_nobody_has_as_many_keypoints_as_others(estimator):
    image = np.zeros((100, 100, 3), np.uint8)
    some, nobody = estimator.estimate(image, [[10, 10, 50, 90]]), estimator.estimate(image, [])
    for poses in (nobody, some[:0], some[np.array([False])], some.of_skeleton('coco')[:0]):
        assert poses.keypoints.shape == (0, 17, 2) and poses.scores.shape == (0, 17)
    assert some.of_skeleton('mpii').keypoints.shape == (0, 16, 2)
    assert np.concatenate((some.keypoints, nobody.keypoints)).shape == (1, 17, 2)
