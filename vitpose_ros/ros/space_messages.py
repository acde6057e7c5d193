"""People in metres to messages."""

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import Header

from vitpose_ros.core import Skeleton
from vitpose_ros.core.captures import Sighting
from vitpose_ros.core.tracks.tracks import TRACKED
from vitpose_ros.msg import Keypoints3D, Keypoints3DArray

ROWS, COLUMNS = np.triu_indices(3)  # xx, xy, xz, yy, yz, zz


def keypoints_3d_message(
    header: Header, sighting: Sighting, skeletons: Mapping[str, Skeleton]
) -> Keypoints3DArray:
    """Make the message: first the poses, in their order, then who is followed without being seen.

    header: with the frame that everything is in. skeletons: those in use, by name.
    """
    message = Keypoints3DArray(header=header)
    poses, joints, tracks = sighting.poses, sighting.joints, sighting.tracks
    rows_of_tracks: dict[int, int] = {}
    unseen: list[int] = []
    if tracks is not None:
        for row, index in enumerate(tracks.indices.tolist()):
            if index >= 0:
                rows_of_tracks[index] = row
            else:
                unseen.append(row)
    classes = poses.class_names or [''] * len(poses)
    ids = poses.track_ids or [''] * len(poses)
    if joints is not None:
        covariances = np.ascontiguousarray(joints.covariances[..., ROWS, COLUMNS])
        points = np.ascontiguousarray(np.moveaxis(joints.points, 2, 1))  # (n, 3, k)
    for index, pose in enumerate(poses):
        k = len(pose.scores)
        subject = Keypoints3D(
            track_id=ids[index],
            state=TRACKED,
            class_id=classes[index],
            skeleton=pose.skeleton,
            score=pose.score,
            keypoint_score=_floats(pose.scores),
        )
        if joints is None:
            set_unknown(subject, k)
            set_place(subject, NOWHERE, UNSURE)
        else:
            subject.x, subject.y, subject.z = (_floats(values[:k]) for values in points[index])
            subject.keypoint_state = array('B', joints.states[index, :k].tobytes())
            subject.keypoint_covariance = _floats(covariances[index, :k])
            set_place(subject, joints.position[index], joints.position_covariance[index])
        set_motion(subject, NOWHERE, UNSURE)
        if index in rows_of_tracks:
            _set_track(subject, tracks, rows_of_tracks[index])
        message.subjects.append(subject)
    for row in unseen:
        assert tracks is not None
        class_id, skeleton = sighting.kinds[row]
        k = len(skeletons[skeleton].keypoint_names)
        subject = Keypoints3D(track_id=tracks.ids[row], class_id=class_id, skeleton=skeleton)
        set_unknown(subject, k)
        set_place(subject, NOWHERE, UNSURE)
        subject.keypoint_score = array('f', bytes(4 * k))
        _set_track(subject, tracks, row)
        message.subjects.append(subject)
    return message


NOWHERE = np.full(3, np.nan)
UNSURE = np.full((3, 3), np.nan)


def _set_track(subject: Keypoints3D, tracks: Any, row: int) -> None:
    """Say what the track says: state, motion, and the place if that is known."""
    subject.state = int(tracks.states[row])
    if np.isfinite(tracks.positions[row, 0]):
        set_place(subject, tracks.positions[row], tracks.position_covariances[row])
    set_motion(subject, tracks.space_velocities[row], tracks.space_velocity_covariances[row])


def set_unknown(subject: Keypoints3D, k: int) -> None:
    """Say that no keypoint (of k) is known."""
    unknown = np.full(6 * k, np.nan)
    subject.x = subject.y = subject.z = _floats(unknown[:k])
    subject.keypoint_state = array('B', bytes(k))
    subject.keypoint_covariance = _floats(unknown)


def set_place(
    subject: Keypoints3D, place: NDArray[np.floating], covariance: NDArray[np.floating]
) -> None:
    """Set position (3,) and its covariance (3, 3)."""
    x, y, z = place.tolist()
    subject.position = Point(x=x, y=y, z=z)
    subject.position_covariance = covariance[ROWS, COLUMNS].astype(np.float32)


def set_motion(
    subject: Keypoints3D, velocity: NDArray[np.floating], covariance: NDArray[np.floating]
) -> None:
    """Set velocity (3,) and its covariance (3, 3)."""
    x, y, z = velocity.tolist()
    subject.velocity = Vector3(x=x, y=y, z=z)
    subject.velocity_covariance = covariance[ROWS, COLUMNS].astype(np.float32)


def _floats(values: NDArray[np.floating]) -> Any:
    return array('f', values.astype(np.float32).tobytes())
