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
    subject, joint = np.nonzero(wanted & (ways.turns != NONE))  # (m,)
    if not len(joint):
        return z, variance
    others, size = ways.others[:, joint], scale[subject]
    to, start = rays[subject, joint], rays[subject, others]
    square = 1 + (to * to).sum(axis=1)  # of the ray's length at depth 1
    # If the other's depth is 1: the depth of the closest place on the ray, and how far it is.
    closest = (1 + (to * start).sum(axis=2)) / square
    apart = 1 + (start * start).sum(axis=2) - closest**2 * square
    reaches = (ways.lengths[:, joint] * size) ** 2
    least = surface[subject, joint] + DEEP_M
    least = np.where(np.isnan(least), -np.inf, least)
    in_head, turn = ways.in_head[joint], ways.turns[joint]
    far = np.where(facing.across[subject, 2] * body.sides[joint] > 0, 1, -1)
    places = np.arange(len(joint))
    for number in range(len(OUTWARDS) + 1):
        new = (turn == number) & np.isnan(z[subject, joint])
        if not new.any():
            continue
        way = np.ones(len(joint), dtype=np.intp)
        if number == 0:
            way[(others[0] != NONE) & np.isfinite(z[subject, others[0]])] = 0
        z_other = z[subject, others[way, places]]
        middle = z_other * closest[way, places]
        reach = reaches[way, places] - z_other * z_other * apart[way, places]
        half = np.sqrt(np.maximum(reach, 0) / square)
        is_first = in_head & (middle - half >= least)
        side = np.where(way == 0, far, np.where(is_first, -1, 1))
        found = np.maximum(middle + side * half, least)
        new &= np.isfinite(found)
        z[subject[new], joint[new]] = found[new]
    return z, variance
