"""What a frame refuses, and that it says why."""

import numpy as np
import pytest

from vitpose_ros.core import Frame, FrameError

IMAGE = np.zeros((48, 64, 3), np.uint8)
NAN, INF = float('nan'), float('inf')


@pytest.mark.parametrize(
    ('box', 'words'),
    [
        ([NAN, 0, 10, 10], 'is not finite'),
        ([0, 0, INF, 10], 'is not finite'),
        ([10, 5, 10, 20], 'has no positive size'),
        ([10, 20, 20, 5], 'has no positive size'),
        ([0, 0, 2e6, 10], 'is larger than 1000000 pixels'),
        ([-20, 0, 0, 10], 'lies wholly outside the image of 64 x 48 pixels'),
        ([0, 48, 10, 60], 'lies wholly outside'),
    ],
)
def test_a_bad_box_is_named(box, words):
    with pytest.raises(ValueError, match=words) as error:
        Frame(IMAGE, [[1, 1, 5, 5], box])
    assert 'box 1' in str(error.value)


@pytest.mark.parametrize(
    ('image', 'channels', 'words'),
    [
        (IMAGE.astype(np.float32), 'rgb', 'image is float32; give a numpy array of uint8'),
        (IMAGE.tolist(), 'rgb', 'image is list'),
        (IMAGE[..., 0], 'rgb', r'shape \(48, 64\); rgb images have \(h, w, 3\)'),
        (IMAGE, 'mono', r'mono images have \(h, w\)'),
        (IMAGE, 'rgba', r'rgba images have \(h, w, 4\)'),
        (IMAGE[:0], 'rgb', 'image has no pixels: it is 64 x 0'),
        (IMAGE, 'hsv', "channels 'hsv' are not known"),
        (np.zeros(5, np.uint8), 'mono', r'shape \(5,\)'),
    ],
)
def test_a_bad_image_is_named(image, channels, words):
    with pytest.raises(ValueError, match=words):
        Frame(image, np.empty((0, 4)), channels)


def test_boxes_of_the_wrong_shape_are_named():
    with pytest.raises(ValueError, match=r'boxes have shape \(1, 3\)'):
        Frame(IMAGE, [[1, 2, 3]])


def test_lists_of_boxes_become_arrays():
    assert Frame(IMAGE, [[1, 2, 3, 4]]).boxes.dtype == np.float32
    assert Frame(IMAGE, []).boxes.shape == (0, 4)


# What is said of the boxes


def test_changes_of_what_was_given_change_no_frame():
    boxes, names = np.array([[1, 2, 3, 4]], np.float32), ['coco']
    frame = Frame(IMAGE, boxes, keypoint_sets=names)
    boxes[:], names[0] = NAN, 'mpii'
    assert frame.boxes.tolist() == [[1, 2, 3, 4]] and frame.keypoint_sets == ('coco',)
    with pytest.raises(ValueError, match='read-only'):
        frame.boxes[:] = 0


def test_one_box_and_one_keypoint_set_stand_for_several():
    assert Frame(IMAGE, [1, 2, 3, 4]).boxes.tolist() == [[1, 2, 3, 4]]
    frame = Frame(IMAGE, [[1, 2, 3, 4]] * 4, keypoint_sets='coco')
    assert frame.keypoint_sets == ('coco',) * 4


@pytest.mark.parametrize(
    ('about', 'words'),
    [
        ({'keypoint_sets': ['coco']}, '1 keypoint sets for 2 boxes; give one per box'),
        ({'keypoint_sets': 'body'}, "keypoint set 'body' is not known; known are coco, aic"),
        ({'class_names': ['dog'] * 3}, '3 class names for 2 boxes'),
        ({'track_ids': ['7']}, '1 track ids for 2 boxes'),
        ({'box_scores': [0.5]}, '1 box scores for 2 boxes'),
    ],
)
def test_what_does_not_fit_the_boxes_is_named(about, words):
    with pytest.raises(FrameError, match=words):
        Frame(IMAGE, [[1, 2, 3, 4]] * 2, **about)


@pytest.mark.parametrize('boxes', [['a', 'b', 'c', 'd'], [[1, 2, 3, 4], [1, 2]], {'x': 1}])
def test_boxes_that_are_no_numbers_are_named(boxes):
    with pytest.raises(FrameError, match='boxes are no numbers'):
        Frame(IMAGE, boxes)
