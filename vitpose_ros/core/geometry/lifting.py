"""Keypoints and depth to joints in metres.

A depth camera sees skin and clothes, with holes, with edges that smear, and with whatever stands
before a person. So of each keypoint a patch as large as the limb counts, of it the surface in
front that belongs to the body, and the joint lies behind that by what anatomy.py says of it. A
joint that something hides shows in the lengths of its bones; it is inferred from the joints that
it hangs on, or unknown.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.anatomy import Body, body_of
from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.poses import Poses

UNKNOWN, INFERRED, MEASURED = 0, 1, 2  # states of joints

Floats = NDArray[np.float64]

# Where a patch is looked at, in its radii: a disc of 25 places.
_RINGS = ((0.0, 1), (0.45, 8), (0.95, 16))
_DISC = np.array(
    [
        (radius * np.cos(angle), radius * np.sin(angle))
        for radius, count in _RINGS
        for angle in 2 * np.pi * np.arange(count) / count
    ]
)
_ALONG = np.array([0.25, 0.5, 0.75])  # of a limb: where its depth is looked at
TRUNK_M = 0.4  # how much of a body lies at about one depth
LEAST = 0.25  # of a patch, that makes a surface


@dataclass(frozen=True)
class DepthError:
    """How wrong depths are: a standard deviation of constant + quadratic * z**2, metres."""

    constant: float = 0.002
    quadratic: float = 0.003

    def sigma(self, z: Floats) -> Floats:
        """Return the standard deviation at depths, metres."""
        return self.constant + self.quadratic * z * z


STEREO = DepthError()  # a common stereo camera with a base of 50 mm


@dataclass(frozen=True, eq=False)
class Joints:
    """The joints of the subjects of a frame, in the optical frame of the camera."""

    points: NDArray[np.float32]  # (n, k, 3) float32, metres: x right, y down, z ahead; or NaN
    states: NDArray[np.uint8]  # (n, k): UNKNOWN, INFERRED or MEASURED
    covariances: NDArray[np.float32]  # (n, k, 3, 3) float32, metres squared; NaN where unknown


def lift(
    poses: Poses,
    depth: Depth,
    camera: PinholeCamera,
    *,
    error: DepthError = STEREO,
    min_score: float = 0.25,
) -> Joints:
    """Return the joints of all subjects of a frame.

    camera: of the image that the poses are of. min_score: keypoints below it are not looked at.
    """
    n, k = poses.scores.shape
    joints = Joints(
        np.full((n, k, 3), np.nan, np.float32),
        np.zeros((n, k), np.uint8),
        np.full((n, k, 3, 3), np.nan, np.float32),
    )
    for name in dict.fromkeys(poses.skeletons):
        rows = np.array([skeleton == name for skeleton in poses.skeletons], dtype=bool)
        own = poses[rows]
        found = _Lifting(own, body_of(name), depth, camera, error, min_score).joints()
        k = found.states.shape[1]
        joints.points[rows, :k] = found.points
        joints.states[rows, :k] = found.states
        joints.covariances[rows, :k] = found.covariances
    return joints


class _Lifting:
    """One computation, for subjects (n) of one keypoint set (k)."""

    def __init__(
        self,
        poses: Poses,
        body: Body,
        depth: Depth,
        camera: PinholeCamera,
        error: DepthError,
        min_score: float,
    ) -> None:
        self.body, self.depth, self.camera, self.error = body, depth, camera, error
        self.poses = poses
        with np.errstate(invalid='ignore'):
            self.trusted = poses.scores >= min_score  # (n, k)
        # (n, k, 2): x and y of the keypoints at depth 1
        self.rays = camera.at_depth(poses.keypoints, 1.0)[..., :2]

    def joints(self) -> Joints:
        """Do all of it."""
        trunk = self._trunk()
        surface, noise = self._surfaces(trunk)
        slant = np.sqrt(1 + (self.rays**2).sum(axis=-1))
        z = surface + self.body.behind / slant
        states = np.where(np.isfinite(z), MEASURED, UNKNOWN).astype(np.uint8)
        points = np.concatenate((self.rays, np.ones_like(z)[..., None]), axis=-1) * z[..., None]
        return Joints(
            points.astype(np.float32),
            states,
            self._covariances(z, noise).astype(np.float32),
        )

    def _trunk(self) -> Floats:
        """Return the depth that most of each body has, (n,); NaN where there is none."""
        first, second = self.body.limbs.T
        a, b = self.rays[:, first, None], self.rays[:, second, None]
        along = (a + (b - a) * _ALONG[:, None]).reshape(len(a), -1, 2)
        both = (self.trusted[:, first] & self.trusted[:, second]).repeat(len(_ALONG), axis=1)
        places = np.concatenate((self.rays, along), axis=1)
        z = self.depth.at(places, np.zeros(2))
        z[~np.concatenate((self.trusted, both), axis=1)] = np.nan
        z.sort(axis=1)  # NaN at the end
        with np.errstate(invalid='ignore'):
            counts = (z[:, None] <= z[..., None] + TRUNK_M) & (z[:, None] >= z[..., None])
        best = counts.sum(axis=2).argmax(axis=1)
        start = np.take_along_axis(z, best[:, None], axis=1)
        with np.errstate(invalid='ignore'):
            z[~((z >= start) & (z <= start + TRUNK_M))] = np.nan
        return _nanmedian(z)

    def _surfaces(self, trunk: Floats) -> tuple[Floats, Floats]:
        """Return the depth of the skin at each keypoint, and its standard deviation, (n, k)."""
        body = self.body
        focal = (self.depth.camera.focal_x + self.depth.camera.focal_y) / 2
        with np.errstate(invalid='ignore', divide='ignore'):
            radius = np.maximum(body.radius * focal / trunk[:, None], 0.6)  # (n, k) pixels
        z = self.depth.at(self.rays[:, :, None], radius[..., None, None] * _DISC)  # (n, k, s)
        with np.errstate(invalid='ignore'):
            near = np.abs(z - trunk[:, None, None]) <= body.reach[:, None]
        z[~near | ~self.trusted[..., None]] = np.nan
        z.sort(axis=2)
        sigma = self.error.sigma(trunk)
        window = (0.04 + 2.5 * sigma)[:, None, None]
        with np.errstate(invalid='ignore'):
            after = z[:, :, None] - z[..., None]  # (n, k, s, s): of others behind this one
            counts = ((after >= 0) & (after <= window[..., None])).sum(axis=3)
        enough = counts >= LEAST * z.shape[2]
        first = enough.argmax(axis=2)  # the nearest
        start = np.take_along_axis(z, first[..., None], axis=2)
        with np.errstate(invalid='ignore'):
            z[~((z >= start) & (z <= start + window))] = np.nan
        z[~enough.any(axis=2)] = np.nan
        count = np.isfinite(z).sum(axis=2)
        with np.errstate(invalid='ignore', divide='ignore'):
            mean = np.where(count > 0, np.nansum(z, axis=2) / count, np.nan)
        # Neighbours err together: of a patch a quarter counts as independent.
        return mean, self.error.sigma(mean) / np.sqrt(np.maximum(count / 4, 1))

    def _covariances(self, z: Floats, noise: Floats) -> Floats:
        """Return (n, k, 3, 3) of joints at depths z: from the pixels' and the depths' errors."""
        n, k = z.shape
        spread = self.poses.heatmap_spread
        pixels = np.zeros((n, k, 2, 2))
        pixels[..., 0, 0] = pixels[..., 1, 1] = 4.0 if spread is None else 0.0
        if spread is not None:
            pixels = spread.astype(np.float64)
        jacobian = np.zeros((n, k, 3, 3))
        jacobian[..., 0, 0] = z / self.camera.focal_x
        jacobian[..., 1, 1] = z / self.camera.focal_y
        jacobian[..., :2, 2] = self.rays
        jacobian[..., 2, 2] = 1
        inner = np.zeros((n, k, 3, 3))
        inner[..., :2, :2] = pixels
        inner[..., 2, 2] = noise**2 + self.body.spread**2
        return np.asarray(jacobian @ inner @ jacobian.swapaxes(-1, -2))


def _nanmedian(values: Floats) -> Floats:
    """Return the medians of rows whose NaN stand at the end after sorting; NaN for none."""
    values = np.sort(values, axis=1)
    count = np.isfinite(values).sum(axis=1)
    middle = np.maximum(count - 1, 0) // 2
    return np.asarray(np.take_along_axis(values, middle[:, None], axis=1)[:, 0])
