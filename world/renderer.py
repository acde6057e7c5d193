"""Draws a dressed body: colour, depth, and what of it is the person.

By moderngl on EGL, which needs neither a display nor a GPU (Mesa's llvmpipe).
"""

from dataclasses import dataclass, field
from typing import Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from world.bodies import LAYERS, BodyModel
from world.shells import coarse

Array = NDArray[Any]
NEAR, FAR = 0.2, 60.0  # metres

_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position, normal, place, skin;
in vec4 fields;
out vec3 v_normal, v_place, v_skin, v_position;
out vec4 v_fields;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    v_position = position; v_normal = normal; v_place = place; v_skin = skin;
    v_fields = fields;
}
"""

# fields: how far along the arm (0 shoulder, 1 elbow, 2 wrist), along the leg (0 hip, 1 knee,
# 2 ankle, 3 toes), height on the trunk (0 crotch, 1 neck), and 1 for hands and head: always bare.
_FRAGMENT = """
#version 330
uniform sampler3D noise;
uniform int layer;           // 0 body, 1 tights, 2 skirt, 3 hair, 4 thing
uniform vec3 eye;
uniform vec3 sky[9];         // irradiance, spherical harmonics
uniform vec3 sun, sun_colour;
uniform vec4 top;            // sleeves end, hem, neckline, depth of the neckline
uniform vec4 bottom;         // trousers end, waist, belt, socks end
uniform vec4 outer;          // the coat: sleeves end, hem (below 0: on the legs), opening, collar
uniform vec3 skirt;          // ends, starts, opening
uniform vec3 colours[16];    // pairs: top, bottom, outer, skirt, shoes, hair, thing, print
uniform vec4 patterns[4];    // of top, bottom, outer, skirt: kind, scale, strength, turn
uniform vec3 face;           // half width, depth and height of the gap in the hair
uniform vec3 print;          // on the chest: centre, half width (0: none), half height
uniform float wrinkles, gloss, exposure;
in vec3 v_normal, v_place, v_skin, v_position;
in vec4 v_fields;
layout(location = 0) out vec4 colour;
layout(location = 1) out float person;

vec3 cloth(int which, vec4 n) {
    vec4 pattern = patterns[which];
    vec3 a = colours[2 * which], b = colours[2 * which + 1];
    // Limbs are measured along themselves, the trunk by its height.
    float along = v_fields.x > 0.0 ? v_fields.x * 0.28 : v_fields.y > 0.0 ? v_fields.y * 0.4
                                                                         : v_place.z;
    float around = v_fields.x > 0.0 ? v_place.y * 1.5 : v_place.x;
    float c = cos(pattern.w), s = sin(pattern.w);
    vec2 at = mat2(c, -s, s, c) * vec2(around, along) * pattern.y;
    float m = 0.0;
    int kind = int(pattern.x);
    if (kind == 1) m = step(0.5, fract(at.y));
    else if (kind == 2) m = (step(0.6, fract(at.x)) + step(0.6, fract(at.y))) * 0.5;
    else if (kind == 3) m = step(0.55, texture(noise, v_place * pattern.y * 0.12).a);
    else if (kind == 4) m = smoothstep(-0.3, 0.5, v_place.z * 2.0 + 0.2);
    else if (kind == 5) m = 1.0 - step(0.3, length(fract(at) - 0.5));
    else if (kind == 6) m = step(0.93, fract(at.x * 1.7)) * 0.8;
    else if (kind == 7) m = step(0.0, v_place.z - pattern.y * 0.01);
    vec3 base = mix(a, b, m * pattern.z);
    return base * (0.86 + 0.28 * n.a);
}

void main() {
    vec4 n = texture(noise, v_place * 1.7 + vec3(patterns[0].w));
    vec4 fine = texture(noise, v_place * 6.0);
    float arm = v_fields.x, leg = v_fields.y, trunk = v_fields.z, bare = v_fields.w;
    float ragged = (fine.a - 0.5) * 0.03;
    vec3 albedo = v_skin;
    float shine = 0.5;
    bool dressed = false;
    if (layer == 4) { albedo = mix(colours[12], colours[13], step(0.8, n.a)); dressed = true; }
    else if (layer == 3) {
        albedo = mix(colours[10], colours[11], fine.a);
        albedo *= 0.7 + 0.6 * texture(noise, v_place * vec3(9.0, 9.0, 0.7)).a;
        if (v_place.z < top.w + ragged * 2.0) discard;
        // The face looks out.
        if (v_place.y < face.y && abs(v_place.x) < face.x + ragged && v_place.z < face.z + ragged)
            discard;
        shine = 1.5;
    } else if (layer == 2) {
        if (v_fields.z < skirt.x + ragged || v_fields.z > skirt.y) discard;
        if (abs(v_place.x) < skirt.z && v_place.y < 0.0) discard;
        albedo = cloth(3, n); dressed = true;
    } else if (layer == 1) {
        bool on = bare < 0.5;
        if (arm > 0.0) on = on && arm < outer.x + ragged;
        else if (leg > 0.0) on = on && outer.y < 0.0 && leg < -outer.y;
        else on = on && trunk > outer.y && trunk < outer.w;
        float open = outer.z * (1.1 - 0.5 * trunk);
        if (leg <= 0.0 && arm <= 0.0 && v_place.y < -0.02 && abs(v_place.x) < open) on = false;
        if (!on) discard;
        albedo = cloth(2, n); dressed = true;
    } else if (bare < 0.5) {
        float dip = v_place.y < 0.0 ? max(0.0, 0.12 - abs(v_place.x)) * top.w * 4.0 : 0.0;
        float neck = top.z - dip;
        bool shirt = arm > 0.0 ? arm < top.x + ragged
                   : leg > 0.0 ? false : trunk > top.y + ragged && trunk < neck;
        bool pants = leg > 0.0 ? leg < bottom.x + ragged : arm <= 0.0 && trunk < bottom.y;
        if (pants && !(shirt && bottom.z < 0.0)) {
            albedo = cloth(1, n); dressed = true;
            if (leg <= 0.0 && trunk > bottom.y - 0.05 && bottom.z > 0.0) albedo = colours[8] * 0.6;
        } else if (shirt) {
            albedo = cloth(0, n); dressed = true;
            vec2 at = abs(vec2(v_place.x, v_place.z - print.x)) - print.yz;
            if (print.y > 0.0 && v_place.y < 0.0 && arm <= 0.0 && max(at.x, at.y) < 0.0)
                albedo = mix(colours[14], colours[15], step(0.5, fine.a));
        } else if (leg > bottom.w) { albedo = colours[9]; dressed = true; }
        if (leg > 1.97 && !pants) { albedo = colours[8]; dressed = true; shine = 1.0; }
    }
    vec3 normal = normalize(v_normal);
    if (!gl_FrontFacing) normal = -normal;
    float bump = dressed ? wrinkles : 0.08;
    normal = normalize(normal + bump * ((n.rgb - 0.5) * 1.6 + (fine.rgb - 0.5) * 0.7));
    vec3 g = normal;
    vec3 light = sky[0] + sky[1] * g.y + sky[2] * g.z + sky[3] * g.x + sky[4] * g.x * g.y
               + sky[5] * g.y * g.z + sky[6] * (3.0 * g.z * g.z - 1.0) + sky[7] * g.x * g.z
               + sky[8] * (g.x * g.x - g.y * g.y);
    light = max(light, vec3(0.02));
    float facing = dot(normal, sun);
    light += sun_colour * max(facing, 0.0);
    vec3 view = normalize(eye - v_position);
    float spark = pow(max(dot(normal, normalize(sun + view)), 0.0), 24.0);
    vec3 shaded = albedo * light + sun_colour * spark * gloss * shine * 0.25;
    // Folds and gaps between limbs get less of the sky.
    shaded *= 0.75 + 0.25 * n.a + 0.1 * fine.a;
    colour = vec4(pow(clamp(shaded * exposure, 0.0, 1.0), vec3(0.4545)), 1.0);
    person = layer == 4 ? 0.0 : 1.0;
}
"""


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


class Renderer:
    """Draws scenes of one body model, one at a time."""

    def __init__(self, model: BodyModel, fields: Array, largest: int = 1280) -> None:
        """Take the model, what its vertices say of clothes (v, 4), and the longest side."""
        self._context = moderngl.create_context(standalone=True, backend='egl')
        self._program = self._context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        size = len(model.template) * 3 * 4
        self._positions, self._normals, self._skin = (
            self._context.buffer(reserve=size, dynamic=True) for _ in range(3)
        )
        fixed = np.concatenate((model.template, fields), axis=1, dtype=np.float32)
        self._fixed = self._context.buffer(fixed.tobytes())
        formats = (
            (self._positions, '3f', 'position'),
            (self._normals, '3f', 'normal'),
            (self._skin, '3f', 'skin'),
            (self._fixed, '3f 4f', 'place', 'fields'),
        )
        self.coarse = coarse(model)
        self._arrays, self._coarse_arrays = (
            {
                layer: self._context.vertex_array(
                    self._program, formats, self._context.buffer(triangles[layer].tobytes())
                )
                for layer in LAYERS
            }
            for triangles in (model.triangles, self.coarse)
        )
        self._shapes = {name: make() for name, make in SHAPES.items()}
        self._largest = largest
        colour = self._context.renderbuffer((largest, largest), 4)
        person = self._context.renderbuffer((largest, largest), 1)
        self._depth = self._context.depth_texture((largest, largest))
        self._frame = self._context.framebuffer([colour, person], self._depth)
        rng = np.random.default_rng(0)
        self._noise = self._context.texture3d((32, 32, 32), 4, _noise(rng).tobytes())
        self._noise.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self._context.enable(moderngl.DEPTH_TEST)

    def draw(self, scene: Scene) -> tuple[Array, Array, Array]:
        """Return picture (h, w, 4) RGBA uint8, person (h, w) bool and depth (h, w) in metres."""
        for buffer, values in ((self._normals, scene.normals), (self._skin, scene.skin)):
            buffer.write(np.ascontiguousarray(values, np.float32))
        self._render(scene, self._arrays)
        height, width = scene.size
        raw = self._frame.read(viewport=(0, 0, width, height), components=4, attachment=0)
        picture = np.frombuffer(raw, np.uint8).reshape(height, width, 4)[::-1]
        raw = self._frame.read(
            viewport=(0, 0, width, height), components=1, attachment=1, alignment=1
        )
        person = np.frombuffer(raw, np.uint8).reshape(height, width)[::-1] > 0
        return picture, person, self._read_depth(scene)

    def depth(self, scene: Scene, *, rough: bool = False) -> Array:
        """Return depth (h, w) in metres alone, FAR where nothing is.

        Normals and skin are not used. rough: by the triangles of world.shells, for small pictures.
        """
        self._render(scene, self._coarse_arrays if rough else self._arrays)
        return self._read_depth(scene)

    def _read_depth(self, scene: Scene) -> Array:
        height, width = scene.size
        raw = self._frame.read(
            viewport=(0, 0, width, height), components=1, attachment=-1, dtype='f4'
        )
        z = np.frombuffer(raw, np.float32).reshape(height, width)[::-1]
        return NEAR * FAR / (FAR - z * (FAR - NEAR))

    def _render(self, scene: Scene, arrays: dict[str, Any]) -> None:
        height, width = scene.size
        if max(scene.size) > self._largest:
            raise ValueError(
                f'{height} x {width} pixels: pictures may have {self._largest} a side'
            )
        self._frame.use()
        self._context.viewport = (0, 0, width, height)
        self._frame.clear(0, 0, 0, 0, depth=1.0, viewport=(0, 0, width, height))
        program = self._program
        self._set('projection', scene.projection.T.astype(np.float32).tobytes())
        self._set('eye', tuple(float(x) for x in scene.eye))
        for name, value in scene.uniforms.items():
            self._set(name, value)
        self._noise.use(0)
        self._positions.write(np.ascontiguousarray(scene.positions, np.float32))
        for layer in scene.layers:
            program['layer'].value = LAYERS.index(layer)
            if layer == 'body':
                self._context.enable(moderngl.CULL_FACE)
            else:
                self._context.disable(moderngl.CULL_FACE)
            arrays[layer].render()
        program['layer'].value = len(LAYERS)
        for shape, place in scene.things:
            self._draw_thing(shape, place)

    def _set(self, name: str, value: Any) -> None:
        if name in self._program:
            member = self._program[name]
            if isinstance(value, bytes):
                member.write(value)
            elif isinstance(value, np.ndarray):
                member.write(np.ascontiguousarray(value, np.float32).tobytes())
            else:
                member.value = value

    def _draw_thing(self, shape: str, place: Array) -> None:
        points, normals, triangles = self._shapes[shape]
        turned = points @ place[:3, :3].T + place[:3, 3]
        slant = normals @ np.linalg.inv(place[:3, :3])
        slant /= np.linalg.norm(slant, axis=1, keepdims=True)
        count = len(points)
        rows = np.zeros((count, 16), np.float32)
        rows[:, :3], rows[:, 3:6], rows[:, 9:12] = turned, slant, points * 0.3
        buffer = self._context.buffer(rows.tobytes())
        index = self._context.buffer(triangles.tobytes())
        names = ('position', 'normal', 'skin', 'place', 'fields')
        array = self._context.vertex_array(
            self._program, [(buffer, '3f 3f 3f 3f 4f', *names)], index
        )
        self._context.disable(moderngl.CULL_FACE)
        array.render()
        for resource in (array, buffer, index):
            resource.release()


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
