"""What flows through the package: a frame with boxes goes in, poses come out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.jpeg import Jpeg

# How the channels of an image are stored. Nothing converts a whole frame: crops are reordered.
Channels = Literal['rgb', 'bgr', 'rgba', 'bgra', 'mono']

Precision = Literal['float32', 'bfloat16', 'float16', 'int8']  # what a network computes with

CHANNEL_COUNT: dict[Channels, int] = {'rgb': 3, 'bgr': 3, 'rgba': 4, 'bgra': 4, 'mono': 1}

LARGEST_BOX = 1e6  # pixels; beyond it the crop's arithmetic loses its meaning


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


@dataclass(frozen=True, eq=False)
class Frame:
    """An image and the boxes of the subjects in it."""

    # (h, w, 3), (h, w, 4) or (h, w), uint8; rows may be padded. A Jpeg stays encoded.
    image: NDArray[np.uint8] | Jpeg
    boxes: NDArray[np.float32]  # (n, 4) float32, pixels: x_min, y_min, x_max, y_max
    channels: Channels = 'rgb'  # of the pixels; for a Jpeg 'bgr', unless it was encoded swapped
    # Which keypoints each box gets, by the keys of SKELETONS; None: the estimator's first set.
    keypoint_sets: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError, naming what is wrong, unless image and boxes are usable."""
        if self.channels not in CHANNEL_COUNT:
            raise ValueError(
                f'channels {self.channels!r} are not known; give one of {get_args(Channels)}'
            )
        image = self.image
        is_array = isinstance(image, np.ndarray) and image.dtype == np.uint8
        if not is_array and not isinstance(image, Jpeg):
            kind = getattr(image, 'dtype', type(image).__name__)
            raise ValueError(f'image is {kind}; give a numpy array of uint8')
        count = CHANNEL_COUNT[self.channels]
        expected = '(h, w)' if count == 1 else f'(h, w, {count})'
        if image.shape[2:] != (() if count == 1 else (count,)) or len(image.shape) < 2:
            raise ValueError(
                f'image has shape {image.shape}; {self.channels} images have {expected}'
            )
        height, width = image.shape[:2]
        if height == 0 or width == 0:
            raise ValueError(f'image has no pixels: it is {width} x {height}')
        boxes = np.asarray(self.boxes, dtype=np.float32)
        if boxes.size == 0:
            boxes = boxes.reshape(0, 4)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(
                f'boxes have shape {boxes.shape}; give (n, 4): x_min, y_min, x_max, y_max'
            )
        for index, box in enumerate(boxes):
            fault = box_fault(box, width, height)
            if fault is not None:
                raise ValueError(f'box {index}, {box.tolist()}, {fault}')
        object.__setattr__(self, 'boxes', boxes)
        if self.keypoint_sets is not None and len(self.keypoint_sets) != len(boxes):
            raise ValueError(
                f'{len(self.keypoint_sets)} keypoint sets for {len(boxes)} boxes; give one a box'
            )

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The image as an array. Raises ImageError for a damaged Jpeg."""
        return self.image.pixels if isinstance(self.image, Jpeg) else self.image


@dataclass(frozen=True, eq=False)
class Pose:
    """The keypoints of one subject, in the order of its skeleton."""

    skeleton: str  # key of SKELETONS
    keypoints: NDArray[np.float32]  # (k, 2) float32, image pixels: x, y
    scores: NDArray[np.float32]  # (k,) float32, height of the heatmap's peak, about 0 to 1
    # (k, 2, 2) float32, image pixels squared: how far the heatmap spreads; None: not asked for
    covariances: NDArray[np.float32] | None = None

    @property
    def score(self) -> float:
        """The mean of the keypoints' scores."""
        return float(self.scores.mean())
