"""Turns of several frames: forward passes, errors and memory that runs out."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vitpose_ros.core import Frame, PoseEstimator
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.runtime import Backend

CONFIG = ViTPoseConfig(64, 1, 2, num_keypoints={'coco': 17, 'mpii': 16})
WHITE, RED, GREY = (255, 255, 255), (255, 0, 0), (90, 90, 90)


class FakeBackend(Backend):
    """Puts each peak where the crop is brightest; keeps what it was asked for."""

    def __init__(self):
        self.config = CONFIG
        self.device = torch.device('cpu')
        self.batches = []
        self.fail = len  # called with the crops, may raise

    def heatmaps(self, crops, counts):
        self.batches.append(len(crops))
        assert sum(counts) == len(crops)
        self.fail(crops)
        values = crops.float().mean(dim=(1, 2, 3)) / 255
        maps = [
            torch.zeros((count, k, *CONFIG.heatmap_size))
            for count, k in zip(counts, CONFIG.num_keypoints.values(), strict=True)
        ]
        start = 0
        for own, count in zip(maps, counts, strict=True):
            own[:, :, 10, 20] = values[start : start + count, None]
            start += count
        return maps


def frame(count, colour=GREY, sets=None):
    image = np.full((100, 100, 3), colour, np.uint8)
    boxes = np.tile(np.array([[20, 20, 60, 70]], np.float32), (count, 1))
    return Frame(image, boxes, keypoint_sets=sets)


@pytest.fixture
def setup():
    backend = FakeBackend()
    return SimpleNamespace(backend=backend, estimator=PoseEstimator(backend, max_batch=8))


def play(setup, frames):
    """Return outcomes by frame, and after how many passes each came."""
    outcomes, passes = {}, {}
    for outcome in setup.estimator.predict_each(frames):
        assert outcome.index not in outcomes, 'each frame once'
        outcomes[outcome.index] = outcome
        passes[outcome.index] = len(setup.backend.batches)
    assert set(outcomes) == set(range(len(frames)))
    return outcomes, passes


def test_frames_share_passes_and_come_as_they_are_done(setup):
    outcomes, passes = play(setup, [frame(3), frame(0), frame(4), frame(10), frame(2)])
    assert setup.backend.batches == [8, 8, 3]
    assert passes == {1: 0, 0: 1, 4: 1, 2: 2, 3: 3}
    assert [len(outcomes[index].poses) for index in range(5)] == [3, 0, 4, 10, 2]
    assert [outcomes[i].batch_size for i in range(5)] == [8, 0, 8, 8, 8]
    assert [outcomes[i].batch_frames for i in range(5)] == [3, 0, 3, 2, 3]
    assert all(outcomes[i].crop_s > 0 < outcomes[i].network_s for i in (0, 2, 3, 4))
    assert outcomes[1].network_s == 0


def test_keypoint_sets_stay_with_their_boxes_across_passes(setup):
    sets = ['mpii', 'coco', 'coco', 'mpii', 'coco'] * 3
    outcomes, _ = play(setup, [frame(15, sets=sets), frame(2, sets=['mpii', 'coco'])])
    assert [pose.skeleton for pose in outcomes[0].poses] == sets
    assert [pose.skeleton for pose in outcomes[1].poses] == ['mpii', 'coco']


def test_an_error_costs_the_frame_that_causes_it(setup):
    def fail(crops):
        if (crops.float().mean(dim=(1, 2, 3)) > 250).any():
            raise RuntimeError('white')

    setup.backend.fail = fail
    outcomes, _ = play(setup, [frame(2), frame(12, WHITE), frame(3), frame(0), frame(9)])
    assert str(outcomes[1].error) == 'white' and len(outcomes[1].poses) == 0
    assert [len(outcomes[index].poses) for index in (0, 2, 3, 4)] == [2, 3, 0, 9]
    assert all(outcomes[index].error is None for index in (0, 2, 3, 4))
    with pytest.raises(RuntimeError, match='white'):
        setup.estimator.predict([frame(1), frame(1, WHITE)])


def test_a_keypoint_set_that_is_not_loaded_costs_its_frame(setup):
    other = replace(frame(1), keypoint_sets=['wholebody'], class_names=['person'])
    outcomes, _ = play(setup, [frame(1), other, frame(1)])
    assert "'wholebody' is not loaded" in str(outcomes[1].error)
    poses = outcomes[1].poses
    assert len(poses) == len(poses.boxes) == len(poses.class_names) == len(poses.keypoints) == 0
    assert len(outcomes[0].poses) == len(outcomes[2].poses) == 1


@pytest.mark.parametrize(
    'error',
    [
        torch.cuda.OutOfMemoryError('CUDA out of memory'),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    ],
)
def test_when_memory_runs_out_passes_are_halved_for_good(error, setup):
    def fail(crops):
        if len(crops) > 3:
            raise error

    setup.backend.fail = fail
    outcomes, _ = play(setup, [frame(5), frame(5)])
    assert [len(outcomes[index].poses) for index in (0, 1)] == [5, 5]
    assert setup.estimator.max_batch == 2
    assert setup.backend.batches == [8, 4, 2, 2, 2, 2, 2]
    setup.backend.batches.clear()
    play(setup, [frame(4)])
    assert setup.backend.batches == [2, 2]


def test_one_subject_too_large_for_memory_costs_its_frame(setup):
    def fail(crops):
        if (crops.float().mean(dim=(1, 2, 3)) > 250).any():
            raise MemoryError

    setup.backend.fail = fail
    outcomes, _ = play(setup, [frame(1), frame(1, WHITE), frame(1)])
    assert isinstance(outcomes[1].error, MemoryError)
    assert len(outcomes[0].poses) == len(outcomes[2].poses) == 1


# Frames that join between passes


def test_a_frame_of_one_subject_beside_one_of_many_is_done_in_the_next_pass(setup):
    work = setup.estimator.work()
    many = work.add(frame(64))
    numbers = []
    while many not in (done := [outcome.index for outcome in work.step()]):
        assert done == numbers[-1:], 'the frame that joined last'
        numbers.append(work.add(frame(1)))
    assert setup.backend.batches == [8] * (len(numbers) + 1)
    assert many == 0 and numbers == list(range(1, len(numbers) + 1))
    # 8 of the 64 in the first pass, 7 beside one in each other.
    assert len(setup.backend.batches) == 9


def test_the_frame_that_waits_longest_gets_half_of_every_pass(setup):
    """However many frames of few subjects keep coming."""
    work = setup.estimator.work()
    many = work.add(frame(20))
    for passes in range(1, 6):
        for _ in range(8):
            work.add(frame(1))
        done = [outcome.index for outcome in work.step()]
        assert (many in done) == (passes == 5)
        assert len(done) == 4 + (passes == 5)


def test_half_of_a_pass_of_one_subject_is_every_second_one(setup):
    setup.estimator.max_batch = 1
    work = setup.estimator.work()
    many = work.add(frame(3))
    done = []
    while work:
        if len(done) < 2:
            work.add(frame(1))
        done.append([outcome.index for outcome in work.step()])
    assert done == [[], [1], [], [2], [many]]


def test_poses_of_a_frame_come_in_the_order_of_its_boxes_whatever_joins(setup):
    values, counts = (10, 60, 110, 160, 210), (11, 1, 7, 2, 30)
    work, scores = setup.estimator.work(), {}
    left = [frame(count, (value,) * 3) for count, value in zip(counts, values, strict=True)]
    while left or work:
        if left:
            work.add(left.pop(0))
        for outcome in work.step():
            scores[outcome.index] = [pose.score for pose in outcome.poses]
    for index, (count, value) in enumerate(zip(counts, values, strict=True)):
        assert scores[index] == pytest.approx([value / 255] * count, abs=0.01)


def test_an_error_costs_no_frame_that_joined_meanwhile(setup):
    def fail(crops):
        if (crops.float().mean(dim=(1, 2, 3)) > 250).any():
            raise RuntimeError('white')

    setup.backend.fail = fail
    work = setup.estimator.work()
    bad, good = work.add(frame(2, WHITE)), work.add(frame(2))
    assert work.step() == []  # both suspects
    later = work.add(frame(1))
    outcomes = [outcome for _ in range(3) for outcome in work.step()]
    assert {outcome.index for outcome in outcomes} == {bad, good, later} and not work
    assert [outcome.index for outcome in outcomes if outcome.error] == [bad]


def test_what_is_dropped_is_named_and_gone(setup):
    work = setup.estimator.work()
    assert not work and work.step() == [] and work.drop() == []
    work.add(frame(20))
    work.add(frame(1))
    assert [outcome.index for outcome in work.step()] == [1]
    work.add(frame(1))
    assert work.drop() == [0, 2]
    assert not work and work.step() == []
    assert work.add(frame(1)) == 3
    [outcome] = work.step()
    assert outcome.index == 3 and len(outcome.poses) == 1
