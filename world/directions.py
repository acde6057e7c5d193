"""Directions in the axes of a body, and turns about them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[Any]

LEFT, BACK, UP = np.eye(3)
FORWARD = -BACK


def turn(axis: Array, degrees: float) -> Array:
    """Return the rotation (3, 3) about an axis through the origin."""
    vector = axis / np.linalg.norm(axis) * np.radians(degrees)
    return Rotation.from_rotvec(vector).as_matrix()


def unit(vector: Array) -> Array:
    """Return a vector with length 1."""
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def smallest_turn(a: Array, b: Array) -> Array:
    """Return the smallest rotation that brings unit vector a to b."""
    axis = np.cross(a, b)
    sine, cosine = np.linalg.norm(axis), a @ b
    if sine < 1e-6:
        return np.eye(3)
    return turn(axis, np.degrees(np.arctan2(sine, cosine)))
