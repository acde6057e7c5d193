"""JPEG files that stay encoded until somebody needs their pixels.

A GPU may decode them itself, where the pixels are needed, and faster. What a header says is from
ITU-T T.81 (the JPEG standard), annex B, and Adobe's Technical Note 5116 for its segment.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.errors import VitposeError

# A robot's camera is as it is mounted: rotation tags of a file are not for us.
FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
LARGEST_IMAGE = 1 << 25  # pixels; 8K video has fewer
START, END, FRAME, TABLES, HUFFMAN, SCAN, ADOBE = 0xD8, 0xD9, 0xC0, 0xDB, 0xC4, 0xDA, 0xEE
OTHER_FRAMES = set(range(0xC1, 0xD0)) - {HUFFMAN, 0xC8}  # progressive, lossless, arithmetic
YCBCR = (1, 2, 3)  # what JFIF names the components
LUMA = {0x11, 0x21, 0x12, 0x22, 0x41}  # samples each way for one of each colour: 4:4:4 to 4:1:1
PADDING = 4096  # bytes behind a file that some cameras send


class ImageError(VitposeError, ValueError):
    """An image that cannot be decoded."""


def decode_image(data: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Decode an image file by OpenCV to (h, w, 3) BGR; None where it is not readable."""
    try:
        image = cv2.imdecode(data, FLAGS) if len(data) else None
    except cv2.error:  # a size beyond OpenCV's limits
        image = None
    return None if image is None else np.asarray(image, dtype=np.uint8)


def read_picture(path: Path) -> NDArray[np.uint8] | None:
    """Read an image file by OpenCV to (h, w, 3) BGR, turned by its tags; None: not readable."""
    try:
        image = cv2.imread(str(path))
    except cv2.error:  # a size beyond OpenCV's limits
        image = None
    return None if image is None else np.asarray(image, dtype=np.uint8)


class Jpeg:
    """A JPEG file of which the size is known; see read_jpeg."""

    def __init__(self, data: NDArray[np.uint8], height: int, width: int) -> None:
        self.data = data  # the file
        self.shape = (height, width, 3)  # as that of the array that it becomes
        self._pixels: NDArray[np.uint8] | None = None

    @property
    def is_decoded(self) -> bool:
        """Whether the pixels are there."""
        return self._pixels is not None

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The image (h, w, 3) BGR, decoded by OpenCV when it is asked for first.

        Raises ImageError where the file is damaged.
        """
        if self._pixels is None:
            pixels = decode_image(self.data)
            if pixels is None or pixels.shape != self.shape:
                height, width, _ = self.shape
                raise ImageError(
                    f'JPEG of {width} x {height} pixels with {len(self.data)} bytes is not '
                    'readable: it is damaged; send the file as the encoder wrote it'
                )
            self._pixels = pixels
        return self._pixels


def read_jpeg(data: NDArray[np.uint8]) -> Jpeg | None:
    """Read the header of a JPEG file; None unless it is one that every decoder reads alike.

    That is a whole file, baseline, of 8 bits, in colours of JFIF, with all its tables, in one
    scan. All others are for OpenCV: grey and progressive ones, CMYK, and those of cameras that
    leave the tables out.
    """
    size, seen = None, set()
    for marker, body in _segments(data.data):
        seen.add(marker)
        if marker in OTHER_FRAMES or (marker == FRAME and size is not None):
            return None
        if marker == FRAME:
            size = _size(body)
        elif marker == ADOBE and bytes(body[:5]) == b'Adobe' and bytes(body[11:12]) != b'\1':
            return None  # no YCbCr
        elif marker == SCAN:
            whole = data[-PADDING:].tobytes().rstrip(b'\0').endswith(bytes((0xFF, END)))
            has_all = seen >= {FRAME, TABLES, HUFFMAN} and bytes(body[:1]) == b'\3'
            return Jpeg(data, *size) if size is not None and has_all and whole else None
    return None


def _segments(file: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield marker and body of a file's segments, as far as they are whole and in order."""
    at = 2
    if bytes(file[:at]) != bytes((0xFF, START)):
        return
    while bytes(file[at : at + 1]) == b'\xff':
        while bytes(file[at : at + 1]) == b'\xff':  # one, or more to fill
            at += 1
        head = bytes(file[at : at + 3])
        length = int.from_bytes(head[1:], 'big')
        if len(head) < 3 or length < 2 or at + 1 + length > len(file):
            return
        if head[0] < FRAME or 0xD0 <= head[0] <= END:  # no marker, or one without a length
            return
        yield head[0], file[at + 3 : at + 1 + length]
        at += 1 + length


def _size(body: memoryview) -> tuple[int, int] | None:
    """Return height and width from the segment of a frame; None where it is not a usual one."""
    if len(body) != 6 + 3 * len(YCBCR):
        return None
    precision, *numbers = body.tolist()
    height, width = 256 * numbers[0] + numbers[1], 256 * numbers[2] + numbers[3]
    names, samplings = tuple(numbers[5::3]), numbers[6::3]
    if (precision, numbers[4], names) != (8, len(YCBCR), YCBCR):
        return None
    if samplings[0] not in LUMA or samplings[1:] != [0x11, 0x11]:
        return None
    return (height, width) if 0 < height * width <= LARGEST_IMAGE else None
