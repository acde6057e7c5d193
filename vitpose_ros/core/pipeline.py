"""From images to people: their poses, their joints in metres, who is who, and calm over time."""

import secrets
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import INFERRED, UNKNOWN, Joints, lift
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.geometry.surfaces import STEREO, DepthError
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.tracks.options import DEFAULTS, TrackOptions
from vitpose_ros.core.tracks.smoothing import Smoother, image_variances
from vitpose_ros.core.tracks.tracker import Tracker
from vitpose_ros.core.tracks.tracks import TrackIds, Tracks
from vitpose_ros.core.types import Frame

Rows: TypeAlias = NDArray[np.int64]

TALL_M = 1.7  # about what people are, to say how fast joints may move


@dataclass(frozen=True, eq=False)
class Capture:
    """What one camera took at one time."""

    frame: Frame
    stamp_ns: int
    camera: str = ''  # its name, where there are several
    intrinsics: PinholeCamera | None = None  # of the image; None: nobody told
    depth: Depth | None = None  # in the camera's optical frame; only with intrinsics
    # (4, 4) from the camera's optical frame to a fixed one, at that time; None: nobody told
    pose: NDArray[np.floating] | None = None


@dataclass(frozen=True, eq=False)
class People:
    """The subjects of a capture, and those that are followed without being seen in it."""

    camera: str
    stamp_ns: int
    poses: Poses  # with the ids of the tracks
    # Of the poses, in metres, in the fixed frame if the camera's pose was given, else in its
    # optical frame; None without depth.
    joints: Joints | None
    tracks: Tracks | None  # None: tracking is off


class PosePipeline:
    """Captures in, people out. The same captures, in the same order, give the same people.

    Each camera has a tracker of its own; captures of a camera come in the order of their stamps,
    and one that jumps back begins anew. Not for several threads at a time.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        options: TrackOptions = DEFAULTS,
        *,
        depth_error: DepthError = STEREO,
        min_score: float = 0.25,
        run: str | None = None,
    ) -> None:
        """Take what estimates the poses.

        min_score: keypoints below it become no joints in metres. run: the first part of all ids,
        see TrackIds; drawn at random if left out, so that ids are those of no other run.
        """
        self.estimator = estimator
        self.options = options
        self._ids = TrackIds(run or f'r{secrets.token_hex(2)}')
        self._depth_error = depth_error
        self._min_score = min_score
        self._followers: dict[str, _Follower] = {}

    def process(self, captures: Sequence[Capture]) -> list[People]:
        """Return the people of captures, which share forward passes."""
        poses = self.estimator.predict([capture.frame for capture in captures])
        return [self.follow(*pair) for pair in zip(captures, poses, strict=True)]

    def follow(self, capture: Capture, poses: Poses) -> People:
        """Return the people of a capture whose poses are there."""
        follower = self._followers.get(capture.camera)
        if follower is None:
            follower = self._followers[capture.camera] = _Follower(self._ids, self.options)
        joints = None
        if capture.depth is not None and capture.intrinsics is not None:
            joints = lift(
                poses,
                capture.depth,
                capture.intrinsics,
                error=self._depth_error,
                min_score=self._min_score,
            )
        return follower.follow(capture, poses, joints)


class _Follower:
    """What is kept of one camera from frame to frame."""

    def __init__(self, ids: TrackIds, options: TrackOptions) -> None:
        self._tracker = None if options.tracking == 'off' else Tracker(ids, options)
        self._in_image = _smoother(options.smoothing)
        self._in_space = _smoother(options.smoothing_3d)

    def follow(self, capture: Capture, poses: Poses, joints: Joints | None) -> People:
        """Say who is who, and calm down what trembles."""
        tracks = None
        if self._tracker is not None:
            tracks = self._tracker.update(
                capture.stamp_ns,
                poses,
                positions=joints,
                camera=capture.intrinsics,
                camera_pose=capture.pose,
            )
            poses = tracks.named(poses)
        if joints is not None and capture.pose is not None:
            joints = joints.moved(capture.pose)
        followed = [index for index, name in enumerate(poses.track_ids) if name]
        if tracks is None or not followed:
            return People(capture.camera, capture.stamp_ns, poses, joints, tracks)
        rows = np.array(followed)
        # Another skeleton has other keypoints.
        names = [(poses.track_ids[row], poses.skeletons[row]) for row in followed]
        if self._in_image is not None:
            poses = self._calm(self._in_image, capture.stamp_ns, poses, names, rows)
        if self._in_space is not None and joints is not None:
            joints = self._calm_joints(self._in_space, capture.stamp_ns, joints, names, rows)
        return People(capture.camera, capture.stamp_ns, poses, joints, tracks)

    @staticmethod
    def _calm(
        smoother: Smoother, stamp_ns: int, poses: Poses, names: Sequence[Hashable], rows: Rows
    ) -> Poses:
        """Return poses with the keypoints of some rows smoothed."""
        keypoints = poses.keypoints.copy()
        heights = poses.boxes[rows, 3] - poses.boxes[rows, 1]
        variances = image_variances(poses)[rows]
        keypoints[rows] = smoother.update(stamp_ns, names, keypoints[rows], variances, heights)
        return replace(poses, keypoints=keypoints)

    @staticmethod
    def _calm_joints(
        smoother: Smoother, stamp_ns: int, joints: Joints, names: Sequence[Hashable], rows: Rows
    ) -> Joints:
        """Return joints with those of some rows smoothed; what is filled in is inferred."""
        points, states = joints.points.copy(), joints.states.copy()
        variances = np.einsum('nkii->nki', joints.covariances[rows])
        variances = np.where(np.isfinite(variances), variances, np.inf)
        heights = np.full(len(rows), TALL_M)
        points[rows] = smoother.update(stamp_ns, names, points[rows], variances, heights)
        states[(states == UNKNOWN) & np.isfinite(points[..., 0])] = INFERRED
        return replace(joints, points=points, states=states)


def _smoother(strength: str) -> Smoother | None:
    return None if strength == 'off' else Smoother(strength)
