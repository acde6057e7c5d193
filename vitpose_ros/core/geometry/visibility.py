"""Whether the surface seen at a keypoint is that of its joint, or of what hides it.

Scores do not tell: networks are sure of many joints that the own body hides. Space does: bones
that come out too short or too long, joints that seem to be ahead of what they hang on, and above
all the side that is turned away. Each of it is a number, EVIDENCE; for each kind of joint a
logistic regression weighs it (visibility_weights.py).
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.anatomy import LEFT, NONE, RIGHT, Body
from vitpose_ros.core.geometry.surfaces import Surfaces
from vitpose_ros.core.geometry.visibility_weights import FACING, WEIGHTS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]

EVIDENCE = (
    'one',
    'nearer', 'farther',  # than the trunk, metres
    'parent short', 'parent long', 'ahead of parent',  # shares of the length of the bone
    'child short', 'ahead of child',
    'together',  # 0 to 1: left and right are seen at the same place
    'far side', 'near side',  # of a body that is seen from the side
    'together, far side',
    'frontal', 'frontal squared',  # -1 seen from behind, 0 from the side, 1 from the front
    'face',  # the same of the face
    'deeper',  # see Surfaces
)  # fmt: skip
# What says which side is turned away: positive where the left one is.
CUES = ('nose', 'toe', 'shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
NOSE_M, TOES_M = 0.1, 0.3  # how far they are ahead of ears and heels, the toes of both feet
APART_M = 0.4  # between left and right: more says no more
FAR_M = 0.4  # from the trunk: what is farther says no more
LARGEST_LOGIT = 30.0
UP_M = 0.15  # from hips to shoulders as they are seen: what is shorter has no direction
UPRIGHT = np.array([1.0, 0.0])


@dataclass(frozen=True, eq=False)
class Look:
    """What is seen of people, as evidence needs it; nothing is NaN."""

    rays: Floats  # (n, k, 2): x and y at depth 1, 0 where not trusted
    trusted: Flags  # (n, k)
    points: Floats  # (n, k, 3) metres: the joints, if the surfaces are theirs; or 0
    seen: Flags  # (n, k): where there is a surface
    trunk: Floats  # (n,) metres, 1 where there is none
    scale: Floats  # (n,) of the body, 1 for a grown person


@dataclass(frozen=True, eq=False)
class Facing:
    """How bodies are turned."""

    across: Floats  # (n, 3): from right to left, about 1 long
    frontal: Floats  # (n,): -1 seen from behind, 0 from the side, 1 from the front
    cues: Floats  # (n, len(CUES))
    level: (
        Floats  # (n, k): rays across the trunk as it is seen, to the left if it is seen in front
    )


def _between(values: Floats, low: float, high: float) -> Floats:
    return np.asarray(np.minimum(np.maximum(values, low), high))  # much faster than np.clip


@functools.cache
def _pairs_of(body: Body) -> tuple[Indices, Indices, Indices]:
    """Return left keypoints, right ones, and which of CUES they are."""
    found = [(body.of(cue, LEFT), body.of(cue, RIGHT), i) for i, cue in enumerate(CUES)]
    pairs = np.array([f for f in found if NONE not in f and f[2] > 1], dtype=np.intp)
    left, right, cue = pairs.reshape(-1, 3).T
    return left, right, cue


@functools.cache
def _weights_of(body: Body) -> Floats:
    rows = [WEIGHTS.get(kind, WEIGHTS['other']) for kind in body.kinds]
    return np.ascontiguousarray(np.stack(rows, axis=1))


def facing_of(look: Look, body: Body) -> Facing:
    """Return how people are turned."""
    size = look.trunk / look.scale
    direction = _level(look, body)
    level = look.rays[..., 0] * direction[:, :1] + look.rays[..., 1] * direction[:, 1:]
    cues = np.zeros((len(level), len(CUES)))
    left, right, cue = _pairs_of(body)
    both = look.seen[:, left] & look.seen[:, right]
    apart = (look.points[:, left, 2] - look.points[:, right, 2]) / look.scale[:, None]
    cues[:, cue] = _between(apart, -APART_M, APART_M) * both
    nose, left_ear, right_ear = body.of('nose'), body.of('ear', LEFT), body.of('ear', RIGHT)
    if NONE not in (nose, left_ear, right_ear):
        ahead = level[:, nose] - (level[:, left_ear] + level[:, right_ear]) / 2
        there = look.trusted[:, nose] & look.trusted[:, left_ear] & look.trusted[:, right_ear]
        cues[:, 0] = _between(ahead * size / NOSE_M, -1.5, 1.5) * there
    for side in (LEFT, RIGHT):
        toe, heel = body.of('toe', side), body.of('heel', side)
        if NONE not in (toe, heel):
            ahead = (level[:, toe] - level[:, heel]) * size / TOES_M
            cues[:, 1] += _between(ahead, -1, 1) * look.trusted[:, toe] * look.trusted[:, heel]
    width, total = np.zeros((2, len(level)))
    for kind in ('shoulder', 'hip'):
        one, other = body.of(kind, LEFT), body.of(kind, RIGHT)
        if NONE not in (one, other):
            both = look.trusted[:, one] & look.trusted[:, other]
            width += both * (level[:, one] - level[:, other])
            total += both * body.widths[one]
    x = _between(width * size / np.maximum(total, 0.1), -1, 1)
    across = np.empty((len(x), 3))
    across[:, :2] = x[:, None] * direction
    across[:, 2] = np.tanh(cues @ FACING / 2) * np.maximum(np.sqrt(1 - x * x), 0.3)
    return Facing(across, x, cues, level)


def _level(look: Look, body: Body) -> Floats:
    """Return the direction across trunks in the image, (n, 2), 1 long: right if upright."""
    trunk = [body.of(kind, side) for kind in ('shoulder', 'hip') for side in (LEFT, RIGHT)]
    if NONE in trunk:
        return np.broadcast_to(UPRIGHT, (len(look.rays), 2))
    corners = look.rays[:, trunk]
    up = corners[:, 0] + corners[:, 1] - corners[:, 2] - corners[:, 3]
    length = np.sqrt((up * up).sum(axis=1))
    clear = (length * look.trunk > 2 * UP_M * look.scale) & look.trusted[:, trunk].all(axis=1)
    turned = up[:, ::-1] * (-1, 1) / np.where(clear, length, 1)[:, None]
    return np.where(clear[:, None], turned, UPRIGHT)


def evidence(look: Look, surfaces: Surfaces, facing: Facing, body: Body) -> Floats:
    """Return what is known of each keypoint, (len(EVIDENCE), n, k)."""
    n, k = look.trusted.shape
    found = np.zeros((len(EVIDENCE), n, k))
    found[0] = 1
    off = np.where(look.seen, surfaces.z - look.trunk[:, None], 0)
    found[1], found[2] = _between(-off, 0, FAR_M), _between(off, 0, FAR_M)
    scale = look.scale[:, None]
    lengths = body.bone_lengths * scale[:, None]
    bone = look.points[:, None] - look.points[:, body.bones]  # (n, 2, k, 3)
    both = look.seen[:, None] & look.seen[:, body.bones] & (body.bones != NONE)
    share = np.where(both, np.sqrt(np.einsum('nbki,nbki->nbk', bone, bone)) / lengths, 1)
    short = _between(1 - share, 0, 1)
    ahead = _between(-bone[..., 2] / lengths, 0, 1.5) * both
    found[3], found[4], found[5] = short[:, 0], _between(share[:, 0] - 1, 0, 1.5), ahead[:, 0]
    found[6], found[7] = short[:, 1], ahead[:, 1]
    apart = look.rays - look.rays[:, body.counterparts]
    share = np.sqrt(np.einsum('nki,nki->nk', apart, apart)) * look.trunk[:, None] / scale
    both = look.trusted & look.trusted[:, body.counterparts] & (body.counterparts != NONE)
    found[8] = _between(1 - share / body.widths, 0, 1) * both
    far = facing.across[:, 2:] * body.sides
    found[9], found[10] = np.maximum(far, 0), np.maximum(-far, 0)
    found[11] = found[8] * found[9]
    x = facing.frontal[:, None]
    found[12], found[13] = x, x * x
    left, right = body.of('ear', LEFT), body.of('ear', RIGHT)
    if NONE not in (left, right):
        both = look.trusted[:, left] & look.trusted[:, right]
        apart = (facing.level[:, left] - facing.level[:, right]) * look.trunk / look.scale
        found[14] = (_between(apart / body.widths[left], -1, 1) * both)[:, None]
    found[15] = surfaces.deeper[:, None]
    return found


def chance_of(found: Floats, body: Body) -> Floats:
    """Return how likely the surfaces are those of the joints, (n, k), from their evidence."""
    logit = np.einsum('enk,ek->nk', found, _weights_of(body))
    return np.asarray(1 / (1 + np.exp(-_between(logit, -LARGEST_LOGIT, LARGEST_LOGIT))))
