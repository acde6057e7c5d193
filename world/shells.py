"""Shells: bodies of few triangles, for depth in small pictures."""

from typing import Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from world.bodies import BodyModel
from world.renderer import read_depth
from world.shaders import SHELL, SHELL_VERTEX
from world.shapes import SHAPES

Array = NDArray[Any]
CELL = 0.03  # metres: vertices of the body at rest that share a cell become one
FINE = 0.017  # in hands, feet and heads
_FINE = ('wrist', 'finger', 'meta', 'foot', 'toe', 'head', 'eye')


def coarse(model: BodyModel) -> dict[str, Array]:
    """Return of each layer the triangles (n, 3) of a shell, as indices of the model's vertices."""
    fine = np.array([name.startswith(_FINE) for name in model.bones])[model.main_bone]
    size = np.where(fine, FINE, CELL)
    cells = np.column_stack((np.round(model.template / size[:, None]), fine)).astype(int)
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


class ShellRenderer:
    """Draws the depth of triangles in small pictures."""

    def __init__(self, context: Any, largest: int = 640) -> None:
        """Take an OpenGL context, and the longest side of a picture in pixels."""
        self._context = context
        self._program = context.program(vertex_shader=SHELL_VERTEX, fragment_shader=SHELL)
        self._depth = context.depth_texture((largest, largest))
        self._frame = context.framebuffer([], self._depth)
        self._shapes = {name: make() for name, make in SHAPES.items()}
        self.largest = largest

    def depth(
        self,
        positions: Array,
        triangles: Array,
        things: list[tuple[str, Array]],
        projection: Array,
        size: tuple[int, int],
    ) -> Array:
        """Return the depth (h, w) metres of triangles (n, 3) of positions (m, 3), FAR elsewhere.

        things: what is carried, see world.renderer.Scene, as projection and size are.
        """
        points, corners, count = [positions], [triangles], len(positions)
        for name, place in things:
            shape, _, faces = self._shapes[name]
            points.append(shape @ place[:3, :3].T + place[:3, 3])
            corners.append(faces + count)
            count += len(shape)
        context = self._context
        buffer = context.buffer(np.concatenate(points, dtype=np.float32).tobytes())
        index = context.buffer(np.concatenate(corners, dtype=np.int32).tobytes())
        array = context.vertex_array(self._program, [(buffer, '3f', 'position')], index)
        height, width = size
        self._frame.use()
        context.viewport = (0, 0, width, height)
        context.enable(moderngl.DEPTH_TEST)
        context.disable(moderngl.CULL_FACE)
        self._frame.clear(depth=1.0, viewport=(0, 0, width, height))
        self._program['projection'].write(projection.T.astype(np.float32).tobytes())
        array.render()
        depth = read_depth(self._frame, size)
        for resource in (array, buffer, index):
            resource.release()
        return depth
