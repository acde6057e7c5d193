"""How good people in metres are, where the truth is known: joints, ids, and how they shake."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.demo.space import Body
from vitpose_ros.msg import Keypoints3D


@dataclass(frozen=True)
class SpaceAccuracy:
    """What is said of a clip."""

    median_error_m: float  # of joints that are measured; NaN: there are none
    seen: int  # true joints that the camera sees, of the people who were found
    measured: int  # how many of those were measured
    people: int  # how many true people were found, all together
    ids: int  # that they had
    switches: int  # how often a person who was seen had another id than the last time
    jitter_m: float  # median change of a joint's error from one frame to the next; NaN: unknown


def space_accuracy(frames: Iterable[Sequence[tuple[Body, Any]]]) -> SpaceAccuracy:
    """Compare people with the truth, frame by frame.

    frames: of each the true people who were found, with their vitpose_ros/Keypoints3D in the
    camera's optical frame. The error of a joint is a vector: what changes it from frame to frame
    is no movement of the person. Only joints count that are measured, for the jitter in both
    frames.
    """
    lengths, changes = [np.empty(0)], [np.empty(0)]
    seen = measured = switches = 0
    last_ids: dict[int, str] = {}
    ids: set[str] = set()
    before: dict[int, NDArray[np.float64]] = {}
    for frame in frames:
        errors = {body.id: errors_of(body, subject) for body, subject in frame}
        for body, subject in frame:
            error = errors[body.id]
            lengths.append(np.linalg.norm(error, axis=1))
            seen += int(body.seen.sum())
            measured += int((body.seen & np.isfinite(error[:, 0])).sum())
            if body.id in before:
                changes.append(np.linalg.norm(error - before[body.id], axis=1))
            switches += last_ids.get(body.id, subject.track_id) != subject.track_id
            last_ids[body.id] = subject.track_id
            ids.add(subject.track_id)
        before = errors
    return SpaceAccuracy(
        _median(lengths), seen, measured, len(last_ids), len(ids), switches, _median(changes)
    )


def errors_of(body: Body, subject: Any) -> NDArray[np.float64]:
    """Return how far joints are from the true ones, (k, 3) metres; NaN if not measured."""
    points = np.stack((subject.x, subject.y, subject.z), axis=1).astype(np.float64)
    points[np.asarray(subject.keypoint_state) != Keypoints3D.MEASURED] = np.nan
    return np.asarray(points - body.joints)


def _median(parts: list[NDArray[np.float64]]) -> float:
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float('nan')
