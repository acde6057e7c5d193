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
    ('upper_neck', 'wrist', 'ankle', 'eye'),
    ('head_top', 'toe', 'heel', 'nose'),
)
DEEP_M = 0.03  # behind a surface: what it hides
UNSURE = 0.25  # standard deviation of what is inferred, in lengths of the bone


@dataclass(frozen=True, eq=False)
class _Step:
    """Joints (j) that are inferred at the same time."""

    joints: Indices
    others: Indices  # what they hang on
    lengths: Floats
    across: bool  # from one side of the body to the other
    in_head: Flags


@functools.cache
def _steps(body: Body) -> tuple[_Step, ...]:
    """Return the steps, in order: the trunk from its other side, then outwards."""
    kinds = np.array(body.kinds)

    def step(wanted: tuple[str, ...], others: Indices, lengths: Floats, across: bool) -> _Step:
        joints = np.flatnonzero(np.isin(kinds, wanted) & (others != NONE))
        in_head = np.isin(kinds[joints], HEAD)
        return _Step(joints, others[joints], lengths[joints], across, in_head)

    parts = (TRUNK, *OUTWARDS)
    outwards = (step(part, body.parents, body.parent_lengths, False) for part in parts)
    steps = (step(TRUNK, body.counterparts, body.widths, True), *outwards)
    return tuple(s for s in steps if len(s.joints))


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
    z, sigma = z.copy(), np.full(z.shape, np.nan)
    squares = 1 + np.einsum('nki,nki->nk', rays, rays)
    for step in _steps(body):
        new = wanted[:, step.joints] & np.isnan(z[:, step.joints])
        new &= np.isfinite(z[:, step.others])
        if not new.any():
            continue
        centre_z = np.where(new, z[:, step.others], 1.0)
        ray, other = rays[:, step.joints], rays[:, step.others]
        square, length = squares[:, step.joints], step.lengths * scale[:, None]
        closest = centre_z * (1 + np.einsum('nki,nki->nk', ray, other)) / square
        miss = centre_z**2 * squares[:, step.others] - closest**2 * square
        half = np.sqrt(np.maximum(length**2 - miss, 0) / square)
        near, far = closest - half, closest + half
        seen = surface[:, step.joints]
        with np.errstate(invalid='ignore'):
            if step.across:
                found = np.where(facing.across[:, 1:] * body.sides[step.joints] > 0, far, near)
            else:
                first = np.where(near > seen + DEEP_M, near, far)
                first = np.where(np.isnan(seen), closest, first)
                found = np.where(step.in_head, first, far)
            found = np.where(found < seen + DEEP_M, seen + DEEP_M, found)
        rows, columns = np.nonzero(new)
        columns = step.joints[columns]
        z[rows, columns] = found[new]
        before = sigma[:, step.others][new]
        before = np.where(np.isnan(before), 0, before)
        sigma[rows, columns] = np.sqrt(before**2 + (UNSURE * length[new]) ** 2)
    return z, sigma
