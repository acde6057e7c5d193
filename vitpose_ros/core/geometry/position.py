"""Where a body is: one point, the middle between the hips, whatever of the body is seen."""

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.anatomy import LEFT, RIGHT, Body, length_between
from vitpose_ros.core.geometry.visibility import Facing

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

HEAD = ('nose', 'eye', 'ear', 'upper_neck', 'head_top')
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
    if body.is_person:
        place, covariance = _middle('hip', points, covariances, scale, facing, body)
        missing = np.isnan(place[:, 2])
        if not missing.any():
            return place, covariance
        above = _below_shoulders(points, covariances, scale, facing, body)
        place = np.where(missing[:, None], above[0], place)
        covariance = np.where(missing[:, None, None], above[1], covariance)
    else:
        place = np.full((len(points), 3), np.nan)
        covariance = np.full((len(points), 3, 3), np.nan)
    missing = np.isnan(place[:, 2])
    mean, spread = _mean(points, covariances)
    spread = spread + np.eye(3) * FROM_ANYTHING**2
    place = np.where(missing[:, None], mean, place)
    return place, np.where(missing[:, None, None], spread, covariance)


def _mean(points: Floats, covariances: Floats) -> tuple[Floats, Floats]:
    """Return the mean of the points of each that are known, and of their covariances."""
    known = np.isfinite(points[..., 2])
    count = known.sum(axis=1)
    share = np.where(known, 1, 0) / np.maximum(count, 1)[:, None]
    place = np.einsum('nk,nki->ni', share, np.where(known[..., None], points, 0))
    spread = np.einsum('nk,nkij->nij', share, np.where(known[..., None, None], covariances, 0))
    none = count == 0
    place[none], spread[none] = np.nan, np.nan
    return place, spread


def _middle(
    kind: str, points: Floats, covariances: Floats, scale: Floats, facing: Facing, body: Body
) -> tuple[Floats, Floats]:
    """Return the middle between left and right of a kind, and its covariance, as _mean does.

    Of which one side is known: half the width from there, as the body is turned.
    """
    both = [body.of(kind, LEFT), body.of(kind, RIGHT)]
    place, covariance = _mean(points[:, both], covariances[:, both])
    known = np.isfinite(points[:, both, 2])
    one = known[:, 0] != known[:, 1]
    if one.any():
        half = body.widths[both[0]] / 2 * scale
        way = np.where(known[:, 0], -half, half) * one
        place[:, 0] += way * facing.across[:, 0]
        place[:, 2] += way * facing.across[:, 1]
        covariance += np.eye(3) * (one * FROM_ONE**2)[:, None, None]
    return place, covariance


def _below_shoulders(
    points: Floats, covariances: Floats, scale: Floats, facing: Facing, body: Body
) -> tuple[Floats, Floats]:
    """Return what lies a trunk's length below the shoulders, away from the head."""
    shoulders, covariance = _middle('shoulder', points, covariances, scale, facing, body)
    of_head = np.flatnonzero(np.isin(body.kinds, HEAD))
    head = _mean(points[:, of_head], covariances[:, of_head])[0]
    down = shoulders - head
    length = np.sqrt((down * down).sum(axis=1))
    with np.errstate(invalid='ignore'):
        has_head = length > 0.02
    unit = np.where(has_head[:, None], down / np.where(has_head, length, 1)[:, None], DOWN)
    doubt = np.where(has_head, FROM_SHOULDERS, FROM_HEADLESS)
    place = shoulders + unit * (length_between('shoulder', 'hip') * scale)[:, None]
    return place, covariance + np.eye(3) * (doubt**2)[:, None, None]
