"""Joints that are not measured, from those that they hang on.

A keypoint says on which ray its joint lies, a bone how far it is from the joint that it hangs on:
where the ray meets the sphere around that. Mostly it meets it twice. What the own body hides lies
behind it, so that the farther place counts; in heads, whose parts lie close together, the nearer
one if it is behind the surface that is seen.
"""

import functools

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
    ('upper_neck', 'wrist', 'ankle', 'eye'),
    ('head_top', 'toe', 'heel', 'nose'),
)
DEEP_M = 0.03  # behind a surface: what it hides
UNSURE = 0.25  # standard deviation of what is inferred, in lengths of the bone


@functools.cache
def _order(body: Body) -> Indices:
    """Return when each keypoint (k,) is inferred: the trunk, then outwards; NONE: never."""
    order = np.full(len(body.kinds), NONE)
    for number, kinds in enumerate((TRUNK, *OUTWARDS)):
        order[np.isin(body.kinds, kinds) & (body.parents != NONE)] = number
    return order


@functools.cache
def _in_head(body: Body) -> Flags:
    return np.isin(body.kinds, HEAD)


class _Bones:
    """Bones (m) between joints that are looked for and others."""

    def __init__(
        self, subject: Indices, joint: Indices, other: Indices, length: Floats, rays: Floats
    ) -> None:
        """Prepare them; length: (m,) metres; rays: (n, k, 2) x and y at depth 1."""
        self.subject, self.other, self.length = subject, other, length
        to, start = rays[subject, joint], rays[subject, other]
        self.square = 1 + (to * to).sum(axis=1)  # of the ray's length at depth 1
        # The depth of the place on the ray that is closest to the other, and the square of how
        # far that is; if the other's depth is 1.
        self.closest = (1 + (to * start).sum(axis=1)) / self.square
        self.apart = 1 + (start * start).sum(axis=1) - self.closest**2 * self.square

    def meet(self, z: Floats) -> tuple[Floats, Floats]:
        """Return the closest depth, and how far from there the ray meets the sphere; 0: nowhere.

        z: (n, k) metres.
        """
        start = z[self.subject, self.other]
        reach = np.maximum(self.length**2 - start * start * self.apart, 0)
        return start * self.closest, np.sqrt(reach / self.square)


def infer(
    z: Floats,
    wanted: Flags,
    rays: Floats,
    surface: Floats,
    scale: Floats,
    facing: Facing,
    body: Body,
) -> tuple[Floats, Floats]:
    """Return depths (n, k) with those that are inferred, and their standard deviations.

    z: (n, k) metres, NaN where not measured. wanted: (n, k), which others to infer. rays:
    (n, k, 2) x and y at depth 1. surface: (n, k) metres, what is seen there, or NaN. scale: (n,)
    of the bodies.
    """
    z, sigma = z.copy(), np.zeros(z.shape)
    order = _order(body)
    subject, joint = np.nonzero(wanted & (order != NONE))
    if not len(joint):
        return z, sigma
    turn = order[joint]
    least = surface[subject, joint] + DEEP_M
    unseen, in_head = np.isnan(least), _in_head(body)[joint]
    size = scale[subject]

    def fill(bones: _Bones, chosen: Flags, found: Floats) -> None:
        """Take depths (m) that are found for chosen joints."""
        found = np.fmax(found, least)
        new = chosen & np.isfinite(found) & np.isfinite(z[subject, bones.other])
        before = sigma[subject, bones.other]
        z[subject[new], joint[new]] = found[new]
        sigma[subject[new], joint[new]] = np.hypot(before, UNSURE * bones.length)[new]

    bones = _Bones(subject, joint, body.counterparts[joint], body.widths[joint] * size, rays)
    closest, way = bones.meet(z)
    is_far = facing.across[subject, 1] * body.sides[joint] > 0
    fill(bones, (turn == 0) & (bones.other != NONE), closest + np.where(is_far, way, -way))
    bones = _Bones(subject, joint, body.parents[joint], body.parent_lengths[joint] * size, rays)
    for number in range(len(OUTWARDS) + 1):
        new = (turn == number) & np.isnan(z[subject, joint])
        if not new.any():
            continue
        closest, way = bones.meet(z)
        with np.errstate(invalid='ignore'):
            is_first = in_head & ~(closest - way < least)
        first = np.where(unseen, closest, closest - way)
        fill(bones, new, np.where(is_first, first, closest + way))
    return z, sigma
