"""Depth noise: what a depth camera makes of the true depth.

Stereo, with two infrared eyes or an eye and a projector: depth follows from the disparity d of
two pictures, z = f b / d, so that an error of d grows with the square of z:

    sigma_z = z^2 sigma_d / (f b)

(Khoshelham and Elberink, "Accuracy and Resolution of Kinect Depth Data for Indoor Mapping
Applications", Sensors 2012; Keselman et al., "Intel RealSense Stereoscopic Depth Cameras", CVPR
workshops 2017, with subpixel errors sigma_d of 0.05 to 0.1 pixels on good texture.) Nguyen, Izadi
and Lovell, "Modeling Kinect Sensor Noise for Improved 3D Reconstruction and Tracking", 3DIMPVT
2012, measured 0.0012 + 0.0019 (z - 0.4)^2 metres at a Kinect. The matching compares windows, not
pixels: errors of neighbours go together, and edges of what is near move outwards. What one eye
alone sees has no match.

Time of flight: light is measured per pixel, the error hardly grows with the distance, and a pixel
on an edge gets light from both surfaces, so that it lies between them ("flying pixels").

How large shadows, bands at edges and holes are is geometry and judgement, not a measurement of one
device.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Random = np.random.Generator


@dataclass(frozen=True)
class StereoNoise:
    """A camera that measures by disparity."""

    baseline_m: float = 0.05
    focal_px: float = 640.0  # of the pictures that are matched
    error_px: float = 0.08  # of disparity, standard deviation
    step_px: float = 1 / 32  # of disparity: finer is not told apart
    window_px: int = 7  # of the pictures that are matched, a side
    nearest_m: float = 0.28
    farthest_m: float = 10.0
    holes: float = 0.01  # share of pixels without a match wherever they are, in patches
    torn: float = 0.35  # share of the pixels on edges that have no match
    flying: float = 0.2  # share of the pixels on edges that lie between the two surfaces

    @property
    def k(self) -> float:
        """How the error grows, 1/metres: sigma = k z^2."""
        return self.error_px / (self.focal_px * self.baseline_m)

    def sigma(self, depth: Any) -> Any:
        """Return the standard deviation of depth, metres, quantisation left out."""
        return self.k * np.square(depth)

    def measure(self, depth: Array, focal_px: float, rng: Random) -> Array:
        """Return what the camera gives, (h, w) float32 metres, NaN where it has nothing.

        depth: (h, w) true metres; focal_px: of that image, whose eye is the left one.
        """
        scale = focal_px / self.focal_px  # pixels of the image per pixel that is matched
        true = self.focal_px * self.baseline_m / depth.astype(np.float32)
        shadow = _seen_by_one_eye(true * np.float32(scale))
        window = max(3, round(self.window_px * scale) // 2 * 2 + 1)
        found = _ragged(cv2.dilate(true, np.ones((3, 3), np.uint8)), window / 3, rng)
        near, far = _range(found)
        edge = near - far > 1.0
        found = _torn(found, near, far, edge, rng, self.torn, self.flying)
        found = found + self.error_px * _correlated(depth.shape, window, rng)
        found = np.round(found / self.step_px) * self.step_px
        with np.errstate(divide='ignore'):
            measured = self.focal_px * self.baseline_m / found
        measured = np.round(measured * 1000) / 1000
        holes = shadow | _patches(depth.shape, 3 * window, self.holes, rng)
        holes |= ~((measured > self.nearest_m) & (measured < self.farthest_m))
        return np.where(holes, np.nan, measured).astype(np.float32)


@dataclass(frozen=True)
class FlightNoise:
    """A camera that measures the time that light flies."""

    error_m: float = 0.01  # standard deviation
    growth: float = 0.001  # of it, per metre
    nearest_m: float = 0.2
    farthest_m: float = 6.0
    holes: float = 0.01  # share of pixels that reflect too little, in patches
    torn: float = 0.1  # share of the pixels on edges that are rejected
    flying: float = 0.6  # share of the pixels on edges that lie between the two surfaces

    def sigma(self, depth: Any) -> Any:
        """Return the standard deviation of depth, metres."""
        return self.error_m + self.growth * np.asarray(depth)

    def measure(self, depth: Array, focal_px: float, rng: Random) -> Array:  # noqa: ARG002
        """Return what the camera gives, (h, w) float32 metres, NaN where it has nothing.

        depth: (h, w) true metres; focal_px: as for stereo, it makes no difference here.
        """
        found = depth.astype(np.float32)
        far, near = _range(found)  # the larger value first
        edge = far - near > 0.08
        found = _torn(found, far, near, edge, rng, self.torn, self.flying)
        noise = rng.standard_normal(depth.shape, dtype=np.float32)
        measured = np.round((found + self.sigma(found) * noise) * 1000) / 1000
        holes = _patches(depth.shape, 15, self.holes, rng)
        holes |= ~((measured > self.nearest_m) & (measured < self.farthest_m))
        return np.where(holes, np.nan, measured).astype(np.float32)


Noise = StereoNoise | FlightNoise

# k is 0.0025 / m for 'stereo': two eyes 50 mm apart, 1280 pixels and 90 degrees wide; 0.0052 / m
# for 'coarse stereo', the same at 640 x 480; 0.0019 / m for 'structured light', with steps of 1/8
# pixel: a Kinect of the first kind.
NOISES: dict[str, Noise | None] = {
    'stereo': StereoNoise(),
    'coarse stereo': StereoNoise(focal_px=385.0, error_px=0.1),
    'structured light': StereoNoise(
        baseline_m=0.075, focal_px=580.0, error_px=0.083, step_px=1 / 8, window_px=9,
        nearest_m=0.5, farthest_m=8.0,
    ),
    'time of flight': FlightNoise(),
    'none': None,
}  # fmt: skip


def _seen_by_one_eye(disparity: Array) -> Array:
    """Return which pixels (h, w) of the left picture the right eye does not see.

    disparity: in pixels of the picture. A point is hidden from the right eye where one further
    right in the left picture is further left in the right one.
    """
    columns = np.arange(disparity.shape[1], dtype=np.float32) - disparity
    least = np.minimum.accumulate(columns[:, ::-1], axis=1)[:, ::-1]
    hidden = np.zeros(disparity.shape, bool)
    hidden[:, :-1] = least[:, 1:] < columns[:, :-1] - 0.5
    return hidden


def _ragged(values: Array, size: float, rng: Random) -> Array:
    """Move values about, by less than so many pixels, neighbours alike."""
    height, width = values.shape
    small = rng.uniform(-size, size, (2, height // 4 + 2, width // 4 + 2)).astype(np.float32)
    shift = [cv2.resize(field, (width, height)) for field in small]
    x = np.arange(width, dtype=np.float32) + shift[0]
    y = np.arange(height, dtype=np.float32)[:, None] + shift[1]
    return cv2.remap(values, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def _range(values: Array) -> tuple[Array, Array]:
    """Return the largest and the smallest value around each, (h, w)."""
    around = np.ones((3, 3), np.uint8)
    return cv2.dilate(values, around), cv2.erode(values, around)


def _torn(
    values: Array, high: Array, low: Array, edge: Array, rng: Random, torn: float, flying: float
) -> Array:
    """Return values that on edges are NaN or between high and low, for shares of the pixels."""
    rows, columns = np.nonzero(edge)
    choice = rng.random(len(rows), dtype=np.float32)
    mix = rng.random(len(rows), dtype=np.float32)
    here = values[rows, columns]
    between = low[rows, columns] + mix * (high[rows, columns] - low[rows, columns])
    here = np.where(choice < torn + flying, between, here)
    result = values.copy()
    result[rows, columns] = np.where(choice < torn, np.nan, here)
    return result


def _correlated(shape: tuple[int, ...], window: int, rng: Random) -> Array:
    """Return noise (h, w) of variance 1, of which neighbours within a window are alike."""
    white = rng.standard_normal(shape, dtype=np.float32)
    return cv2.blur(white, (window, window)) * window


def _patches(shape: tuple[int, ...], size: int, share: float, rng: Random) -> Array:
    """Return patches (h, w) bool of about so many pixels, that cover a share."""
    coarse = rng.standard_normal((shape[0] // size * 4 + 2, shape[1] // size * 4 + 2))
    field = cv2.GaussianBlur(coarse.astype(np.float32), (0, 0), 1.0)
    limit = np.quantile(field, 1 - share)
    return cv2.resize(field, shape[::-1], interpolation=cv2.INTER_LINEAR) > limit
