"""The surface that a depth camera sees at each keypoint.

Of each keypoint a patch as large as the limb counts, of it the surface in front that belongs to
the body. What is around the patch tells a limb before a background from a place on a trunk.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.anatomy import Body
from vitpose_ros.core.geometry.depth import Depth

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
BIN_M, BINS = 0.1, 200  # of the search for it: to 20 m
MIDDLES = (np.arange(BINS) + TRUNK_M / BIN_M / 2) * BIN_M  # of what is at a bin
ALONG = np.array([0.25, 0.5, 0.75])  # of a limb: where its depth is looked at
LEAST = 0.25  # of a patch, that makes a surface
STEP_M = 0.05  # between two surfaces


def _rings(*rings: tuple[float, int]) -> NDArray[np.float32]:
    """Return places (s, 2) on rings of a radius and a count of places."""
    places = [
        (radius * np.cos(angle), radius * np.sin(angle))
        for radius, count in rings
        for angle in 2 * np.pi * np.arange(count) / count
    ]
    return np.array(places, dtype=np.float32)


DISC = _rings((0.0, 1), (0.45, 8), (0.95, 16))  # in radii of the patch
SMALL_DISC = _rings((0.0, 1), (0.7, 6))  # for face and hands
AROUND = _rings((1.6, 8), (2.5, 8))


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What is seen at the keypoints; NaN where nothing is."""

    trunk: Floats  # (n,) metres: the depth of most of the body
    deeper: Floats  # (n,) 0 to 1: how much of what is seen on its limbs lies behind that
    z: Floats  # (n, k) metres: of the surface in front
    sigma: Floats  # (n, k) metres: its standard deviation
    # (n, k) 0 to 1, of what is around: how much steps back, how much stands in front, and how
    # much steps back on that of two opposite sides where it does so less, for the best two.
    behind: Floats
    before: Floats
    both_sides: Floats


def surfaces_of(
    rays: Floats,
    trusted: Flags,
    body: Body,
    depth: Depth,
    error: DepthError,
    expected: Floats,
) -> Surfaces:
    """Return the surfaces at keypoints.

    rays: (n, k, 2) x and y at depth 1; trusted: (n, k), where the others are not looked at;
    expected: (n,) metres, where the bodies should be, or NaN.
    """
    pixels = np.where(trusted[..., None], depth.pixels(rays), -np.inf)
    trunk, deeper = _trunks(rays, pixels, trusted, body, depth, expected)
    focal = (depth.camera.focal_x + depth.camera.focal_y) / 2
    known = np.where(np.isfinite(trunk), trunk, 1.0)
    radius = np.maximum(body.radius * focal / known[:, None], 0.6)  # (n, k) pixels
    window = (0.04 + 2.5 * error.sigma(known))[:, None]
    n, k = trusted.shape
    z, sigma = np.full((2, n, k), np.nan)
    shares = np.zeros((3, n, k))
    for chosen, disc in ((~body.fine, DISC), (body.fine, SMALL_DISC)):
        if not chosen.any():
            continue
        at, r = pixels[:, chosen, None].astype(np.float32), radius[:, chosen].astype(np.float32)
        places = disc if body.fine[chosen].any() else np.concatenate((disc, AROUND))
        seen = depth.at(at + r[..., None, None] * places)
        inner = seen[..., : len(disc)]
        with np.errstate(invalid='ignore'):
            own = np.abs(inner - known[:, None, None]) <= body.reach[chosen][:, None]
        front, count = _front(np.where(own, inner, np.float32(np.nan)), window)
        z[:, chosen] = front
        area = count / len(disc) * np.pi * r * r
        independent = np.maximum(area / error.alike**2, 1.0)
        sigma[:, chosen] = error.sigma(front) / np.sqrt(independent)
        if len(places) > len(disc):
            shares[:, :, chosen] = _around(seen[..., len(disc) :] - front[..., None])
    z[~np.isfinite(trunk)] = np.nan
    return Surfaces(trunk, deeper, z, sigma, *shares)


def _trunks(
    rays: Floats, pixels: Floats, trusted: Flags, body: Body, depth: Depth, expected: Floats
) -> tuple[Floats, Floats]:
    """Return trunk and deeper of Surfaces.

    Of all depths those count most that make the body as large as people are, and that are near
    to where it is expected.
    """
    n = len(rays)
    first, second = body.limbs.T
    along = (
        pixels[:, first, None] * (1 - ALONG[:, None]) + pixels[:, second, None] * ALONG[:, None]
    )
    places = np.concatenate((pixels, along.reshape(n, -1, 2)), axis=1)
    z = depth.at(places)  # (n, m)
    is_seen = np.isfinite(z)
    bins = np.where(is_seen, np.minimum(z / BIN_M, BINS - 1), BINS).astype(np.intp)
    counts = np.bincount(
        (bins + np.arange(n)[:, None] * (BINS + 1)).ravel(), minlength=n * (BINS + 1)
    ).reshape(n, -1)[:, :BINS]
    width = round(TRUNK_M / BIN_M)
    total = np.cumsum(np.pad(counts, ((0, 0), (1, width))), axis=1)
    sizes = _sizes(rays, trusted, body)
    likely = (total[:, width:] - total[:, :-width])[:, :BINS] * _prior(sizes, expected)
    first = likely.argmax(axis=1) * BIN_M
    likely *= _not_of_others(pixels, trusted, sizes, first)
    start = likely.argmax(axis=1)[:, None] * BIN_M
    with np.errstate(invalid='ignore'):
        deeper = (z > start + TRUNK_M).sum(axis=1) / np.maximum(is_seen.sum(axis=1), 1)
        z[~((z >= start) & (z <= start + TRUNK_M))] = np.nan
    return _median(z), deeper


def _sizes(rays: Floats, trusted: Flags, body: Body) -> Floats:
    """Return how large bodies look, (n,): times their depth 1 for a grown person; 0: not known."""
    if not len(body.measures):
        return np.zeros(len(rays))
    first, second = body.measures.T
    apart = rays[:, first] - rays[:, second]
    seen = np.sqrt((apart * apart).sum(axis=2)) / body.measure_lengths
    seen = np.sort(np.where(trusted[:, first] & trusted[:, second], seen, 0.0), axis=1)
    return seen[:, -max(1, seen.shape[1] // 3)]  # what is turned away looks shorter


def _prior(sizes: Floats, expected: Floats) -> Floats:
    """Return how likely each bin of depth is for each body, (n, BINS)."""
    size = sizes[:, None] * MIDDLES
    off = np.clip(np.maximum(size - LARGE, SMALL - size) / 0.1, 0, 3)
    prior = np.where(size > 0, np.exp(-0.5 * off**2), 1.0)
    if np.isfinite(expected).any():
        off = np.clip((expected[:, None] - MIDDLES) / 0.3, -3, 3)
        prior *= np.where(np.isfinite(expected)[:, None], np.exp(-0.5 * off**2), 1.0)
    return prior


def _not_of_others(pixels: Floats, trusted: Flags, sizes: Floats, z: Floats) -> Floats:
    """Return how likely each bin of depth is, (n, BINS), for somebody whom another one hides.

    Who looks smaller, within somebody at whose depth z (n,) his keypoints seem to be, is behind.
    """
    factor = np.ones((len(z), BINS))
    larger = (sizes > 1.2 * sizes[:, None]) & (np.abs(z - z[:, None]) < TRUNK_M)  # (n, others)
    if not larger.any():
        return factor
    low = np.where(trusted[..., None], pixels, np.inf).min(axis=1)
    high = np.where(trusted[..., None], pixels, -np.inf).max(axis=1)
    inside = ((pixels[:, None] >= low[:, None]) & (pixels[:, None] <= high[:, None])).all(axis=3)
    share = inside.sum(axis=2) / np.maximum(trusted.sum(axis=1), 1)[:, None]
    for one, other in np.argwhere(larger & (share > 0.5)):
        factor[one, np.abs(MIDDLES - z[other] - TRUNK_M / 2) < TRUNK_M] = 0.15
    return factor


def _front(z: NDArray[np.float32], window: Floats) -> tuple[Floats, Floats]:
    """Return the mean of the nearest surface of patches z (n, k, s), and how much makes it.

    A surface are so many depths within a window (n, 1) metres.
    """
    z = np.sort(z, axis=2)  # NaN at the end
    least = int(np.ceil(LEAST * z.shape[2]))
    with np.errstate(invalid='ignore'):
        enough = z[..., least - 1 :] - z[..., : z.shape[2] - least + 1] <= window[..., None]
        first = enough.argmax(axis=2)[..., None]
        start = np.take_along_axis(z, first, axis=2)
        chosen = (z >= start) & (z <= start + window[..., None]) & enough.any(axis=2)[..., None]
    count = chosen.sum(axis=2)
    total = np.where(chosen, z, 0).sum(axis=2, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count.astype(np.float64)


def _around(ahead: NDArray[np.float32]) -> Floats:
    """Return the shares (3, n, k) of Surfaces from how far all around lies behind (n, k, 16)."""
    with np.errstate(invalid='ignore'):
        behind = ~(ahead <= STEP_M)
        before = ahead < -STEP_M
    sides = behind.reshape(*behind.shape[:2], 2, 8).mean(axis=2)  # of each of 8 directions
    near = (np.roll(sides, 1, axis=2) + sides + np.roll(sides, -1, axis=2)) / 3
    both = np.minimum(near[..., :4], near[..., 4:]).max(axis=2)
    return np.stack((behind[..., 8:].mean(axis=2), before[..., 8:].mean(axis=2), both))


def _median(values: NDArray[np.float32]) -> Floats:
    """Return the medians of rows; NaN for those without numbers."""
    values = np.sort(values, axis=1)  # NaN at the end
    count = np.isfinite(values).sum(axis=1)
    middle = np.maximum(count - 1, 0) // 2
    return np.take_along_axis(values, middle[:, None], axis=1)[:, 0].astype(np.float64)
