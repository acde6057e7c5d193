"""Which detections become subjects."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from harness import detections_of, image_of

from vitpose_ros.core.boxes.classes import ClassNames
from vitpose_ros.core.boxes.objects import Filter, choose
from vitpose_ros.ros.detections import faults_of, read_detections

IMAGE = image_of(np.zeros((200, 300, 3), np.uint8))


def read(boxes, *, classes=None, ids=None, wanted=(), min_score=0.0, max_subjects=64, edit=None):
    """Return what is chosen of the detections of a message, and what is said of the rest."""
    message = detections_of(IMAGE, boxes, ids=ids, classes=classes)
    if edit is not None:
        edit(message.detections)
    objects = read_detections(message)
    filter_ = Filter(ClassNames('coco80'), wanted, min_score, max_subjects)
    chosen = choose(objects, filter_, 300, 200)
    return SimpleNamespace(
        boxes=chosen.objects.boxes,
        ids=list(chosen.objects.track_ids),
        class_ids=chosen.objects.class_names,
        scores=chosen.objects.scores.tolist(),
        faults=faults_of(objects, chosen, filter_),
        faulty=len(chosen.faults),
        filtered=chosen.filtered,
        left_out=chosen.left_out,
    )


def test_boxes_become_corners():
    boxes = [[10.5, 20, 50, 90], [-5, -5, 400, 400]]
    found = read(boxes, ids=['a', 'b'], classes=['person', 'dog'])
    assert np.allclose(found.boxes, boxes) and found.boxes.dtype == np.float32
    assert (found.ids, found.class_ids, found.scores) == (
        ['a', 'b'],
        ['person', 'dog'],
        [0.75] * 2,
    )
    assert (found.faulty, found.filtered, found.left_out) == (0, 0, 0)


def test_a_turned_box_gives_its_upright_hull():
    def turn(detections):
        detections[0].bbox.center.theta = math.pi / 6

    [found] = read([[100, 50, 160, 130]], edit=turn).boxes
    corners = np.array([[-30, -40], [30, -40], [30, 40], [-30, 40]])
    cosine, sine = math.cos(math.pi / 6), math.sin(math.pi / 6)
    turned = corners @ np.array([[cosine, sine], [-sine, cosine]]) + (130, 90)
    assert np.allclose(found, [*turned.min(axis=0), *turned.max(axis=0)], atol=1e-3)


def test_the_likeliest_class_counts():
    def two(detections):
        detections[0].results.append(type(detections[0].results[0])())
        detections[0].results[1].hypothesis.class_id = 'dog'
        detections[0].results[1].hypothesis.score = 0.9

    assert read([[10, 10, 50, 50]], edit=two).class_ids == ['dog']
    assert read([[10, 10, 50, 50]], edit=two, wanted=['person']).filtered == 1


@pytest.mark.parametrize('max_subjects', [1, 2, 4])
def test_the_largest_stay_in_their_order(max_subjects):
    boxes = [[0, 0, 10 + 5 * i, 20] for i in (2, 7, 1, 9)]
    found = read(boxes, max_subjects=max_subjects)
    expected = {1: [3], 2: [1, 3], 4: [0, 1, 2, 3]}[max_subjects]
    assert np.allclose(found.boxes, [boxes[index] for index in expected])
    assert found.left_out == 4 - max_subjects
    assert [fault.kind for fault in found.faults] == ['many subjects'] * (max_subjects < 4)


def test_what_is_filtered_is_not_a_fault():
    nan = float('nan')
    found = read([[nan, 0, 10, 10], [0, 0, 20, 20]], classes=['car', 'person'], wanted=['person'])
    assert (found.filtered, found.faulty, len(found.boxes)) == (1, 0, 1)


def test_unusable_boxes_are_counted_and_named_by_their_place():
    inf, nan = float('inf'), float('nan')
    found = read([[5, 5, 5, 9], [0, 0, 20, 20], [900, 5, 910, 9], [0, 0, inf, 9], [nan, 0, 5, 9]])
    assert (found.faulty, len(found.boxes)) == (4, 1)
    for fault, (index, words) in zip(
        found.faults,
        [(0, 'no positive size'), (2, 'outside'), (3, 'not finite'), (4, 'not finite')],
        strict=True,
    ):
        assert f'box of detection {index} ' in str(fault) and words in str(fault)


def test_nobody_there_is_no_trouble():
    found = read([])
    assert found.boxes.shape == (0, 4) and list(found.ids) == []
