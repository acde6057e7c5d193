"""Sensors: cameras on a robot that stands, drives or turns, and how they see points."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.pinhole import PinholeCamera
from world.renderer import FAR, NEAR

Array = NDArray[Any]


@dataclass(frozen=True)
class Lens:
    """The size of an image and where the points before the camera are in it."""

    width: int  # pixels
    height: int
    camera: PinholeCamera

    @classmethod
    def of(cls, width: int, height: int, degrees: float) -> 'Lens':
        """Return a lens that sees so many degrees across."""
        focal = width / 2 / np.tan(np.radians(degrees) / 2)
        return cls(width, height, PinholeCamera(focal, focal, (width - 1) / 2, (height - 1) / 2))

    def reduced(self, factor: int) -> 'Lens':
        """Return the lens of an image with as many times fewer rows and columns."""
        c = self.camera
        camera = PinholeCamera(
            c.focal_x / factor,
            c.focal_y / factor,
            (c.centre_x + 0.5) / factor - 0.5,
            (c.centre_y + 0.5) / factor - 0.5,
        )
        return Lens(self.width // factor, self.height // factor, camera)

    def rays(self) -> Array:
        """Return where each pixel looks, (h, w, 3) in the optical frame, with z = 1."""
        c = self.camera
        x = (np.arange(self.width) - c.centre_x) / c.focal_x
        y = (np.arange(self.height) - c.centre_y) / c.focal_y
        rays = np.ones((self.height, self.width, 3))
        rays[..., 0], rays[..., 1] = x, y[:, None]
        return rays


# Of common RGB-D cameras: 60 degrees across at 4:3, 69 degrees at 16:9.
LENSES = {'640x480': Lens.of(640, 480, 60.0), '1280x720': Lens.of(1280, 720, 69.0)}


@dataclass(frozen=True)
class Mount:
    """A camera on a robot."""

    name: str = 'front'
    lens: Lens = LENSES['640x480']
    position: tuple[float, float, float] = (
        0.15,
        0.0,
        1.2,
    )  # metres, on the robot: ahead, left, up
    yaw: float = 0.0  # degrees to the left
    pitch: float = 1.0  # degrees down
    rate_hz: float = 15.0
    phase_s: float = 0.0  # the time of the first image
    delay_s: float = 0.0  # from the image's stamp until it arrives

    def on_robot(self) -> Array:
        """Return the pose (4, 4): of the optical frame on the robot."""
        yaw, pitch = np.radians(self.yaw), np.radians(self.pitch)
        c, s = np.cos(pitch), np.sin(pitch)
        forward = np.array([np.cos(yaw) * c, np.sin(yaw) * c, -s])
        right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
        pose = np.eye(4)
        pose[:3, :3] = np.stack((right, np.cross(forward, right), forward), axis=1)
        pose[:3, 3] = self.position
        return pose


@dataclass(frozen=True)
class Drive:
    """How a robot moves: straight on, and turning to and fro. It starts at the origin, along x."""

    speed_mps: float = 0.0
    turn_degrees: float = 0.0  # how far to each side
    period_s: float = 8.0  # of turning to both sides and back

    def pose(self, second: float) -> Array:
        """Return the pose (4, 4) of the robot in the world."""
        yaw = np.radians(self.turn_degrees) * np.sin(2 * np.pi * second / self.period_s)
        pose = np.eye(4)
        pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        pose[0, 3] = self.speed_mps * second
        return pose


@dataclass(frozen=True)
class Viewpoint:
    """A lens somewhere: what world.people.People needs of a camera, and the way back."""

    lens: Lens
    pose: Array  # (4, 4): optical frame to world
    corner: tuple[int, int] = (0, 0)  # x, y: pixel of the lens that is the first of the picture

    @property
    def eye(self) -> Array:
        """Where it is, (3,) metres."""
        return self.pose[:3, 3]

    def local(self, points: Array) -> Array:
        """Return points (n, 3) of the world in the optical frame."""
        return (points - self.eye) @ self.pose[:3, :3]

    def project(self, points: Array) -> tuple[Array, Array]:
        """Return where points (n, 3) are seen, (n, 2) pixels, and their depth (n,)."""
        seen = self.local(points)
        c = self.lens.camera
        ahead = np.maximum(seen[:, 2], NEAR)
        pixels = seen[:, :2] / ahead[:, None] * (c.focal_x, c.focal_y)
        pixels += np.array((c.centre_x, c.centre_y)) - self.corner
        return pixels, seen[:, 2]

    def cropped(self, x: int, y: int) -> 'Viewpoint':
        """Return the view whose pictures begin at a pixel."""
        return replace(self, corner=(x, y))

    def reduced(self, factor: int) -> 'Viewpoint':
        """Return the view in fewer pixels: see Lens.reduced."""
        return Viewpoint(self.lens.reduced(factor), self.pose)

    def matrix(self, size: tuple[int, int]) -> Array:
        """Return the projection (4, 4) from the world to OpenGL's clip space."""
        height, width = size
        view = np.eye(4)
        rotation = self.pose[:3, :3].T
        view[:3, :3], view[:3, 3] = rotation, -rotation @ self.eye
        c = self.lens.camera
        x, y = c.centre_x - self.corner[0] + 0.5, c.centre_y - self.corner[1] + 0.5
        projection = np.array(
            [
                [2 * c.focal_x / width, 0, 2 * x / width - 1, 0],
                [0, -2 * c.focal_y / height, 1 - 2 * y / height, 0],
                [0, 0, (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)],
                [0, 0, 1, 0],
            ]
        )
        return projection @ view
