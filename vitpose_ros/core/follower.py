"""Following the subjects of one camera: who is who, and calm over time."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.boxes import carrying
from vitpose_ros.core.boxes.objects import Objects
from vitpose_ros.core.captures import Capture, Sighting
from vitpose_ros.core.geometry.lifting import INFERRED, UNKNOWN, Joints
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.tracks.people import People
from vitpose_ros.core.tracks.smoothing import Smoother, image_variances
from vitpose_ros.core.tracks.tracker import Tracker
from vitpose_ros.core.tracks.tracks import TrackIds, Tracks

Rows: TypeAlias = NDArray[np.int64]

TALL_M = 1.7  # about what people are, to say how fast joints may move
FILLED_M = 0.1  # standard deviation of a joint that is not seen, but was a moment ago


class Follower:
    """What is kept of one camera from frame to frame."""

    def __init__(self, ids: TrackIds, options: TrackOptions) -> None:
        self._tracker = None if options.tracking == 'off' else Tracker(ids, options)
        self._in_image = _smoother(options.smoothing)
        self._in_space = _smoother(options.smoothing_3d)
        self._kinds: dict[str, tuple[str, str]] = {}
        self._last: tuple[Tracks, Poses] | None = None
        self._carried = 0  # frames since a detector looked
        # From the first capture on whose pose was given; what is in metres has to be in it then.
        self.has_fixed_frame = False

    def learn(self, people: People, camera: str) -> None:
        """Take from other cameras where those are who are hidden from this one."""
        if self._tracker is not None:
            self._tracker.learn(people, camera)

    def carries(self, every: int) -> bool:
        """Tell whether the next frame needs no detector, which looks at every n-th."""
        return self._last is not None and self._carried + 1 < every

    def expected(self, stamp_ns: int) -> Objects:
        """Return where those who were seen last will be at a time."""
        assert self._last is not None
        return carrying.expected(*self._last, stamp_ns)

    def count(self, *, is_carried: bool) -> None:
        """Note whether a frame got its boxes from the tracks, and not from a detector."""
        self._carried = self._carried + 1 if is_carried else 0

    def follow(self, capture: Capture, poses: Poses, joints: Joints | None) -> Sighting:
        """Say who is who, and calm down what trembles."""
        tracks: Tracks | None = None
        kinds: tuple[tuple[str, str], ...] = ()
        if capture.is_carried and self._last is not None:
            poses = carrying.moved(self._last[1], poses)
        if self._tracker is not None:
            tracks = self._tracker.update(
                capture.stamp_ns,
                poses,
                positions=joints,
                camera=capture.intrinsics,
                camera_pose=capture.pose,
            )
            poses = tracks.named(poses)
            kinds = self._kinds_of(tracks, poses)
            self._last = tracks, poses
        if joints is not None and capture.pose is not None:
            joints = joints.moved(capture.pose)
        rows = np.array([row for row, name in enumerate(poses.track_ids) if name], dtype=np.int64)
        if tracks is not None and len(rows):
            # Another skeleton has other keypoints.
            names = [(poses.track_ids[row], poses.skeletons[row]) for row in rows.tolist()]
            if self._in_image is not None:
                poses = _calm(self._in_image, capture.stamp_ns, poses, names, rows)
            if self._in_space is not None and joints is not None:
                joints = _calm_joints(self._in_space, capture.stamp_ns, joints, names, rows)
        return Sighting(capture.camera, capture.stamp_ns, poses, joints, tracks, kinds, None)

    def _kinds_of(self, tracks: Tracks, poses: Poses) -> tuple[tuple[str, str], ...]:
        """Return the class and the skeleton of each track, as it was last seen."""
        kinds = {}
        classes = poses.class_names or [''] * len(poses)
        for name, index in zip(tracks.ids, tracks.indices.tolist(), strict=True):
            if index >= 0:
                kinds[name] = classes[index], poses.skeletons[index]
            else:
                kinds[name] = self._kinds[name]
        self._kinds = kinds
        return tuple(kinds[name] for name in tracks.ids)


def _calm(
    smoother: Smoother, stamp_ns: int, poses: Poses, names: Sequence[Hashable], rows: Rows
) -> Poses:
    """Return poses with the keypoints of some rows smoothed; what was not found stays NaN."""
    keypoints = poses.keypoints.copy()
    heights = poses.boxes[rows, 3] - poses.boxes[rows, 1]
    variances = image_variances(poses)[rows]
    smooth = smoother.update(stamp_ns, names, keypoints[rows], variances, heights)
    known = np.isfinite(keypoints[rows]) & np.isfinite(smooth)
    keypoints[rows] = np.where(known, smooth, keypoints[rows])
    return replace(poses, keypoints=keypoints)


def _calm_joints(
    smoother: Smoother, stamp_ns: int, joints: Joints, names: Sequence[Hashable], rows: Rows
) -> Joints:
    """Return joints with those of some rows smoothed; what is filled in is inferred."""
    points, states = joints.points.copy(), joints.states.copy()
    covariances = joints.covariances.copy()
    variances = np.einsum('nkii->nki', joints.covariances[rows])
    variances = np.where(np.isfinite(variances), variances, np.inf)
    heights = np.full(len(rows), TALL_M)
    points[rows] = smoother.update(stamp_ns, names, points[rows], variances, heights)
    filled = (states == UNKNOWN) & np.isfinite(points[..., 0])
    states[filled] = INFERRED
    covariances[filled] = FILLED_M**2 * np.eye(3)
    return replace(joints, points=points, states=states, covariances=covariances)


def _smoother(strength: str) -> Smoother | None:
    return None if strength == 'off' else Smoother(strength)
