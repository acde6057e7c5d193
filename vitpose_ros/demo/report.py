"""What the demonstration says of what arrived, and of how good it is where the truth is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitpose_ros.core import SKELETONS
from vitpose_ros.demo.accuracy import (
    Person,
    load_truth,
    match_subjects,
    object_keypoint_similarity,
)
from vitpose_ros.demo.space import Body, ClipInSpace
from vitpose_ros.demo.space_accuracy import space_accuracy

Pair = tuple[Person, Any]  # with its vitpose_ros/Keypoints


def arrival_lines(frames: int, answers: Sequence[Any], latencies_ms: Sequence[float]) -> list[str]:
    """Say how much arrived, and when.

    frames: from the camera; answers: vitpose_ros/KeypointsArray, at least one.
    """
    people = sum(len(answer.subjects) for answer in answers)
    median, high = np.percentile(latencies_ms, (50, 95))
    return [
        f'frames:    {frames} from the camera, {len(answers)} with keypoints',
        f'people:    {people} detected, {people / len(answers):.1f} a frame',
        f'latency:   {median:.0f} ms median, {high:.0f} ms 95th percentile, '
        'from image stamp to keypoints received',
    ]


def read_truth(path: Path) -> list[list[Person]]:
    """Read the true people beside a video; nobody, if there is no such file."""
    if not path.is_file():
        return []
    try:
        return load_truth(path)
    except (KeyError, TypeError, ValueError):
        print(f'demo: {path} does not hold the true people of a clip; it is not used')
        return []


def pair(truth: list[list[Person]], answers: Sequence[Any]) -> list[list[Pair]]:
    """Pair the true people of each frame with those that were found.

    answers: of each frame the vitpose_ros/KeypointsArray, or None.
    """
    return [
        match_subjects(people, answer.subjects if answer is not None else [])
        for people, answer in zip(truth, answers, strict=False)
    ]


def image_lines(present: int, pairs: list[list[Pair]]) -> list[str]:
    """Say how good keypoints in the image are; present: how many true people there were."""
    similarities = [
        object_keypoint_similarity(person, subject, SKELETONS[subject.skeleton])
        for frame in pairs
        for person, subject in frame
    ]
    mean = f'{np.mean(similarities):.2f}' if similarities else 'none'
    return [f'accuracy:  {len(similarities)} of {present} people matched, mean OKS {mean}']


def space_lines(
    clip: ClipInSpace, pairs: list[list[Pair]], answers: Sequence[Any], smoothing: str
) -> list[str]:
    """Say how good people in metres are.

    answers: of each frame the vitpose_ros/Keypoints3DArray, or None; smoothing: the parameter
    smoothing_3d of the node.
    """
    found = space_accuracy(
        _in_space(bodies, frame, answer)
        for bodies, frame, answer in zip(clip.frames, pairs, answers, strict=False)
    )
    people = {person.id for frame in pairs for person, _ in frame}
    share = 100 * found.measured / max(found.seen, 1)
    return [
        f'depth:     {100 * found.median_error_m:.1f} cm median error of measured joints, '
        f'{share:.0f} % of {found.seen} seen joints measured',
        f'tracks:    {found.switches} id switches, {found.ids} ids for {len(people)} people',
        f'jitter:    {1000 * found.jitter_m:.0f} mm median change of the error of a joint from '
        f'frame to frame, smoothing_3d {smoothing}',
    ]


def _in_space(bodies: list[Body], pairs: list[Pair], answer: Any) -> list[tuple[Body, Any]]:
    """Return the true people in space with what was found of them there, by the ids of both."""
    by_number: Mapping[int, Body] = {body.id: body for body in bodies}
    subjects = {subject.track_id: subject for subject in answer.subjects} if answer else {}
    return [
        (by_number[person.id], subjects[subject.track_id])
        for person, subject in pairs
        if person.id in by_number and subject.track_id in subjects
    ]
