"""Where a body is: one point, the middle between the hips, whatever of the body is seen."""

import functools
from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known of subjects."""

    points: Floats  # (n, k, 3) metres, or NaN
    covariances: Floats  # (n, k, 3, 3)
    scale: Floats  # (n,)
    across: Floats  # (n, 2), see Facing
    body: Body

    def __getitem__(self, rows: NDArray[np.intp]) -> '_Known':
        """Return some of them."""
        return _Known(
            self.points[rows],
            self.covariances[rows],
            self.scale[rows],
            self.across[rows],
            self.body,
        )


def position_of(
    points: Floats, covariances: Floats, scale: Floats, facing: Facing, body: Body
) -> tuple[Floats, Floats]:
    """Return the middle of the hips (n, 3) metres, and its covariance (n, 3, 3).

    points: (n, k, 3) metres, NaN where unknown; covariances: (n, k, 3, 3). It comes from both
    hips, or from one, or from shoulders and head, or is the middle of what is known; NaN where
    nothing is.
    """
    known = _Known(points, covariances, scale, facing.across, body)
    ways = (_hips, _below_shoulders, _anything) if body.is_person else (_anything,)
    place, covariance = ways[0](known)
    for way in ways[1:]:
        rows = np.flatnonzero(np.isnan(place[:, 2]))
        if len(rows):
            place[rows], covariance[rows] = way(known[rows])
    return place, covariance


def _hips(known: _Known) -> tuple[Floats, Floats]:
    return _middle('hip', known)


def _middle(kind: str, known: _Known) -> tuple[Floats, Floats]:
    """Return the middle between left and right of a kind, and its covariance.

    Of which one side is known: half the width from there, as the body is turned.
    """
    points, covariances = known.points, known.covariances
    left, right = known.body.of(kind, LEFT), known.body.of(kind, RIGHT)
    place = (points[:, left] + points[:, right]) / 2
    covariance = (covariances[:, left] + covariances[:, right]) / 2
    rows = np.flatnonzero(np.isnan(place[:, 2]))
    if len(rows):
        half = np.zeros((len(rows), 3))
        width = known.body.widths[left] / 2 * known.scale[rows]
        half[:, ::2] = known.across[rows] * width[:, None]
        for side, way in ((left, -half), (right, half)):
            there = np.isfinite(points[rows, side, 2])
            place[rows[there]] = points[rows[there], side] + way[there]
            covariance[rows[there]] = covariances[rows[there], side] + np.eye(3) * FROM_ONE**2
    return place, covariance


def _below_shoulders(known: _Known) -> tuple[Floats, Floats]:
    """Return what lies a trunk's length below the shoulders, away from the head."""
    shoulders, covariance = _middle('shoulder', known)
    head = known.points[:, _head(known.body)]
    down = shoulders - _mean(head, np.isfinite(head[..., 2]))
    length = np.sqrt((down * down).sum(axis=1))
    has_head = length > 0.02
    unit = np.where(has_head[:, None], down / np.where(has_head, length, 1)[:, None], DOWN)
    doubt = np.where(has_head, FROM_SHOULDERS, FROM_HEADLESS)
    place = shoulders + unit * (length_between('shoulder', 'hip') * known.scale)[:, None]
    return place, covariance + np.eye(3) * (doubt**2)[:, None, None]


@functools.cache
def _head(body: Body) -> NDArray[np.intp]:
    return np.flatnonzero(np.isin(body.kinds, HEAD))


def _anything(known: _Known) -> tuple[Floats, Floats]:
    """Return the mean of what is known."""
    there = np.isfinite(known.points[..., 2])
    spread = _mean(known.covariances.reshape(*there.shape, 9), there).reshape(-1, 3, 3)
    return _mean(known.points, there), spread + np.eye(3) * FROM_ANYTHING**2


def _mean(values: Floats, chosen: Flags) -> Floats:
    """Return the means (n, c) of values (n, k, c) that are chosen (n, k); NaN where none is."""
    count = chosen.sum(axis=1)
    total = np.where(chosen[..., None], values, 0).sum(axis=1)
    return np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], np.nan)
