"""Subjects whose keypoints are somebody else's: two bodies are not in one place.

Who is mostly hidden has a box that shows somebody in front, and the network finds that one in it.
"""

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.trunks import TRUNK_M

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SAME_M = 0.2  # by so much keypoints of one place differ: to the side and in height together
FEWEST = 3  # keypoints that two subjects must have in common to be compared


def doubles(rays: Floats, trusted: Flags, trunk: Floats, scores: NDArray[np.floating]) -> Flags:
    """Return which subjects (n,) are where another is whose keypoints have higher scores.

    rays: (n, k, 2) x and y at depth 1; trusted: (n, k), where the others are not looked at; trunk:
    (n,) metres, how far away bodies are, or NaN; scores: (n, k) of keypoints.
    """
    found = np.zeros(len(trunk), dtype=bool)
    one, other = (np.abs(trunk - trunk[:, None]) < TRUNK_M).nonzero()  # (p,)
    pairs = one < other
    if not pairs.any():
        return found
    one, other = one[pairs], other[pairs]
    both = trusted[one] & trusted[other]
    apart = rays[one] - rays[other]
    near = np.abs(apart[..., 0]) + np.abs(apart[..., 1]) < SAME_M / trunk[one, None]
    count = both.sum(axis=1)
    same = (count >= FEWEST) & (2 * (both & near).sum(axis=1) > count)
    if same.any():
        score, one, other = scores.mean(axis=1), one[same], other[same]
        found[np.where(score[one] < score[other], one, other)] = True
    return found
