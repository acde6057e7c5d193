"""Figures: people as a camera has them, put into one image by their depth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world import renderer
from world.cast import Actor, Surface
from world.motion import Moment
from world.people import TOLERANCE, People, shaded_by_depth
from world.postures import Posture
from world.renderer import FAR, NEAR
from world.sensors import Viewpoint
from world.sequence import BEHIND_ITSELF, HIDDEN, SEEN, Seen

Array = NDArray[Any]

NOBODY = -1  # in a map of who is in front
CONTACT = 0.02  # metres: what is in front of a joint by less does not hide it
BEYOND = 1.0  # of an image's size: figures are measured that far beyond its borders
REACH = 0.95  # metres from the hips to the farthest point of a body, level
LARGEST = 1280  # pixels a side: of the renderer's pictures


@dataclass
class Layers:
    """What is in front at each pixel of an image."""

    depth: Array  # (h, w) metres
    who: Array  # (h, w) int: the id of a person, or NOBODY
    picture: Array | None = None  # (h, w, 3) uint8


@dataclass(frozen=True)
class Figure:
    """One person as a camera has it, alone."""

    actor: Actor
    surface: Surface  # of the actor
    posture: Posture
    vertices: Array  # (m, 3) of the surface, metres in the world
    pixels: Array  # (m, 2) where they are seen
    ahead: Array  # (m,) their depth
    shown: Array  # (m,) bool: those that show and are before the camera

    @classmethod
    def of(cls, actor: Actor, surface: Surface, posture: Posture, view: Viewpoint) -> 'Figure':
        """Look at a person."""
        vertices = surface.bent(posture)
        pixels, ahead = view.project(vertices)
        return cls(actor, surface, posture, vertices, pixels, ahead, surface.worn & (ahead > NEAR))

    def extent(self) -> Array:
        """Return the box (4,) around all of it, pixels; NaN if nothing is before the camera."""
        seen = self.pixels[self.shown]
        if not len(seen):
            return np.full(4, np.nan)
        return _extent(seen)

    def within(self, view: Viewpoint) -> bool:
        """Return whether something of it is within the image, if nothing hides it."""
        x_min, y_min, x_max, y_max = self.extent()
        wide, high = view.lens.width - 0.5, view.lens.height - 0.5
        return bool(x_max > -0.5 and y_max > -0.5 and x_min < wide and y_min < high)


def may_be_seen(moment: Moment, view: Viewpoint) -> bool:
    """Return False for who is clearly beside or behind an image, quickly."""
    x, _, z = view.local(np.append(moment.place, moment.height)[None])[0]
    c = view.lens.camera
    sides = ((-x, c.centre_x), (x, view.lens.width - c.centre_x))
    # How far beyond the planes through the eye and the image's left and right border.
    beyond = [(off * c.focal_x - z * wide) / np.hypot(c.focal_x, wide) for off, wide in sides]
    return bool(z > -REACH and max(beyond) < REACH)


def whole(people: People, found: Figure, layers: Layers, view: Viewpoint, factor: int) -> int:
    """Put a figure of a rough surface into small layers; returns of how many pixels it is, alone.

    view: factor times smaller than the one that the figure is of.
    """
    ends = (found.extent() + 0.5) / factor - 0.5
    size = np.array((view.lens.width, view.lens.height))
    low = np.maximum(np.floor(ends[:2]) - 1, -BEYOND * size).astype(int)
    high = np.minimum(np.ceil(ends[2:]) + 2, (1 + BEYOND) * size).astype(int)
    if not (high > low).all():
        return 1
    size = np.minimum(high - low, people.shell_renderer.largest)
    shape = int(size[1]), int(size[0])
    depth = people.shell_renderer.depth(
        found.vertices,
        found.surface.triangles,
        found.actor.things(people.model, found.posture.heads),
        view.cropped(int(low[0]), int(low[1])).matrix(shape),
        shape,
    )
    _put(found, layers, depth, low)
    return int((depth < 0.99 * FAR).sum())


def draw(
    people: People, found: Figure, layers: Layers, view: Viewpoint, light: dict[str, Any]
) -> None:
    """Put a figure of a fine surface into layers, with colours if they have a picture."""
    ends = found.extent()
    low = np.maximum(np.floor(ends[:2]).astype(int) - 2, 0)
    high = np.minimum(np.ceil(ends[2:]).astype(int) + 3, (view.lens.width, view.lens.height))
    if not (high > low).all():
        return
    scene = _scene(people, found, view, low, high, **light)
    if layers.picture is None:
        _put(found, layers, people.renderer.depth(scene), low)
        return
    scene.normals = people.model.normals(scene.positions)
    colours, _, depth = people.renderer.draw(scene)
    _put(found, layers, depth, low, shaded_by_depth(colours, depth)[..., :3])


def _extent(pixels: Array) -> Array:
    """Return the box (4,) around pixels (n, 2)."""
    x, y = pixels[:, 0], pixels[:, 1]
    return np.array([x.min(), y.min(), x.max(), y.max()])


def _scene(
    people: People, found: Figure, view: Viewpoint, low: Array, high: Array, **light: Any
) -> renderer.Scene:
    """Return what the renderer needs to draw a figure into a part of an image."""
    size = np.minimum(high - low, LARGEST)
    height, width = int(size[1]), int(size[0])
    actor = found.actor
    positions = np.zeros((len(people.model.template), 3), np.float32)
    positions[found.surface.rows] = found.vertices
    crop = view.cropped(int(low[0]), int(low[1]))
    return renderer.Scene(
        size=(height, width),
        projection=crop.matrix((height, width)),
        eye=view.eye,
        positions=positions,
        normals=positions,
        skin=actor.skin,
        uniforms={**actor.look.uniforms, **light},
        layers=('body', *actor.look.layers),
        things=actor.things(people.model, found.posture.heads),
    )


def _put(
    found: Figure, layers: Layers, depth: Array, low: Array, colours: Array | None = None
) -> None:
    """Put what was drawn before what is behind it; low: its first pixel."""
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(low + depth.shape[::-1], layers.depth.shape[::-1])
    if right <= left or bottom <= top:
        return
    here = slice(top, bottom), slice(left, right)
    there = slice(top - low[1], bottom - low[1]), slice(left - low[0], right - low[0])
    # Soles, and those who sit, touch what they stand and sit on.
    behind = layers.depth[here] + CONTACT * (layers.who[here] == NOBODY)
    part = depth[there]
    front = part < np.minimum(behind, 0.99 * FAR)
    layers.depth[here][front] = part[front]
    layers.who[here][front] = found.actor.id
    if colours is not None and layers.picture is not None:
        layers.picture[here][front] = colours[there][front]


def seen(found: Figure, layers: Layers, view: Viewpoint, share: float, factor: int = 1) -> Seen:
    """Return what is true of a figure in an image.

    layers: of all people and things, factor times smaller than the image; share: of the figure
    that is visible.
    """
    number, width, height = found.actor.id, view.lens.width, view.lens.height

    def in_front(pixels: Array) -> tuple[Array, Array, Array]:
        """Return which pixels (n, 2) are in the image, the depth there, and if it is the own."""
        inside = (pixels > -0.5).all(axis=1) & (pixels < (width - 0.5, height - 0.5)).all(axis=1)
        at = np.where(inside[:, None], pixels, 0)
        columns, rows = ((at + 0.5) / factor).astype(int).T
        rows = np.minimum(rows, layers.depth.shape[0] - 1)
        columns = np.minimum(columns, layers.depth.shape[1] - 1)
        return inside, layers.depth[rows, columns], layers.who[rows, columns] == number

    inside, depth, own = in_front(found.pixels)
    visible = found.shown & inside & (own | (depth > found.ahead - CONTACT))
    box = np.full(4, np.nan)
    if share > 0 and visible.any():
        corners = found.pixels[visible]
        box = _extent(corners)

    joints = found.posture.joints
    points, ahead = view.project(joints)
    inside, depth, own = in_front(points)
    states = np.full(len(joints), SEEN, np.uint8)
    states[own & (depth < ahead - TOLERANCE - found.actor.look.bulk)] = BEHIND_ITSELF
    states[~inside | (ahead < NEAR) | (~own & (depth < ahead - CONTACT))] = HIDDEN
    return Seen(
        id=number,
        box=box,
        whole_box=found.extent(),
        share=share,
        points=points.astype(np.float32),
        joints=view.local(joints).astype(np.float32),
        states=states,
    )
