"""What a frame refuses, and that it says why."""

import numpy as np
import pytest
import torch

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
        (
            {'keypoint_sets': 'body'},
            r"keypoint_sets\[0\] is 'body'.* known are coco, aic",
        ),
        ({'class_names': ['dog'] * 3}, '3 class names for 2 boxes'),
        ({'track_ids': ['7']}, '1 track ids for 2 boxes'),
        ({'box_scores': [0.5]}, '1 box scores for 2 boxes'),
        ({'box_scores': ['x', 'y']}, r"box_scores\[0\] is 'x'; give a number, or None if not"),
        ({'box_scores': 0.5}, 'box_scores is 0.5; give a list with one per box'),
        ({'box_scores': [0.5, 10**400]}, r'box_scores\[1\] is too large'),
        ({'box_scores': [0.5, True]}, r'box_scores\[1\] is True'),
        ({'box_scores': np.ones((2, 3))}, r'box_scores\[0\] is array'),
        ({'track_ids': np.array(7)}, r'track_ids is array\(7\); give a list'),
        ({'track_ids': np.ones((2, 3))}, r'track_ids\[0\] is array'),
        ({'track_ids': ['7', b'8']}, r"track_ids\[1\] is b'8'; give a text or a number"),
        ({'class_names': 'ab'}, "class_names is 'ab'; give a list"),
        ({'class_names': ['dog', ['cat']]}, r"class_names\[1\] is \['cat'\]"),
        (
            {'keypoint_sets': [['coco'], 'coco']},
            r"keypoint_sets\[0\] is \['coco'\]",
        ),
        ({'keypoint_sets': 5}, 'keypoint_sets is 5; give a list'),
    ],
)
def test_what_does_not_fit_the_boxes_is_named(about, words):
    with pytest.raises(FrameError, match=words):
        Frame(IMAGE, [[1, 2, 3, 4]] * 2, **about)


@pytest.mark.parametrize(
    'boxes', [['a', 'b', 'c', 'd'], [[1, 2, 3, 4], [1, 2]], {'x': 1}, [0, 0, 10**400, 5]]
)
def test_boxes_that_are_no_numbers_are_named(boxes):
    with pytest.raises(FrameError, match='boxes are no numbers'):
        Frame(IMAGE, boxes)


@pytest.mark.parametrize(
    ('given', 'texts'),
    [
        (None, ()),
        ([], ()),
        ([1, 2], ('1', '2')),
        (np.array([1, 2]), ('1', '2')),
        (torch.tensor([1.0, 2.0]), ('1', '2')),
        ([np.int64(7), 2.5], ('7', '2.5')),
        (np.array(['a', 'b']), ('a', 'b')),
        (['a', None], ('a', '')),
        ([NAN, 'b'], ('', 'b')),
    ],
)
def test_names_and_track_ids_become_texts(given, texts):
    frame = Frame(IMAGE, [[1, 2, 3, 4]] * 2, class_names=given, track_ids=given)
    assert frame.class_names == frame.track_ids == texts
    assert all(type(text) is str for text in frame.class_names)


@pytest.mark.parametrize(
    ('given', 'scores'),
    [
        (None, ()),
        (np.array([0.5, 1.0], np.float32), (0.5, 1.0)),
        (torch.tensor([0.5, 1.0]), (0.5, 1.0)),
        ([1, None], (1.0, NAN)),
        ([NAN, np.float32(0.25)], (NAN, 0.25)),
    ],
)
def test_box_scores_become_numbers(given, scores):
    found = Frame(IMAGE, [[1, 2, 3, 4]] * 2, box_scores=given).box_scores
    assert np.array_equal(found, scores, equal_nan=True)
    assert all(type(score) is float for score in found)


def test_channels_are_a_name():
    with pytest.raises(FrameError, match=r"channels \['rgb'\] are not known"):
        Frame(IMAGE, channels=['rgb'], boxes=[1, 2, 3, 4])
