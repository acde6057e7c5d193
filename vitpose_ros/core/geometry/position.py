"""Where a body is: one point, the middle between the hips, whatever of the body is seen."""

import functools

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.anatomy import LEFT, RIGHT, WIDTHS, Body, length_between
from vitpose_ros.core.geometry.visibility import Facing

Floats = NDArray[np.float64]

HEAD = ('nose', 'eye', 'ear', 'upper_neck', 'head_top')
EYE = np.eye(3)
DOWN = np.array([0.0, 1.0, 0.0])  # in an image, where nothing says how somebody stands
# Standard deviations, metres, where the hips are not both known.
FROM_ONE, FROM_SHOULDERS, FROM_HEADLESS, FROM_ANYTHING = 0.08, 0.15, 0.25, 0.35


def position_of(
    points: Floats, covariances: Floats, scale: Floats, facing: Facing, body: Body
) -> tuple[Floats, Floats]:
    """Return the middle of the hips (n, 3) metres, and its covariance (n, 3, 3).

    points: (n, k, 3) metres, NaN where unknown; covariances: (n, k, 3, 3). It comes from both
    hips, or from one, or from shoulders and head, or is the middle of what is known; NaN where
    nothing is. Animals' is the middle of what is known.
    """
    if not body.is_person:
        place = _anything(points)
        known = np.where(np.isnan(place[:, 2]), np.nan, 1.0)
        return place, EYE * (known * FROM_ANYTHING**2)[:, None, None]
    left, right = body.of('hip', LEFT), body.of('hip', RIGHT)
    place = (points[:, left] + points[:, right]) / 2
    covariance = (covariances[:, left] + covariances[:, right]) / 2
    rows = np.flatnonzero(np.isnan(place[:, 2]))
    if len(rows):
        place[rows], doubt = _without_hips(points[rows], scale[rows], facing.across[rows], body)
        covariance[rows] = EYE * (doubt**2)[:, None, None]
    return place, covariance


def _without_hips(
    points: Floats, scale: Floats, across: Floats, body: Body
) -> tuple[Floats, Floats]:
    """Return where hips are that are not both known, and how sure that is, metres."""
    hips = _middle('hip', points, scale, across, body)
    shoulders = _middle('shoulder', points, scale, across, body)
    down = shoulders - _anything(points[:, _head(body)])  # away from the head
    length = np.sqrt((down * down).sum(axis=1))
    has_head = length > 0.02
    unit = np.where(has_head[:, None], down / np.where(has_head, length, 1)[:, None], DOWN)
    below = shoulders + unit * (length_between('shoulder', 'hip') * scale)[:, None]
    anything = _anything(points)
    doubt = np.where(np.isnan(anything[:, 2]), np.nan, FROM_ANYTHING)
    place = anything
    for better, its_doubt in (
        (below, np.where(has_head, FROM_SHOULDERS, FROM_HEADLESS)),
        (hips, np.full(len(hips), FROM_ONE)),
    ):
        known = np.isfinite(better[:, 2])
        place = np.where(known[:, None], better, place)
        doubt = np.where(known, its_doubt, doubt)
    return place, doubt


def _middle(kind: str, points: Floats, scale: Floats, across: Floats, body: Body) -> Floats:
    """Return the middles (n, 3) between left and right of a kind, or NaN.

    Of which one side is known: half the width from there, as the body is turned.
    """
    left, right = points[:, body.of(kind, LEFT)], points[:, body.of(kind, RIGHT)]
    half = across * (WIDTHS[kind] / 2 * scale)[:, None]
    from_one = np.where(np.isfinite(left), left - half, right + half)
    both = (left + right) / 2
    return np.where(np.isfinite(both), both, from_one)


@functools.cache
def _head(body: Body) -> NDArray[np.intp]:
    return np.flatnonzero(np.isin(body.kinds, HEAD))


def _anything(points: Floats) -> Floats:
    """Return the means (n, 3) of what is known of points (n, k, 3), or NaN."""
    known = np.isfinite(points[..., 2:])
    total = np.where(known, points, 0).sum(axis=1)
    count = known.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
