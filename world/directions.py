"""Directions in the axes of a body, and turns about them."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEFT, BACK, UP = np.eye(3)
FORWARD = -BACK


def turn(axis: Array, degrees: float) -> Array:
    """Return the rotation (3, 3) about an axis through the origin."""
    x, y, z = (float(v) for v in axis)
    length = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / length, y / length, z / length
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    d = 1 - c
    return np.array(
        [
            [c + d * x * x, d * x * y - s * z, d * x * z + s * y],
            [d * x * y + s * z, c + d * y * y, d * y * z - s * x],
            [d * x * z - s * y, d * y * z + s * x, c + d * z * z],
        ]
    )


def unit(vector: Array) -> Array:
    """Return a vector with length 1."""
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def cross(a: Array, b: Array) -> Array:
    """Return the cross product of two vectors (3,); faster than numpy's, which takes many."""
    (x, y, z), (u, v, w) = a.tolist(), b.tolist()
    return np.array([y * w - z * v, z * u - x * w, x * v - y * u])


def smallest_turn(a: Array, b: Array) -> Array:
    """Return the smallest rotation that brings unit vector a to b."""
    axis = cross(a, b)
    sine, cosine = np.linalg.norm(axis), a @ b
    if sine < 1e-6:
        return np.eye(3)
    return turn(axis, np.degrees(np.arctan2(sine, cosine)))
