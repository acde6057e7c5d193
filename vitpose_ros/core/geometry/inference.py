"""Joints that are not measured, from those that they hang on.

A keypoint says on which ray its joint lies, a bone how far it is from the joint that it hangs on:
where the ray meets the sphere around that. Mostly it meets it twice. What the own body hides lies
behind it, so that the farther place counts; in heads, whose parts lie close together, the nearer
one if it is behind the surface that is seen.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.anatomy import NONE, Body
from vitpose_ros.core.geometry.visibility import Facing

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]

TRUNK = ('shoulder', 'hip')
HEAD = ('nose', 'eye', 'ear')
OUTWARDS = (
    ('neck', 'pelvis', 'elbow', 'knee', 'ear'),
    ('upper_neck', 'wrist', 'ankle', 'eye', 'nose'),
    ('head_top', 'toe', 'heel'),
)
DEEP_M = 0.03  # behind a surface: what it hides
UNSURE = 0.25  # standard deviation of what is inferred, in lengths of the bone


@dataclass(frozen=True, eq=False)
class _Ways:
    """From which joints those of a set (k) are inferred: across the body, or along a bone."""

    others: Indices  # (2, k), or NONE
    lengths: Floats  # (2, k) metres
    turns: Indices  # (k,): the trunk first, then outwards; NONE: never
    in_head: Flags  # (k,)


@functools.cache
def _ways(body: Body) -> _Ways:
    lengths = np.stack((body.widths, body.parent_lengths))
    turns = np.full(len(body.kinds), NONE)
    for number, kinds in enumerate((TRUNK, *OUTWARDS)):
        turns[np.isin(body.kinds, kinds) & (body.parents != NONE)] = number
    return _Ways(
        np.stack((body.counterparts, body.parents)),
        lengths,
        turns,
        np.isin(body.kinds, HEAD),
    )


def infer(
    z: Floats,
    wanted: Flags,
    rays: Floats,
    surface: Floats,
    scale: Floats,
    facing: Facing,
    body: Body,
) -> tuple[Floats, Floats]:
    """Return depths (n, k) with those that are inferred, and the variances of these.

    z: (n, k) metres, NaN where not measured. wanted: (n, k), which others to infer. rays:
    (n, k, 2) x and y at depth 1. surface: (n, k) metres, what is seen there, or NaN. scale: (n,)
    of the bodies.
    """
    z = z.copy()
    ways = _ways(body)
    variance = (UNSURE * ways.lengths[1] * scale[:, None]) ** 2
    subjects, joints = np.nonzero(wanted & (ways.turns != NONE))
    turns = ways.turns[joints]
    for number in range(len(OUTWARDS) + 1):
        now = turns == number
        if not now.any():
            continue
        subject, joint = subjects[now], joints[now]  # (m,)
        other, length, across = ways.others[1, joint], ways.lengths[1, joint], None
        if number == 0:
            opposite = ways.others[0, joint]
            across = (opposite != NONE) & np.isfinite(z[subject, opposite])
            other = np.where(across, opposite, other)
            length = np.where(across, ways.lengths[0, joint], length)
        to, start, z_other = rays[subject, joint], rays[subject, other], z[subject, other]
        square = 1 + (to * to).sum(axis=1)  # of the ray's length at depth 1
        # If the other's depth is 1: the depth of the closest place on the ray, and how far it is.
        closest = (1 + (to * start).sum(axis=1)) / square
        apart = 1 + (start * start).sum(axis=1) - closest * closest * square
        reach = (length * scale[subject]) ** 2 - z_other * z_other * apart
        half = np.sqrt(np.maximum(reach, 0) / square)
        middle = z_other * closest
        least = surface[subject, joint] + DEEP_M
        least[np.isnan(least)] = -np.inf
        is_first = ways.in_head[joint] & (middle - half >= least)
        side = np.where(is_first, -1, 1)
        if across is not None:
            far = facing.across[subject, 2] * body.sides[joint] > 0
            side = np.where(across, np.where(far, 1, -1), side)
        z[subject, joint] = np.maximum(middle + side * half, least)
    return z, variance
