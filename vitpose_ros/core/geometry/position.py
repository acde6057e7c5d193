"""Where a body is: one point, the middle between the hips, whatever of the body is seen."""

import functools

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.anatomy import LEFT, RIGHT, Body, length_between
from vitpose_ros.core.geometry.visibility import Facing

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

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
    nothing is.
    """
    known = np.isfinite(points[..., 2])
    if not body.is_person:
        return _anything(points, covariances, known)
    place, covariance = _middle('hip', points, covariances, scale, facing.across, body)
    rows = np.flatnonzero(np.isnan(place[:, 2]))
    if len(rows):
        some = points[rows], covariances[rows], scale[rows]
        place[rows], covariance[rows] = _below_shoulders(*some, facing.across[rows], body)
        rows = np.flatnonzero(np.isnan(place[:, 2]))
        place[rows], covariance[rows] = _anything(points[rows], covariances[rows], known[rows])
    return place, covariance


def _middle(
    kind: str, points: Floats, covariances: Floats, scale: Floats, across: Floats, body: Body
) -> tuple[Floats, Floats]:
    """Return the middle between left and right of a kind, and its covariance, or NaN.

    Of which one side is known: half the width from there, as the body is turned.
    """
    left, right = body.of(kind, LEFT), body.of(kind, RIGHT)
    place = (points[:, left] + points[:, right]) / 2
    covariance = (covariances[:, left] + covariances[:, right]) / 2
    rows = np.flatnonzero(np.isnan(place[:, 2]))
    if len(rows):
        half = across[rows] * (body.widths[left] / 2 * scale[rows])[:, None]
        from_left = points[rows, left] - half
        has_left = np.isfinite(from_left[:, 2])
        place[rows] = np.where(has_left[:, None], from_left, points[rows, right] + half)
        side = np.where(has_left, left, right)
        covariance[rows] = covariances[rows, side] + EYE * FROM_ONE**2
    return place, covariance


@functools.cache
def _head(body: Body) -> NDArray[np.intp]:
    return np.flatnonzero(np.isin(body.kinds, HEAD))


def _below_shoulders(
    points: Floats, covariances: Floats, scale: Floats, across: Floats, body: Body
) -> tuple[Floats, Floats]:
    """Return what lies a trunk's length below the shoulders, away from the head."""
    shoulders, covariance = _middle('shoulder', points, covariances, scale, across, body)
    head = points[:, _head(body)]
    down = shoulders - _mean(head, np.isfinite(head[..., 2]))
    length = np.sqrt((down * down).sum(axis=1))
    has_head = length > 0.02
    unit = np.where(has_head[:, None], down / np.where(has_head, length, 1)[:, None], DOWN)
    place = shoulders + unit * (length_between('shoulder', 'hip') * scale)[:, None]
    doubt = np.where(has_head, FROM_SHOULDERS, FROM_HEADLESS) ** 2
    return place, covariance + EYE * doubt[:, None, None]


def _anything(points: Floats, covariances: Floats, known: Flags) -> tuple[Floats, Floats]:
    """Return the mean of what is known, and its covariance."""
    spread = _mean(covariances.reshape(*known.shape, 9), known).reshape(-1, 3, 3)
    return _mean(points, known), spread + EYE * FROM_ANYTHING**2


def _mean(values: Floats, chosen: Flags) -> Floats:
    """Return the means (n, c) of values (n, k, c) that are chosen (n, k); NaN where none is."""
    count = chosen.sum(axis=1)
    total = np.where(chosen[..., None], values, 0).sum(axis=1)
    return np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], np.nan)
