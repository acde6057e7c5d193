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
    """Of each pair of a track and a pose, where the subject would be, and how well it fits."""

    numbers: Array  # (m, n, 3): x and y of the box's centre in pixels, logarithm of its height
    variances: Array  # (m, n, 3)
    alike: Array  # (m, n) 0 to 1: OKS of the shape on the pose; NaN: too few keypoints

    @classmethod
    def of(
        cls,
        shapes: Array,
        keypoints: Array,
        weight: Array,
        heights: Array,
        height_variances: Array,
        variances: Array,
    ) -> 'Fits':
        """Lay shapes on keypoints.

        shapes: (m, k, 2), from the centre of the box, in heights; keypoints: (n, k, 2) pixels;
        weight: (m, n, k), of each keypoint in each pair; heights: (m,) pixels, as predicted, and
        (m,) the variance of their logarithms; variances: (m, k) in heights squared, how far the
        same keypoint may be off.
        """
        total = weight.sum(axis=2)
        each = weight / np.where(total > 0, total, 1)[:, :, None]
        middle = np.einsum('mnk,mkd->mnd', each, shapes)  # of the shape, in heights
        seen = np.einsum('mnk,nkd->mnd', each, keypoints)  # of the pose, pixels
        rise = shapes[:, None, :, 1] - middle[:, :, None, 1]  # (m, n, k)
        spread = np.einsum('mnk,mnk->mn', weight, rise * rise)
        common = np.einsum('mnk,mnk,nk->mn', weight, rise, keypoints[:, :, 1])
        held = (NOISE**2 / height_variances)[:, None]
        height = (common + held * heights[:, None]) / (spread + held)
        height = np.maximum(height, heights[:, None] / 4)
        centre = seen - height[:, :, None] * middle
        off = keypoints - (centre[:, :, None] + height[:, :, None, None] * shapes[:, None])
        exponent = (off * off).sum(axis=3) / (-2 * variances[:, None] * height[:, :, None] ** 2)
        alike = np.einsum('mnk,mnk->mn', each, np.exp(exponent))
        of_height = NOISE**2 / (spread + held)
        of_centre = (NOISE * height) ** 2 / np.where(total > 0, total, np.nan)
        of_centre = of_centre[:, :, None] + (height * height * of_height)[:, :, None] * middle**2
        return cls(
            np.concatenate((centre, np.log(height)[:, :, None]), axis=2),
            np.concatenate((of_centre, of_height[:, :, None]), axis=2),
            np.where(total > 0, alike, np.nan),
        )


def completed(boxes: Array, whole: Array, *, slack: Array) -> Array:
    """Return boxes (a, 4) with the sides that lack something moved to those of whole ones (a, 4).

    slack: (a,) pixels; a side that lies further inside is one behind which something is hidden.
    """
    inside = (boxes - whole) * (1, 1, -1, -1) > slack[:, None]
    return np.where(inside, whole, boxes)
