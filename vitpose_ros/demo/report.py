"""What the demonstration says of what arrived, and of how good it is where the truth is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitpose_ros.core import SKELETONS
from vitpose_ros.demo.accuracy import (
    Person,
    load_truth,
    match_poses,
    match_subjects,
    object_keypoint_similarity,
)
from vitpose_ros.demo.space import Body, ClipInSpace
from vitpose_ros.demo.space_accuracy import space_accuracy


def arrival_lines(frames: int, answers: Sequence[Any], latencies_ms: Sequence[float]) -> list[str]:
    """Say how much arrived, and when.

    frames: from the camera; answers: vitpose_ros/KeypointsArray, at least one.
    """
    people = sum(len(answer.subjects) for answer in answers)
    median, high = np.percentile(latencies_ms, (50, 95))
    return [
        f'frames:    {frames} from the camera, {len(answers)} with keypoints',
        f'people:    {people} detected, {people / len(answers):.1f} per frame',
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


def image_lines(truth: list[list[Person]], answers: Sequence[Any]) -> list[str]:
    """Say how good keypoints in the image are.

    answers: of each frame the vitpose_ros/KeypointsArray, or None.
    """
    similarities = [
        object_keypoint_similarity(person, subject, SKELETONS[subject.skeleton])
        for people, answer in zip(truth, answers, strict=False)
        for person, subject in match_subjects(people, answer.subjects if answer else [])
    ]
    mean = f'{np.mean(similarities):.2f}' if similarities else 'none'
    return [
        f'accuracy:  {len(similarities)} of {sum(map(len, truth))} people matched, mean OKS {mean}'
    ]


def space_lines(
    clip: ClipInSpace,
    truth: list[list[Person]],
    answers: Sequence[Any],
    answers_3d: Sequence[Any],
    smoothing: str,
) -> list[str]:
    """Say how good people in metres are.

    answers_3d: of each frame the vitpose_ros/Keypoints3DArray, or None; smoothing: the parameter
    smoothing_3d of the node.
    """
    found = space_accuracy(
        _in_space(*frame) for frame in zip(clip.frames, truth, answers, answers_3d, strict=False)
    )
    share = 100 * found.measured / max(found.seen, 1)
    return [
        f'depth:     {100 * found.median_error_m:.1f} cm median error of measured joints, '
        f'{share:.0f} % of {found.seen} seen joints measured',
        f'tracks:    {found.switches} id switches, {found.ids} ids for {found.people} people',
        f'jitter:    {1000 * found.jitter_m:.0f} mm median change of the error of a joint from '
        f'frame to frame, smoothing_3d {smoothing}',
    ]


def _in_space(
    bodies: list[Body], people: list[Person], answer: Any, answer_3d: Any
) -> list[tuple[Body, Any]]:
    """Return the true people that can be seen, with their vitpose_ros/Keypoints3D."""
    if answer is None or answer_3d is None:
        return []
    seen = {body.id: body for body in bodies if body.is_seen}
    in_space = {subject.track_id: subject for subject in answer_3d.subjects}
    pairs = match_poses(
        [person for person in people if person.id in seen],
        [subject for subject in answer.subjects if subject.track_id in in_space],
        SKELETONS,
    )
    # A second box of somebody has no track.
    return [(seen[p.id], in_space[s.track_id]) for p, s in pairs if s.track_id]
