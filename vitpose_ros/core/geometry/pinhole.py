"""The pinhole camera: pixels to directions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PinholeCamera:
    """Intrinsics, in pixels."""

    focal_x: float
    focal_y: float
    centre_x: float
    centre_y: float
    # Focal length times the way from the first camera of a stereo pair: P[3] and P[7].
    offset_x: float = 0.0
    offset_y: float = 0.0

    @classmethod
    def nominal(cls, width: int, height: int) -> 'PinholeCamera':
        """Return a plausible camera for an image whose intrinsics nobody told.

        Its horizontal field of view is 53 degrees: the focal length equals the width.
        """
        return cls(float(width), float(width), (width - 1) / 2, (height - 1) / 2)

    @classmethod
    def from_projection(
        cls, projection: Sequence[float], scale_x: float = 1.0, scale_y: float = 1.0
    ) -> 'PinholeCamera | None':
        """Return the camera of a projection matrix, or None if it is not one of a camera.

        projection: (12,), row by row, as the p of a CameraInfo. scale_x, scale_y: how much
        larger the image is than the one that the matrix is for.
        """
        values = np.asarray(projection, dtype=np.float64).reshape(3, 4)
        if not np.isfinite(values).all() or values[0, 0] <= 0 or values[1, 1] <= 0:
            return None
        (focal_x, _, centre_x, offset_x), (_, focal_y, centre_y, offset_y) = values[:2].tolist()
        camera = cls(focal_x, focal_y, centre_x, centre_y, offset_x, offset_y)
        return camera.scaled(scale_x, scale_y)

    def scaled(self, scale_x: float, scale_y: float) -> 'PinholeCamera':
        """Return the camera of an image that is so much larger."""
        return PinholeCamera(
            self.focal_x * scale_x,
            self.focal_y * scale_y,
            (self.centre_x + 0.5) * scale_x - 0.5,  # pixel centres have whole coordinates
            (self.centre_y + 0.5) * scale_y - 0.5,
            self.offset_x * scale_x,
            self.offset_y * scale_y,
        )

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return where points (..., 3) in the optical frame are seen, (..., 2) pixels."""
        x, y, z = (points[..., axis].astype(np.float64) for axis in range(3))
        return np.stack(
            (
                (self.focal_x * x + self.offset_x) / z + self.centre_x,
                (self.focal_y * y + self.offset_y) / z + self.centre_y,
            ),
            axis=-1,
        )

    def at_depth(self, points: NDArray[np.float32], depth: float) -> NDArray[np.float64]:
        """Put image points on the plane at a depth before the camera.

        points: (..., 2) pixels. Returns (..., 3) in the unit of depth, in the optical frame:
        x right, y down, z forward.
        """
        x = ((points[..., 0] - self.centre_x) * depth - self.offset_x) / self.focal_x
        y = ((points[..., 1] - self.centre_y) * depth - self.offset_y) / self.focal_y
        return np.stack((x, y, np.full_like(x, depth)), axis=-1).astype(np.float64)
