"""People: a body in a pose, dressed, lit and seen by a camera, with its true keypoints."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from world import furniture, poses, vehicles
from world.bodies import NAMES, SKIN, BodyModel, Person
from world.camera import Camera
from world.heads import Heads
from world.look import Look, clothing_fields
from world.panoramas import Panorama
from world.renderer import Renderer, Scene
from world.shells import ShellRenderer, coarse
from world.views import PLAIN, Variety, View

Array = NDArray[Any]
Random = np.random.Generator

LONGEST = 320  # pixels: the longest side of a view
MARGIN = 3  # pixels around the person

# How far behind the visible surface a keypoint that is seen lies at most, metres.
_DEPTH = {
    'eye': 0.03, 'ear': 0.06, 'nose': 0.04, 'shoulder': 0.17, 'hip': 0.22, 'elbow': 0.1,
    'wrist': 0.08, 'knee': 0.13, 'ankle': 0.11, 'toe': 0.07, 'heel': 0.07, 'head_top': 0.12,
    'neck': 0.16, 'pelvis': 0.25,
}  # fmt: skip
TOLERANCE = np.array(
    [next((d for part, d in _DEPTH.items() if part in name), 0.05) for name in NAMES]
)


LEAST = 0.1  # of a close picture that shows the person, not what the person carries


class People:
    """Draws people, each from a random generator of its own."""

    def __init__(self, panoramas: list[Panorama]) -> None:
        """Take the panoramas that light them; without any, light is drawn at random."""
        self.model = BodyModel()
        self._fields = clothing_fields(self.model)
        self._heads = Heads(self.model)
        self.renderer = Renderer(self.model, self._fields)
        self._panoramas = panoramas

    @cached_property
    def shells(self) -> dict[str, Array]:
        """The triangles (n, 3) of bodies for small pictures, of each layer: see world.shells."""
        return coarse(self.model)

    @cached_property
    def shell_renderer(self) -> ShellRenderer:
        """What draws them."""
        return ShellRenderer(self.renderer.context)

    def views(self, rng: Random, count: int, variety: Variety = PLAIN) -> list[View]:
        """Draw one person in so many poses, with the same clothes."""
        person = self.build(rng)
        covered = variety.covered > 0 and rng.random() < variety.covered
        look = Look(rng, person, covered=covered, backs=variety.backs)
        return [self.view(rng, person, look, variety) for _ in range(count)]

    def build(self, rng: Random) -> Person:
        """Draw a body: most are adults, one in six a child."""
        adult = rng.random() > 0.16
        traits = {
            'gender': float(np.clip(rng.choice([0.12, 0.88]) + rng.normal(0, 0.12), 0, 1)),
            'age': rng.uniform(0.6, 1.0) if adult else rng.uniform(0.25, 0.6),
            'muscle': float(np.clip(rng.normal(0.5, 0.18), 0, 1)),
            'weight': float(np.clip(rng.normal(0.5, 0.22), 0.05, 1)),
            'height': float(np.clip(rng.normal(0.5, 0.2), 0, 1)),
            'proportions': float(np.clip(rng.normal(0.5, 0.25), 0, 1)),
        }
        return self.model.build(traits, adult=adult)

    def thing(self, rng: Random) -> View:
        """Draw something that is no person, seen from somewhere."""
        parts = furniture.draw(rng)
        look = Look(rng, self._anybody)
        corners = parts.points()
        camera = Camera.sample(rng).aimed(corners)
        farthest = float(np.linalg.norm(corners - camera.target, axis=1).max())
        camera = replace(camera, distance=max(camera.distance, 1.5 * farthest))
        pixels, _ = camera.project(corners)
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        scale = (LONGEST - 2 * MARGIN) / (high - low).max()
        camera = camera.cropped(scale, low * scale - MARGIN)
        wide, tall = np.ceil((high - low) * scale).astype(int) + 2 * MARGIN
        heading = rng.uniform(0, 2 * np.pi)
        light, uniforms = self._light(rng, camera, heading)
        nothing = np.zeros_like(self.model.template)
        scene = Scene(
            size=(int(tall), int(wide)),
            projection=camera.matrix((int(tall), int(wide))),
            eye=camera.eye,
            positions=nothing,
            normals=nothing,
            skin=nothing,
            uniforms={**look.uniforms, **uniforms},
            layers=(),
            things=parts.shapes,
            colours=parts.colours,
        )
        colour, person, depth = self.renderer.draw(scene)
        ground = float((high[1] - low[1]) * scale + MARGIN)
        return View(
            picture=shaded_by_depth(colour, depth),
            person=person.copy(),
            keypoints=np.tile(np.float32([wide / 2, ground, 0]), (len(NAMES), 1)),
            ground=ground,
            light=light,
            heading=heading,
            pitch=camera.pitch,
            scale=camera.focal / camera.distance,
        )

    @cached_property
    def _anybody(self) -> Person:
        return self.build(np.random.default_rng(0))

    def view(self, rng: Random, person: Person, look: Look, variety: Variety = PLAIN) -> View:
        """Draw a person in a pose of its own, seen from somewhere."""
        vehicle = ''
        if variety.wheels and rng.random() < variety.wheels:
            vehicle, seated = str(rng.choice(vehicles.KINDS)), False
            turns = poses.on_wheels(rng, self.model, person, vehicle, variety.glance)
        else:
            turns, seated = poses.sample(rng, self.model, person, variety.sport, variety.glance)
        vertices, heads = self.model.bend(person, turns)
        camera = Camera.sample(rng).aimed(vertices)
        if variety.front and np.cos(camera.yaw) < 0 and rng.random() < variety.front:
            camera = replace(camera, yaw=camera.yaw + np.pi)
        things = look.things(rng, self.model, heads, seated=seated)
        dressed = self.dress(look, vertices)
        low, high = self.extent(look, dressed, camera)
        colours = []
        if vehicle:
            parts = self._vehicle(rng, vehicle, heads)
            corners, _ = camera.project(parts.points())
            low, high = np.minimum(low, corners.min(axis=0)), np.maximum(high, corners.max(axis=0))
            colours = [np.zeros(3)] * len(things) + parts.colours  # those of the look, and own
            things = things + parts.shapes
        cut = np.zeros(4, bool)
        if variety.close and not vehicle and rng.random() < variety.close:
            camera = camera.near(rng, heads[self.model.bone('head')], vertices)
            top = vertices[:, 2].max()
            above = top - (top - vertices[:, 2].min()) * rng.uniform(0.15, 0.75)
            whole = self.extent(look, dressed, camera)
            low, high = self.extent(look, dressed, camera, above)
            cut = np.concatenate((whole[0] < low, whole[1] > high))
        scale = (LONGEST - 2 * MARGIN) / (high - low).max()
        camera = camera.cropped(scale, low * scale - MARGIN)
        size = np.ceil((high - low) * scale).astype(int) + 2 * MARGIN
        ends = np.array([0, 0, *size])
        heading = rng.uniform(0, 2 * np.pi)
        light, uniforms = self._light(rng, camera, heading)
        scene = look, dressed, self.model.keypoints(vertices, heads)
        place = uniforms, camera, (int(size[1]), int(size[0]))
        picture, mask, keypoints = self.draw(*scene, things, *place, colours)
        if cut.any() and mask.mean() < LEAST:  # a backpack may fill a picture taken from behind
            picture, mask, keypoints = self.draw(*scene, [], *place)
        return View(
            picture=picture,
            person=mask,
            keypoints=keypoints,
            ground=float(high[1] * scale - low[1] * scale + MARGIN),
            light=light,
            heading=heading,
            pitch=camera.pitch,
            scale=camera.focal / camera.distance,
            edges=np.where(cut, ends, [-1e4, -1e4, 1e4, 1e4]) if cut.any() else None,
        )

    def _vehicle(self, rng: Random, kind: str, heads: Array) -> furniture.Parts:
        """Draw what somebody sits on or in."""
        spine = [heads[self.model.bone(bone)] for bone in ('spine01', 'spine04')]
        legs = [heads[self.model.bone(f'upperleg01.{side}')] for side in 'LR']
        size = float(np.linalg.norm(spine[0] - spine[1])) / 0.25
        return vehicles.around(rng, kind, np.mean(legs, axis=0), size)

    def dress(self, look: Look, vertices: Array) -> tuple[Array, Array]:
        """Return where the surfaces of clothes are, (v, 3), and their normals."""
        normals = self.model.normals(vertices)
        thickness = look.thickness(self._fields) + self._heads.thickness(look)
        return vertices + normals * thickness[:, None], normals

    def coat(self, look: Look, person: Person) -> tuple[Array, Array, Array]:
        """Return a dressed body at rest, (v, 3), which of it is drawn, (v,) bool, and its colours.

        It bends as the body does, see BodyModel.bend: clothes follow the bones. The colours of
        skin and hair are (v, 3), linear.
        """
        worn = look.worn(self._fields, self.model.template)
        return self.dress(look, person.vertices)[0], worn, self._heads.paint(look)

    def soles(self, look: Look, person: Person) -> float:
        """Return how thick the soles of shoes are, metres."""
        coat, worn, _ = self.coat(look, person)
        return float(person.vertices[SKIN, 2].min() - coat[worn, 2].min())

    def extent(
        self,
        look: Look,
        dressed: tuple[Array, Array],
        camera: Camera,
        above: float = -np.inf,
    ) -> tuple[Array, Array]:
        """Return the lowest and highest position in a picture of all that is drawn, but things.

        above: of what is higher than that alone, metres.
        """
        surfaces = [self.model.triangles[layer].ravel() for layer in ('body', *look.layers)]
        points = dressed[0][np.unique(np.concatenate(surfaces))]
        pixels, _ = camera.project(points[points[:, 2] > above])
        return pixels.min(axis=0), pixels.max(axis=0)

    def draw(
        self,
        look: Look,
        dressed: tuple[Array, Array],
        keypoints: Array,
        things: list[tuple[str, Array]],
        light: dict[str, Any],
        camera: Camera,
        size: tuple[int, int],
        colours: Sequence[Array] = (),
    ) -> tuple[Array, Array, Array]:
        """Draw a person as a camera sees it.

        dressed: from dress; keypoints: (n, 3) metres, of bodies.NAMES; colours: of things, see
        world.renderer.Scene.
        Returns the picture (h, w, 4) uint8 RGBA, the person in it (h, w) bool, and the keypoints
        (n, 3): see View.
        """
        scene = Scene(
            size=size,
            projection=camera.matrix(size),
            eye=camera.eye,
            positions=dressed[0],
            normals=dressed[1],
            skin=self._heads.paint(look),
            uniforms={**look.uniforms, **light},
            layers=('body', *look.layers),
            things=things,
            colours=list(colours),
        )
        colour, person, depth = self.renderer.draw(scene)
        points, distance = camera.project(keypoints)
        at = np.clip(np.round(points).astype(int), 0, np.array(size[::-1]) - 1)
        hidden = depth[at[:, 1], at[:, 0]] < distance - TOLERANCE - look.bulk
        known = np.column_stack((points, np.where(hidden, 1.0, 2.0)))
        return shaded_by_depth(colour, depth), person.copy(), known.astype(np.float32)

    def _light(self, rng: Random, camera: Camera, heading: float) -> tuple[int, dict[str, Any]]:
        """Draw what light falls on the person: of a panorama, or of a sky and a sun at random."""
        if self._panoramas and rng.random() < 0.7:
            index = int(rng.integers(len(self._panoramas)))
            sky = self._panoramas[index].irradiance(heading - camera.yaw)
            sun = np.array([0.0, 0, 1])
            strength = 0.0
        else:
            index = -1
            warm = rng.uniform(-0.15, 0.15)
            tint = np.array([1 + warm, 1, 1 - warm])
            sky = np.zeros((9, 3))
            sky[0] = tint * rng.uniform(0.3, 0.8)
            sky[1:4] = rng.normal(0, 0.12, (3, 3)) * 0.5 + rng.normal(0, 0.12, (3, 1))
            sky[2] += rng.uniform(0.0, 0.35)
            sun = rng.normal(size=3) + np.array([0, 0, 0.8])
            sun /= np.linalg.norm(sun)
            strength = rng.choice([0.0, rng.uniform(0.2, 1.2)], p=[0.35, 0.65])
        level = 0.45 * float(np.exp(rng.normal(0, 0.4)))
        total = float(sky[0].mean()) + 0.35 * strength
        return index, {
            'sky': sky.astype(np.float32),
            'sun': tuple(float(x) for x in sun),
            'sun_colour': (strength, strength * 0.97, strength * 0.9),
            'exposure': level / max(total, 1e-3) * 1.6,
        }


def shaded_by_depth(colour: Array, depth: Array) -> Array:
    """Darken what lies in creases: pixels behind their neighbourhood's mean depth."""
    near = np.where(colour[..., 3] > 0, depth, 0).astype(np.float32)
    weight = (colour[..., 3] > 0).astype(np.float32)
    size = (0, 0)
    mean = cv2.GaussianBlur(near, size, 6) / np.maximum(cv2.GaussianBlur(weight, size, 6), 1e-3)
    behind = np.clip((near - mean) / 0.25, 0, 1) * weight
    shaded = colour.copy()
    shaded[..., :3] = (colour[..., :3] * (1 - 0.45 * behind[..., None])).astype(np.uint8)
    return shaded
