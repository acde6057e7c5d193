"""Samples: views of people put before a background, among others, into what a camera would send.

A sample is the network's input for one person, as the node would cut it from an image: the crop of
a box that a detector gave, black where the image ends. The steps follow what goes wrong with real
images: people cut by the border of the image, hidden by things and other people, boxes too loose
or shifted, pictures small, blurred, noisy and compressed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.pictures import develop
from training.placement import (
    blend,
    box_of,
    draw_shadow,
    edges_of,
    half_body,
    loosened,
    mirror,
    mirrored_keypoints,
    outside,
    placement,
    warped,
    within,
)
from training.scenery import SIZE, clutter, cover, procedural
from vitpose_ros.core.model.config import PUBLIC_UDP
from world.bodies import indices_of
from world.panoramas import Panorama
from world.views import View

Array = NDArray[Any]
Random = np.random.Generator

STRIDE = 4
SEEN, HIDDEN, OUTSIDE, UNKNOWN = 2, 1, 0, 255  # states of keypoints


INDICES = {name: indices_of(name) for name in ('coco', 'aic', 'mpii', 'wholebody')}


@dataclass
class Sample:
    """The input for one person, and its truth."""

    crop: Array  # (256, 192, 3) uint8 RGB
    points: Array  # (k, 2) float32: of the keypoint set, in pixels of the crop
    states: Array  # (k,) uint8: SEEN, HIDDEN, OUTSIDE the image or crop, or UNKNOWN
    scale: float  # pixels of the crop a pixel of the view
    area: float  # of the person's true box, in square pixels of the crop
    side: float  # the longer one of that box, in pixels of the crop


@dataclass(frozen=True)
class Difficulty:
    """How often what makes a sample hard happens, 0 to 1."""

    truncated: float = 0.35
    loose_box: float = 0.35
    turned: float = 0.3
    others: float = 0.4
    occluder: float = 0.2
    degraded: float = 0.45
    styled: float = 0.0


HARD = Difficulty()
WHOLE = Difficulty(truncated=0, loose_box=0, turned=0, others=0, occluder=0, degraded=0.3)


class Composer:
    """Makes samples of views."""

    def __init__(self, views: Sequence[View], panoramas: list[Panorama]) -> None:
        self.views = views
        self._whole = [view for view in views if view.edges is None]
        self._panoramas = panoramas

    def sample(
        self, rng: Random, index: int, keypoint_set: str, difficulty: Difficulty = HARD
    ) -> Sample:
        """Make a sample of view number index."""
        d = difficulty
        view = self.views[index]
        flipped = bool(rng.random() < 0.5)
        keypoints = mirrored_keypoints(view) if flipped else view.keypoints
        width = view.person.shape[1]
        window = self._window(rng, view, keypoints) if rng.random() < d.truncated else None
        window = within(window, edges_of(view, flipped))
        box = box_of(view, flipped, window)
        extent = box[2:] - box[:2]
        if rng.random() < d.loose_box:
            box = loosened(rng, box)
        elif rng.random() < d.truncated * 0.25 and view.edges is None:
            box = half_body(rng, keypoints, box)
        udp = keypoint_set in PUBLIC_UDP
        matrix = placement(rng, box, udp, turned=rng.random() < d.turned)
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))

        image = self._background(rng, view)
        if rng.random() < 0.5 and view.edges is None:
            draw_shadow(rng, image, matrix, view, keypoints)
        others = [self._other(rng, view) for _ in range(_count(rng))] if self._whole else []
        if rng.random() >= d.others:
            others = []
        for other, place in (o[:2] for o in others if not o[2]):
            blend(image, warped(other, matrix @ place), _gain(rng))
        layer = warped(view, matrix @ mirror(width, flipped))
        blend(image, layer, _gain(rng))
        visible = layer[..., 3] > 127
        total = max(int(visible.sum()), 1)
        for other, place in (o[:2] for o in others if o[2]):
            layer = warped(other, matrix @ place)
            left = visible & (layer[..., 3] < 128)
            if left.sum() > 0.45 * total:
                blend(image, layer, _gain(rng))
                visible = left
        if rng.random() < d.occluder:
            self._occlude(rng, image, visible, total)
        points = keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        inside = np.all((points >= 0) & (points <= np.array(SIZE[::-1]) - 1), axis=1)
        if window is not None:
            inside &= np.all(
                (keypoints[:, :2] >= window[:2]) & (keypoints[:, :2] <= window[2:]), axis=1
            )
        image = develop(rng, image, d.degraded, d.styled)
        if window is not None:
            image[outside(matrix, window)] = 0
        indices = INDICES[keypoint_set]
        states = np.where(inside, np.where(keypoints[:, 2] == 2, SEEN, HIDDEN), OUTSIDE)
        return Sample(
            crop=image,
            points=points[indices].astype(np.float32),
            states=np.where(indices < 0, UNKNOWN, states[indices]).astype(np.uint8),
            scale=scale,
            area=float(extent.prod()) * scale**2,
            side=float(extent.max()) * scale,
        )

    def _window(self, rng: Random, view: View, keypoints: Array) -> Array:
        """Draw where the image ends, in pixels of the view: x_min, y_min, x_max, y_max."""
        height, width = view.person.shape
        window = np.array([-1e4, -1e4, 1e4, 1e4])
        kind = rng.random()
        if kind < 0.6:  # cut from below: from the knees up to head and shoulders
            shoulders = keypoints[5:7, 1].mean()
            feet = max(keypoints[15:17, 1].max(), shoulders + 0.3 * height)
            window[3] = shoulders + (feet - shoulders) * rng.uniform(0.12, 0.95)
        elif kind < 0.72:  # from above
            window[1] = rng.uniform(0.05, 0.4) * height
        if kind > 0.62 or rng.random() < 0.2:  # from a side
            if rng.random() < 0.5:
                window[0] = rng.uniform(0.1, 0.5) * width
            else:
                window[2] = rng.uniform(0.5, 0.9) * width
        return window

    def _background(self, rng: Random, view: View) -> Array:
        if self._panoramas and rng.random() < 0.62:
            same = view.light >= 0 and rng.random() < 0.6
            index = view.light if same else int(rng.integers(len(self._panoramas)))
            heading = view.heading if same else rng.uniform(0, 2 * np.pi)
            pitch = view.pitch + rng.normal(0, 0.15)
            image = self._panoramas[index].look(SIZE, heading, pitch, rng.uniform(0.35, 1.3))
            if rng.random() < 0.5:
                image = image[:, ::-1].copy()
            if rng.random() < 0.55:
                clutter(rng, image, int(rng.integers(1, 7)))
            return image
        return procedural(rng)

    def _other(self, rng: Random, view: View) -> tuple[View, Array, bool]:
        """Draw another person; returns it, its place (3, 3) and whether it is in front."""
        other = self._whole[int(rng.integers(len(self._whole)))]
        height, width = view.person.shape
        front = bool(rng.random() < 0.4)
        size = rng.uniform(0.85, 1.45) if front else rng.uniform(0.4, 1.1)
        size *= max(height, 0.7 * width) / max(other.person.shape[0], 0.7 * other.person.shape[1])
        aside = rng.choice([-1, 1]) * rng.uniform(0.15, 1.3) * max(width, 0.35 * height)
        x = width / 2 + aside - other.person.shape[1] * size / 2
        ground = height * (rng.uniform(0.95, 1.25) if front else rng.uniform(0.7, 1.02))
        y = ground - other.person.shape[0] * size
        place = np.array([[size, 0, x], [0, size, y], [0, 0, 1.0]])
        return other, place @ mirror(other.person.shape[1], bool(rng.random() < 0.5)), front

    def _occlude(self, rng: Random, image: Array, visible: Array, total: int) -> None:
        """Draw a thing before the person, unless too little of it would be seen."""
        mask = np.zeros(SIZE, np.uint8)
        rows, columns = np.nonzero(visible)
        if len(rows) == 0:
            return
        middle = np.array([rng.choice(columns), rng.choice(rows)])
        kind = rng.random()
        if kind < 0.3:  # a table, a wall, a car: all below a line
            line = np.percentile(rows, rng.uniform(45, 90))
            tilt = rng.normal(0, 6)
            corners = [[0, line - tilt], [SIZE[1], line + tilt], [SIZE[1], 999], [0, 999]]
            if rng.random() < 0.5:
                left = middle[0] + rng.uniform(-60, 0)
                right = left + rng.uniform(40, 150)
                corners = [[left, line], [right, line], [right, 999], [left, 999]]
            cv2.fillPoly(mask, [np.array(corners, np.int32)], 255)
        elif kind < 0.55:  # a post
            half = rng.uniform(2, 13)
            slant = rng.normal(0, 8)
            corners = [[middle[0] - half - slant, 0], [middle[0] + half - slant, 0],
                       [middle[0] + half + slant, 999],
                       [middle[0] - half + slant, 999]]  # fmt: skip
            cv2.fillPoly(mask, [np.array(corners, np.int32)], 255)
        else:
            spread = rng.uniform(8, 50)
            corners = middle + rng.normal(0, spread, (int(rng.integers(3, 8)), 2))
            hull = cv2.convexHull(corners.astype(np.int32))
            cv2.fillPoly(mask, [hull], 255)
        if (visible & (mask == 0)).sum() >= 0.4 * total:
            cover(rng, image, mask, self._panoramas)


def _gain(rng: Random) -> Array:
    return np.exp(rng.normal(0, 0.18) + rng.normal(0, 0.04, 3)).astype(np.float32)


def _count(rng: Random) -> int:
    return int(rng.choice([1, 2, 3, 5], p=[0.45, 0.3, 0.17, 0.08]))
