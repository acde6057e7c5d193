"""What a frame refuses, and that it says why."""

import numpy as np
import pytest

from vitpose_ros.core import Frame

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
