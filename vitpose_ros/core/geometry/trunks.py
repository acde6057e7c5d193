"""How far away bodies are, before their joints are looked at.

Along the limbs many depths are looked at: of the body, of what stands before it, and of what is
behind. Those count that make the body as large as people are; who seems to be where somebody else
is, and looks smaller, is hidden by that one.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.anatomy import Body
from vitpose_ros.core.geometry.depth import Depth

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

TRUNK_M = 0.4  # how much of a body lies at about one depth
BIN_M, BINS = TRUNK_M / 3, 120  # of the search for it: to 16 m
MIDDLES = (np.arange(BINS) + 1.5) * BIN_M  # of trunks that begin at a bin
ALONG = (0.33, 0.67)  # of a limb: where its depth is looked at
SMALL, LARGE = 0.8, 1.2  # sizes that most people have, 1 for a grown one
SIZE_STEP = 0.02
_SIZES = np.arange(0, 2, SIZE_STEP)
_OFF = np.clip(np.maximum(_SIZES - LARGE, SMALL - _SIZES) / 0.1, 0, 3)
LIKELY_SIZES = np.exp(-0.5 * _OFF**2)  # how likely sizes are, in steps
EXPECTED_M = 0.3  # standard deviation of where somebody is expected
LOOKS_LARGER = 1.2  # so much larger looks who hides somebody
WITHIN = 0.3  # of who is hidden, within the extent of that one
HIDDEN = 0.15  # how much less likely a depth is that is that one's


def trunks_of(
    rays: Floats,
    places: Floats,
    trusted: Flags,
    body: Body,
    depth: Depth,
    expected: NDArray[np.floating],
) -> tuple[Floats, Floats, Floats]:
    """Return the depth of most of each body (n,), NaN where there is none; what is behind; sizes.

    Behind is how much of what is seen on its limbs lies deeper, (n,) 0 to 1. Sizes are how large
    bodies look, (n,): times their depth 1 for a grown person, 0 where it is not known.

    rays: (n, k, 2) x and y at depth 1; places: (2, n, k) of them in the depth image; trusted:
    (n, k), where the others are not looked at; expected: (n,) metres, where the bodies should
    be, or NaN.
    """
    lines = _lines(body)
    z = depth.at(places @ lines)  # (n, m)
    is_seen = z < BINS * BIN_M
    is_seen &= (1.0 - trusted) @ (lines > 0) == 0
    near = _counts(z, is_seen)
    sizes = _sizes(rays, trusted, body)
    likely = near * _prior(sizes, expected)
    _not_where_others_are(likely, places, trusted, sizes)
    start = likely.argmax(axis=1)[:, None] * BIN_M
    behind = is_seen & (z > start + TRUNK_M)
    own = is_seen & (z >= start) & ~behind
    count = own.sum(axis=1)
    total = np.where(own, z, 0).sum(axis=1, dtype=np.float64)
    trunk = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return trunk, behind.sum(axis=1) / np.maximum(is_seen.sum(axis=1), 1), sizes


@functools.cache
def _lines(body: Body) -> Floats:
    """Return the places where bodies are looked at, (k, m): shares of each keypoint."""
    own = np.eye(len(body.kinds))
    first, second = body.limbs.T
    along = [own[first] * (1 - share) + own[second] * share for share in ALONG]
    return np.ascontiguousarray(np.concatenate((own, *along)).T)


def _counts(z: NDArray[np.float32], is_seen: Flags) -> NDArray[np.intp]:
    """Return how many depths (n, m) lie within TRUNK_M from each bin on, (n, BINS)."""
    n = len(z)
    bins = np.where(is_seen, z * (1 / BIN_M), BINS).astype(np.intp)
    bins += np.arange(n)[:, None] * (BINS + 3)
    counts = np.bincount(bins.ravel(), minlength=n * (BINS + 3)).reshape(n, -1)
    counts[:, BINS:] = 0
    return np.asarray(counts[:, :-3] + counts[:, 1:-2] + counts[:, 2:-1])


def _sizes(rays: Floats, trusted: Flags, body: Body) -> Floats:
    """Return how large bodies look, (n,); see trunks_of."""
    if not len(body.measures):
        return np.zeros(len(rays))
    first, second = body.measures, body.parents[body.measures]
    apart = rays[:, first] - rays[:, second]
    seen = np.sqrt(np.einsum('nbi,nbi->nb', apart, apart)) / body.parent_lengths[first]
    seen *= trusted[:, first] & trusted[:, second]
    seen.sort(axis=1)
    return np.asarray(seen[:, -max(1, seen.shape[1] // 3)])  # what is turned away looks shorter


def _prior(sizes: Floats, expected: NDArray[np.floating]) -> Floats:
    """Return how likely each bin of depth is for each body, (n, BINS)."""
    size = np.minimum(sizes[:, None] * (MIDDLES / SIZE_STEP), len(LIKELY_SIZES) - 1)
    prior = LIKELY_SIZES[size.astype(np.intp)]
    if not sizes.all():
        prior[sizes == 0] = 1
    is_expected = np.isfinite(expected)
    if is_expected.any():
        off = np.clip((expected[:, None] - MIDDLES) / EXPECTED_M, -3, 3)
        prior *= np.where(is_expected[:, None], np.exp(-0.5 * off**2), 1.0)
    return prior


def _not_where_others_are(likely: Floats, places: Floats, trusted: Flags, sizes: Floats) -> None:
    """Make depths (n, BINS) less likely for who looks smaller, within somebody who is there."""
    z = likely.argmax(axis=1)
    alike = np.abs(z - z[:, None]) < TRUNK_M / BIN_M
    larger = alike & look_larger(sizes)
    if not larger.any():
        return
    low, high = extents(places, trusted)
    one, other = np.nonzero(larger)  # (m,)
    own, there = places[:, one], trusted[one]
    inside = ((own >= low[:, other, None]) & (own <= high[:, other, None])).all(axis=0) & there
    within = inside.sum(axis=1) > WITHIN * there.sum(axis=1)
    for row, middle in zip(one[within].tolist(), z[other[within]].tolist(), strict=True):
        likely[row, max(0, middle - 2) : middle + 3] *= HIDDEN


def look_larger(sizes: Floats) -> Flags:
    """Return who looks larger than whom, (n, others)."""
    return np.asarray((sizes > LOOKS_LARGER * sizes[:, None]) & (sizes[:, None] > 0))


def extents(places: Floats, trusted: Flags) -> tuple[Floats, Floats]:
    """Return the lowest and the highest columns and rows of bodies, (2, n) each."""
    low = np.where(trusted, places, np.inf).min(axis=2)
    return low, np.where(trusted, places, -np.inf).max(axis=2)
