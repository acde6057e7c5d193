"""Depth images, brought into the frame of the colour camera."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.errors import VitposeError
from vitpose_ros.core.geometry.pinhole import PinholeCamera

Floats = NDArray[np.float64]

MARGIN = 0.1  # of a box, on each side: what of a depth image is looked at
NEAREST, FARTHEST = 0.01, 1000.0  # metres: what is not between them is a hole
SHOWN_M = (0.4, 20.0)  # how far away it may be, what boxes show
HOLE = np.float32(np.nan)


class DepthImageError(VitposeError, ValueError):
    """What is no depth image."""


@dataclass(frozen=True, eq=False)
class Depth:
    """A depth image in the frame of the colour camera. Raises DepthImageError."""

    # (h, w) float32, metres along the optical axis; holes are NaN, 0 or infinite.
    values: NDArray[np.float32]
    camera: PinholeCamera  # of its own pixels

    def __post_init__(self) -> None:
        """Refuse what is no depth image; copy what is not in one piece, once."""
        values = self.values
        if not (isinstance(values, np.ndarray) and values.ndim == 2):
            what = getattr(values, 'shape', type(values).__name__)
            raise DepthImageError(f'depth is {what}; give an array (height, width)')
        if values.dtype != np.float32:
            raise DepthImageError(
                f'depth is of {values.dtype}; give metres in float32 (of millimetres in uint16: '
                'values.astype(np.float32) / 1000)'
            )
        if not isinstance(self.camera, PinholeCamera):
            raise DepthImageError(f'the camera of depth is {self.camera!r}; give a PinholeCamera')
        object.__setattr__(self, 'values', np.ascontiguousarray(self.values))

    def places(self, rays: Floats) -> Floats:
        """Return where rays (..., 2), x and y at depth 1, are in the image: (2, ...) pixels.

        Columns and rows stand apart, as numpy is slow where the last axis has two entries.
        """
        camera, found = self.camera, np.empty((2, *rays.shape[:-1]))
        found[0] = rays[..., 0] * camera.focal_x + camera.centre_x
        found[1] = rays[..., 1] * camera.focal_y + camera.centre_y
        return found

    def shows(self, places: Floats) -> NDArray[np.bool_]:
        """Return which places (2, ...) are in the image, (...)."""
        height, width = self.values.shape
        inside = places >= -0.5
        return np.asarray(
            inside[0] & inside[1] & (places[0] < width - 0.5) & (places[1] < height - 0.5)
        )

    def at(self, places: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the depths (...) at places (2, ...), NaN for holes.

        Outside the image it goes on as at its border. What is infinite may stay so.
        """
        height, width = self.values.shape
        most = np.array([width - 1, height - 1], places.dtype).reshape(
            2, *(places.ndim - 1) * (1,)
        )
        x, y = np.rint(np.minimum(np.maximum(places, 0), most))
        found = self.values.ravel().take((y * width + x).astype(np.intp))
        return np.asarray(np.where(found > NEAREST, found, HOLE))


def registered(
    values: NDArray[np.float32],
    camera: PinholeCamera,
    transform: NDArray[np.floating],
    colour: PinholeCamera,
    size: tuple[int, int],
    boxes: NDArray[np.float32] | None = None,
) -> Depth:
    """Return a depth image as a camera would see it that stands where the colour camera does.

    values: (h, w) float32 metres as camera sees them; holes are NaN, 0 or infinite. transform:
    (4, 4), from the depth camera's optical frame to that of the colour camera. size: (width,
    height) of the colour image. boxes: (n, 4) in its pixels; what none of them shows may be a
    hole. The pixels of the result are about as large as those of the depth image. Of what falls
    into one, the nearest counts.
    """
    scale = camera.focal_x / colour.focal_x, camera.focal_y / colour.focal_y
    target = colour.scaled(*scale)
    width, height = (
        max(1, round(length * factor)) for length, factor in zip(size, scale, strict=True)
    )
    found = np.full(width * height, HOLE)
    rows, columns = slice(None), slice(None)
    if boxes is not None:
        rows, columns = _shown(boxes, colour, np.linalg.inv(transform), camera, values.shape)
    z = values[rows, columns]
    # A pixel sees (x, y, 1) * z; of a second camera of a pair less an offset.
    x = (np.arange(values.shape[1])[columns] - camera.centre_x) / camera.focal_x
    y = (np.arange(values.shape[0])[rows] - camera.centre_y) / camera.focal_y
    offset = (camera.offset_x / camera.focal_x, camera.offset_y / camera.focal_y, 0.0)
    turn, shift = transform[:3, :3], transform[:3, 3] - transform[:3, :3] @ offset
    with np.errstate(invalid='ignore', divide='ignore'):
        ahead, right, down = (
            (
                (turn[axis, 0] * x).astype(np.float32)
                + (turn[axis, 1] * y + turn[axis, 2]).astype(np.float32)[:, None]
            )
            * z
            + np.float32(shift[axis])
            for axis in (2, 0, 1)
        )
        right = (right * np.float32(target.focal_x) + np.float32(target.offset_x)) / ahead
        down = (down * np.float32(target.focal_y) + np.float32(target.offset_y)) / ahead
        column = np.rint(right + np.float32(target.centre_x))
        row = np.rint(down + np.float32(target.centre_y))
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        inside &= (z > NEAREST) & (z < FARTHEST) & (ahead > NEAREST)
    place = row[inside].astype(np.intp) * width + column[inside].astype(np.intp)
    _write_nearest(found, place, ahead[inside])
    return Depth(found.reshape(height, width), target)


def _write_nearest(
    found: NDArray[np.float32], place: NDArray[np.intp], z: NDArray[np.float32]
) -> None:
    """Write depths z (m,) to places (m,) of holes, where there are several the least."""
    while len(place):
        found[place] = z  # where there are several, the last one stays
        nearer = z < found[place]
        place, z = place[nearer], z[nearer]


def _shown(
    boxes: NDArray[np.float32],
    colour: PinholeCamera,
    inverse: NDArray[np.floating],
    camera: PinholeCamera,
    shape: tuple[int, ...],
) -> tuple[slice, slice]:
    """Return the rows and columns of a depth camera that may see what boxes show.

    inverse: (4, 4), from the colour camera's frame to that of the depth camera.
    """
    margin = MARGIN * (boxes[:, 2:] - boxes[:, :2])
    low, high = boxes[:, :2] - margin, boxes[:, 2:] + margin
    corners = np.concatenate(
        (
            low,
            high,
            np.column_stack((low[:, 0], high[:, 1])),
            np.column_stack((high[:, 0], low[:, 1])),
        )
    )
    points = np.concatenate([colour.at_depth(corners, z) for z in SHOWN_M])
    points = points @ inverse[:3, :3].T + inverse[:3, 3]
    if not len(points):
        return slice(0, 0), slice(0, 0)
    if points[:, 2].min() <= NEAREST:
        return slice(None), slice(None)
    seen = camera.project(points)
    left, top = np.maximum(np.floor(seen.min(axis=0)), 0).astype(int).tolist()
    right, bottom = np.maximum(np.ceil(seen.max(axis=0)) + 1, 0).astype(int).tolist()
    return slice(top, min(bottom, shape[0])), slice(left, min(right, shape[1]))
