"""Draws a dressed body: colour, depth, and what of it is the person.

By moderngl on EGL, which needs neither a display nor a GPU (Mesa's llvmpipe).
"""

from dataclasses import dataclass, field
from typing import Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from world.bodies import LAYERS, BodyModel
from world.shaders import FRAGMENT, OUTLINE, OUTLINE_VERTEX, VERTEX
from world.shapes import SHAPES

Array = NDArray[Any]
NEAR, FAR = 0.2, 60.0  # metres


@dataclass
class Scene:
    """What one picture shows; the lengths of lists say how much of each."""

    size: tuple[int, int]  # height, width in pixels
    projection: Array  # (4, 4): world to clip space
    eye: Array  # (3,): where the camera is, metres
    positions: Array  # (v, 3) of the model's vertices, dressed
    normals: Array  # (v, 3)
    skin: Array  # (v, 3): bare skin, eyes and hair, linear colour
    uniforms: dict[str, Any]  # the look: see the shader
    layers: tuple[str, ...] = ('body',)  # surfaces to draw
    things: list[tuple[str, Array]] = field(default_factory=list)  # shape and its place (4, 4)
    colours: list[Array] = field(default_factory=list)  # linear, of each thing; none: of the look


class Renderer:
    """Draws scenes of one body model, one at a time."""

    def __init__(self, model: BodyModel, fields: Array, largest: int = 1280) -> None:
        """Take the model, what its vertices say of clothes (v, 4), and the longest side."""
        context = moderngl.create_context(standalone=True, backend='egl')
        self.context = context
        size = len(model.template) * 3 * 4
        self._positions, self._normals, self._skin = (
            context.buffer(reserve=size, dynamic=True) for _ in range(3)
        )
        fixed = np.concatenate((model.template, fields), axis=1, dtype=np.float32)
        shape = (self._positions, '3f', 'position')
        place = (context.buffer(fixed.tobytes()), '3f 4f', 'place', 'fields')
        colours = ((self._normals, '3f', 'normal'), (self._skin, '3f', 'skin'))
        indices = {name: context.buffer(model.triangles[name].tobytes()) for name in LAYERS}
        self._painter = _Painter(context, VERTEX, FRAGMENT, (shape, place, *colours), indices)
        self._outliner = _Painter(context, OUTLINE_VERTEX, OUTLINE, (shape, place), indices)
        self._largest = largest
        colour = context.renderbuffer((largest, largest), 4)
        person = context.renderbuffer((largest, largest), 1)
        self._depth = context.depth_texture((largest, largest))
        self._frame = context.framebuffer([colour, person], self._depth)
        rng = np.random.default_rng(0)
        self._noise = context.texture3d((32, 32, 32), 4, _noise(rng).tobytes())
        self._noise.filter = (moderngl.LINEAR, moderngl.LINEAR)

    def draw(self, scene: Scene) -> tuple[Array, Array, Array]:
        """Return picture (h, w, 4) RGBA uint8, person (h, w) bool and depth (h, w) in metres."""
        for buffer, values in ((self._normals, scene.normals), (self._skin, scene.skin)):
            buffer.write(np.ascontiguousarray(values, np.float32))
        self._render(scene, self._painter)
        height, width = scene.size
        raw = self._frame.read(viewport=(0, 0, width, height), components=4, attachment=0)
        picture = np.frombuffer(raw, np.uint8).reshape(height, width, 4)[::-1]
        raw = self._frame.read(
            viewport=(0, 0, width, height), components=1, attachment=1, alignment=1
        )
        person = np.frombuffer(raw, np.uint8).reshape(height, width)[::-1] > 0
        return picture, person, read_depth(self._frame, scene.size)

    def depth(self, scene: Scene) -> Array:
        """Return what draw does of depth, alone; FAR where nothing is.

        Normals and colours are not used.
        """
        self._render(scene, self._outliner)
        return read_depth(self._frame, scene.size)

    def _render(self, scene: Scene, painter: '_Painter') -> None:
        height, width = scene.size
        if max(scene.size) > self._largest:
            raise ValueError(
                f'{height} x {width} pixels: pictures may have {self._largest} a side'
            )
        self._frame.use()
        self.context.enable(moderngl.DEPTH_TEST)
        self.context.viewport = (0, 0, width, height)
        self._frame.clear(0, 0, 0, 0, depth=1.0, viewport=(0, 0, width, height))
        self._noise.use(0)
        self._positions.write(np.ascontiguousarray(scene.positions, np.float32))
        painter.paint(scene)


class _Painter:
    """A program, and the surfaces that it draws."""

    def __init__(
        self, context: Any, vertex: str, fragment: str, formats: Any, indices: dict[str, Any]
    ) -> None:
        self._context = context
        self._program = context.program(vertex_shader=vertex, fragment_shader=fragment)
        self._arrays = {
            layer: context.vertex_array(self._program, formats, index)
            for layer, index in indices.items()
        }
        self._shapes = {name: make() for name, make in SHAPES.items()}

    def paint(self, scene: Scene) -> None:
        """Draw all of a scene."""
        program = self._program
        self._set('projection', scene.projection.T.astype(np.float32).tobytes())
        self._set('eye', tuple(float(x) for x in scene.eye))
        for name, value in scene.uniforms.items():
            self._set(name, value)
        for layer in scene.layers:
            program['layer'].value = LAYERS.index(layer)
            if layer == 'body':
                self._context.enable(moderngl.CULL_FACE)
            else:
                self._context.disable(moderngl.CULL_FACE)
            self._arrays[layer].render()
        program['layer'].value = len(LAYERS)
        self._context.disable(moderngl.CULL_FACE)
        colours = scene.colours or [np.zeros(3)] * len(scene.things)
        for (shape, place), colour in zip(scene.things, colours, strict=True):
            self._paint_thing(shape, place, colour)

    def _set(self, name: str, value: Any) -> None:
        if name in self._program:
            member = self._program[name]
            if isinstance(value, bytes):
                member.write(value)
            elif isinstance(value, np.ndarray):
                member.write(np.ascontiguousarray(value, np.float32).tobytes())
            else:
                member.value = value

    def _paint_thing(self, shape: str, place: Array, colour: Array) -> None:
        points, normals, triangles = self._shapes[shape]
        turned = points @ place[:3, :3].T + place[:3, 3]
        slant = normals @ np.linalg.inv(place[:3, :3])
        slant /= np.linalg.norm(slant, axis=1, keepdims=True)
        count = len(points)
        columns = {'position': turned, 'normal': slant, 'skin': np.tile(colour, (count, 1)),
                   'place': points * 0.3, 'fields': np.zeros((count, 4))}  # fmt: skip
        names = [name for name in columns if name in self._program]
        rows = np.concatenate([columns[name] for name in names], axis=1, dtype=np.float32)
        sizes = ' '.join(f'{columns[name].shape[1]}f' for name in names)
        buffer = self._context.buffer(rows.tobytes())
        index = self._context.buffer(triangles.tobytes())
        array = self._context.vertex_array(self._program, [(buffer, sizes, *names)], index)
        array.render()
        for resource in (array, buffer, index):
            resource.release()


def read_depth(frame: Any, size: tuple[int, int]) -> Array:
    """Return the depth (h, w) in metres that was drawn into a framebuffer."""
    height, width = size
    raw = frame.read(viewport=(0, 0, width, height), components=1, attachment=-1, dtype='f4')
    z = np.frombuffer(raw, np.float32).reshape(height, width)[::-1]
    return NEAR * FAR / (FAR - z * (FAR - NEAR))


def _noise(rng: np.random.Generator) -> Array:
    """Return smooth noise that repeats, (32, 32, 32, 4) uint8 around 128."""
    total = np.zeros((32, 32, 32, 4))
    for cells, weight in ((4, 1.0), (8, 0.7), (16, 0.5), (32, 0.3)):
        coarse = rng.uniform(-1, 1, (cells, cells, cells, 4))
        step = 32 // cells
        for axis in range(3):
            coarse = np.repeat(coarse, step, axis)
            if step > 1:  # from steps to slopes
                kernel = sum(np.roll(coarse, s - step // 2, axis) for s in range(step)) / step
                coarse = kernel
        total += weight * coarse
    total /= np.abs(total).max(axis=(0, 1, 2))
    return (128 + 127 * np.clip(total * 1.2, -1, 1)).astype(np.uint8)
