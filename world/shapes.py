"""Shapes that things are made of, of half size 1, around the origin."""

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


def _tube() -> tuple[Array, Array, Array]:
    """Return a cylinder along z, closed."""
    columns = 20
    around = 2 * np.pi * np.arange(columns) / columns
    ring = np.column_stack((np.cos(around), np.sin(around)))
    points, normals, triangles = [], [], []
    i, j = np.arange(columns), (np.arange(columns) + 1) % columns
    for z in (-1.0, 1.0):
        points.append(np.column_stack((ring, np.full(columns, z))))
        normals.append(np.column_stack((ring, np.zeros(columns))))
    triangles += [
        np.column_stack((i, j, j + columns)),
        np.column_stack((i, j + columns, i + columns)),
    ]
    for z in (-1.0, 1.0):
        start = sum(len(p) for p in points)
        points.append(np.vstack((np.column_stack((ring, np.full(columns, z))), [[0, 0, z]])))
        normals.append(np.tile([0, 0, z], (columns + 1, 1)))
        ends = (i, j) if z > 0 else (j, i)  # seen from outside
        triangles.append(np.column_stack((*ends, np.full(columns, columns))) + start)
    return np.vstack(points), np.vstack(normals), np.vstack(triangles).astype(np.int32)


def _ring() -> tuple[Array, Array, Array]:
    """Return a wheel about z, without spokes."""
    rows, columns, thick = 6, 28, 0.07
    v, u = np.mgrid[0:rows, 0:columns]
    small, around = 2 * np.pi * v / rows, 2 * np.pi * u / columns
    normals = np.stack(
        (np.cos(small) * np.cos(around), np.cos(small) * np.sin(around), np.sin(small)), axis=-1
    ).reshape(-1, 3)
    middle = np.stack((np.cos(around), np.sin(around), np.zeros_like(around)), axis=-1)
    points = middle.reshape(-1, 3) * (1 - thick) + normals * thick
    a, b = v * columns + u, v * columns + (u + 1) % columns
    c, d = ((v + 1) % rows) * columns + u, ((v + 1) % rows) * columns + (u + 1) % columns
    quads = np.stack([corner.ravel() for corner in (a, b, d, a, d, c)], axis=1).reshape(-1, 3)
    return points, normals, quads.astype(np.int32)


SHAPES = {'ball': _sphere, 'box': _box, 'tube': _tube, 'ring': _ring}
