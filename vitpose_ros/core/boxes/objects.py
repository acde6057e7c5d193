"""What was found in an image, and which of it gets keypoints."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.boxes.classes import ClassNames, KeypointSetChoice
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.types import Frame, box_fault


@dataclass(frozen=True, eq=False)
class Objects:
    """What is in an image, as parallel sequences."""

    boxes: NDArray[np.float32]  # (n, 4) pixels: x_min, y_min, x_max, y_max
    scores: NDArray[np.float32]  # (n,) 0 to 1; NaN: nobody told
    class_names: Sequence[str]  # (n,) as the detector calls them; '': nobody told
    track_ids: Sequence[str] = field(default=())  # (n,) of the detector; '': none
    poses: Poses | None = None  # (n,) where their keypoints were found, too

    def __post_init__(self) -> None:
        """Give each a track id, if only an empty one."""
        if len(self.track_ids) != len(self):
            object.__setattr__(self, 'track_ids', [''] * len(self))

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.boxes)

    def __getitem__(self, rows: Sequence[int] | NDArray[Any]) -> 'Objects':
        """Return some, by their places."""
        places = np.asarray(rows, dtype=np.int64)
        return Objects(
            self.boxes[places],
            self.scores[places],
            [self.class_names[place] for place in places.tolist()],
            [self.track_ids[place] for place in places.tolist()],
            None if self.poses is None else self.poses[places],
        )


class Finder(Protocol):
    """Finds what is in images: a detector, or a bottom-up network."""

    kind: str  # for people

    @property
    def warning(self) -> str:
        """What it could not have, and the remedy; empty where it runs as asked for."""

    def find(self, frames: Sequence[Frame], min_score: float) -> list[Objects]:
        """Return what is in frames, in one forward pass; their boxes are not looked at."""


@dataclass(frozen=True)
class Filter:
    """Which objects get keypoints."""

    names: ClassNames
    classes: Sequence[str]  # names or numbers; empty: all
    min_score: float  # objects without a score pass
    max_subjects: int  # the largest ones


@dataclass(frozen=True, eq=False)
class Chosen:
    """The objects that get keypoints, in their order, and what became of the others."""

    objects: Objects
    faults: Sequence[tuple[int, str]] = ()  # what are no boxes in the image: place, and why
    filtered: int = 0  # those of another class, or below the score
    left_out: int = 0  # those beyond max_subjects


def hulls(boxes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the corners (n, 4) of the upright boxes around turned ones.

    boxes: (n, 5) centre x and y, width, height, and angle in radians.
    """
    with np.errstate(invalid='ignore', over='ignore'):  # box_fault finds what comes of it
        cosine, sine = np.abs(np.cos(boxes[:, 4:])), np.abs(np.sin(boxes[:, 4:]))
        half = (boxes[:, 2:4] * cosine + boxes[:, 3:1:-1] * sine) / 2
        return np.hstack((boxes[:, :2] - half, boxes[:, :2] + half)).astype(np.float32)


def whole_image(width: int, height: int) -> Objects:
    """Return the one subject of an image that holds a single one, with the image as its box."""
    box = np.array([[0, 0, width, height]], dtype=np.float32)
    return Objects(box, np.full(1, np.nan, np.float32), [''])


def choose(objects: Objects, wanted: Filter, width: int, height: int) -> Chosen:
    """Choose which objects of an image of the given size get keypoints."""
    rows = np.arange(len(objects))
    if wanted.min_score > 0:
        rows = rows[~(objects.scores < wanted.min_score)]
    if wanted.classes:
        names = objects.class_names
        rows = np.array(
            [row for row in rows.tolist() if wanted.names.is_one_of(names[row], wanted.classes)],
            dtype=np.int64,
        )
    filtered = len(objects) - len(rows)
    faults, usable = [], []
    for row in rows.tolist():
        fault = box_fault(objects.boxes[row], width, height)
        if fault is None:
            usable.append(row)
        else:
            faults.append((row, fault))
    left_out = max(len(usable) - wanted.max_subjects, 0)
    if left_out:
        corners = objects.boxes[usable]
        areas = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
        largest = np.argsort(-areas, kind='stable')[: wanted.max_subjects]
        usable = sorted(usable[place] for place in largest)
    return Chosen(objects[usable], faults, filtered, left_out)


def framed(frame: Frame, objects: Objects, sets: KeypointSetChoice) -> Frame:
    """Return a frame with objects as its boxes, each with the keypoints of its class."""
    return Frame(
        frame.image,
        objects.boxes,
        frame.channels,
        [sets.keypoint_set(name) for name in objects.class_names],
        objects.class_names,
        objects.track_ids,
        objects.scores,
    )
