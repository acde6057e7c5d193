"""Things that are no people, of simple shapes: furniture, plants, signs, cars, animals.

Lengths in metres, x to the right, z up, on the ground at z = 0.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.directions import turn
from world.shapes import SHAPES

Array = NDArray[Any]
Random = np.random.Generator
UP = np.array([0.0, 0, 1])
POINTS = {name: make()[0] for name, make in SHAPES.items()}


@dataclass
class Parts:
    """What a thing is made of: shapes at their places, each of one linear colour."""

    shapes: list[tuple[str, Array]] = field(default_factory=list)
    colours: list[Array] = field(default_factory=list)

    def put(
        self, shape: str, at: Any, half: Any, colour: Array, axes: Array | None = None
    ) -> None:
        """Add a shape of some half sizes, around a point; axes: its directions, columns."""
        place = np.eye(4)
        place[:3, :3] = (np.eye(3) if axes is None else axes) * np.asarray(half, float)
        place[:3, 3] = at
        self.shapes.append((shape, place))
        self.colours.append(colour)

    def points(self) -> Array:
        """Return the points (n, 3) of all shapes."""
        return np.concatenate([POINTS[name] @ p[:3, :3].T + p[:3, 3] for name, p in self.shapes])


def colour(rng: Random) -> Array:
    """Draw a linear colour: wood, grey, dark, white or any."""
    kind = rng.random()
    if kind < 0.3:
        return np.array([0.35, 0.18, 0.08]) * rng.uniform(0.2, 2.0)
    if kind < 0.55:
        return rng.uniform(0.01, 0.7) * (1 + rng.uniform(-0.1, 0.1, 3))
    if kind < 0.7:
        return np.array([0.05, 0.16, 0.04]) * rng.uniform(0.3, 2.5)
    return rng.uniform(0, 1, 3) ** 2


def draw(rng: Random) -> Parts:
    """Draw a thing."""
    kinds = list(KINDS)
    return KINDS[kinds[int(rng.integers(len(kinds)))]](rng)


def _legs(rng: Random, parts: Parts, half: Array, high: float, paint: Array) -> None:
    shape, thick = rng.choice(['box', 'tube']), rng.uniform(0.012, 0.04)
    for x in (-1, 1):
        for y in (-1, 1):
            at = [x * (half[0] - thick), y * (half[1] - thick), high / 2]
            parts.put(shape, at, [thick, thick, high / 2], paint)


def _chair(rng: Random) -> Parts:
    parts, paint = Parts(), colour(rng)
    half, high = rng.uniform(0.19, 0.28, 2), rng.uniform(0.4, 0.5)
    _legs(rng, parts, half, high, paint if rng.random() < 0.5 else colour(rng))
    parts.put('box', [0, 0, high], [*half, rng.uniform(0.015, 0.06)], paint)
    tall = rng.uniform(0.12, 0.4)
    parts.put('box', [0, half[1], high + tall], [half[0], rng.uniform(0.012, 0.05), tall], paint)
    if rng.random() < 0.4:  # arms
        for side in (-1, 1):
            at = [side * half[0], 0, high + 0.2]
            parts.put('box', at, [0.025, half[1], rng.choice([0.02, 0.1])], paint)
    return parts


def _sofa(rng: Random) -> Parts:
    parts, paint = Parts(), colour(rng)
    wide, deep = rng.uniform(0.4, 1.1), rng.uniform(0.35, 0.5)
    parts.put('box', [0, 0, 0.22], [wide, deep, 0.22], paint)
    parts.put('box', [0, deep - 0.1, 0.6], [wide, 0.12, 0.25], paint)
    for side in (-1, 1):
        parts.put('box', [side * wide, 0, 0.32], [0.1, deep, 0.32], paint)
    for _ in range(int(rng.integers(0, 4))):  # cushions
        at = [rng.uniform(-wide, wide), deep - 0.25, 0.58]
        parts.put('ball', at, [0.2, 0.09, 0.18], colour(rng))
    return parts


def _table(rng: Random) -> Parts:
    parts, paint = Parts(), colour(rng)
    half, high = rng.uniform([0.25, 0.25], [1.0, 0.5]), rng.uniform(0.4, 1.1)
    if rng.random() < 0.3:
        parts.put('tube', [0, 0, high / 2], [0.04, 0.04, high / 2], paint)
        parts.put('tube', [0, 0, high], [half[0], half[0], 0.02], colour(rng))
    else:
        _legs(rng, parts, half, high, paint)
        parts.put('box', [0, 0, high], [*half, 0.02], paint)
    for _ in range(int(rng.integers(0, 6))):  # what stands on it
        size = rng.uniform([0.03, 0.03, 0.03], [0.15, 0.15, 0.25])
        at = [*(rng.uniform(-0.8, 0.8, 2) * half), high + size[2]]
        parts.put(rng.choice(['box', 'ball', 'tube']), at, size, colour(rng))
    return parts


def _shelf(rng: Random) -> Parts:
    parts, paint = Parts(), colour(rng)
    wide, deep, tall = rng.uniform(0.25, 0.8), rng.uniform(0.12, 0.3), rng.uniform(0.4, 1.1)
    parts.put('box', [0, deep, tall], [wide, 0.01, tall], paint)
    for side in (-1, 1):
        parts.put('box', [side * wide, 0, tall], [0.015, deep, tall], paint)
    rows = int(rng.integers(2, 7))
    for row in range(rows + 1):
        low = 2 * tall * row / rows
        parts.put('box', [0, 0, low], [wide, deep, 0.012], paint)
        at = -wide
        while row < rows and at < wide * 0.9 and len(parts.shapes) < 60:
            thick, high = rng.uniform(0.015, 0.06), rng.uniform(0.3, 0.9) * tall / rows
            at += 2 * thick if rng.random() < 0.8 else 0.2
            if at + thick < wide:
                parts.put('box', [at, 0, low + high], [thick, deep * 0.8, high], colour(rng))
    return parts


def _cupboard(rng: Random) -> Parts:
    parts, paint = Parts(), colour(rng)
    half = rng.uniform([0.25, 0.2, 0.35], [0.8, 0.4, 1.1])
    parts.put('box', [0, 0, half[2]], half, paint)
    for side in (-1, 1):  # doors
        at = [side * half[0] / 2, -half[1], half[2]]
        parts.put(
            'box', at, [half[0] * 0.46, 0.015, half[2] * 0.94], paint * rng.uniform(0.6, 1.4)
        )
        parts.put('ball', [side * 0.04, -half[1] - 0.02, half[2]], [0.015] * 3, colour(rng))
    return parts


def _lamp(rng: Random) -> Parts:
    parts, paint = Parts(), colour(rng)
    high, shade = rng.uniform(0.8, 2.2), rng.uniform(0.1, 0.3)
    parts.put('tube', [0, 0, 0.015], [0.16, 0.16, 0.015], paint)
    parts.put('tube', [0, 0, high / 2], [0.015, 0.015, high / 2], paint)
    form = rng.choice(['tube', 'ball'])
    parts.put(form, [0, 0, high], [shade, shade, shade * rng.uniform(0.6, 1.2)], colour(rng))
    return parts


def _plant(rng: Random) -> Parts:
    parts, green = Parts(), np.array([0.06, 0.18, 0.04]) * rng.uniform(0.3, 2.0)
    is_tree = rng.random() < 0.5
    if is_tree:
        high, spread = rng.uniform(1.2, 3.0), rng.uniform(0.4, 1.2)
        brown = np.array([0.12, 0.07, 0.04]) * rng.uniform(0.4, 2)
        parts.put('tube', [0, 0, high / 2], [*[rng.uniform(0.05, 0.18)] * 2, high / 2], brown)
    else:
        high, spread = rng.uniform(0.3, 0.9), rng.uniform(0.15, 0.45)
        parts.put('tube', [0, 0, high * 0.25], [*[spread * 0.6] * 2, high * 0.25], colour(rng))
    for _ in range(int(rng.integers(8, 26))):
        at = rng.normal(0, 0.5, 3) * spread + [0, 0, high]
        half = rng.uniform(0.1, 0.45, 3) * spread * rng.choice([1.0, 0.4])
        axes = turn(rng.normal(size=3), rng.uniform(0, 180))
        parts.put('ball', at, half, green * rng.uniform(0.5, 1.6), axes)
    return parts


def _post(rng: Random) -> Parts:
    """Draw a bollard, a sign, a bin, or a coat stand."""
    parts, paint = Parts(), colour(rng)
    high, thick = rng.uniform(0.5, 2.4), rng.uniform(0.02, 0.2)
    parts.put(rng.choice(['tube', 'box']), [0, 0, high / 2], [thick, thick, high / 2], paint)
    if rng.random() < 0.3:
        parts.put('ball', [0, 0, high], [thick * 1.2] * 3, colour(rng))
    if rng.random() < 0.4:
        wide = rng.uniform(0.12, 0.45)
        at = [0, -thick, high - wide * rng.uniform(0, 1)]
        parts.put(rng.choice(['box', 'ball']), at, [wide, 0.015, wide], colour(rng))
    elif thick < 0.06 and rng.random() < 0.6:  # clothes on a stand
        for _ in range(int(rng.integers(1, 4))):
            tall = rng.uniform(0.2, 0.5)
            at = [*rng.normal(0, 0.1, 2), high - tall]
            parts.put('ball', at, [rng.uniform(0.08, 0.2), 0.08, tall], colour(rng))
    return parts


def _car(rng: Random) -> Parts:
    parts, paint = Parts(), colour(rng)
    long, wide = rng.uniform(1.5, 2.4), rng.uniform(0.75, 0.95)
    parts.put('box', [0, 0, 0.6], [long, wide, 0.3], paint)
    cabin = rng.uniform(0.45, 0.9) * long
    parts.put('box', [rng.uniform(-0.4, 0.2), 0, 1.1], [cabin, wide * 0.9, 0.25], paint)
    dark = np.full(3, 0.02)
    parts.put('box', [0, 0, 1.1], [cabin * 0.95, wide * 0.92, 0.18], dark)
    lying = turn(np.array([1.0, 0, 0]), 90)
    for x in (-0.65, 0.65):
        for y in (-1, 1):
            at = [x * long, y * wide * 0.95, 0.32]
            parts.put('tube', at, [0.32, 0.32, 0.12], dark, lying)
    return parts


def _animal(rng: Random) -> Parts:
    """Draw something on four legs."""
    parts, paint = Parts(), colour(rng)
    size = rng.uniform(0.25, 1.3)
    high = 0.6 * size
    parts.put('ball', [0, 0, high], np.array([0.5, 0.18, 0.2]) * size, paint)
    neck = np.array([0.5, 0, 0.85]) * size
    parts.put('ball', neck, np.array([0.14, 0.09, 0.22]) * size, paint, turn(UP, 0))
    parts.put('ball', neck + np.array([0.12, 0, 0.15]) * size, np.array([0.2, 0.1, 0.11]) * size,
              paint)  # fmt: skip
    for x in (-0.36, 0.36):
        for y in (-0.1, 0.1):
            at = [x * size + rng.normal(0, 0.06) * size, y * size, high / 2]
            parts.put('tube', at, [0.05 * size, 0.05 * size, high / 2], paint)
    tail = turn(np.array([0, 1.0, 0]), rng.uniform(-60, 60))
    parts.put('ball', [-0.6 * size, 0, 1.1 * high], [0.2 * size, 0.03 * size, 0.03 * size], paint,
              tail)  # fmt: skip
    return parts


def _pile(rng: Random) -> Parts:
    """Draw shapes on one another, turned anyhow."""
    parts, high = Parts(), 0.0
    for _ in range(int(rng.integers(2, 9))):
        half = np.exp(rng.uniform(np.log(0.04), np.log(0.5), 3))
        axes = turn(UP, rng.uniform(0, 180))
        if rng.random() < 0.3:
            axes = turn(rng.normal(size=3), rng.uniform(0, 180))
        at = [*rng.normal(0, 0.2, 2), high + half[2]]
        parts.put(rng.choice(['box', 'ball', 'tube']), at, half, colour(rng), axes)
        high += 2 * half[2] * rng.uniform(0, 1)
    return parts


KINDS: dict[str, Callable[[Random], Parts]] = {
    'chair': _chair,
    'sofa': _sofa,
    'table': _table,
    'shelf': _shelf,
    'cupboard': _cupboard,
    'lamp': _lamp,
    'plant': _plant,
    'post': _post,
    'car': _car,
    'animal': _animal,
    'pile': _pile,
}
