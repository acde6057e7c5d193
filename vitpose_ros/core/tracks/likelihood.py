"""How likely it is that a pose is the next of a track, rather than somebody else's.

Of a pair counts how far the pose is from where the track is predicted (squared Mahalanobis
distances, in the image and, where positions are known, in space), how vague that prediction is
(the density of a normal distribution falls with its width, so that somebody who is hidden takes
no pose from somebody who is seen), and how alike the shapes are (OKS). Boxes stand in where
keypoints cannot be compared.
"""

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.tracks.association import FEWEST_KEYPOINTS, KINDS
from vitpose_ros.core.tracks.rows import Rows
from vitpose_ros.core.tracks.seen import Seen
from vitpose_ros.core.tracks.shapes import Fits

Array = NDArray[np.float64]

# The sharpest prediction: x and y in heights of the box, the logarithm of the height; metres.
SHARPEST = np.array((0.02, 0.02, 0.03))
SHARPEST_M = 0.1
GAIN = 11.0  # log likelihood of the best pair, against a pose and a track that are not paired
GATE = 20.0  # squared distance, in three dimensions, that is out of the question
FAR_APART = 20.0  # squared distance in space that counts at most: depth may be that of who hides
SHAPE_WEIGHT = 2.0  # of the logarithm of the shapes' OKS
LEAST_ALIKE = 1e-3


def log_likelihoods(rows: Rows, seen: Seen, fits: Fits | None, weight: Array) -> Array:
    """Return (m, n) for tracks and poses; 0: as likely as not, NaN: out of the question.

    fits, weight: of the tracks' shapes on the poses, and (m, n, k) of their keypoints; None where
    there are no pairs.
    """
    state = rows.filter.state
    floor = np.empty((len(rows), 1, 3))
    floor[:] = SHARPEST**2
    floor[:, 0, :2] *= (rows.heights**2)[:, None]
    values, variances = state[0, :, None, :3], state[2, :, None, :3] + floor
    of_boxes = seen.numbers[None, :, :3], seen.variances[None, :, :3]
    squared, vague = _distances(values, variances, *of_boxes, floor)
    if fits is not None:
        by_pose, vague_pose = _distances(values, variances, fits.numbers, fits.variances, floor)
        comparable = weight.sum(axis=2) >= FEWEST_KEYPOINTS
        unlike = -SHAPE_WEIGHT * np.log(np.maximum(fits.alike, LEAST_ALIKE))
        squared = np.where(comparable, by_pose, squared)
        vague = np.where(comparable, vague_pose + 2 * unlike, vague)
    far = squared > GATE
    if seen.positions is not None and seen.position_covariances is not None:
        apart, volume = rows.places.distances(seen.positions, seen.position_covariances)
        located = np.isfinite(apart)
        vague_in_space = volume - 6 * np.log(SHARPEST_M)
        apart = np.minimum(apart, FAR_APART)
        squared = np.where(located, (squared + apart) / 2, squared)
        vague = np.where(located, (vague + vague_in_space) / 2, vague)
    other = KINDS[rows.skeletons][:, None] != KINDS[seen.skeletons]
    return np.where(far | other, np.nan, GAIN - (squared + vague) / 2)


def _distances(
    values: Array, variances: Array, others: Array, other_variances: Array, floor: Array
) -> tuple[Array, Array]:
    """Return squared distances and the logarithms of how vague they are, (m, n) each."""
    total = variances + other_variances
    apart = others - values
    return (apart * apart / total).sum(axis=2), np.log(total / floor).sum(axis=2)
