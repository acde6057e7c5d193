"""Depth images to metres: units, holes, sizes, and what is no depth image."""

import struct

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from vitpose_ros.ros.depth_images import read_depth
from vitpose_ros.ros.logs import InputError

METRES = np.array([[0.5, 1.0, 2.25], [4.0, 8.125, 12.5]], np.float32)


def message_of(values, encoding, *, padding=0, big=False):
    kind = values.dtype.newbyteorder('>' if big else '<')
    rows = [row.tobytes() + b'\xff' * padding for row in values.astype(kind)]
    step = values.shape[1] * values.itemsize + padding
    message = Image(height=values.shape[0], width=values.shape[1], encoding=encoding, step=step)
    message.is_bigendian = int(big)
    message.data.frombytes(b''.join(rows))
    return message


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('big', [False, True])
def test_millimetres_and_metres_are_the_same_depth(padding, big):
    whole = message_of((METRES * 1000).astype(np.uint16), '16UC1', padding=padding, big=big)
    assert np.array_equal(read_depth(whole), METRES)
    assert np.array_equal(
        read_depth(message_of(METRES, '32FC1', padding=2 * padding, big=big)), METRES
    )


def test_what_is_no_depth_is_a_hole():
    values = np.array([[0, np.nan, np.inf, -1, -np.inf, 1e9, 3]], np.float32)
    assert np.array_equal(np.isfinite(read_depth(message_of(values, '32FC1')))[0], [0] * 6 + [1])
    whole = np.array([[0, 1, 65535]], np.uint16)
    assert read_depth(message_of(whole, '16UC1'))[0, 1:].tolist() == pytest.approx([0.001, 65.535])
    assert np.isnan(read_depth(message_of(whole, '16UC1'))[0, 0])


def compressed(picture, name, factor=0.0, offset=0.0, suffix='; compressedDepth png'):
    data = struct.pack('<iff', 0, factor, offset) + cv2.imencode('.png', picture)[1].tobytes()
    message = CompressedImage(format=name + suffix)
    message.data.frombytes(data)
    return message


def test_compressed_depth_is_read():
    whole = np.where(METRES > 12, 0, METRES * 1000).astype(np.uint16)
    found = read_depth(compressed(whole, '16UC1'))
    assert np.isnan(found[1, 2]) and np.array_equal(found.ravel()[:5], METRES.ravel()[:5])
    # As its publisher makes it: a / depth + b, 0 for a hole.
    factor, offset = 100.0 * 101.0, 1 - 100.0 * 101.0 / 10.0
    inverse = np.where(METRES > 9, 0, np.rint(factor / METRES + offset)).astype(np.uint16)
    found = read_depth(compressed(inverse, '32FC1', factor, offset))
    assert np.isnan(found[1, 2]) and np.isfinite(found[0]).all()
    assert np.abs(found[0] - METRES[0]).max() < 1e-3


@pytest.mark.parametrize(
    ('message', 'words'),
    [
        (
            message_of(np.append(np.full(2000, 1500), 0.5).astype(np.float32)[None], '32FC1'),
            'hardly any depth is below 100 m: 32FC1 is in metres',
        ),
        (message_of(METRES, 'rgb8'), "encoding 'rgb8' is not supported; publish 16UC1"),
        (Image(encoding='32FC1'), 'no pixels: it is 0 x 0'),
        (Image(encoding='32FC1', width=3, height=2, step=8), 'at least 12 for 3 pixels'),
        (Image(encoding='16UC1', width=3, height=2, step=6), '0 bytes of data, expected 12'),
        (CompressedImage(format='jpeg'), "format 'jpeg' with 0 bytes"),
        (compressed(np.ones((2, 2), np.uint16), 'rgb8'), "format 'rgb8; compressedDepth png'"),
    ],
)
def test_what_cannot_be_read_is_named(message, words):
    with pytest.raises(InputError, match=words):
        read_depth(message)


def test_formats_other_than_png_are_named():
    message = CompressedImage(format='16UC1; compressedDepth rvl')
    message.data.frombytes(bytes(40))
    with pytest.raises(InputError, match="is no PNG; set the parameter 'format'"):
        read_depth(message)
