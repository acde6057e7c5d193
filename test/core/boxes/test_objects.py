"""Which objects of an image become subjects."""

import numpy as np
import pytest

from vitpose_ros.core import Frame
from vitpose_ros.core.boxes.classes import ClassNames, KeypointSetChoice
from vitpose_ros.core.boxes.objects import Filter, Objects, choose, framed, whole_image
from vitpose_ros.core.types import NO_BOXES

BOXES = np.array([[0, 0, 20, 40], [10, 10, 60, 90], [5, 5, 5, 9], [30, 30, 50, 60]], np.float32)
OBJECTS = Objects(
    BOXES, np.array([0.9, 0.2, 0.9, np.nan], np.float32), ['person', 'dog', 'person', '']
)


def chosen(classes=(), min_score=0.0, max_subjects=64):
    return choose(
        OBJECTS, Filter(ClassNames('coco80'), classes, min_score, max_subjects), 100, 100
    )


@pytest.mark.parametrize(
    ('settings', 'rows', 'filtered', 'left_out'),
    [
        ({}, [0, 1, 3], 0, 0),
        ({'classes': ['person']}, [0], 2, 0),
        ({'classes': ['16']}, [1], 3, 0),
        ({'min_score': 0.5}, [0, 3], 1, 0),
        ({'max_subjects': 2}, [0, 1], 0, 1),
        ({'max_subjects': 1}, [1], 0, 2),
    ],
)
def test_objects_are_filtered_and_the_largest_stay_in_their_order(
    settings, rows, filtered, left_out
):
    found = chosen(**settings)
    assert found.objects.boxes.tolist() == BOXES[rows].tolist()
    assert (found.filtered, found.left_out) == (filtered, left_out)
    assert found.objects.class_names == [OBJECTS.class_names[row] for row in rows]
    assert list(found.objects.track_ids) == [''] * len(rows)


def test_what_is_no_box_is_told_by_its_place():
    assert chosen().faults == [(2, 'has no positive size')]
    assert chosen(classes=['dog']).faults == []


def test_nothing_there_is_nothing_chosen():
    nothing = Objects(NO_BOXES, np.empty(0, np.float32), [])
    found = choose(nothing, Filter(ClassNames(()), ['person'], 0.5, 3), 10, 10)
    assert len(found.objects) == 0 and not found.faults


def test_a_frame_gets_boxes_each_with_the_keypoints_of_its_class():
    sets = KeypointSetChoice(ClassNames(()), ['coco', 'ap10k'], {})
    frame = Frame(np.zeros((100, 100, 3), np.uint8), NO_BOXES, 'bgr')
    found = framed(frame, chosen().objects, sets)
    assert found.image is frame.image and found.channels == 'bgr'
    assert found.keypoint_sets == ('coco', 'ap10k', 'coco')
    assert found.class_names == ('person', 'dog', '')


def test_the_whole_image_is_an_object_without_class_and_score():
    found = whole_image(300, 200)
    assert found.boxes.tolist() == [[0, 0, 300, 200]]
    assert found.class_names == [''] and np.isnan(found.scores).all()
