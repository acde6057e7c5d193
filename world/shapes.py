"""Shapes of what people carry, of half size 1, around the origin."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def _sphere() -> tuple[Array, Array, Array]:
    rows, columns = 12, 16
    v, u = np.mgrid[0 : rows + 1, 0:columns]
    polar, around = np.pi * v / rows, 2 * np.pi * u / columns
    points = np.stack(
        (np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)), axis=-1
    ).reshape(-1, 3)
    a = (v * columns + u)[:-1].ravel()
    b = (v * columns + (u + 1) % columns)[:-1].ravel()
    quads = np.stack((a, b, b + columns, a, b + columns, a + columns), axis=1).reshape(-1, 3)
    return points, points, quads.astype(np.int32)


def _box() -> tuple[Array, Array, Array]:
    points, normals, triangles = [], [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            start = len(points)
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                corner = np.empty(3)
                corner[axis], corner[(axis + 1) % 3], corner[(axis + 2) % 3] = sign, a, b
                points.append(corner)
                normals.append(np.eye(3)[axis] * sign)
            triangles += [[start, start + 1, start + 2], [start, start + 2, start + 3]]
    return np.array(points), np.array(normals), np.array(triangles, np.int32)


SHAPES = {'ball': _sphere, 'box': _box}
