"""Image messages to arrays, and back."""

from array import array
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from vitpose_ros.core.jpeg import Jpeg, decode_image, read_jpeg
from vitpose_ros.core.types import CHANNEL_COUNT, Channels
from vitpose_ros.ros.logs import InputError


@dataclass(frozen=True)
class Encoding:
    """How the bytes of an encoding become an image of 8-bit channels."""

    channels: Channels  # of the result
    pixel_bytes: int  # in a row; 1 for planar encodings
    wide: bool = False  # 16 bits a channel, of which the upper 8 are used
    conversion: int | None = None  # OpenCV's, from what is stored
    rows: float = 1.0  # times the image's height
    multiple: int = 1  # of which width (and height, where rows is not 1) must be one


def _plain() -> dict[str, Encoding]:
    names: dict[str, Channels] = {
        'rgb8': 'rgb',
        'bgr8': 'bgr',
        'rgba8': 'rgba',
        'bgra8': 'bgra',
        'mono8': 'mono',
        '8UC1': 'mono',
        '8UC3': 'bgr',  # as OpenCV orders them
        '8UC4': 'bgra',
        'rgb16': 'rgb',
        'bgr16': 'bgr',
        'rgba16': 'rgba',
        'bgra16': 'bgra',
        'mono16': 'mono',
    }
    return {
        name: Encoding(channels, CHANNEL_COUNT[channels] * (1 + wide), wide=wide)
        for name, channels in names.items()
        for wide in [name.endswith('16')]
    }


def _bayer() -> dict[str, Encoding]:
    # OpenCV names a pattern by the two pixels after the first of the second row.
    codes = {
        'bayer_rggb': cv2.COLOR_BayerBG2BGR,
        'bayer_bggr': cv2.COLOR_BayerRG2BGR,
        'bayer_gbrg': cv2.COLOR_BayerGR2BGR,
        'bayer_grbg': cv2.COLOR_BayerGB2BGR,
    }
    return {
        f'{name}{8 * size}': Encoding('bgr', size, wide=size == 2, conversion=code)
        for size in (1, 2)
        for name, code in codes.items()
    }


def _yuv() -> dict[str, Encoding]:
    packed = {
        'uyvy': cv2.COLOR_YUV2BGR_UYVY,
        'yuv422': cv2.COLOR_YUV2BGR_UYVY,
        'yuyv': cv2.COLOR_YUV2BGR_YUY2,
        'yuv422_yuy2': cv2.COLOR_YUV2BGR_YUY2,
    }
    planar = {'nv12': cv2.COLOR_YUV2BGR_NV12, 'nv21': cv2.COLOR_YUV2BGR_NV21}
    return {
        **{n: Encoding('bgr', 2, conversion=code, multiple=2) for n, code in packed.items()},
        **{
            n: Encoding('bgr', 1, conversion=code, rows=1.5, multiple=2)
            for n, code in planar.items()
        },
    }


# sensor_msgs/image_encodings, as far as they hold pictures.
ENCODINGS: dict[str, Encoding] = {**_plain(), **_yuv(), **_bayer()}


def read_image(message: Image | CompressedImage) -> tuple[NDArray[np.uint8], Channels]:
    """Read an image message: an array (h, w) or (h, w, c) uint8, and its channel order.

    Where the encoding allows it, the array is a view on the message's data; padded rows stay in
    place then, only the strides know of them. Encodings outside the table go to cv_bridge where
    it is installed. Raises InputError.
    """
    if isinstance(message, CompressedImage):
        return _decompress(message)
    width, height = message.width, message.height
    if width == 0 or height == 0:
        raise InputError('empty image', f'image has no pixels: it is {width} x {height}')
    encoding = ENCODINGS.get(message.encoding)
    least = width * (encoding.pixel_bytes if encoding else 1)
    if message.step < least:
        raise InputError(
            'row step',
            f'image rows have a step of {message.step} bytes, expected at least {least} for '
            f'{width} pixels of {message.encoding}',
        )
    rows = height if encoding is None else int(height * encoding.rows)
    # The last row may lack its padding.
    expected = rows * message.step
    if len(message.data) < expected - (message.step - least):
        raise InputError(
            'short data',
            f'image has {len(message.data)} bytes of data, expected {expected} '
            f'({rows} rows with a step of {message.step})',
        )
    if encoding is None:
        return _through_cv_bridge(message), 'rgb'
    sides = (width, height) if encoding.rows != 1 else (width,)
    if any(side % encoding.multiple for side in sides):
        raise InputError(
            'odd size',
            f'image of {width} x {height} pixels cannot be {message.encoding}, whose colours '
            f'span {encoding.multiple} pixels each way; publish an even size',
        )
    return _decode(message, encoding, rows), encoding.channels


def _decode(message: Image, encoding: Encoding, rows: int) -> NDArray[np.uint8]:
    """Return the pixels of a message whose size was checked."""
    count = encoding.pixel_bytes
    shape: tuple[int, ...] = (rows, message.width)
    strides: tuple[int, ...] = (message.step, count)
    if count > 1:
        shape, strides = (*shape, count), (*strides, 1)
    image: NDArray[np.uint8] = np.ndarray(shape, np.uint8, buffer=message.data, strides=strides)
    if encoding.wide:
        upper = 0 if message.is_bigendian else 1
        image = np.ascontiguousarray(image[..., upper::2])
        if image.shape[2] == 1:
            image = image[..., 0]
    if encoding.conversion is not None:
        try:
            image = np.asarray(cv2.cvtColor(image, encoding.conversion), dtype=np.uint8)
        except cv2.error as error:  # too few pixels, for one
            raise InputError(
                'conversion',
                f'image of {message.width} x {message.height} pixels of {message.encoding} '
                f'cannot be converted: {error}',
            ) from error
    return image


def read_encoded(message: Image | CompressedImage) -> tuple[NDArray[np.uint8] | Jpeg, Channels]:
    """Read an image message as read_image does, but leave a JPEG encoded where that can be."""
    if isinstance(message, CompressedImage):
        jpeg = read_jpeg(np.frombuffer(message.data, dtype=np.uint8))
        if jpeg is not None:
            return jpeg, _file_channels(message)
    return read_image(message)


def _decompress(message: CompressedImage) -> tuple[NDArray[np.uint8], Channels]:
    """Read a JPEG or PNG file in a message."""
    data = np.frombuffer(message.data, dtype=np.uint8)
    image = decode_image(data)
    if image is None:
        raise InputError(
            'compressed data',
            f"compressed image of format '{message.format}' with {len(data)} bytes is not "
            'readable; publish JPEG or PNG',
        )
    return image, _file_channels(message)


def _file_channels(message: CompressedImage) -> Channels:
    """Return the channel order of what OpenCV makes of a file.

    Files hold what OpenCV took for BGR, unless the format says otherwise.
    """
    return 'rgb' if 'compressed rgb' in message.format else 'bgr'


def _through_cv_bridge(message: Image) -> NDArray[np.uint8]:
    """Convert an image of an encoding that is not in the table to (h, w, 3) RGB."""
    known = ', '.join(ENCODINGS)
    try:
        from cv_bridge import CvBridge  # only here: few images need it, and it may be absent
    except ImportError as error:
        raise InputError(
            'encoding',
            f"image encoding '{message.encoding}' is not supported; use one of {known}, or "
            'install cv_bridge, which converts more',
        ) from error
    try:
        image: NDArray[np.uint8] = CvBridge().imgmsg_to_cv2(message, 'rgb8')
    except Exception as error:  # it raises its own, OpenCV's and numpy's errors
        raise InputError(
            'encoding',
            f"image encoding '{message.encoding}' is not supported, and cv_bridge cannot "
            f'convert it either ({error}); use one of {known}',
        ) from error
    return image


def image_message(image: NDArray[np.uint8], encoding: str, header: Header) -> Image:
    """Make an image message from an array (h, w, 3) uint8."""
    height, width, count = image.shape
    # Any type but array('B') and bytes is copied element by element, a hundred times slower.
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        step=width * count,
        data=array('B', np.ascontiguousarray(image).tobytes()),
    )
