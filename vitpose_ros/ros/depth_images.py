"""Depth images in messages to metres, as REP 118 has them."""

import struct
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from vitpose_ros.ros.logs import InputError

FARTHEST_M = 100.0  # what is beyond counts as a hole
MOST_STRAY = 1000  # depths beyond it to one that is not, from which on the unit is wrong

# compressed_depth_image_transport puts before its file: an enumeration that nobody reads, and
# the two numbers by which 32FC1 became whole ones.
_HEADER = struct.Struct('<iff')
_PNG = b'\x89PNG'


@dataclass(frozen=True)
class _Encoding:
    kind: str  # of numpy
    per_metre: float


ENCODINGS = {
    '16UC1': _Encoding('u2', 1000.0),
    'mono16': _Encoding('u2', 1000.0),  # as drivers name it that know no 16UC1
    '32FC1': _Encoding('f4', 1.0),
}


def read_depth(message: Image | CompressedImage) -> NDArray[np.float32]:
    """Read a depth image: (h, w) float32, metres along the optical axis, NaN where is a hole.

    16UC1 is millimetres, 32FC1 metres; compressedDepth either. Raises InputError.
    """
    if isinstance(message, CompressedImage):
        return _decompress(message)
    width, height = message.width, message.height
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise InputError(
            'depth encoding',
            f"depth image of encoding '{message.encoding}' is not supported; publish 16UC1 "
            '(millimetres) or 32FC1 (metres)',
        )
    if width == 0 or height == 0:
        raise InputError('empty depth', f'depth image has no pixels: it is {width} x {height}')
    kind = np.dtype(encoding.kind).newbyteorder('>' if message.is_bigendian else '<')
    least = width * kind.itemsize
    if message.step < least:
        raise InputError(
            'depth row step',
            f'depth image rows have a step of {message.step} bytes, expected at least {least} '
            f'for {width} pixels of {message.encoding}',
        )
    expected = (height - 1) * message.step + least
    if len(message.data) < expected:
        raise InputError(
            'short depth',
            f'depth image has {len(message.data)} bytes of data, expected {expected} ({height} '
            f'rows with a step of {message.step})',
        )
    values: NDArray[np.generic] = np.ndarray(
        (height, width), kind, buffer=message.data, strides=(message.step, kind.itemsize)
    )
    return _metres(values, encoding.per_metre)


def _metres(values: NDArray[np.generic], per_metre: float) -> NDArray[np.float32]:
    """Return depths in metres; what is no depth becomes a hole."""
    metres = values.astype(np.float32) / np.float32(per_metre)
    with np.errstate(invalid='ignore'):
        valid = (metres > 0) & (metres < FARTHEST_M)
        if per_metre == 1 and _is_of_another_unit(metres, int(valid.sum())):
            raise InputError(
                'depth unit',
                f'hardly any depth is below {FARTHEST_M:g} m: 32FC1 is in metres; publish '
                'millimetres as 16UC1',
            )
    metres[~valid] = np.nan
    return np.asarray(metres)


def _is_of_another_unit(metres: NDArray[np.float32], valid: int) -> bool:
    """Tell whether nearly all of what is no hole is too far away; valid: how many are not."""
    if valid * MOST_STRAY >= metres.size:
        return False
    return valid * MOST_STRAY < int((np.isfinite(metres) & (metres > 0)).sum())


def _decompress(message: CompressedImage) -> NDArray[np.float32]:
    """Read what compressed_depth_image_transport makes, in its format PNG."""
    name = message.format.partition(';')[0].strip()
    data = bytes(message.data)
    if name not in ENCODINGS or len(data) <= _HEADER.size:
        raise InputError(
            'depth format',
            f"compressed depth of format '{message.format}' with {len(data)} bytes is not "
            'supported; publish 16UC1 or 32FC1 through compressed_depth_image_transport',
        )
    _, factor, offset = _HEADER.unpack_from(data)
    file = data[_HEADER.size :]
    picture = None
    if file.startswith(_PNG):
        picture = cv2.imdecode(np.frombuffer(file, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 2:
        raise InputError(
            'depth data',
            f"compressed depth of format '{message.format}' with {len(data)} bytes is no PNG; "
            "set the parameter 'format' of its publisher to 'png'",
        )
    if name != '32FC1':
        return _metres(picture, ENCODINGS[name].per_metre)
    whole = picture.astype(np.float32)
    with np.errstate(divide='ignore', invalid='ignore'):
        metres = np.float32(factor) / (whole - np.float32(offset))
    metres[whole == 0] = np.nan
    return _metres(metres, 1.0)
