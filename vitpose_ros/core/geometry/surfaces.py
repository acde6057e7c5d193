"""The surface that a depth camera sees at each keypoint.

Of each keypoint a patch as large as the limb counts, of it the surface in front that is about as
far away as the body.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.anatomy import Body
from vitpose_ros.core.geometry.depth import HOLE, Depth

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class DepthError:
    """How wrong depths are: a standard deviation of constant + quadratic * z**2, metres."""

    constant: float = 0.001
    quadratic: float = 0.0025
    alike: float = 7.0  # pixels of the depth image, a side, within which errors are the same

    def sigma(self, z: Floats) -> Floats:
        """Return the standard deviation at depths, metres."""
        return self.constant + self.quadratic * z * z


STEREO = DepthError()  # a common stereo camera with a base of 50 mm

TRUNK_M = 0.4  # how much of a body lies at about one depth
SMALL, LARGE = 0.8, 1.2  # sizes that most people have, 1 for a grown one
SIZE_STEP = 0.02
_OFF = np.maximum(np.arange(0, 2, SIZE_STEP) - LARGE, SMALL - np.arange(0, 2, SIZE_STEP)) / 0.1
SIZES = np.exp(-0.5 * np.clip(_OFF, 0, 3) ** 2)  # how likely sizes are, in steps
BIN_M, BINS = TRUNK_M / 3, 120  # of the search for it: to 16 m
MIDDLES = (np.arange(BINS) + 1.5) * BIN_M  # of trunks that begin at a bin
HIDDEN_BY_OTHERS = 0.15  # how much less likely it makes a depth
ALONG = (0.33, 0.67)  # of a limb: where its depth is looked at
LEAST = 0.25  # of a patch, that makes a surface


def _rings(*rings: tuple[float, int]) -> NDArray[np.float32]:
    """Return places (2, s) on rings of a radius and a count of places."""
    places = [
        (radius * np.cos(angle), radius * np.sin(angle))
        for radius, count in rings
        for angle in 2 * np.pi * np.arange(count) / count
    ]
    return np.ascontiguousarray(np.array(places, dtype=np.float32).T)


DISC = _rings((0.0, 1), (0.5, 5), (0.9, 9))  # in radii of the patch
SMALL_DISC = _rings((0.0, 1), (0.7, 6))  # for face and hands


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What is seen at the keypoints; NaN where nothing is."""

    trunk: Floats  # (n,) metres: the depth of most of the body
    deeper: Floats  # (n,) 0 to 1: how much of what is seen on its limbs lies behind that
    z: Floats  # (n, k) metres: of the surface in front
    sigma: Floats  # (n, k) metres: its standard deviation


def surfaces_of(
    rays: Floats,
    trusted: Flags,
    body: Body,
    depth: Depth,
    error: DepthError,
    expected: NDArray[np.floating],
) -> Surfaces:
    """Return the surfaces at keypoints.

    rays: (n, k, 2) x and y at depth 1; trusted: (n, k), where the others are not looked at;
    expected: (n,) metres, where the bodies should be, or NaN.
    """
    places = depth.pixels(rays)
    trusted = trusted & depth.shows(*places)
    trunk, deeper = _trunks(rays, places, trusted, body, depth, expected)
    focal = (depth.camera.focal_x + depth.camera.focal_y) / 2
    known = np.where(np.isfinite(trunk), trunk, 1.0)
    radius = np.maximum(body.radius * focal / known[:, None], 0.6)  # (n, k) pixels
    window = (0.04 + 2.5 * error.sigma(known))[:, None]
    z, sigma = np.full((2, *trusted.shape), np.nan)
    for chosen, disc in _discs(body):
        r = radius[:, chosen, None].astype(np.float32)
        x, y = (
            place[:, chosen, None].astype(np.float32) + r * d
            for place, d in zip(places, disc, strict=True)
        )
        seen = depth.at(x, y)  # (n, chosen, s)
        own = np.abs(seen - known[:, None, None]) <= body.reach[chosen, None]
        seen[~own] = np.nan
        z[:, chosen], share = _front(seen, window)
        independent = 1 + share * np.pi * (radius[:, chosen] / error.alike) ** 2
        sigma[:, chosen] = error.sigma(z[:, chosen]) / np.sqrt(independent)
    z[~(trusted & np.isfinite(trunk)[:, None])] = np.nan
    return Surfaces(trunk, deeper, z, sigma)


@functools.cache
def _discs(body: Body) -> tuple[tuple[slice | Flags, NDArray[np.float32]], ...]:
    """Return keypoints, and where around them is looked, (2, s) in radii."""
    if not body.fine.any():
        return ((slice(None), DISC),)
    return (~body.fine, DISC), (body.fine, SMALL_DISC)


def _trunks(
    rays: Floats,
    places: tuple[Floats, Floats],
    trusted: Flags,
    body: Body,
    depth: Depth,
    expected: NDArray[np.floating],
) -> tuple[Floats, Floats]:
    """Return trunk and deeper of Surfaces.

    Of all depths those count most that make the body as large as people are, and that are near
    to where it is expected.
    """
    n, lines = len(rays), _lines(body)
    z = depth.at(places[0] @ lines, places[1] @ lines)  # (n, m)
    is_seen = z < BINS * BIN_M
    is_seen &= (1.0 - trusted) @ (lines > 0) == 0
    bins = np.where(is_seen, z * (1 / BIN_M), BINS).astype(np.intp)
    bins += np.arange(n)[:, None] * (BINS + 3)
    counts = np.bincount(bins.ravel(), minlength=n * (BINS + 3)).reshape(n, -1)
    counts[:, BINS:] = 0
    near = counts[:, :-3] + counts[:, 1:-2] + counts[:, 2:-1]
    sizes = _sizes(rays, trusted, body)
    likely = near * _prior(sizes, expected)
    _not_of_others(likely, places, trusted, sizes)
    nearest = likely.argmax(axis=1)[:, None] * BIN_M
    behind = is_seen & (z > nearest + TRUNK_M)
    own = is_seen & (z >= nearest) & ~behind
    count = own.sum(axis=1)
    total = np.where(own, z, 0).sum(axis=1, dtype=np.float64)
    trunk = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    deeper = behind.sum(axis=1) / np.maximum(is_seen.sum(axis=1), 1)
    return trunk, deeper


@functools.cache
def _lines(body: Body) -> Floats:
    """Return the places where bodies are looked at, (k, m): shares of each keypoint."""
    own = np.eye(len(body.kinds))
    first, second = body.limbs.T
    along = [own[first] * (1 - share) + own[second] * share for share in ALONG]
    return np.ascontiguousarray(np.concatenate((own, *along)).T)


def _sizes(rays: Floats, trusted: Flags, body: Body) -> Floats:
    """Return how large bodies look, (n,): times their depth 1 for a grown person; 0: not known."""
    if not len(body.measures):
        return np.zeros(len(rays))
    first, second = body.measures, body.parents[body.measures]
    apart = rays[:, first] - rays[:, second]
    seen = np.sqrt(np.einsum('nbi,nbi->nb', apart, apart)) / body.parent_lengths[first]
    seen = np.sort(np.where(trusted[:, first] & trusted[:, second], seen, 0.0), axis=1)
    return seen[:, -max(1, seen.shape[1] // 3)]  # what is turned away looks shorter


def _prior(sizes: Floats, expected: NDArray[np.floating]) -> Floats:
    """Return how likely each bin of depth is for each body, (n, BINS)."""
    size = np.minimum(sizes[:, None] * (MIDDLES / SIZE_STEP), len(SIZES) - 1)
    prior = SIZES[size.astype(np.intp)]
    if not sizes.all():
        prior[sizes == 0] = 1
    if np.isfinite(expected).any():
        off = np.clip((expected[:, None] - MIDDLES) / 0.3, -3, 3)
        prior *= np.where(np.isfinite(expected)[:, None], np.exp(-0.5 * off**2), 1.0)
    return prior


def _not_of_others(
    likely: Floats, places: tuple[Floats, Floats], trusted: Flags, sizes: Floats
) -> None:
    """Make depths (n, BINS) less likely for somebody whom another one hides.

    Who looks smaller, within somebody at whose depth the keypoints seem to be, is behind.
    """
    z = likely.argmax(axis=1)
    alike = np.abs(z - z[:, None]) < TRUNK_M / BIN_M
    larger = alike & (sizes > 1.2 * sizes[:, None]) & (sizes[:, None] > 0)  # (n, others)
    if not larger.any():
        return
    low = [np.where(trusted, place, np.inf).min(axis=1) for place in places]
    high = [np.where(trusted, place, -np.inf).max(axis=1) for place in places]
    for one, other in np.argwhere(larger):
        x, y = (place[one, trusted[one]] for place in places)
        inside = (x >= low[0][other]) & (x <= high[0][other])
        inside &= (y >= low[1][other]) & (y <= high[1][other])
        if inside.mean() > 0.5:
            likely[one, max(0, z[other] - 2) : z[other] + 3] *= HIDDEN_BY_OTHERS


def _front(z: NDArray[np.float32], window: Floats) -> tuple[Floats, Floats]:
    """Return the mean of the nearest surface of patches z (n, k, s), and its share of a patch.

    A surface are so many depths within a window (n, 1) metres.
    """
    shape = z.shape[:2]
    z.sort(axis=2)  # NaN at the end
    z = z.reshape(-1, z.shape[2])
    within = np.repeat(window, shape[1]).astype(np.float32)[:, None]
    least = int(np.ceil(LEAST * z.shape[1]))
    enough = z[:, least - 1 :] - z[:, : z.shape[1] - least + 1] <= within
    rows, first = np.arange(len(z)), enough.argmax(axis=1)
    start = np.where(enough[rows, first], z[rows, first], HOLE)[:, None]
    chosen = (z >= start) & (z <= start + within)
    count = chosen.sum(axis=1)
    total = np.where(chosen, z, 0).sum(axis=1)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean.reshape(shape), (count / z.shape[1]).reshape(shape)
