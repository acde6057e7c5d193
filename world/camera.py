"""The camera that looks at a person."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.renderer import FAR, NEAR

Array = NDArray[Any]

CLOSEST = 0.35  # metres before a person


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at the middle of a person."""

    yaw: float  # where it stands around the person; 0: in front, pi / 2: at its left; radians
    pitch: float  # how far it looks down, radians
    roll: float
    distance: float  # metres
    target: Array  # (3,): the point that it looks at
    focal: float = 1.0  # pixels
    corner: tuple[float, float] = (0.0, 0.0)  # pixel position of the upper left corner

    @classmethod
    def sample(cls, rng: np.random.Generator) -> 'Camera':
        """Draw a camera: people are seen from the front, from behind or from anywhere."""
        yaw = [rng.normal(0, 0.5), rng.normal(np.pi, 0.6), rng.uniform(-np.pi, np.pi)][
            rng.choice(3, p=[0.32, 0.26, 0.42])
        ]
        high = rng.random() < 0.12  # surveillance
        pitch = rng.uniform(25, 55) if high else rng.normal(7, 11)
        return cls(
            yaw=yaw,
            pitch=np.radians(pitch),
            roll=np.radians(rng.normal(0, 3)),
            distance=float(np.exp(rng.uniform(np.log(1.8), np.log(14)))),
            target=np.zeros(3),
        )

    @property
    def eye(self) -> Array:
        """Where it is, metres."""
        return self.target - self.distance * self.axes[2]

    @property
    def axes(self) -> Array:
        """Its right, down and forward directions, rows of (3, 3)."""
        c, s = np.cos(self.pitch), np.sin(self.pitch)
        forward = np.array([-np.sin(self.yaw) * c, np.cos(self.yaw) * c, -s])
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        c, s = np.cos(self.roll), np.sin(self.roll)
        return np.stack((c * right + s * down, c * down - s * right, forward))

    def aimed(self, vertices: Array) -> 'Camera':
        """Return the camera, looking at the middle of a mesh."""
        middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
        return replace(self, target=middle)

    def near(self, rng: np.random.Generator, head: Array, vertices: Array) -> 'Camera':
        """Return the camera close to a person, looking at the head (3,) or below it.

        It stays before all vertices (n, 3), a hand that is stretched out at it included.
        """
        distance = float(np.exp(rng.uniform(np.log(0.8), np.log(2.2))))
        camera = replace(self, distance=distance, target=head - [0, 0, rng.uniform(0, 0.4)])
        lacking = CLOSEST - camera.project(vertices)[1].min()
        return replace(camera, distance=distance + max(0.0, float(lacking)))

    def cropped(self, scale: float, corner: Array) -> 'Camera':
        """Return the camera with larger pixels' positions, counted from another corner."""
        x, y = (float(c) for c in corner)
        return replace(self, focal=self.focal * scale, corner=(x, y))

    def project(self, points: Array) -> tuple[Array, Array]:
        """Return where points (n, 3) are seen, (n, 2) pixels, and their distance (n,) ahead."""
        seen = (points - self.eye) @ self.axes.T
        ahead = np.maximum(seen[:, 2], NEAR)
        return self.focal * seen[:, :2] / ahead[:, None] - self.corner, seen[:, 2]

    def matrix(self, size: tuple[int, int]) -> Array:
        """Return the projection (4, 4) from the world to OpenGL's clip space."""
        height, width = size
        axes = self.axes
        view = np.eye(4)
        view[:3, :3], view[:3, 3] = axes, -axes @ self.eye
        x, y = (corner - 0.5 for corner in self.corner)  # pixel positions are those of centres
        projection = np.array(
            [
                [2 * self.focal / width, 0, -2 * x / width - 1, 0],
                [0, -2 * self.focal / height, 1 + 2 * y / height, 0],
                [0, 0, (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)],
                [0, 0, 1, 0],
            ]
        )
        return projection @ view
