"""What a colour camera adds: shadows of people on the floor, soft edges, grain."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from world.figures import Layers
from world.sensors import Viewpoint

Array = NDArray[Any]
SHADOW_M = 0.24  # half length of the dark spot under a foot
GRAIN = 2.0  # grey levels, standard deviation


def shade(layers: Layers, floor: Array, view: Viewpoint, feet: Array) -> None:
    """Darken the floor under feet.

    floor: (h, w) bool; feet: (n, 3) ankles, metres in the world. Before people are drawn.
    """
    assert layers.picture is not None
    height, width = layers.depth.shape
    pixels, ahead = view.project(np.column_stack((feet[:, :2], np.zeros(len(feet)))))
    focal = view.lens.camera.focal_x
    for (x, y), far, foot in zip(pixels, ahead, feet, strict=True):
        if far < 0.5:
            continue
        long = focal * SHADOW_M / far
        tall = max(1.5, long * (view.eye[2] - foot[2]) / far)
        strength = 0.55 / (1 + 12 * max(0.0, foot[2] - 0.1))
        left, right = (int(np.clip(x + s * 2 * long, 0, width)) for s in (-1, 1))
        top, bottom = (int(np.clip(y + s * 2 * tall, 0, height)) for s in (-1, 1))
        if right <= left or bottom <= top:
            continue
        across = (np.arange(left, right) - x) / long
        down = (np.arange(top, bottom)[:, None] - y) / tall
        dark = 1 - strength * np.exp(-1.5 * (across**2 + down**2))
        here = slice(top, bottom), slice(left, right)
        dark = np.where(floor[here], dark, 1)
        layers.picture[here] = (layers.picture[here] * dark[..., None]).astype(np.uint8)


def finished(layers: Layers, grain: Array, rng: np.random.Generator) -> Array:
    """Return the picture (h, w, 3) uint8 as a camera gives it.

    grain: (h + more, w + more, 3) of standard deviation 1, of which a part is used.
    """
    picture = layers.picture
    assert picture is not None
    soft = cv2.GaussianBlur(picture, (3, 3), 0.8)
    who = layers.who.astype(np.int16)
    edge = np.zeros(who.shape, np.uint8)
    edge[:, 1:] |= who[:, 1:] != who[:, :-1]
    edge[1:] |= who[1:] != who[:-1]
    edge = cv2.dilate(edge, np.ones((2, 2), np.uint8), anchor=(1, 1))
    light = cv2.GaussianBlur(picture, (3, 3), 0.4)
    picture = np.where(edge[..., None] > 0, soft, light)
    height, width = who.shape
    top, left = (int(rng.integers(n + 1)) for n in np.subtract(grain.shape[:2], who.shape))
    part = grain[top : top + height, left : left + width]
    return cv2.add(picture, part, dtype=cv2.CV_8U)


def grain_of(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Return grain for pictures of a size, (h + 64, w + 64, 3) int16."""
    noise = rng.standard_normal((size[0] + 64, size[1] + 64, 3), dtype=np.float32)
    return np.round(GRAIN * noise).astype(np.int16)
