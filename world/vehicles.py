"""What people ride on: wheelchairs and bicycles, of simple shapes around a body that sits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.directions import turn
from world.furniture import Parts, colour

Array = NDArray[Any]
Random = np.random.Generator

KINDS = ('wheelchair', 'bicycle')
RUBBER = np.full(3, 0.02)
ACROSS = turn(np.array([0, 1.0, 0]), 90)  # a wheel's axle lies to the side


def around(rng: Random, kind: str, hips: Array, size: float) -> Parts:
    """Draw a vehicle; hips: between the hip joints, metres; size: of the body, 1 for adults.

    Bodies face -y.
    """
    parts = Parts()
    (_wheelchair if kind == 'wheelchair' else _bicycle)(rng, parts, hips, size)
    return parts


def _wheelchair(rng: Random, parts: Parts, hips: Array, size: float) -> None:
    frame, cloth = colour(rng), colour(rng)
    low = hips - np.array([0, 0, 0.13 * size])
    wide, large = 0.27 * size, rng.uniform(0.27, 0.32)
    parts.put('box', low, [wide * 0.9, 0.24 * size, 0.025], cloth)
    back = rng.uniform(0.2, 0.32) * size
    parts.put('box', low + np.array([0, 0.24 * size, back]), [wide * 0.9, 0.02, back], cloth)
    for side in (-1, 1):
        axle = low + np.array([side * (wide + 0.04), 0.1 * size, -0.12 * size])
        parts.put('ring', axle, [large] * 3, RUBBER, ACROSS)
        parts.put('ring', axle + np.array([side * 0.03, 0, 0]), [large * 0.85] * 3, frame, ACROSS)
        parts.put('tube', axle, [0.03, 0.03, 0.03], frame, ACROSS)
        small = low + np.array([side * wide * 0.8, -0.32 * size, -0.33 * size])
        parts.put('ring', small, [0.085] * 3, RUBBER, ACROSS)
        rest = low + np.array([side * (wide + 0.01), -0.02, 0.2 * size])
        parts.put('box', rest, [0.025, 0.18 * size, 0.02], RUBBER)
        handle = low + np.array([side * wide * 0.8, 0.3 * size, 2 * back])
        parts.put('box', handle, [0.015, 0.07, 0.015], RUBBER)
        foot = low + np.array([side * 0.1 * size, -0.5 * size, -0.37 * size])
        parts.put('box', foot, [0.07, 0.1, 0.012], frame)


def _bicycle(rng: Random, parts: Parts, hips: Array, size: float) -> None:
    frame = colour(rng)
    large = rng.uniform(0.3, 0.35) * max(size, 0.7)
    ground = hips[2] - rng.uniform(0.93, 1.02) * size
    saddle = hips - np.array([0, 0, 0.11 * size])
    parts.put('ball', saddle, [0.07, 0.13, 0.04], RUBBER)
    rear = np.array([hips[0], hips[1] + 0.22 * size, ground + large])
    front = rear - np.array([0, rng.uniform(0.98, 1.1) * max(size, 0.75), 0])
    for axle in (rear, front):
        parts.put('ring', axle, [large] * 3, RUBBER, ACROSS)
    crank = np.array([hips[0], rear[1] - 0.42 * size, ground + 0.27 * size])
    head = np.array([hips[0], front[1] + 0.18 * size, saddle[2] - 0.02])
    for one, other in ((saddle, crank), (crank, rear), (saddle, rear), (crank, head),
                       (saddle - np.array([0, 0, 0.12]), head), (head, front)):  # fmt: skip
        _rod(parts, one, other, rng.uniform(0.012, 0.022), frame)
    bar = head + np.array([0, -0.06, 0.1])
    _rod(parts, head, bar, 0.015, frame)
    _rod(parts, bar - np.array([0.26, 0, 0]), bar + np.array([0.26, 0, 0]), 0.016, RUBBER)
    if rng.random() < 0.3:
        parts.put('box', bar - np.array([0, 0.15, 0]), [0.16, 0.12, 0.1], colour(rng))  # a basket


def _rod(parts: Parts, one: Array, other: Array, thick: float, paint: Array) -> None:
    """Add a rod from one point to another."""
    along = (other - one) / 2
    length = float(np.linalg.norm(along))
    z = along / length
    x = np.cross(z, [1.0, 0, 0] if abs(z[0]) < 0.9 else [0, 1.0, 0])
    x /= np.linalg.norm(x)
    axes = np.column_stack((x, np.cross(z, x), z))
    parts.put('tube', (one + other) / 2, [thick, thick, length], paint, axes)
