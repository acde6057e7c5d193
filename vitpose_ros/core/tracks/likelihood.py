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
SAME_SHAPE = 0.5  # OKS
REACH_SIGMA = 5.0  # deviations of a prediction, beyond which a pose is not looked at; and
REACH = np.array((0.3, 0.5))  # heights: by so much centres of boxes differ that lack something


def likely_pairs(rows: Rows, seen: Seen) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of a track and a pose that are not far apart, rows (p,) and poses (p,)."""
    state = rows.filter.state
    apart = np.abs(state[0, :, None, :2] - seen.numbers[:, :2])
    reach = REACH * rows.heights[:, None] + REACH_SIGMA * np.sqrt(state[2, :, :2])
    near = (apart <= reach[:, None]).all(axis=2)
    near &= KINDS[rows.skeletons][:, None] == KINDS[seen.skeletons]
    i, j = np.nonzero(near)
    return i, j


def log_likelihoods(
    rows: Rows, seen: Seen, i: NDArray[np.int64], j: NDArray[np.int64], fits: Fits
) -> Array:
    """Return (m, n) for tracks and poses; 0: as likely as not.

    -inf: alike, but beyond the gate; NaN: out of the question.

    i, j: (p,), tracks and poses of the pairs that are in question; fits: of these.
    """
    state = rows.filter.state[:, i]
    comparable = (fits.told >= FEWEST_KEYPOINTS)[:, None]
    numbers, variances = seen.numbers[j, :3], seen.variances[j, :3]
    floor = np.empty((len(i), 3))
    floor[:] = SHARPEST**2
    floor[:, :2] *= np.exp(2 * state[0, :, 2:3])
    apart = np.where(comparable, fits.numbers, numbers) - state[0, :, :3]
    total = np.where(comparable, fits.variances, variances) + state[2, :, :3] + floor
    squared = (apart * apart / total).sum(axis=1)
    vague = np.log((total / floor).prod(axis=1))
    unlike = np.where(comparable[:, 0], np.log(np.maximum(fits.alike, LEAST_ALIKE)), 0.0)
    vague -= 2 * SHAPE_WEIGHT * unlike
    far = squared > GATE
    another = np.zeros(len(i), dtype=bool)  # whom another camera sees elsewhere
    if seen.positions is not None and seen.position_covariances is not None:
        away, volume = rows.places.distances(i, seen.positions[j], seen.position_covariances[j])
        located = np.isfinite(away)
        volume = np.log(np.where(located, volume, 1.0)) - 6 * np.log(SHARPEST_M)
        doubtful = rows.doubtful[i]
        away_from = located & (away > FAR_APART) & ((rows.misses[i] > 0) | doubtful)
        far |= away_from
        another = away_from & doubtful
        squared = np.where(located, (squared + np.minimum(away, FAR_APART)) / 2, squared)
        vague = np.where(located, (vague + volume) / 2, vague)
    likely = np.full((len(rows), len(seen)), np.nan)
    alike = ~comparable[:, 0] | (fits.alike >= SAME_SHAPE)
    far_off = np.where(alike & ~another, -np.inf, np.nan)
    likely[i, j] = np.where(far, far_off, GAIN - (squared + vague) / 2)
    return likely
