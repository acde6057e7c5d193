"""What is behind people and before them, as far as it is drawn and not photographed."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from world.panoramas import Panorama

Array = NDArray[Any]
Random = np.random.Generator

SIZE = (256, 192)  # height, width of a crop in pixels


def clutter(rng: Random, image: Array, count: int) -> None:
    """Draw shapes into an image (h, w, 3), in place."""
    height, width = image.shape[:2]
    for _ in range(count):
        colour = _colour(rng, image)
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        a, b = np.exp(rng.uniform(np.log(3), np.log(90), 2))
        kind = rng.integers(5)
        if kind == 0:
            cv2.rectangle(image, point(x - a, y - b), point(x + a, y + b), colour, -1)
        elif kind == 1:
            axes, angle = point(a * 0.6, b * 0.6), rng.uniform(0, 180)
            cv2.ellipse(image, point(x, y), axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 2:  # limb-like: two thick segments
            points = np.cumsum(np.vstack(([x, y], rng.normal(0, 35, (2, 2)))), axis=0)
            thickness = int(rng.integers(2, 16))
            cv2.polylines(image, [points.astype(np.int32)], False, colour, thickness, cv2.LINE_AA)
        elif kind == 3:
            points = (np.array([x, y]) + rng.normal(0, 40, (int(rng.integers(3, 7)), 2))).astype(
                int
            )
            cv2.fillPoly(image, [points.astype(np.int32)], colour, cv2.LINE_AA)
        else:  # a grid: windows, fences, shelves
            step = rng.uniform(6, 30)
            thickness = int(rng.integers(1, 4))
            for k in range(int(rng.integers(3, 9))):
                cv2.line(image, point(x + k * step, y), point(x + k * step, y + b * 1.5), colour,
                         thickness)  # fmt: skip


def procedural(rng: Random, size: tuple[int, int] = SIZE) -> Array:
    """Draw a background of a size: noise of several sizes, or a floor and a wall, with clutter."""
    image = np.empty((*size, 3), np.uint8)
    colours = rng.uniform(0, 255, (2, 3)) * 0.6 + rng.uniform(0, 255, (2, 1)) * 0.4
    line = rng.uniform(0.2, 0.95) * size[0]
    image[: int(line)], image[int(line) :] = colours[0], colours[1]
    if rng.random() < 0.3:
        shade = np.linspace(rng.uniform(0.4, 1), rng.uniform(0.4, 1), size[0])[:, None, None]
        image[:] = image * shade
    clutter(rng, image, int(rng.integers(3, 30)))
    total = np.zeros((*size, 3), np.float32)
    for cells in (4, 12, 40, 110):
        grain = rng.normal(0, 1, (cells, max(2, cells * 3 // 4), 3)).astype(np.float32)
        grain = grain * 0.4 + grain.mean(axis=2, keepdims=True)
        total += cv2.resize(grain, size[::-1], interpolation=cv2.INTER_LINEAR) * rng.uniform(0, 14)
    return np.clip(image + total, 0, 255).astype(np.uint8)


def refine(rng: Random, image: Array) -> None:
    """Sharpen a picture that was enlarged, and give it the grain that it lacks, in place."""
    pixels = image.astype(np.float32)
    smooth = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(1.5, 4))
    pixels += (pixels - smooth) * rng.uniform(0, 2)
    for cells in (2, 4, 8):
        shape = image.shape[0] // cells + 1, image.shape[1] // cells + 1
        grain = rng.normal(0, rng.uniform(0, 7), shape).astype(np.float32)
        pixels += cv2.resize(grain, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)[..., None]
    image[:] = np.clip(pixels, 0, 255)


def shape_before(rng: Random, rows: Any, columns: Any) -> Array:
    """Draw the corners (n, 2) of something before what has pixels in these rows and columns."""
    tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    kind = rng.random()
    if kind < 0.45:  # a table, a wall, a car
        top = np.percentile(rows, rng.uniform(40, 85))
        middle = rng.uniform(np.min(columns), np.max(columns))
        half = rng.uniform(0.4, 1.6) * max(wide, 0.3 * tall)
        deep = rng.uniform(0.3, 1.2) * tall
        tilt = rng.normal(0, 0.03) * half
        corners = np.array([[middle - half, top - tilt], [middle + half, top + tilt],
                            [middle + half, top + deep], [middle - half, top + deep]])  # fmt: skip
    elif kind < 0.7:  # a post
        middle, half = rng.choice(columns), rng.uniform(0.03, 0.15) * tall
        slant = rng.normal(0, 0.08) * tall
        corners = np.array([[middle - half - slant, 0], [middle + half - slant, 0],
                            [middle + half + slant, 9999],
                            [middle - half + slant, 9999]])  # fmt: skip
    else:
        middle = np.array([rng.choice(columns), rng.choice(rows)])
        spread = rng.uniform(0.06, 0.25) * tall
        corners = middle + rng.normal(0, spread, (int(rng.integers(4, 9)), 2))
        return np.asarray(cv2.convexHull(corners.astype(np.int32))[:, 0])
    return corners.astype(np.int32)


def cover(rng: Random, image: Array, mask: Array, panoramas: list[Panorama]) -> None:
    """Fill what the mask (h, w) covers of an image, in place."""
    size = image.shape[:2]
    if panoramas and rng.random() < 0.4:
        panorama = panoramas[int(rng.integers(len(panoramas)))]
        fill = panorama.look(
            size, rng.uniform(0, 6.28), rng.uniform(0, 0.6), rng.uniform(0.2, 0.8)
        )
    elif rng.random() < 0.3:
        fill = procedural(rng, size)
    else:
        fill = np.empty_like(image)
        fill[:] = _colour(rng, image)
        shade = np.linspace(rng.uniform(0.5, 1), rng.uniform(0.5, 1), size[0])[:, None, None]
        fill = (fill * shade).astype(np.uint8)
    soft = cv2.GaussianBlur(mask, (3, 3), 0)[..., None].astype(np.float32) / 255
    image[:] = image * (1 - soft) + fill * soft


def _colour(rng: Random, image: Array) -> tuple[float, float, float]:
    """Draw a colour: one of the image's own, dark, or any."""
    if rng.random() < 0.5:
        pixel = image[rng.integers(image.shape[0]), rng.integers(image.shape[1])].astype(float)
        colour = pixel * rng.uniform(0.5, 1.4)
    else:
        colour = rng.uniform(0, 255, 3) * 0.5 + rng.uniform(0, 255) * 0.5
    r, g, b = np.clip(colour, 0, 255)
    return float(r), float(g), float(b)


def point(x: float, y: float) -> tuple[int, int]:
    """Return a position as OpenCV wants it."""
    return int(x), int(y)
