"""Shells: bodies of few triangles, for depth in small pictures."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.bodies import BodyModel

Array = NDArray[Any]
CELL = 0.03  # metres: vertices of the body at rest that share a cell become one
FINE = 0.017  # in hands, feet and heads


def coarse(model: BodyModel) -> dict[str, Array]:
    """Return of each layer the triangles (n, 3) of a shell, as indices of the model's vertices."""
    part = np.array([name.startswith(('wrist', 'finger', 'meta', 'foot', 'toe', 'head', 'eye'))
                     for name in model.bones])[model.main_bone]  # fmt: skip
    size = np.where(part, FINE, CELL)
    cells = np.column_stack((np.round(model.template / size[:, None]), part)).astype(int)
    shells = {}
    for layer, triangles in model.triangles.items():
        used = np.unique(triangles)
        _, first, group = np.unique(cells[used], axis=0, return_index=True, return_inverse=True)
        stands_for = np.zeros(len(model.template), int)
        stands_for[used] = used[first][group.ravel()]
        merged = stands_for[triangles]
        a, b, c = merged.T
        merged = merged[(a != b) & (b != c) & (c != a)]
        _, kept = np.unique(np.sort(merged, axis=1), axis=0, return_index=True)
        shells[layer] = merged[np.sort(kept)].astype(np.int32)
    return shells
