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
    'on another',  # see Surfaces
)  # fmt: skip
# What says which side is turned away: positive where the left one is.
PAIRS = ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
CUES = ('nose', 'left foot', 'right foot', *PAIRS)
NOSE_M, FOOT_M = 0.1, 0.3  # how far they are ahead of ears and heels
NOSE_MOST, APART_MOST = 1.5, 0.4  # of these, and metres between left and right
FAR_M = 0.4  # from the trunk: what is farther says no more
UP_M = 0.15  # from hips to shoulders as they are seen: what is shorter has no direction
UPRIGHT = np.array([1.0, 0.0])
LARGEST_LOGIT = 30.0


@dataclass(frozen=True, eq=False)
class Look:
    """What is seen of people, as evidence needs it; nothing is NaN."""

    rays: Floats  # (n, k, 2): x and y at depth 1, 0 where not trusted
    trusted: Flags  # (n, k)
    z: Floats  # (n, k) metres: of the joints, if the surfaces are theirs; or 0
    seen: Flags  # (n, k): where there is a surface
    trunk: Floats  # (n,) metres, 1 where there is none
    scale: Floats  # (n,) of the body, 1 for a grown person
    bones: Floats  # (n, 2, k) lengths of Body.bones, 1 for a grown person's; 0 where not seen
    ahead: Floats  # (n, 2, k) how much of that is towards the camera


@dataclass(frozen=True, eq=False)
class Facing:
    """How bodies are turned."""

    across: Floats  # (n, 3): from right to left, about 1 long
    frontal: Floats  # (n,): -1 seen from behind, 0 from the side, 1 from the front
    face: Floats  # (n,): the same of the face, 0 where it is not known
    cues: Floats  # (n, len(CUES))


@dataclass(frozen=True, eq=False)
class _Measures:
    """Differences of keypoints (k) that say how a body is turned, as matrices."""

    across: Floats  # (k, 6): nose, feet, shoulders, hips, ears: of places across the trunk
    most: Floats  # (6,): more says no more
    widths: Floats  # (2,) metres, of shoulders and hips
    depths: Floats  # (k, 6): of PAIRS
    trunk: Floats  # (k,): from hips to shoulders


@functools.cache
def _measures(body: Body) -> _Measures:
    across, depths = np.zeros((6, len(body.kinds))), np.zeros((len(PAIRS), len(body.kinds)))
    trunk, widths = np.zeros(len(body.kinds)), np.zeros(2)
    both = {
        kind: (body.of(kind, LEFT), body.of(kind, RIGHT))
        for kind in (*PAIRS, 'ear', 'toe', 'heel')
    }
    there = {kind for kind, places in both.items() if NONE not in places}
    if 'ear' in there and body.of('nose') != NONE:
        across[0, body.of('nose')] = 1 / NOSE_M
        across[0, both['ear']] = -0.5 / NOSE_M
    if {'toe', 'heel'} <= there:
        for row, toe, heel in zip((1, 2), both['toe'], both['heel'], strict=True):
            across[row, (toe, heel)] = 1 / FOOT_M, -1 / FOOT_M
    for row, kind in enumerate(('shoulder', 'hip', 'ear'), start=3):
        if kind in there:
            width = body.widths[both[kind][0]]
            across[row, both[kind]] = np.array((1, -1)) / (width if kind == 'ear' else 1)
            widths[row - 3 : row - 2] = width
    for row, kind in enumerate(PAIRS):
        if kind in there:
            depths[row, both[kind]] = 1, -1
    if {'shoulder', 'hip'} <= there:
        trunk[[*both['shoulder']]], trunk[[*both['hip']]] = 1, -1
    most = np.array([NOSE_MOST, 1, 1, np.inf, np.inf, 1])
    return _Measures(across.T.copy(), most, widths, depths.T.copy(), trunk)


@functools.cache
def _weights_of(body: Body) -> Floats:
    rows = [WEIGHTS.get(kind, WEIGHTS['other']) for kind in body.kinds]
    return np.ascontiguousarray(np.stack(rows, axis=1))


def _between(values: Floats, low: float | Floats, high: float | Floats) -> Floats:
    return np.asarray(np.minimum(np.maximum(values, low), high))  # much faster than np.clip


def _differences(values: Floats, unknown: NDArray[np.floating], matrix: Floats) -> Floats:
    """Return values (n, k) @ matrix (k, c), 0 where one that it takes is not known.

    unknown: (n, k), 1 there and 0 else.
    """
    return np.asarray((values @ matrix) * (unknown @ np.abs(matrix) == 0))


def facing_of(look: Look, body: Body) -> Facing:
    """Return how people are turned."""
    measures, size = _measures(body), (look.trunk / look.scale)[:, None]
    level = _level(look, measures.trunk)
    places = np.einsum('nki,ni->nk', look.rays, level)
    unknown = 1.0 - look.trusted
    across = _differences(places, unknown, measures.across) * size
    across = _between(across, -measures.most, measures.most)
    apart = _differences(look.z, 1.0 - look.seen, measures.depths) / look.scale[:, None]
    cues = np.concatenate((across[:, :3], _between(apart, -APART_MOST, APART_MOST)), axis=1)
    total = ((across[:, 3:5] != 0) * measures.widths).sum(axis=1)
    x = _between(across[:, 3:5].sum(axis=1) / np.maximum(total, 0.1), -1, 1)
    found = np.empty((len(x), 3))
    found[:, :2] = x[:, None] * level
    found[:, 2] = np.tanh(cues @ FACING / 2) * np.maximum(np.sqrt(1 - x * x), 0.3)
    return Facing(found, x, across[:, 5], cues)


def _level(look: Look, trunk: Floats) -> Floats:
    """Return the direction across trunks in the image, (n, 2), 1 long: right if upright."""
    up = np.einsum('nki,k->ni', look.rays, trunk)
    length = np.sqrt((up * up).sum(axis=1))
    clear = length * look.trunk > 2 * UP_M * look.scale
    clear &= (1.0 - look.trusted) @ np.abs(trunk) == 0
    turned = up[:, ::-1] * (-1, 1) / np.where(clear, length, 1)[:, None]
    return np.where(clear[:, None], turned, UPRIGHT)


def evidence(look: Look, surfaces: Surfaces, facing: Facing, body: Body) -> Floats:
    """Return what is known of each keypoint, (len(EVIDENCE), n, k)."""
    n, k = look.trusted.shape
    found = np.zeros((len(EVIDENCE), n, k))
    found[0] = 1
    off = _between(surfaces.z - look.trunk[:, None], -FAR_M, FAR_M)
    off[~look.seen] = 0
    found[1], found[2] = np.maximum(-off, 0), np.maximum(off, 0)
    scale = look.scale[:, None]
    there = look.bones > 0
    more = (look.bones / scale[:, None] - 1) * there
    ahead = _between(look.ahead / scale[:, None], 0, 1.5)
    short = np.maximum(-more, 0)
    found[3], found[4], found[5] = short[:, 0], _between(more[:, 0], 0, 1.5), ahead[:, 0]
    found[6], found[7] = short[:, 1], ahead[:, 1]
    apart = look.rays - look.rays[:, body.counterparts]
    both = look.trusted & look.trusted[:, body.counterparts] & (body.counterparts != NONE)
    share = np.sqrt(np.einsum('nki,nki->nk', apart, apart)) / body.widths
    found[8] = np.maximum(1 - share * (look.trunk / look.scale)[:, None], 0) * both
    far = facing.across[:, 2:] * body.sides
    found[9], found[10] = np.maximum(far, 0), np.maximum(-far, 0)
    found[11] = found[8] * found[9]
    x = facing.frontal[:, None]
    found[12], found[13], found[14] = x, x * x, facing.face[:, None]
    found[15], found[16] = surfaces.deeper[:, None], surfaces.on_another
    return found


def chance_of(found: Floats, body: Body) -> Floats:
    """Return how likely the surfaces are those of the joints, (n, k), from their evidence."""
    logit = np.einsum('enk,ek->nk', found, _weights_of(body))
    return np.asarray(1 / (1 + np.exp(-_between(logit, -LARGEST_LOGIT, LARGEST_LOGIT))))
