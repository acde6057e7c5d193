"""What flows through the package: a frame with boxes goes in, poses come out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.errors import VitposeError
from vitpose_ros.core.jpeg import Jpeg
from vitpose_ros.core.skeletons import SKELETONS

# How the channels of an image are stored. Nothing converts a whole frame: crops are reordered.
Channels = Literal['rgb', 'bgr', 'rgba', 'bgra', 'mono']

Precision = Literal['float32', 'bfloat16', 'float16', 'int8']  # what a network computes with

CHANNEL_COUNT: dict[Channels, int] = {'rgb': 3, 'bgr': 3, 'rgba': 4, 'bgra': 4, 'mono': 1}

NO_BOXES = np.empty((0, 4), dtype=np.float32)
LARGEST_BOX = 1e6  # pixels; beyond it the crop's arithmetic loses its meaning


class FrameError(VitposeError, ValueError):
    """An image, or what is said of the subjects in it, that cannot be used."""


def box_fault(box: NDArray[np.floating], width: int, height: int) -> str | None:
    """Say what keeps a box (x_min, y_min, x_max, y_max, in pixels) from being cropped.

    Returns None for a usable box: finite, of positive size, and at least partly inside the
    image of the given width and height.
    """
    if not np.isfinite(box).all():
        return 'is not finite'
    x_min, y_min, x_max, y_max = (float(value) for value in box)
    if x_max <= x_min or y_max <= y_min:
        return 'has no positive size'
    if max(x_max - x_min, y_max - y_min) > LARGEST_BOX:
        return f'is larger than {LARGEST_BOX:.0f} pixels'
    if x_max <= 0 or y_max <= 0 or x_min >= width or y_min >= height:
        return f'lies wholly outside the image of {width} x {height} pixels'
    return None


def as_boxes(boxes: Any) -> NDArray[np.float32]:
    """Return a copy of one box (4,) or several as (n, 4) float32. Raises FrameError."""
    try:
        array = np.array(boxes, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise FrameError(f'boxes are no numbers ({error}); give (n, 4) of them') from error
    if array.size == 0:
        array = array.reshape(0, 4)
    elif array.shape == (4,):
        array = array[None]
    if array.ndim != 2 or array.shape[1] != 4:
        raise FrameError(
            f'boxes have shape {array.shape}; give (n, 4): x_min, y_min, x_max, y_max'
        )
    return array


def _keypoint_set(value: Any, name: str) -> str:
    if not (isinstance(value, str) and value in SKELETONS):
        known = ', '.join(SKELETONS)
        raise FrameError(f'{name} is {value!r}, which is not known; known are {known}')
    return str(value)


def _text(value: Any, name: str) -> str:
    """Return a name or number as text; empty for None and NaN."""
    if value is None:
        return ''
    if isinstance(value, bool) or not isinstance(value, (str, Real)):
        raise FrameError(f'{name} is {value!r}; give a text or a number, or None if not known')
    if value != value:
        return ''
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _score(value: Any, name: str) -> float:
    """Return a score; NaN for None."""
    if value is None:
        return float('nan')
    if isinstance(value, bool) or not isinstance(value, Real):
        raise FrameError(f'{name} is {value!r}; give a number, or None if not known')
    try:
        return float(value)
    except OverflowError as error:
        raise FrameError(f'{name} is too large for a score; give a number') from error


# What may be said of boxes → what reads one value. Raises FrameError, which has the name in it.
PER_BOX: Mapping[str, Callable[[Any, str], Any]] = {
    'keypoint_sets': _keypoint_set,
    'class_names': _text,
    'track_ids': _text,
    'box_scores': _score,
}


def per_box(name: str, values: Any, count: int) -> tuple[Any, ...] | None:
    """Return what is said of each of so many boxes, checked and copied. Raises FrameError.

    Where nothing is said it is empty, and None for keypoint sets.
    """
    is_set = name == 'keypoint_sets'
    if values is None:
        return None if is_set else ()
    if isinstance(values, str) and is_set:
        values = (values,) * count
    try:
        given = None if isinstance(values, (str, bytes)) else tuple(values)
    except TypeError:  # a number, an array without dimensions
        given = None
    if given is None:
        raise FrameError(f'{name} is {values!r}; give a list with one per box')
    if len(given) != count and (given or is_set):
        what = name.replace('_', ' ')
        raise FrameError(f'{len(given)} {what} for {count} boxes; give one per box')
    # Scalars of numpy and PyTorch become those of Python.
    plain = [value.item() if getattr(value, 'ndim', None) == 0 else value for value in given]
    return tuple(PER_BOX[name](value, f'{name}[{i}]') for i, value in enumerate(plain))


def usual_channels(image: Any, channels: Channels | None = None) -> Channels:
    """Return how the channels of an image are stored; what is said of that counts.

    Otherwise it is 'rgb', and for a Jpeg 'bgr': as OpenCV decodes files, unless one was encoded
    swapped.
    """
    return channels if channels is not None else 'bgr' if isinstance(image, Jpeg) else 'rgb'


@dataclass(frozen=True, eq=False)
class Frame:
    """An image and the boxes of the subjects in it, checked; FrameError says what is wrong.

    What is said of the boxes is copied. The image is not: leave it as it is until its poses are
    there.
    """

    # (h, w, 3), (h, w, 4) or (h, w), uint8; rows may be padded. A Jpeg stays encoded.
    image: NDArray[np.uint8] | Jpeg
    boxes: NDArray[np.float32]  # (n, 4) float32, pixels: x_min, y_min, x_max, y_max; or one, (4,)
    # Of the pixels. Left out, or None: see usual_channels.
    channels: Channels = None  # type: ignore[assignment]
    # Which keypoints each box gets, by the keys of SKELETONS; one name: all boxes alike; None:
    # the estimator's first set.
    keypoint_sets: Sequence[str] | None = None
    # Handed on, per box, where they are given. Numbers become texts. An entry that is None is not
    # known: '' and NaN then.
    class_names: Any = ()  # (n,) str
    track_ids: Any = ()  # (n,) str
    box_scores: Any = ()  # (n,) float

    def __post_init__(self) -> None:
        """Check all, and copy what is said of the boxes."""
        object.__setattr__(self, 'channels', usual_channels(self.image, self.channels))
        height, width = self._checked_size()
        boxes = as_boxes(self.boxes)
        for index, box in enumerate(boxes):
            fault = box_fault(box, width, height)
            if fault is not None:
                raise FrameError(f'box {index}, {box.tolist()}, {fault}')
        boxes.flags.writeable = False
        object.__setattr__(self, 'boxes', boxes)
        for name in PER_BOX:
            object.__setattr__(self, name, per_box(name, getattr(self, name), len(boxes)))

    def _checked_size(self) -> tuple[int, int]:
        """Return height and width of the image. Raises FrameError for what is no image."""
        if not isinstance(self.channels, str) or self.channels not in CHANNEL_COUNT:
            raise FrameError(
                f'channels {self.channels!r} are not known; give one of {get_args(Channels)}'
            )
        image = self.image
        is_array = isinstance(image, np.ndarray) and image.dtype == np.uint8
        if not is_array and not isinstance(image, Jpeg):
            kind = getattr(image, 'dtype', type(image).__name__)
            raise FrameError(f'image is {kind}; give a numpy array of uint8')
        count = CHANNEL_COUNT[self.channels]
        expected = '(h, w)' if count == 1 else f'(h, w, {count})'
        if image.shape[2:] != (() if count == 1 else (count,)) or len(image.shape) < 2:
            raise FrameError(
                f'image has shape {image.shape}; {self.channels} images have {expected}'
            )
        height, width = image.shape[:2]
        if height == 0 or width == 0:
            raise FrameError(f'image has no pixels: it is {width} x {height}')
        return height, width

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The image as an array. Raises ImageError for a damaged Jpeg."""
        return self.image.pixels if isinstance(self.image, Jpeg) else self.image


@dataclass(frozen=True, eq=False)
class Pose:
    """The keypoints of one subject, in the order of its skeleton: a view on Poses."""

    skeleton: str  # key of SKELETONS
    keypoints: NDArray[np.float32]  # (k, 2) float32, image pixels: x, y
    scores: NDArray[np.float32]  # (k,) float32, height of the heatmap's peak, about 0 to 1
    # (k, 2, 2) float32, image pixels squared: how far the heatmap spreads; None: not asked for
    heatmap_spread: NDArray[np.float32] | None = None

    @property
    def score(self) -> float:
        """The mean of the keypoints' scores."""
        return float(self.scores.mean())

    @property
    def spread_entries(self) -> NDArray[np.float32] | None:
        """The heatmap's spread as (k, 3): xx, xy and yy; None where it was not asked for."""
        spread = self.heatmap_spread
        return None if spread is None else spread[:, (0, 0, 1), (0, 1, 1)]
