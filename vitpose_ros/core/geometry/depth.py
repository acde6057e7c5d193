"""Depth images, brought into the frame of the colour camera."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.pinhole import PinholeCamera

Floats = NDArray[np.float64]

MARGIN = 0.1  # of a box, on each side: what of a depth image is looked at
NEAREST = 0.01  # metres: what is nearer is a hole
HOLE = np.float32(np.nan)


@dataclass(frozen=True, eq=False)
class Depth:
    """A depth image in the frame of the colour camera."""

    # (h, w) float32, metres along the optical axis; holes are NaN, 0 or infinite.
    values: NDArray[np.float32]
    camera: PinholeCamera  # of its own pixels

    def pixels(self, rays: Floats) -> tuple[Floats, Floats]:
        """Return where rays (..., 2), x and y at depth 1, are: columns, rows."""
        camera = self.camera
        columns = rays[..., 0] * camera.focal_x + camera.centre_x
        return columns, rays[..., 1] * camera.focal_y + camera.centre_y

    def shows(self, columns: Floats, rows: Floats) -> NDArray[np.bool_]:
        """Return which places (...) are in the image."""
        height, width = self.values.shape
        inside = (columns >= -0.5) & (columns < width - 0.5)
        return np.asarray(inside & (rows >= -0.5) & (rows < height - 0.5))

    def at(self, columns: NDArray[np.floating], rows: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the depths (...) at places (...), NaN for holes.

        Outside the image it goes on as at its border. What is infinite may stay so.
        """
        height, width = self.values.shape
        # Columns and rows apart: numpy is slow where the last axis has two entries.
        x = np.rint(np.minimum(np.maximum(columns, 0), width - 1))
        y = np.rint(np.minimum(np.maximum(rows, 0), height - 1))
        found = self.values.ravel().take((y * width + x).astype(np.intp))
        return np.asarray(np.where(found > NEAREST, found, HOLE))


def registered(
    values: NDArray[np.float32],
    camera: PinholeCamera,
    transform: Floats,
    colour: PinholeCamera,
    size: tuple[int, int],
    boxes: NDArray[np.float32] | None = None,
) -> Depth:
    """Return a depth image as a camera would see it that stands where the colour camera does.

    values: (h, w) float32 metres, NaN for holes, as camera sees them. transform: (4, 4), from the
    depth camera's optical frame to that of the colour camera. size: (width, height) of the colour
    image. boxes: (n, 4) in its pixels; only what they show is computed, and all else is a hole.
    The pixels of the result are about as large as those of the depth image. Of what falls into
    one, the nearest counts.
    """
    scale = camera.focal_x / colour.focal_x, camera.focal_y / colour.focal_y
    target = colour.scaled(*scale)
    width, height = (
        max(1, round(length * factor)) for length, factor in zip(size, scale, strict=True)
    )
    rows, columns = np.nonzero(np.isfinite(values))
    z = values[rows, columns]
    at_one = camera.at_depth(np.column_stack((columns, rows)).astype(np.float32), 1.0)
    points = (at_one * z[:, None]) @ transform[:3, :3].T + transform[:3, 3]
    ahead = points[:, 2] > 0.01
    x, y = target.project(points[ahead]).T
    z = points[ahead, 2]
    column, row = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
    wanted = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    if boxes is not None:
        wanted[wanted] = _shown(boxes, scale, (height, width))[row[wanted], column[wanted]]
    column, row, z = column[wanted], row[wanted], z[wanted]
    found = np.full((height, width), np.nan, np.float32)
    farthest_first = np.argsort(-z, kind='stable')  # the last one written stays
    found[row[farthest_first], column[farthest_first]] = z[farthest_first]
    return Depth(found, target)


def _shown(
    boxes: NDArray[np.float32], scale: tuple[float, float], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return which pixels (h, w) some box shows."""
    shown = np.zeros(size, dtype=bool)
    for x_min, y_min, x_max, y_max in boxes.tolist():
        across, down = MARGIN * (x_max - x_min), MARGIN * (y_max - y_min)
        left, right = (int(max(0, x * scale[0])) for x in (x_min - across, x_max + across))
        top, bottom = (int(max(0, y * scale[1])) for y in (y_min - down, y_max + down))
        shown[top : bottom + 1, left : right + 1] = True
    return shown
