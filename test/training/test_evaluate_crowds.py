"""Figures of networks that find everybody: what perfect, empty and doubled answers get."""

import numpy as np
import pytest

from training.crowds import COVERED, OUTSIDE, SEEN, Crowd, Member
from training.evaluate_crowds import held_out, measure
from vitpose_ros.core.boxes.objects import Objects
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.types import Frame

PICTURE = np.zeros((120, 160, 3), np.uint8)


def somebody(left, top, wide, tall):
    box = np.array([left, top, left + wide, top + tall], np.float32)
    rng = np.random.default_rng(int(left))
    points = rng.uniform(box[:2], box[2:], (17, 2)).astype(np.float32)
    states = np.full(17, SEEN, np.uint8)
    states[3], states[4] = COVERED, OUTSIDE
    return Member(box, points, states, 1.0, is_somebody=True)


def found(people, scores=None):
    boxes = np.array([one.box for one in people], np.float32).reshape(-1, 4)
    scores = np.full(len(people), 0.9, np.float32) if scores is None else np.float32(scores)
    poses = Poses.to_be_filled(Frame(PICTURE, boxes), ['coco'] * len(people))
    for row, one in enumerate(people):
        poses.keypoints[row] = one.points
        poses.scores[row] = 0.8
    return Objects(boxes, scores, ['person'] * len(people), poses=poses)


TALL, OTHER, SMALL = somebody(5, 5, 40, 100), somebody(60, 20, 30, 90), somebody(120, 50, 10, 30)


@pytest.fixture
def crowds():
    empty = np.zeros((0, 4), np.float32)
    return [Crowd(PICTURE, [TALL, OTHER, SMALL], empty), Crowd(PICTURE, [], empty)]


def test_who_finds_all_exactly_gets_all(crowds):
    figures = measure([found([TALL, OTHER, SMALL]), found([])], crowds)
    assert figures['AP'] == figures['AP50'] == figures['AP with hidden'] == 1
    assert (figures['recall'], figures['false'], figures['people']) == (1, 0, 2)


def test_small_people_count_neither_for_nor_against(crowds):
    assert measure([found([TALL, OTHER]), found([])], crowds)['AP'] == 1
    elsewhere = somebody(100, 90, 12, 25)
    figures = measure([found([elsewhere, TALL, OTHER], [0.99, 0.9, 0.9]), found([])], crowds)
    assert figures['AP'] == 1, 'who is too small to count is not missed, and no mistake'


def test_who_finds_nobody_gets_nothing(crowds):
    figures = measure([found([]), found([])], crowds)
    assert (figures['AP'], figures['recall'], figures['false']) == (0, 0, 0)


def test_mistakes_and_doubles_cost(crowds):
    doubled = found([TALL, TALL, OTHER], [0.9, 0.85, 0.6])
    figures = measure([doubled, found([OTHER])], crowds)
    assert figures['AP'] < 0.95
    assert (figures['recall'], figures['false']) == (1, 1)
    one_for_two = measure([found([TALL]), found([])], crowds)
    assert one_for_two['recall'] == 0.5


def test_hidden_joints_count_where_it_is_asked(crowds):
    answer = found([TALL, OTHER])
    answer.poses.keypoints[:, 3] += 50  # the one that something covers
    answer.poses.keypoints[:, 4] += 50  # outside: of it nobody knows
    figures = measure([answer, found([])], crowds)
    assert figures['AP'] == 1 and figures['AP with hidden'] < 1


def test_held_out_pictures_are_the_same_each_time(people):
    first, again = (held_out(None, 2, 1, size=(128, 192)) for _ in range(2))
    assert len(first) == 3 and first[2].people == []
    for one, two in zip(first, again, strict=True):
        assert (one.picture == two.picture).all()
