"""The pinhole camera: pixels to directions."""

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

    @classmethod
    def nominal(cls, width: int, height: int) -> 'PinholeCamera':
        """Return a plausible camera for an image whose intrinsics nobody told.

        Its horizontal field of view is 53 degrees: the focal length equals the width.
        """
        return cls(float(width), float(width), (width - 1) / 2, (height - 1) / 2)

    def at_depth(self, points: NDArray[np.float32], depth: float) -> NDArray[np.float64]:
        """Put image points on the plane at a depth before the camera.

        points: (..., 2) pixels. Returns (..., 3) in the unit of depth, in the optical frame:
        x right, y down, z forward.
        """
        x = (points[..., 0] - self.centre_x) * (depth / self.focal_x)
        y = (points[..., 1] - self.centre_y) * (depth / self.focal_y)
        return np.stack((x, y, np.full_like(x, depth)), axis=-1).astype(np.float64)
