"""Where a track's subject would be, if a pose were its: its remembered shape laid on the pose.

A box covers what is visible, so it shrinks from one side when somebody walks behind something. The
keypoints that are seen still tell where all of the subject is: the remembered shape is laid on
them by the shift and the height of least squares (weighted; the height, which few keypoints hardly
tell, is held by what was predicted, as in ridge regression).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.skeletons import SKELETONS

Array = NDArray[np.float64]

NOISE = 0.03  # of a keypoint with weight 1, in heights of the subject
LEAST_TOTAL = 1e-9
INWARDS = np.array((1, 1, -1, -1))
LIMBS = ('elbow', 'wrist', 'knee', 'ankle', 'toe', 'heel', 'Elbow', 'Knee', 'Paw')
MANY = {'face-': 68, 'hand': 21, 'thumb': 21, 'finger': 21}  # so many count like one


def _steadiness() -> Array:
    most = max(len(skeleton) for skeleton in SKELETONS.values())
    steady = np.zeros((len(SKELETONS), most))
    for row, skeleton in zip(steady, SKELETONS.values(), strict=True):
        for k, name in enumerate(skeleton.keypoint_names):
            many = next((1 / n for part, n in MANY.items() if part in name), 1.0)
            row[k] = many * (0.25 if many < 1 or any(limb in name for limb in LIMBS) else 1.0)
    return steady


# How much each keypoint of each skeleton counts: limbs move against the rest of the body.
STEADINESS = _steadiness()


@dataclass(frozen=True, eq=False)
class Fits:
    """Of pairs of a track and a pose, where the subject would be, and how well it fits."""

    numbers: Array  # (p, 3): x and y of the box's centre in pixels, logarithm of its height
    variances: Array  # (p, 3)
    alike: Array  # (p,) 0 to 1: OKS of the shape on the pose
    told: Array  # (p,) how many keypoints, by their weights, the two have in common


def fit(
    shapes: Array, points: Array, weight: Array, steady: Array, heights: Array, held: Array,
    variances: Array,
) -> Fits:  # fmt: skip
    """Lay shapes on poses.

    shapes: (p, k, 2), from the centre of the box, in heights; points: (p, k, 2) pixels; weight:
    (p, k), of each keypoint in each pair; steady: (p, k), of STEADINESS; heights: (p,) pixels, as
    predicted, and held: (p,) the variance of their logarithms; variances: (p, k) heights squared,
    how far the same keypoint may be off.
    """
    told = weight.sum(axis=1)
    weight = weight * steady
    total = weight.sum(axis=1)
    each = (weight / np.maximum(total, LEAST_TOTAL)[:, None])[:, None]  # (p, 1, k)
    middle = np.matmul(each, shapes)[:, 0]  # of the shape, in heights
    seen = np.matmul(each, points)[:, 0]  # of the pose, pixels
    rise = shapes[:, :, 1] - middle[:, 1:]
    lever = weight * rise
    prior = NOISE**2 / held
    spread = (lever * rise).sum(axis=1) + prior
    height = ((lever * points[:, :, 1]).sum(axis=1) + prior * heights) / spread
    height = np.maximum(height, heights / 4)
    numbers = np.empty((len(shapes), 3))
    numbers[:, :2] = seen - height[:, None] * middle
    numbers[:, 2] = np.log(height)
    off = (points - numbers[:, None, :2]) / height[:, None, None] - shapes
    off *= off
    # In float32, whose exponential is several times faster.
    exponent = ((off[:, :, 0] + off[:, :, 1]) / (-2 * variances)).astype(np.float32)
    likeness = np.exp(exponent).astype(np.float64)
    unsure = np.empty((len(shapes), 3))
    unsure[:, 2] = NOISE**2 / spread
    unsure[:, :2] = unsure[:, 2:] * middle * middle
    unsure[:, :2] += (NOISE**2 / np.maximum(total, LEAST_TOTAL))[:, None]
    unsure[:, :2] *= (height * height)[:, None]
    return Fits(numbers, unsure, np.matmul(each, likeness[:, :, None])[:, 0, 0], told)


def completed(boxes: Array, whole: Array, *, slack: Array) -> Array:
    """Return boxes (a, 4) with the sides that lack something moved to those of whole ones (a, 4).

    slack: (a,) pixels; a side that lies further inside is one behind which something is hidden.
    """
    inside = (boxes - whole) * INWARDS > slack[:, None]
    return np.where(inside, whole, boxes)
