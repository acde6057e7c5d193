"""A room: floor, walls and boxes as furniture, and how far they are along each pixel's ray."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.sensors import Viewpoint

Array = NDArray[Any]


@dataclass(frozen=True)
class Box:
    """A piece of furniture."""

    centre: tuple[float, float, float]  # metres, in the world
    half: tuple[float, float, float]  # half its sizes, metres
    heading: float = 0.0  # radians: where its first side points
    colour: tuple[float, float, float] = (0.35, 0.25, 0.17)  # linear

    @property
    def axes(self) -> Array:
        """Its directions, rows of (3, 3)."""
        c, s = np.cos(self.heading), np.sin(self.heading)
        return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])


@dataclass(frozen=True)
class Room:
    """Four walls around the people, and what stands between them."""

    low: tuple[float, float, float] = (-3.0, -4.5, 0.0)  # metres: the lowest corner
    high: tuple[float, float, float] = (7.0, 4.5, 2.8)
    boxes: tuple[Box, ...] = ()

    def surfaces(self, view: Viewpoint) -> tuple[Array, Array]:
        """Return the depth (h, w) metres of what each pixel sees, and which surface that is.

        The surfaces (h, w) int: 0 to 5 are the room's, low and high of each axis in turn; 6 and
        on those of the boxes, six each.
        """
        rays = view.lens.rays() @ view.pose[:3, :3].T
        with np.errstate(divide='ignore', invalid='ignore'):
            far = np.where(rays > 0, self.high - view.eye, self.low - view.eye) / rays
            far[rays == 0] = np.inf
            axis = far.argmin(axis=-1)
            depth = np.take_along_axis(far, axis[..., None], -1)[..., 0]
            up = np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0
            surface = 2 * axis + up
            for i, box in enumerate(self.boxes):
                _hit(box, view, rays, depth, surface, 6 + 6 * i)
        return depth, surface


def _hit(
    box: Box, view: Viewpoint, rays: Array, depth: Array, surface: Array, number: int
) -> None:
    """Put a box before what is behind it, where rays (h, w, 3) meet it."""
    corners = np.stack(np.meshgrid(*[(-1, 1)] * 3), axis=-1).reshape(-1, 3) * box.half
    pixels, ahead = view.project(corners @ box.axes + box.centre)
    height, width = depth.shape
    rows = slice(0, height)
    columns = slice(0, width)
    if ahead.max() <= 0:
        return
    if ahead.min() > 0.05:  # else it may be anywhere
        low, high = np.floor(pixels.min(axis=0)), np.ceil(pixels.max(axis=0)) + 1
        columns = slice(*(int(v) for v in np.clip((low[0], high[0]), 0, width)))
        rows = slice(*(int(v) for v in np.clip((low[1], high[1]), 0, height)))
    local = rays[rows, columns] @ box.axes.T
    eye = box.axes @ (view.eye - box.centre)
    first, second = (-np.array(box.half) - eye) / local, (box.half - eye) / local
    near, far = np.minimum(first, second), np.maximum(first, second)
    axis = near.argmax(axis=-1)
    enter = near.max(axis=-1)
    target = depth[rows, columns]
    hit = (enter < far.min(axis=-1)) & (enter > 0.05) & (enter < target)
    target[hit] = enter[hit]
    from_above = np.take_along_axis(local, axis[..., None], -1)[..., 0] < 0
    surface[rows, columns][hit] = (number + 2 * axis + from_above)[hit]
