"""Pictures with nobody to a dozen people in them, for networks that find all of them at once.

People stand on a ground that the camera sees from some height, near and far, alone and in groups,
before a place and behind things. Who is near hides who is far; the image ends where it ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.pictures import develop
from training.placement import blend, draw_shadow, mirror, mirrored_keypoints, warped
from training.scenery import clutter, cover, point, procedural
from world.bodies import indices_of
from world.panoramas import Panorama
from world.people import View

Array = NDArray[Any]
Random = np.random.Generator

SIZE = (384, 512)  # height, width in pixels
MOST = 12  # people
NOBODY, THING = 0, 255  # of who is seen in a pixel, beside the numbers of people from 1 on
# States of keypoints: seen; hidden by the own body; by others or things; outside the image.
SEEN, HIDDEN, COVERED, OUTSIDE = 2, 1, 3, 0
COCO = indices_of('coco')
NEAREST, FARTHEST = 0.9, 15.0  # metres
LEAST_PIXELS, LEAST_SHARE = 60, 0.08  # of who is seen at all: pixels, and part of what is inside
TRIES = 4  # views of which the one is taken that looks down about as much as the camera does


@dataclass
class Member:
    """Somebody in a picture."""

    box: Array  # (4,) of what is seen: x_min, y_min, x_max, y_max, pixels
    points: Array  # (17, 2) float32, COCO's, pixels
    states: Array  # (17,) uint8: SEEN, HIDDEN, COVERED or OUTSIDE
    share: float  # how much is seen of what lies inside the image


@dataclass
class Crowd:
    """A picture and who is in it."""

    picture: Array  # (h, w, 3) uint8 RGB
    people: list[Member]
    # Boxes (n, 4) of those of whom too little is seen to count as anybody.
    ignored: Array


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


class CrowdComposer:
    """Makes pictures of views."""

    def __init__(
        self,
        views: Sequence[View],
        panoramas: list[Panorama],
        size: tuple[int, int] = SIZE,
        styled: float = 0.0,
    ) -> None:
        """Take views of single people, the places behind them, and how large pictures are.

        styled: how often light and textures become others than a renderer's.
        """
        self._views = [view for view in views if view.edges is None]
        self._close = [view for view in views if view.edges is not None]
        self._panoramas = panoramas
        self._size = size
        self._styled = styled

    def picture(self, rng: Random, count: int | None = None) -> Crowd:
        """Make a picture with so many people in it, as far as they are seen; None: 0 to MOST."""
        image, ground = self._place(rng)
        count = _count(rng) if count is None else count
        who = np.zeros(self._size, np.uint8)
        drawn: list[tuple[Array, Array, int]] = []  # keypoints, box of all, pixels inside
        places = self._places(rng, ground, count)
        things = sorted(rng.uniform(0, 1, int(rng.poisson(0.25 * len(places)))))
        if self._close and count and rng.random() < 0.25:
            places.append(None)
        for number, place in enumerate(places, start=1):
            if place is None:
                view = self._close[int(rng.integers(len(self._close)))]
                matrix, keypoints = self._before_the_camera(rng, view)
            else:
                view = self._view(rng, ground, place)
                matrix, keypoints = _standing(rng, view, ground, *place)
            drawn.append(self._draw(rng, image, who, view, matrix, keypoints, number))
            while things and things[0] < number / len(places):
                things.pop(0)
                self._hide(rng, image, who, drawn)
        people, ignored = [], []
        for number, (points, pixels) in enumerate(drawn, start=1):
            member = _member(who, number, points, pixels)
            if member is None:
                continue
            enough = member.share >= LEAST_SHARE and (who == number).sum() >= LEAST_PIXELS
            (people if enough else ignored).append(member)
        picture = develop(rng, image, 0.45, self._styled)
        return Crowd(
            picture, people, np.array([m.box for m in ignored], np.float32).reshape(-1, 4)
        )

    def _place(self, rng: Random) -> tuple[Array, Ground]:
        """Draw what is behind people, and the ground."""
        height = self._size[0]
        field = rng.uniform(0.5, 1.2)  # of the image's height, radians
        focal = height / 2 / np.tan(field / 2)
        high = rng.random() < 0.1  # surveillance
        pitch = rng.uniform(0.3, 0.7) if high else rng.normal(0.08, 0.12)
        above = rng.uniform(2.5, 4.0) if high else rng.uniform(0.35, 2.0)
        ground = Ground(height / 2 - focal * np.tan(pitch), float(focal), above, float(pitch))
        if self._panoramas and rng.random() < 0.7:
            index = int(rng.integers(len(self._panoramas)))
            heading = rng.uniform(0, 2 * np.pi)
            image = self._panoramas[index].look(self._size, heading, pitch, field)
            if rng.random() < 0.5:
                image = image[:, ::-1].copy()
        else:
            image = procedural(rng, self._size)
        if rng.random() < 0.6:
            clutter(rng, image, int(rng.integers(1, 16)))
        return image, ground

    def _places(self, rng: Random, ground: Ground, count: int) -> list[tuple[float, float] | None]:
        """Draw where people stand: metres away, and columns; those far away first."""
        width = self._size[1]
        places: list[tuple[float, float]] = []
        lone = rng.uniform(0.2, 0.9)  # how many stand with nobody
        for _ in range(count):
            if places and rng.random() > lone:
                away, x = places[int(rng.integers(len(places)))]
                away = float(np.clip(away * np.exp(rng.normal(0, 0.12)), NEAREST, FARTHEST))
                x += rng.choice([-1, 1]) * rng.uniform(0.15, 1.1) * ground.focal / away
            else:
                away = float(np.exp(rng.uniform(np.log(1.6), np.log(FARTHEST))))
                x = rng.uniform(-0.05, 1.05) * width
            places.append((away, float(np.clip(x, -0.1 * width, 1.1 * width))))
        return sorted(places, reverse=True)  # type: ignore[return-value]

    def _view(self, rng: Random, ground: Ground, place: tuple[float, float]) -> View:
        """Draw somebody seen about as much from above as from the camera."""
        down = ground.pitch + np.arctan2(ground.height - 0.9, place[0]) * 0.5
        tries = [self._views[int(rng.integers(len(self._views)))] for _ in range(TRIES)]
        return min(tries, key=lambda view: abs(view.pitch - down))

    def _before_the_camera(self, rng: Random, view: View) -> tuple[Array, Array]:
        """Return the matrix of somebody whom the image cuts, and the keypoints in the view."""
        height, width = self._size
        flipped = bool(rng.random() < 0.5)
        keypoints = mirrored_keypoints(view) if flipped else view.keypoints
        tall, wide = view.person.shape
        assert view.edges is not None
        left, top, right, bottom = view.edges
        if flipped:
            left, right = wide - right, wide - left
        least = width / wide if left > -1e3 and right < 1e3 else 0.0
        scale = max(least, rng.uniform(0.45, 1.1) * height / tall)
        x = rng.uniform(*sorted((-0.2 * wide * scale, width - 0.8 * wide * scale)))
        y = (
            height - tall * scale
            if bottom < 1e3
            else rng.uniform(0, max(1, height - tall * scale))
        )
        if left > -1e3:
            x = -rng.uniform(0, 0.1) * width
        elif right < 1e3:
            x = width - wide * scale
        if top > -1e3:
            y = 0.0
        matrix = np.array([[scale, 0, x], [0, scale, y]])
        return matrix @ mirror(wide, flipped), np.column_stack(
            (keypoints[:, :2] * scale + [x, y], keypoints[:, 2])
        )

    def _draw(
        self, rng: Random, image: Array, who: Array, view: View, matrix: Array, keypoints: Array,
        number: int,
    ) -> tuple[Array, int]:  # fmt: skip
        """Draw somebody; return the keypoints (n, 3), and how many pixels the person has."""
        height, width = self._size
        tall, wide = view.person.shape
        corners = np.array([[0, 0, 1], [wide, 0, 1], [0, tall, 1], [wide, tall, 1]]) @ matrix.T
        low = np.clip(np.floor(corners.min(axis=0)) - 2, 0, [width, height]).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)) + 2, 0, [width, height]).astype(int)
        if (high - low).min() < 2:
            return keypoints, 0
        if view.edges is None and rng.random() < 0.6:
            draw_shadow(rng, image, matrix, view, view.keypoints)
        own = np.column_stack((matrix[:, :2], matrix[:, 2] - low))
        size = (int(high[1] - low[1]), int(high[0] - low[0]))
        layer = warped(view, own, size)
        part = slice(low[1], high[1]), slice(low[0], high[0])
        blend(image[part], layer, _gain(rng))
        here = who[part]
        person = warped_mask(view, own, size)
        here[layer[..., 3] > 127] = THING  # what the person carries hides others, too
        here[person] = number
        return keypoints, int(person.sum())

    def _hide(self, rng: Random, image: Array, who: Array, drawn: list[tuple[Array, int]]) -> None:
        """Draw a thing before somebody, unless too little would be seen of anybody."""
        number = int(rng.integers(len(drawn))) + 1
        rows, columns = np.nonzero(who == number)
        if len(rows) < LEAST_PIXELS:
            return
        tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
        mask = np.zeros(self._size, np.uint8)
        kind = rng.random()
        if kind < 0.45:  # a table, a wall, a car
            top = np.percentile(rows, rng.uniform(40, 85))
            middle = rng.uniform(columns.min(), columns.max())
            half = rng.uniform(0.4, 1.6) * max(wide, 0.3 * tall)
            deep = rng.uniform(0.3, 1.2) * tall
            tilt = rng.normal(0, 0.03) * half
            corners = [[middle - half, top - tilt], [middle + half, top + tilt],
                       [middle + half, top + deep], [middle - half, top + deep]]  # fmt: skip
        elif kind < 0.7:  # a post
            middle, half = rng.choice(columns), rng.uniform(0.03, 0.15) * tall
            slant = rng.normal(0, 0.08) * tall
            corners = [[middle - half - slant, 0], [middle + half - slant, 0],
                       [middle + half + slant, 9999], [middle - half + slant, 9999]]  # fmt: skip
        else:
            middle = np.array([rng.choice(columns), rng.choice(rows)])
            spread = rng.uniform(0.06, 0.25) * tall
            corners = middle + rng.normal(0, spread, (int(rng.integers(4, 9)), 2))
            corners = cv2.convexHull(corners.astype(np.int32))[:, 0]
        cv2.fillPoly(mask, [np.array(corners).astype(np.int32)], 255)
        hidden = mask > 0
        for other in np.unique(who[hidden]):
            if other in (NOBODY, THING):
                continue
            mine = who == other
            if (mine & ~hidden).sum() < 0.3 * drawn[other - 1][1]:
                return
        cover(rng, image, mask, self._panoramas)
        who[hidden] = THING


def warped_mask(view: View, matrix: Array, size: tuple[int, int]) -> Array:
    """Return where the person of a view is seen, (h, w) bool."""
    person = view.person.astype(np.uint8) * 255
    return cv2.warpAffine(person, matrix, size[::-1], flags=cv2.INTER_LINEAR) > 127


def _standing(
    rng: Random, view: View, ground: Ground, away: float, x: float
) -> tuple[Array, Array]:
    """Return the matrix of somebody on the ground, and the keypoints (n, 3) in the image."""
    flipped = bool(rng.random() < 0.5)
    keypoints = mirrored_keypoints(view) if flipped else view.keypoints
    wide = view.person.shape[1]
    scale = ground.focal / away / view.scale
    angle = np.radians(np.clip(rng.normal(0, 3), -8, 8))
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    feet = np.array([wide / 2, view.ground])
    at = np.array([x, ground.row(away) + rng.normal(0, 0.03) * ground.focal / away])
    matrix = np.column_stack((rotation, at - rotation @ feet))
    points = keypoints[:, :2] @ rotation.T + matrix[:, 2]
    return matrix @ mirror(wide, flipped), np.column_stack((points, keypoints[:, 2]))


def _member(who: Array, number: int, keypoints: Array, pixels: int) -> Member | None:
    """Return what is seen of somebody in the end; None: nothing."""
    mine = who == number
    count = int(mine.sum())
    if not count:
        return None
    rows, columns = np.nonzero(mine.any(axis=1))[0], np.nonzero(mine.any(axis=0))[0]
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    points = keypoints[COCO, :2].astype(np.float32)
    at = np.round(points).astype(int)
    height, width = who.shape
    inside = np.all((at >= 0) & (at < [width, height]), axis=1)
    at = np.clip(at, 0, [width - 1, height - 1])
    near = cv2.dilate(mine.astype(np.uint8), np.ones((3, 3), np.uint8))
    uncovered = near[at[:, 1], at[:, 0]] > 0
    states = np.where(keypoints[COCO, 2] == 2, SEEN, HIDDEN)
    states = np.where(inside, np.where(uncovered, states, COVERED), OUTSIDE).astype(np.uint8)
    return Member(box, points, states, min(1.0, count / max(1, pixels)))


def boxes_of(people: Sequence[Member]) -> Array:
    """Return the boxes of people, (n, 4)."""
    return np.array([member.box for member in people], np.float32).reshape(-1, 4)


def _count(rng: Random) -> int:
    """Draw how many people there are: half of the pictures have at most three."""
    if rng.random() < 0.08:
        return 0
    return min(MOST, 1 + int(rng.geometric(0.27)) - 1 + int(rng.random() < 0.3))


def _gain(rng: Random) -> Array:
    return np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.03, 3)).astype(np.float32)


def outline(crowd: Crowd) -> Array:
    """Return the picture with boxes and keypoints drawn in, to look at."""
    image = crowd.picture.copy()
    colours = {SEEN: (0, 255, 0), HIDDEN: (255, 255, 0), COVERED: (255, 0, 0)}
    for member in crowd.people:
        x_min, y_min, x_max, y_max = member.box
        cv2.rectangle(image, point(x_min, y_min), point(x_max, y_max), (0, 160, 255), 1)
        for (x, y), state in zip(member.points, member.states, strict=True):
            if state in colours:
                cv2.circle(image, point(x, y), 2, colours[state], -1)
    for x_min, y_min, x_max, y_max in crowd.ignored:
        cv2.rectangle(image, point(x_min, y_min), point(x_max, y_max), (255, 0, 255), 1)
    return image
