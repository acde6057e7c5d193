"""What a tracker takes of the poses of a frame."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.poses import Poses
from vitpose_ros.core.skeletons import AREA_OF_BOX, SKELETONS
from vitpose_ros.core.tracks.association import box_areas

Array = NDArray[np.float64]

# How sure the numbers of a detector's box with score 1 are: the centre in heights of the box, then
# the logarithms of its height and its aspect.
DEVIATION = np.array([0.03, 0.03, 0.04, 0.15])
LOWEST_SCORE = 0.3  # that counts for it
PLACES = {name: place for place, name in enumerate(SKELETONS)}


def numbers_of(boxes: NDArray[Any]) -> Array:
    """Return of boxes (n, 4) their centres and the logarithms of height and aspect (n, 4)."""
    size = boxes[:, 2:] - boxes[:, :2]
    numbers = np.empty((len(boxes), 4))
    numbers[:, :2] = (boxes[:, :2] + boxes[:, 2:]) / 2
    numbers[:, 2:] = np.log(size[:, ::-1])
    numbers[:, 3] -= numbers[:, 2]
    return numbers


def boxes_of(numbers: Array) -> Array:
    """Return boxes (n, 4) of what numbers_of tells of them."""
    high = np.exp(numbers[:, 2]) / 2
    wide = high * np.exp(numbers[:, 3])
    boxes = np.empty((len(numbers), 4))
    boxes[:, 0], boxes[:, 1] = numbers[:, 0] - wide, numbers[:, 1] - high
    boxes[:, 2], boxes[:, 3] = numbers[:, 0] + wide, numbers[:, 1] + high
    return boxes


class Positions(Protocol):
    """Where subjects are, in the optical frame: what of lifting.Joints the tracker uses."""

    @property
    def position(self) -> NDArray[np.floating]:
        """(n, 3) metres; NaN where nobody knows."""

    @property
    def position_covariance(self) -> NDArray[np.floating]:
        """(n, 3, 3) metres squared."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a tracker takes of the poses of a frame."""

    stamp_ns: int
    boxes: Array  # (n, 4) pixels
    numbers: Array  # (n, 4) of numbers_of
    variances: Array  # (n, 4) of the numbers
    scores: Array  # (n,) of the boxes; 1 where nobody told
    skeletons: NDArray[np.int64]  # (n,) their places in SKELETONS
    keypoints: Array  # (n, k, 2) pixels; 0 for what is not there
    weights: Array  # (n, k): 0 for that, too
    areas: Array  # (n,) pixels squared
    positions: Array | None  # (n, 3) metres in the fixed frame; NaN: not known; None: none is
    position_covariances: Array | None  # (n, 3, 3)
    depths: Array | None  # (n,) metres ahead of the camera

    @classmethod
    def of(
        cls,
        stamp_ns: int,
        poses: Poses,
        positions: Array | None = None,
        position_covariances: Array | None = None,
        depths: Array | None = None,
    ) -> 'Seen':
        """Return what to take of poses, and of where their subjects are."""
        boxes = poses.boxes.astype(np.float64)
        numbers = numbers_of(boxes)
        scores = np.ones(len(poses))
        if len(poses.box_scores):
            scores = np.array(poses.box_scores, dtype=np.float64)
            scores[~np.isfinite(scores)] = 1.0
        deviation = DEVIATION / np.minimum(np.maximum(scores, LOWEST_SCORE), 1)[:, None]
        deviation[:, :2] *= np.exp(numbers[:, 2:3])
        points = poses.keypoints
        absent = ~((poses.scores > 0) & np.isfinite(points[..., 0]) & np.isfinite(points[..., 1]))
        weights = np.minimum(poses.scores, 1, dtype=np.float64)
        keypoints = points.astype(np.float64)
        if absent.any():
            weights[absent] = 0
            keypoints[absent] = 0
        return cls(
            stamp_ns,
            boxes,
            numbers,
            deviation * deviation,
            scores,
            np.array([PLACES[name] for name in poses.skeletons], dtype=np.int64),
            keypoints,
            weights,
            AREA_OF_BOX * box_areas(boxes),
            positions,
            position_covariances,
            depths,
        )

    def __len__(self) -> int:
        """Return the number of poses."""
        return len(self.scores)
