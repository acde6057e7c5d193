"""Pictures with nobody to a dozen people in them, and what is true of them.

For networks that find everybody at once; crowd_pictures makes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenery import point
from world.bodies import indices_of

Array = NDArray[Any]

SIZE = (384, 512)  # height, width in pixels
MOST = 12  # people
NOBODY, THING = 0, 255  # of who is seen in a pixel, beside the numbers of people from 1 on
# States of keypoints: seen; hidden by the own body; by others or things; outside the image.
SEEN, HIDDEN, COVERED, OUTSIDE = 2, 1, 3, 0
COCO = indices_of('coco')
# Of whom at least so much is seen is somebody: pixels; the shorter side of the box; the part of
# what is inside the image, and of the whole person.
LEAST_PIXELS, LEAST_SIDE, LEAST_SHARE, LEAST_WHOLE = 60, 6, 0.08, 0.06


@dataclass
class Member:
    """Somebody in a picture."""

    box: Array  # (4,) of what is seen: x_min, y_min, x_max, y_max, pixels
    points: Array  # (17, 2) float32, COCO's, pixels
    states: Array  # (17,) uint8: SEEN, HIDDEN, COVERED or OUTSIDE
    share: float  # how much is seen of what lies inside the image
    is_somebody: bool  # whether enough is seen to count


@dataclass
class Crowd:
    """A picture and who is in it."""

    picture: Array  # (h, w, 3) uint8 RGB
    people: list[Member]
    # Boxes (n, 4) of those of whom too little is seen to count as anybody.
    ignored: Array


@dataclass
class Drawn:
    """Somebody who was drawn into a picture, before others and things came to stand before."""

    keypoints: Array  # (n, 3) of bodies.NAMES: x, y in pixels; 2 seen, 1 hidden by the person
    inside: int  # pixels that the person has in the picture
    whole: float  # and would have, if the picture did not end


def crowd(picture: Array, who: Array, drawn: Sequence[Drawn]) -> Crowd:
    """Return a picture with the truth of those drawn into it; who: (h, w), who is seen where."""
    people, ignored = [], []
    for number, one in enumerate(drawn, start=1):
        member = _member(who, number, one)
        if member is not None:
            (people if member.is_somebody else ignored).append(member)
    return Crowd(picture, people, boxes_of(ignored))


def _member(who: Array, number: int, drawn: Drawn) -> Member | None:
    """Return what is seen of somebody in the end; None: nothing."""
    mine = who == number
    count = int(mine.sum())
    if not count:
        return None
    rows, columns = np.nonzero(mine.any(axis=1))[0], np.nonzero(mine.any(axis=0))[0]
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    points = drawn.keypoints[COCO, :2].astype(np.float32)
    at = np.round(points).astype(int)
    height, width = who.shape
    inside = np.all((at >= 0) & (at < [width, height]), axis=1)
    at = np.clip(at, 0, [width - 1, height - 1])
    near = cv2.dilate(mine.astype(np.uint8), np.ones((3, 3), np.uint8))
    uncovered = near[at[:, 1], at[:, 0]] > 0
    states = np.where(drawn.keypoints[COCO, 2] == 2, SEEN, HIDDEN)
    states = np.where(inside, np.where(uncovered, states, COVERED), OUTSIDE).astype(np.uint8)
    share = min(1.0, count / max(1, drawn.inside))
    is_somebody = (
        count >= LEAST_PIXELS
        and (box[2:] - box[:2]).min() >= LEAST_SIDE
        and share >= LEAST_SHARE
        and count >= LEAST_WHOLE * drawn.whole
        and np.isin(states, (SEEN, HIDDEN)).any()
    )
    return Member(box, points, states, share, bool(is_somebody))


def boxes_of(people: Sequence[Member]) -> Array:
    """Return the boxes of people, (n, 4)."""
    return np.array([member.box for member in people], np.float32).reshape(-1, 4)


def outline(seen: Crowd) -> Array:
    """Return the picture with boxes and keypoints drawn in, to look at."""
    image = seen.picture.copy()
    colours = {SEEN: (0, 255, 0), HIDDEN: (255, 255, 0), COVERED: (255, 0, 0)}
    for member in seen.people:
        x_min, y_min, x_max, y_max = member.box
        cv2.rectangle(image, point(x_min, y_min), point(x_max, y_max), (0, 160, 255), 1)
        for (x, y), state in zip(member.points, member.states, strict=True):
            if state in colours:
                cv2.circle(image, point(x, y), 2, colours[state], -1)
    for x_min, y_min, x_max, y_max in seen.ignored:
        cv2.rectangle(image, point(x_min, y_min), point(x_max, y_max), (255, 0, 255), 1)
    return image
