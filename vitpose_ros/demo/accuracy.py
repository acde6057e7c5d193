"""How good keypoints are, where the truth is known."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core import Skeleton
from vitpose_ros.core.skeletons import AREA_OF_BOX

SEEN = 2  # visibility: 2 seen, 1 hidden by the own body
SAME_PERSON_IOU = 0.5
SAME_PERSON_OKS = 0.5


@dataclass(frozen=True)
class Person:
    """A true person."""

    box: NDArray[np.float64]  # (4,) pixels: x_min, y_min, x_max, y_max
    keypoints: NDArray[np.float64]  # (k, 3): x, y in pixels, visibility
    id: int = -1  # the same in all frames; -1: nobody told


def load_truth(path: Path) -> list[list[Person]]:
    """Read the true people of each frame of a clip from its JSON file."""
    return [
        [
            Person(
                np.array([x, y, x + width, y + height], dtype=float),
                np.array(entry['keypoints'], dtype=float),
                entry.get('id', -1),
            )
            for entry in frame
            for x, y, width, height in [entry['bbox']]
        ]
        for frame in json.loads(path.read_text())['frames']
    ]


def match_subjects(people: list[Person], subjects: list[Any]) -> list[tuple[Person, Any]]:
    """Pair true people with the vitpose_ros/Keypoints whose boxes overlap theirs most.

    Each is used once, and only with an intersection over union of at least a half.
    """
    return _best_pairs(
        people,
        subjects,
        lambda person, subject: iou(person.box, _corners(subject)),
        SAME_PERSON_IOU,
    )


def match_poses(
    people: list[Person], subjects: list[Any], skeletons: Mapping[str, Skeleton]
) -> list[tuple[Person, Any]]:
    """Pair true people with the vitpose_ros/Keypoints whose keypoints are nearest to theirs.

    Where people hide each other, boxes do not tell who somebody is. Each is used once, and only
    with an OKS of at least a half.
    """

    def similarity(person: Person, subject: Any) -> float:
        return object_keypoint_similarity(person, subject, skeletons[subject.skeleton])

    return _best_pairs(people, subjects, similarity, SAME_PERSON_OKS)


def _best_pairs(
    people: list[Person],
    subjects: list[Any],
    likeness: Callable[[Person, Any], float],
    least: float,
) -> list[tuple[Person, Any]]:
    """Pair what is most alike, then what is most alike of the others, and so on."""
    order = sorted(
        ((likeness(person, s), p, i) for p, person in enumerate(people)
         for i, s in enumerate(subjects)),
        reverse=True,
    )  # fmt: skip
    pairs: list[tuple[Person, Any]] = []
    used_people: set[int] = set()
    used_subjects: set[int] = set()
    for alike, p, i in order:
        if alike >= least and p not in used_people and i not in used_subjects:
            used_people.add(p)
            used_subjects.add(i)
            pairs.append((people[p], subjects[i]))
    return pairs


def object_keypoint_similarity(person: Person, subject: Any, skeleton: Skeleton) -> float:
    """Return the OKS of a vitpose_ros/Keypoints, 0 to 1, over the keypoints that are seen.

    As COCO defines it, with the person's area estimated from the box.
    """
    seen = person.keypoints[:, 2] == SEEN
    points = np.stack((subject.x, subject.y), axis=1)
    squared = ((points - person.keypoints[:, :2]) ** 2).sum(axis=1)
    area = AREA_OF_BOX * np.prod(person.box[2:] - person.box[:2])
    spread = 2 * np.array(skeleton.sigmas)
    return float(np.exp(-squared / (2 * area * spread**2))[seen].mean())


def iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the intersection over union of two boxes (x_min, y_min, x_max, y_max)."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    both = np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])
    return common / float(both - common)


def _corners(subject: Any) -> NDArray[np.float64]:
    centre = np.array([subject.box_center_x, subject.box_center_y])
    half = np.array([subject.box_width, subject.box_height]) / 2
    return np.concatenate((centre - half, centre + half))
