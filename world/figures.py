"""Figures: people as a camera has them, put into one picture by their depth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world import renderer
from world.cast import Actor, Surface
from world.people import TOLERANCE, People
from world.postures import Posture
from world.renderer import FAR, NEAR
from world.sensors import Viewpoint
from world.sequence import BEHIND_ITSELF, HIDDEN, SEEN, Seen

Array = NDArray[Any]

NOBODY = -1  # in a map of who is in front
CONTACT = 0.02  # metres: what is in front of a joint by less does not hide it
BEYOND = 1.0  # of an image's size: figures are drawn that far beyond its borders
LARGEST = 1024  # pixels a side: of the renderer's pictures


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
    vertices: Array  # (m, 3) of what is drawn, metres in the world
    pixels: Array  # (m, 2) where they are seen
    ahead: Array  # (m,) their depth
    shown: Array  # (m,) bool: those that show and are before the camera

    def extent(self) -> Array:
        """Return the box (4,) around all of it, pixels."""
        seen = self.pixels[self.shown]
        return np.concatenate((seen.min(axis=0), seen.max(axis=0)))


def figure(actor: Actor, second: float, view: Viewpoint, *, fine: bool) -> Figure | None:
    """Return a person as a camera has it, or None of whom nothing is within its image."""
    posture = actor.posture(second)
    if view.project(posture.joints)[1].max() < NEAR:
        return None
    surface = actor.fine if fine else actor.rough
    vertices = surface.bent(posture)
    pixels, ahead = view.project(vertices)
    found = Figure(actor, surface, posture, vertices, pixels, ahead, surface.worn & (ahead > NEAR))
    if not found.shown.any():
        return None
    x_min, y_min, x_max, y_max = found.extent()
    inside = x_max > 0 and y_max > 0 and x_min < view.lens.width and y_min < view.lens.height
    return found if inside else None


def add(people: People, layers: Layers, found: Figure, view: Viewpoint) -> int:
    """Draw a figure's depth before what is behind it; returns of how many pixels it is, alone.

    view: of the size of layers; it may be reduced against the one that the figure is of.
    """
    height, width = layers.depth.shape
    ends = view.project(found.vertices[found.shown])[0]
    border = np.array((width, height)) * BEYOND
    low = np.maximum(np.floor(ends.min(axis=0)) - 1, -border).astype(int)
    high = np.minimum(np.ceil(ends.max(axis=0)) + 2, np.array((width, height)) + border)
    size = np.clip(high.astype(int) - low, 1, LARGEST)
    scene = scene_of(people, found, view.cropped(*low), (int(size[1]), int(size[0])))
    depth = people.renderer.depth(scene, rough=True)
    drawn = depth < 0.99 * FAR
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(low + size, (width, height))
    if right > left and bottom > top:
        part = depth[top - low[1] : bottom - low[1], left - low[0] : right - low[0]]
        target = layers.depth[top:bottom, left:right]
        # Soles and who sits touch what they stand and sit on.
        behind = target + CONTACT * (layers.who[top:bottom, left:right] == NOBODY)
        front = part < np.minimum(behind, 0.99 * FAR)
        target[front] = part[front]
        layers.who[top:bottom, left:right][front] = found.actor.id
    return int(drawn.sum())


def scene_of(
    people: People, found: Figure, view: Viewpoint, size: tuple[int, int], **light: Any
) -> renderer.Scene:
    """Return what the renderer needs to draw a figure."""
    actor = found.actor
    positions = np.zeros((len(people.model.template), 3), np.float32)
    positions[found.surface.rows] = found.vertices
    return renderer.Scene(
        size=size,
        projection=view.matrix(size),
        eye=view.eye,
        positions=positions,
        normals=positions,
        skin=actor.skin,
        uniforms={**actor.look.uniforms, **light},
        layers=('body', *actor.look.layers),
        things=actor.things(people.model, found.posture.heads),
    )


def seen(found: Figure, layers: Layers, view: Viewpoint, small: Viewpoint, whole: int) -> Seen:
    """Return what is true of a figure in an image.

    layers: of all people and things, in the size of small; whole: from add.
    """
    number, width, height = found.actor.id, view.lens.width, view.lens.height
    factor = width / small.lens.width

    def in_front(pixels: Array) -> tuple[Array, Array, Array]:
        inside = (pixels > -0.5).all(axis=1) & (pixels < (width - 0.5, height - 0.5)).all(axis=1)
        at = np.where(inside[:, None], pixels, 0)
        columns, rows = ((at + 0.5) / factor).astype(int).T
        rows = np.minimum(rows, layers.depth.shape[0] - 1)
        columns = np.minimum(columns, layers.depth.shape[1] - 1)
        return inside, layers.depth[rows, columns], layers.who[rows, columns] == number

    inside, depth, own = in_front(found.pixels)
    inside &= found.shown
    visible = inside & (own | (depth > found.ahead - CONTACT))
    box = np.full(4, np.nan)
    count = int((layers.who == number).sum())
    if visible.any() and count:
        corners = found.pixels[visible]
        box = np.concatenate((corners.min(axis=0), corners.max(axis=0)))

    joints = found.posture.joints
    points, ahead = view.project(joints)
    inside, depth, own = in_front(points)
    inside &= ahead > NEAR
    states = np.full(len(joints), SEEN, np.uint8)
    states[own & (depth < ahead - TOLERANCE - found.actor.look.bulk)] = BEHIND_ITSELF
    states[~inside | (~own & (depth < ahead - CONTACT))] = HIDDEN
    return Seen(
        id=number,
        box=box,
        whole_box=found.extent(),
        share=min(1.0, count / max(whole, 1)),
        points=points.astype(np.float32),
        joints=view.local(joints).astype(np.float32),
        states=states,
    )
