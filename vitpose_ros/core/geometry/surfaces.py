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
from vitpose_ros.core.geometry.trunks import TRUNK_M, extents, look_larger, trunks_of

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class DepthError:
    """How wrong depths are: a standard deviation of constant + quadratic * z**2, metres.

    Of stereo z = f b / d, so that an error of the disparity d makes one of z**2 * error / (f b)
    (Khoshelham and Elberink, "Accuracy and Resolution of Kinect Depth Data for Indoor Mapping
    Applications", Sensors 2012). quadratic is error / (f b): 0.0025 for an error of 0.08 pixels,
    between the 0.05 and 0.1 of good texture (Keselman et al., "Intel RealSense Stereoscopic Depth
    Cameras", CVPR workshops 2017), a focal length of 640 pixels (1280 pixels and 90 degrees wide)
    and a base of 50 mm; 0.0052 for the same camera at 640 x 480 and 0.1 pixels; 0.0019 for a
    Kinect of the first kind (Nguyen et al., 3DIMPVT 2012). Matching compares windows, so that
    errors of neighbours go together: alike. Time of flight: DepthError(0.01, 0.0, alike=1.0).
    """

    constant: float = 0.001
    quadratic: float = 0.0025
    alike: float = 7.0  # pixels of the depth image, a side, within which errors are the same

    def sigma(self, z: Floats) -> Floats:
        """Return the standard deviation at depths, metres."""
        return self.constant + self.quadratic * z * z


STEREO = DepthError()  # a common stereo camera: base of 50 mm, 1280 pixels wide

LEAST = 0.25  # of a patch, that makes a surface
DEEP_M, SIGMAS = 0.04, 2.5  # how deep a surface is: that, and so many standard deviations
LEAST_RADIUS = 0.6  # of a patch, pixels


def _rings(*rings: tuple[float, int]) -> NDArray[np.float32]:
    """Return places (2, 1, 1, s) on rings of a radius and a count of places."""
    places = [
        (radius * np.cos(angle), radius * np.sin(angle))
        for radius, count in rings
        for angle in 2 * np.pi * np.arange(count) / count
    ]
    return np.ascontiguousarray(np.array(places, dtype=np.float32).T).reshape(2, 1, 1, -1)


DISC = _rings((0.0, 1), (0.5, 5), (0.9, 9))  # in radii of the patch
SMALL_DISC = _rings((0.0, 1), (0.7, 6))  # for face and hands


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What is seen at the keypoints; NaN where nothing is."""

    trunk: Floats  # (n,) metres: the depth of most of the body
    deeper: Floats  # (n,) 0 to 1: how much of what is seen on its limbs lies behind that
    z: Floats  # (n, k) metres: of the surface in front
    sigma: Floats  # (n, k) metres: its standard deviation
    on_another: Flags  # (n, k): it is as far away as somebody in front, within whom it is seen
    on_larger: Flags  # (n, k): the same of somebody as far away as the body, who looks larger


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
    places = depth.places(rays)
    trusted = trusted & depth.shows(places)
    trunk, deeper, sizes = trunks_of(rays, places, trusted, body, depth, expected)
    focal = (depth.camera.focal_x + depth.camera.focal_y) / 2
    known = np.where(np.isfinite(trunk), trunk, 1.0)[:, None]
    radius = np.maximum(body.radius * focal / known, LEAST_RADIUS)  # (n, k) pixels
    window = DEEP_M + SIGMAS * error.sigma(known)
    z, share = np.empty((2, *trusted.shape))
    for chosen, disc in _discs(body):
        middles = places[:, :, chosen, None].astype(np.float32)
        seen = depth.at(middles + radius[:, chosen, None].astype(np.float32) * disc)
        own = np.abs(seen - known[:, None]) <= body.reach[chosen, None]
        seen[~own] = np.nan
        z[:, chosen], share[:, chosen] = _front(seen, window)
    z[~(trusted & np.isfinite(trunk)[:, None])] = np.nan
    independent = 1 + share * np.pi * (radius / error.alike) ** 2
    sigma = error.sigma(z) / np.sqrt(independent)
    before = trunk < trunk[:, None] - TRUNK_M  # (n, others)
    larger = (np.abs(trunk - trunk[:, None]) < TRUNK_M) & look_larger(sizes)
    on_another, on_larger = _on((before, larger), z, trunk, places, trusted)
    return Surfaces(trunk, deeper, z, sigma, on_another, on_larger)


@functools.cache
def _discs(body: Body) -> tuple[tuple[slice | Flags, NDArray[np.float32]], ...]:
    """Return keypoints, and where around them is looked, (2, 1, 1, s) in radii."""
    if not body.fine.any():
        return ((slice(None), DISC),)
    return (~body.fine, DISC), (body.fine, SMALL_DISC)


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


def _on(
    kinds: tuple[Flags, ...], z: Floats, trunk: Floats, places: Floats, trusted: Flags
) -> list[Flags]:
    """Return of kinds of others, (n, n) each, what (n, k) is as far away, and seen within them."""
    others = np.logical_or.reduce(kinds)
    if not others.any():
        return [np.zeros(z.shape, dtype=bool) for _ in kinds]
    low, high = extents(places, trusted)
    one, other = np.nonzero(others)  # (m,)
    meet = ((low[:, one] <= high[:, other]) & (high[:, one] >= low[:, other])).all(axis=0)
    one, other = one[meet], other[meet]
    own = places[:, one]
    on = ((own >= low[:, other, None]) & (own <= high[:, other, None])).all(axis=0)
    on &= np.abs(z[one] - trunk[other, None]) < TRUNK_M
    whose = np.arange(len(z))[:, None] == one
    return [np.asarray((whose & kind[one, other]) @ on) for kind in kinds]
