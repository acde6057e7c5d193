"""What a camera's own motion does to what was in its image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.pinhole import PinholeCamera

Array = NDArray[np.float64]

NEAREST = 0.1  # of a point's former depth; one that comes closer, or behind the camera, stays here


def inverse_of(pose: Array) -> Array:
    """Return the inverse of a pose (4, 4): a rotation and where it is."""
    inverse = np.eye(4)
    inverse[:3, :3] = pose[:3, :3].T
    inverse[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return inverse


def transformed(pose: Array, points: Array) -> Array:
    """Return points (..., 3) of a pose's frame in the frame that the pose (4, 4) leads to."""
    return np.asarray(points @ pose[:3, :3].T + pose[:3, 3])


def rotated(pose: Array, covariances: Array) -> Array:
    """Return covariances (..., 3, 3) of a pose's frame in the frame that it leads to."""
    rotation = pose[:3, :3]
    return np.asarray(rotation @ covariances @ rotation.T)


@dataclass(frozen=True)
class CameraMotion:
    """From one image of a camera to its next."""

    camera: PinholeCamera
    step: Array  # (4, 4): the optical frame that was → the optical frame that is, metres

    def move(self, points: Array, depths: Array) -> tuple[Array, Array]:
        """Return where points of the former image are in the new one, as far as the camera moved.

        points: (m, 2) pixels; depths: (m,) metres, or infinite where nobody knows: those feel the
        rotation alone, by the homography K R K^-1. Returns (m, 2) and the derivatives (m, 2, 2) of
        the new places by the old ones.
        """
        c = self.camera
        focal = np.array((c.focal_x, c.focal_y))
        centre = np.array((c.centre_x, c.centre_y))
        rotation, shift = self.step[:3, :3], self.step[:3, 3]
        rays = (points - centre) / focal  # at depth 1
        moved = rays @ rotation[:, :2].T + rotation[:, 2] + shift / depths[:, None]
        ahead = np.maximum(moved[:, 2:], NEAREST)
        places = moved[:, :2] / ahead
        columns = rotation[:, :2] / focal
        change = columns[None, :2] - places[:, :, None] * columns[None, 2:]
        derivatives = change * (focal[:, None] / ahead[:, :, None])
        return places * focal + centre, derivatives
