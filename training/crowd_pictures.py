"""Makes pictures of people among things.

People stand on a ground that the camera sees from some height, near and far, alone and in groups,
before a place, among furniture and behind it. Who is near hides who is far; the image ends where
it ends, and what is left of the network's picture is black, as it is where images have another
shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.crowds import LEAST_PIXELS, MOST, NOBODY, SIZE, THING, Crowd, Drawn, crowd
from training.pictures import develop
from training.placement import blend, draw_shadow, mirror, mirrored_keypoints, warped
from training.scenery import clutter, cover, procedural, refine, shape_before
from world.panoramas import Panorama
from world.views import View

Array = NDArray[Any]
Random = np.random.Generator

NEAREST, FARTHEST = 0.9, 15.0  # metres
TRIES = 4  # views of which the one is taken that looks down about as much as the camera does
EYES = 0.9  # metres below the camera from which a person's middle is seen level
# Shapes of images, width by height, beside that of the network's picture; and how often.
SHAPES, OTHER_SHAPE = (16 / 9, 3 / 2, 1.0, 3 / 4, 9 / 16), 0.5
THINGS = 1.6  # in a picture, about


@dataclass(frozen=True)
class Ground:
    """How the camera sees the floor that people stand on."""

    horizon: float  # row
    focal: float  # pixels
    height: float  # of the camera, metres
    pitch: float  # how far it looks down, radians

    def row(self, away: float) -> float:
        """Return the row of the floor so many metres away."""
        return self.horizon + self.focal * self.height / away


@dataclass(frozen=True)
class Place:
    """Where somebody or something stands."""

    away: float  # metres
    x: float  # pixels


class CrowdComposer:
    """Makes pictures of views."""

    def __init__(
        self,
        views: Sequence[View],
        panoramas: list[Panorama],
        size: tuple[int, int] = SIZE,
        styled: float = 0.0,
        things: Sequence[View] = (),
    ) -> None:
        """Take views of single people, the places behind them, and how large pictures are.

        Smaller pictures than SIZE show less, not everything smaller. styled: how often light and
        textures become others than a renderer's; things: views of what is no person.
        """
        self._views = [view for view in views if view.edges is None]
        self._close = [view for view in views if view.edges is not None]
        self._panoramas = panoramas
        self._size = size
        self._styled = styled
        self._things = things

    def picture(self, rng: Random, count: int | None = None) -> Crowd:
        """Make a picture with so many people in it, as far as they are seen; None: 0 to MOST."""
        image, ground = self._background(rng, _shape(rng, self._size))
        who = np.zeros(image.shape[:2], np.uint8)
        drawn: list[Drawn] = []
        count = _count(rng) if count is None else count
        close = bool(self._close and count and rng.random() < 0.25)
        people = self._places(rng, ground, image.shape[1], count)
        things = self._places(rng, ground, image.shape[1], self._number_of_things(rng))
        before = int(rng.poisson(0.3 + 0.2 * len(people)))  # pieces of things before all
        order = sorted(
            [(place, None) for place in people]
            + [self._thing(rng, ground, place, image.shape[:2]) for place in things],
            key=lambda entry: -entry[0].away,
        )
        for place, thing in order:
            if thing is None:
                view = self._view(rng, ground, place)
                drawn.append(_standing(rng, image, who, view, ground, place, len(drawn) + 1))
            else:
                _standing(rng, image, who, thing, ground, place, THING)
            if before and rng.random() < before / len(order):
                before -= 1
                self._hide(rng, image, who, drawn)
        if close:
            drawn.append(self._close_up(rng, image, who, len(drawn) + 1))
        for _ in range(before):
            self._hide(rng, image, who, drawn)
        image = develop(rng, image, 0.45, self._styled)
        height, width = image.shape[:2]
        picture = np.zeros((*self._size, 3), np.uint8)
        picture[:height, :width] = image
        return crowd(picture, who, drawn)

    def _number_of_things(self, rng: Random) -> int:
        return int(rng.poisson(THINGS * rng.choice([0.3, 1.0, 2.5]))) if self._things else 0

    def _background(self, rng: Random, size: tuple[int, int]) -> tuple[Array, Ground]:
        """Draw what is behind people, and the ground."""
        height = size[0]
        # Half of what the longer side of a whole picture sees, tangent.
        half = np.tan(rng.uniform(0.65, 1.45) / 2)
        focal = max(size) * max(SIZE) / max(self._size) / 2 / half
        high = rng.random() < 0.1  # surveillance
        pitch = rng.uniform(0.3, 0.7) if high else rng.normal(0.08, 0.12)
        above = rng.uniform(2.5, 4.0) if high else rng.uniform(0.35, 2.0)
        ground = Ground(height / 2 - focal * np.tan(pitch), float(focal), above, float(pitch))
        if self._panoramas and rng.random() < 0.7:
            index = int(rng.integers(len(self._panoramas)))
            heading, field = rng.uniform(0, 2 * np.pi), 2 * float(np.arctan(height / 2 / focal))
            image = self._panoramas[index].look(size, heading, pitch, field)
            if rng.random() < 0.5:
                image = image[:, ::-1].copy()
            refine(rng, image)
        else:
            image = procedural(rng, size)
        if rng.random() < 0.6:
            clutter(rng, image, int(rng.integers(1, 16)))
        return image, ground

    def _places(self, rng: Random, ground: Ground, width: int, count: int) -> list[Place]:
        """Draw where people or things stand."""
        places: list[Place] = []
        lone = rng.uniform(0.2, 0.9)  # how many stand with nobody
        for _ in range(count):
            if places and rng.random() > lone:
                other = places[int(rng.integers(len(places)))]
                away = float(np.clip(other.away * np.exp(rng.normal(0, 0.12)), NEAREST, FARTHEST))
                x = other.x + rng.choice([-1, 1]) * rng.uniform(0.15, 1.1) * ground.focal / away
            else:
                away = float(np.exp(rng.uniform(np.log(1.6), np.log(FARTHEST))))
                x = rng.uniform(-0.05, 1.05) * width
            places.append(Place(away, float(np.clip(x, -0.1 * width, 1.1 * width))))
        return places

    def _view(self, rng: Random, ground: Ground, place: Place) -> View:
        """Draw somebody seen about as much from above as from the camera."""
        down = np.arctan2(ground.height - EYES, place.away)
        tries = [self._views[int(rng.integers(len(self._views)))] for _ in range(TRIES)]
        return min(tries, key=lambda view: abs(view.pitch - down))

    def _thing(
        self, rng: Random, ground: Ground, place: Place, size: tuple[int, int]
    ) -> tuple[Place, View]:
        """Draw something, so far away that it does not fill the picture."""
        view = self._things[int(rng.integers(len(self._things)))]
        metres = max(view.person.shape) / view.scale
        nearest = metres * ground.focal / (0.7 * max(size))
        return Place(max(place.away, nearest), place.x), view

    def _close_up(self, rng: Random, image: Array, who: Array, number: int) -> Drawn:
        """Draw somebody whom the image cuts."""
        height, width = image.shape[:2]
        view = self._close[int(rng.integers(len(self._close)))]
        flipped = bool(rng.random() < 0.5)
        tall, wide = view.person.shape
        assert view.edges is not None
        left, top, right, bottom = view.edges
        if flipped:
            left, right = wide - right, wide - left
        cut_left, cut_top, cut_right, cut_bottom = (
            left > -1e3, top > -1e3, right < 1e3, bottom < 1e3,
        )  # fmt: skip
        beyond = rng.uniform(0, 0.1) * width if cut_left else 0.0
        scale = max(
            (width + beyond) / wide if cut_left and cut_right else 0.0,
            height / tall if cut_top and cut_bottom else 0.0,
            rng.uniform(0.45, 1.1) * height / tall,
        )
        x = rng.uniform(*sorted((-0.2 * wide * scale, width - 0.8 * wide * scale)))
        if cut_left:
            x = -beyond
        elif cut_right:
            x = width - wide * scale
        if cut_top:
            y = 0.0
        elif cut_bottom:
            y = height - tall * scale
        else:
            y = rng.uniform(0, max(1, height - tall * scale))
        matrix = np.array([[scale, 0, x], [0, scale, y]])
        return _draw(rng, image, who, view, matrix, number, flipped=flipped)

    def _hide(self, rng: Random, image: Array, who: Array, drawn: Sequence[Drawn]) -> None:
        """Draw a thing before somebody, or anywhere, unless too little is seen of anybody then."""
        height, width = who.shape
        number = int(rng.integers(len(drawn))) + 1 if drawn and rng.random() < 0.8 else NOBODY
        rows, columns = np.nonzero(who == number) if number != NOBODY else ((), ())
        if len(rows) < LEAST_PIXELS:
            tall = rng.uniform(0.2, 0.8) * height
            x, y = rng.uniform(0, width), rng.uniform(0.3, 1) * height
            rows = np.linspace(y - tall, y, 50)
            columns = x + rng.uniform(-0.2, 0.2, 50) * tall
        mask = np.zeros(who.shape, np.uint8)
        cv2.fillPoly(mask, [shape_before(rng, rows, columns)], 255)
        hidden = mask > 0
        for other in np.unique(who[hidden]):
            if other not in (NOBODY, THING):
                left = ((who == other) & ~hidden).sum()
                if left < 0.3 * drawn[other - 1].inside:
                    return
        cover(rng, image, mask, self._panoramas)
        who[hidden] = THING


def _shape(rng: Random, size: tuple[int, int]) -> tuple[int, int]:
    """Draw how much of a network's picture an image fills: height, width."""
    if rng.random() >= OTHER_SHAPE:
        return size
    shape = float(rng.choice(SHAPES)) if rng.random() < 0.8 else np.exp(rng.uniform(-0.7, 0.7))
    scale = min(size[0], size[1] / shape)
    return max(1, round(scale)), max(1, round(scale * shape))


def _standing(
    rng: Random, image: Array, who: Array, view: View, ground: Ground, place: Place, number: int
) -> Drawn:
    """Draw somebody or something on the ground."""
    flipped = bool(rng.random() < 0.5)
    scale = ground.focal / place.away / view.scale
    angle = np.radians(np.clip(rng.normal(0, 3), -8, 8))
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    feet = np.array([view.person.shape[1] / 2, view.ground])
    lifted = rng.normal(0, 0.03) * ground.focal / place.away
    at = np.array([place.x, ground.row(place.away) + lifted])
    matrix = np.column_stack((rotation, at - rotation @ feet))
    return _draw(rng, image, who, view, matrix, number, flipped=flipped)


def _draw(
    rng: Random, image: Array, who: Array, view: View, matrix: Array, number: int, *, flipped: bool
) -> Drawn:
    """Draw a view by a matrix (2, 3) from its pixels, mirrored if flipped, to the image's."""
    keypoints = (mirrored_keypoints(view) if flipped else view.keypoints).copy()
    keypoints[:, :2] = keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    tall, wide = view.person.shape
    matrix = matrix @ mirror(wide, flipped)
    whole = float(view.person.sum() * abs(np.linalg.det(matrix[:, :2])))
    limits = [image.shape[1], image.shape[0]]
    corners = np.array([[0, 0, 1], [wide, 0, 1], [0, tall, 1], [wide, tall, 1]]) @ matrix.T
    low = np.clip(np.floor(corners.min(axis=0)) - 2, 0, limits).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 2, 0, limits).astype(int)
    if (high - low).min() < 2:
        return Drawn(keypoints, 0, whole)
    if view.edges is None and rng.random() < 0.6:
        draw_shadow(rng, image, matrix, view, view.keypoints)
    own = np.column_stack((matrix[:, :2], matrix[:, 2] - low))
    size = (int(high[1] - low[1]), int(high[0] - low[0]))
    layer = warped(view, own, size)
    part = slice(low[1], high[1]), slice(low[0], high[0])
    blend(image[part], layer, np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.03, 3)))
    here = who[part]
    here[layer[..., 3] > 127] = THING  # what the person carries hides others, too
    person = cv2.warpAffine(view.person.astype(np.uint8) * 255, own, size[::-1]) > 127
    here[person] = number
    return Drawn(keypoints, int(person.sum()), whole)


def _count(rng: Random) -> int:
    """Draw how many people there are: half of the pictures have at most three."""
    if rng.random() < 0.1:
        return 0
    return min(MOST, 1 + int(rng.geometric(0.27)) - 1 + int(rng.random() < 0.3))
