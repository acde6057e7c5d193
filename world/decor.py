"""Decor: what floor, walls and furniture of a room look like."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from world.panoramas import Panorama
from world.room import Room
from world.sensors import Viewpoint

Array = NDArray[Any]
Random = np.random.Generator

FINENESS = 90  # pixels a metre
EYE_M = 1.5  # height from which a panorama was taken
# How bright the faces of the room and of boxes are: of each axis the low and the high one.
SHADES = (0.92, 0.92, 1.0, 0.85, 0.8, 1.0)
FACES = (0.7, 0.8, 0.75, 0.65, 0.3, 1.0)


class Decor:
    """Pictures of the faces of a room, side by side in one."""

    def __init__(
        self, room: Room, rng: Random, panorama: Panorama | None = None, heading: float = 0.0
    ) -> None:
        """Paint a room.

        panorama: a place that floor and walls look like; heading: which direction of it is along
        x, radians.
        """
        self._room = room
        walls = rng.uniform(0.45, 0.9) * (1 + rng.uniform(-0.12, 0.12, 3))
        floor = rng.uniform(0.12, 0.5) * np.array([1.0, 0.85, 0.7]) ** rng.uniform(0, 2)
        faces = []
        for surface in range(6):
            axis = surface // 2
            if panorama:
                face = _projected(panorama, room, surface, heading)
            elif surface == 4:
                face = _floor(rng, _size(room, axis), floor)
            elif surface == 5:
                face = _plain(rng, _size(room, axis), np.full(3, 0.85))
            else:
                face = _wall(rng, _size(room, axis), walls)
            shade = 1.0 if panorama else SHADES[surface]
            faces.append(np.clip(face * shade, 0, 255).astype(np.uint8))
        width = max(face.shape[1] for face in faces)
        tall = np.cumsum([0, *(face.shape[0] for face in faces)])
        self._atlas = np.zeros((tall[-1] + 64, width, 3), np.uint8)
        for face, top in zip(faces, tall, strict=False):
            self._atlas[top : top + len(face), : face.shape[1]] = face
        self._tops = tall[:-1]
        self._grain = rng.normal(0, 6, (64, 64, 1)).astype(np.float32)

    def picture(self, view: Viewpoint, depth: Array, surface: Array) -> Array:
        """Return what a camera sees of it, (h, w, 3) uint8 RGB; see Room.surfaces."""
        rays = view.lens.rays() @ view.pose[:3, :3].T.astype(np.float32)
        points = rays * depth[..., None] + view.eye.astype(np.float32) - self._room.low
        points *= FINENESS
        x = np.zeros(depth.shape, np.float32)
        y = np.zeros(depth.shape, np.float32)
        for number in np.unique(surface[surface < 6]):
            mine = surface == number
            across, along = [(1, 2), (0, 2), (0, 1)][number // 2]
            x[mine] = points[mine][:, across]
            y[mine] = points[mine][:, along] + self._tops[number]
        picture = cv2.remap(self._atlas, x, y, cv2.INTER_LINEAR)
        for i, box in enumerate(self._room.boxes):
            for face, shade in enumerate(FACES):
                mine = surface == 6 + 6 * i + face
                if mine.any():
                    base = 255 * (np.array(box.colour) * shade) ** (1 / 2.2)
                    at = (points[mine].sum(axis=1) * 0.7).astype(int), points[mine][:, 2]
                    grain = self._grain[at[0] % 64, at[1].astype(int) % 64]
                    picture[mine] = np.clip(base + grain, 0, 255)
        return picture


def _size(room: Room, axis: int) -> tuple[int, int]:
    """Return rows and columns of the picture of a face: rows go along the last axis."""
    sizes = (np.array(room.high) - room.low) * FINENESS
    across, along = [(1, 2), (0, 2), (0, 1)][axis]
    return int(np.ceil(sizes[along])) + 1, int(np.ceil(sizes[across])) + 1


def _plain(rng: Random, size: tuple[int, int], colour: Array) -> Array:
    """Return a face of a linear colour with stains and grain."""
    stains = cv2.resize(rng.normal(0, 5, (size[0] // 60 + 2, size[1] // 60 + 2)), size[::-1])
    grain = rng.normal(0, 2.5, size)
    base = 255 * np.clip(colour, 0, 1) ** (1 / 2.2)
    return base + (stains + grain)[..., None]


def _wall(rng: Random, size: tuple[int, int], colour: Array) -> Array:
    """Return a wall with a skirting board, pictures and a door; its first row is at the floor."""
    face = _plain(rng, size, colour)
    for _ in range(int(rng.integers(3, 9))):
        wide, high = (rng.uniform(0.3, 1.3, 2) * FINENESS).astype(int)
        left = int(rng.uniform(0, size[1] - wide))
        low = int(rng.uniform(0.9, 1.5) * FINENESS)
        patch = rng.uniform(20, 235, (rng.integers(1, 5), rng.integers(1, 5), 3))
        patch = cv2.resize(patch, (wide, high), interpolation=rng.choice([0, 1]))
        frame = 3
        face[low - frame : low + high + frame, max(0, left - frame) : left + wide + frame] = 60
        target = face[low : low + high, left : left + wide]
        target[:] = patch[: len(target)]
    left, wide = int(rng.uniform(0, size[1] - FINENESS)), int(0.9 * FINENESS)
    face[: int(2.05 * FINENESS), left : left + wide] *= rng.uniform(0.4, 0.8, 3)
    face[: int(0.08 * FINENESS)] *= 0.6
    corner = np.minimum(np.arange(size[1]), np.arange(size[1])[::-1]) / FINENESS
    face *= (0.8 + 0.2 * np.clip(corner / 0.8, 0, 1))[None, :, None]
    return face


def _floor(rng: Random, size: tuple[int, int], colour: Array) -> Array:
    """Return a floor of boards or tiles."""
    face = _plain(rng, size, colour)
    wide, deep = rng.choice([(14, 120), (45, 45), (60, 60)])
    rows, columns = (np.arange(n) for n in size)
    row = rows[:, None] // wide
    column = (columns[None] + row * 37 % deep) // deep
    shades = rng.uniform(0.85, 1.1, (97,))
    face *= shades[(row * 31 + column * 17) % 97][..., None]
    joint = (rows[:, None] % wide < 1) | ((columns[None] + row * 37 % deep) % deep < 1)
    face[joint] *= 0.75
    return face


def _projected(panorama: Panorama, room: Room, surface: int, heading: float) -> Array:
    """Return a face as a panorama taken in the middle of the room shows it."""
    axis = surface // 2
    size = _size(room, axis)
    across, along = [(1, 2), (0, 2), (0, 1)][axis]
    low = np.array(room.low)
    point = np.zeros((*size, 3), np.float32)
    point[..., axis] = (room.high if surface % 2 else room.low)[axis]
    point[..., across] = np.arange(size[1]) / FINENESS + low[across]
    point[..., along] = np.arange(size[0])[:, None] / FINENESS + low[along]
    point -= [(low[0] + room.high[0]) / 2, (low[1] + room.high[1]) / 2, EYE_M]
    rows, columns = panorama.picture.shape[:2]
    around = heading + np.arctan2(point[..., 1], point[..., 0])
    polar = np.pi / 2 - np.arctan2(point[..., 2], np.hypot(point[..., 0], point[..., 1]))
    x = (around / (2 * np.pi) % 1 * columns).astype(np.float32)
    y = (polar / np.pi * rows - 0.5).astype(np.float32)
    face = cv2.remap(panorama.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return face.astype(np.float32)
