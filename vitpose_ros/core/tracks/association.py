"""Which pose belongs to which track: likeness of boxes and of keypoints, and the best pairing.

Likeness of keypoints is COCO's object keypoint similarity (OKS; cocodataset.org, "keypoints
evaluate"), with the uncertainty of a prediction added to the spread of its annotators. The pairing
is that of least cost over all (Kuhn, "The Hungarian Method", 1955); poses with high scores come
first, those with low ones get the tracks that are left (Zhang et al., "ByteTrack", 2022,
arXiv:2110.06864).
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.skeletons import SKELETONS

Array = NDArray[np.float64]

FEWEST_KEYPOINTS = 1.5  # sum of their weights; with fewer in common poses are not compared


def _tables() -> tuple[Array, NDArray[np.int64]]:
    most = max(len(skeleton) for skeleton in SKELETONS.values())
    variances = np.ones((len(SKELETONS), most))
    for row, skeleton in zip(variances, SKELETONS.values(), strict=True):
        row[: len(skeleton)] = (2 * np.array(skeleton.sigmas)) ** 2
    kinds = list(dict.fromkeys(skeleton.classes for skeleton in SKELETONS.values()))
    return variances, np.array([kinds.index(s.classes) for s in SKELETONS.values()])


# Of each skeleton, in the order of SKELETONS: of each keypoint its variance as a part of the
# subject's area, COCO's (2 sigma)^2, 1 behind the last one; and a number that is the same for
# those that have the same subjects.
VARIANCES, KINDS = _tables()


def box_areas(boxes: NDArray[Any]) -> NDArray[Any]:
    """Return the areas (...) of boxes (..., 4)."""
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))


def overlaps(boxes: NDArray[Any], others: NDArray[Any]) -> tuple[Array, Array]:
    """Return how much boxes (m, 4) and others (n, 4) have in common, twice (m, n).

    Once as a part of what both cover (IoU), once as a part of the smaller of the two.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.maximum(high - low, 0)
    common = sides[..., 0] * sides[..., 1]
    area, other = box_areas(boxes)[:, None], box_areas(others)[None]
    return common / (area + other - common), common / np.minimum(area, other)


def keypoint_similarity(keypoints: Array, others: Array, weight: Array, variances: Array) -> Array:
    """Return the OKS (p,) of pairs of keypoints (p, k, 2) and others (p, k, 2).

    weight: (p, k), how much each keypoint counts in each pair. variances: (p, k), pixels squared,
    how far apart the same keypoint may be. NaN where less than FEWEST_KEYPOINTS can be compared.
    """
    apart = keypoints - others
    alike = np.exp((apart * apart).sum(axis=2) / (-2 * variances))
    total = weight.sum(axis=1)
    total = np.where(total >= FEWEST_KEYPOINTS, total, np.nan)
    return np.asarray((weight * alike).sum(axis=1) / total)


def pair(similarity: Array, least: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair rows with columns so that the sum of what exceeds the least similarity is highest.

    similarity: (m, n); NaN and what is below least make no pair. Returns rows and columns.
    """
    rows, columns = assignment()(np.fmax(similarity - least, 0), maximize=True)
    good = similarity[rows, columns] >= least
    return rows[good], columns[good]


class Stage(NamedTuple):
    """One round of pairing: who takes part, and how alike they must be."""

    tracks: NDArray[np.bool_]  # (m,)
    poses: NDArray[np.bool_]  # (n,)
    least: float


@functools.cache
def assignment() -> Any:
    """Return scipy.optimize.linear_sum_assignment; its package takes half a second to import."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment


def pair_in_stages(similarity: Array, stages: Sequence[Stage]) -> NDArray[np.int64]:
    """Pair tracks with poses, one stage after the other.

    similarity: (m, n). What an earlier stage has paired takes no part in later ones. Returns (m,):
    the pose of each track, or -1.
    """
    pose_of = np.full(similarity.shape[0], -1, dtype=np.int64)
    free = np.ones(similarity.shape[1], dtype=bool)
    for tracks, poses, least in stages:
        rows, columns = (tracks & (pose_of < 0)).nonzero()[0], (poses & free).nonzero()[0]
        if len(rows) and len(columns):
            i, j = pair(similarity[rows[:, None], columns], least)
            pose_of[rows[i]] = columns[j]
            free[columns[j]] = False
    return pose_of


def duplicates(
    i: NDArray[np.int64], j: NDArray[np.int64], scores: NDArray[Any]
) -> NDArray[np.bool_]:
    """Return (n,), which poses show a subject that one with a higher score shows, too.

    i, j: (p,), pairs of poses that show the same; scores: (n,).
    """
    found = np.zeros(len(scores), dtype=bool)
    if len(i):
        place = np.empty(len(scores), dtype=np.int64)
        place[np.argsort(-scores, kind='stable')] = np.arange(len(scores))
        better = np.where(place[i] < place[j], i, j)
        worse = i + j - better
        for row in np.argsort(place[worse], kind='stable').tolist():
            found[worse[row]] |= not found[better[row]]
    return found
