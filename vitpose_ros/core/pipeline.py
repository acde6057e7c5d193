"""From images to people: their poses, their joints in metres, who is who, and calm over time."""

import secrets
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase, digits
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import INFERRED, MIN_SCORE, UNKNOWN, Joints, lift
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.geometry.surfaces import STEREO, DepthError
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.tracks.options import DEFAULTS, TrackOptions
from vitpose_ros.core.tracks.people import People, PeopleTracker
from vitpose_ros.core.tracks.smoothing import Smoother, image_variances
from vitpose_ros.core.tracks.tracker import Tracker
from vitpose_ros.core.tracks.tracks import TrackIds, Tracks
from vitpose_ros.core.types import Frame, FrameError

Rows: TypeAlias = NDArray[np.int64]

TALL_M = 1.7  # about what people are, to say how fast joints may move
FILLED_M = 0.1  # standard deviation of a joint that is not seen, but was a moment ago


@dataclass(frozen=True, eq=False)
class Capture:
    """What one camera took at one time. Raises FrameError."""

    frame: Frame
    stamp_ns: int
    camera: str = ''  # its name, where there are several
    intrinsics: PinholeCamera | None = None  # of the image; None: nobody told
    depth: Depth | None = None  # in the camera's optical frame; counts only with intrinsics
    # (4, 4) from the camera's optical frame to a fixed one, at that time; None: nobody told
    pose: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        """Raise FrameError for a pose that is none."""
        if self.pose is not None and not (
            np.shape(self.pose) == (4, 4) and np.isfinite(self.pose).all()
        ):
            raise FrameError('pose is no matrix of 4 x 4 finite numbers; leave it out')


@dataclass(frozen=True, eq=False)
class Sighting:
    """The subjects of a capture, and those that are followed without being seen in it.

    What is in metres is in the fixed frame where the camera's pose was given, else in its optical
    frame.
    """

    camera: str
    stamp_ns: int
    poses: Poses  # with the ids of the tracks; without tracking with those of the detector
    joints: Joints | None  # of the poses; None: without depth, or in no frame that is known
    tracks: Tracks | None  # None: tracking is off
    kinds: tuple[tuple[str, str], ...]  # of each track: class and skeleton of its last pose
    # Of all cameras; None: the pose of this one was never given, or there was never any depth.
    people: People | None


class PosePipeline:
    """Captures in, people out. The same captures, in the same order, give the same people.

    Each camera has a tracker of its own; captures of a camera come in the order of their stamps,
    and one that jumps back begins anew. The cameras whose poses are given share one list of
    people, if their poses lead to one frame. Not for several threads at a time.
    """

    def __init__(
        self,
        estimator: PoseEstimator,
        options: TrackOptions = DEFAULTS,
        *,
        depth_error: DepthError = STEREO,
        min_score: float = MIN_SCORE,
        run: str | None = None,
    ) -> None:
        """Take what estimates the poses.

        min_score: keypoints below it become no joints in metres. run: the first part of all ids,
        see TrackIds; drawn at random if left out, so that ids are those of no other run.
        """
        self.estimator = estimator
        self.options = options
        self._ids = TrackIds(run or _random_name())
        self._depth_error = depth_error
        self._min_score = min_score
        self._followers: dict[str, _Follower] = {}
        self._people_tracker = PeopleTracker(options)
        self._people: People | None = None  # as last told

    def process(self, captures: Sequence[Capture]) -> list[Sighting]:
        """Return the people of captures, which share forward passes."""
        poses = self.estimator.predict([capture.frame for capture in captures])
        return [self.follow(*pair) for pair in zip(captures, poses, strict=True)]

    def follow(self, capture: Capture, poses: Poses) -> Sighting:
        """Return the people of a capture whose poses are there."""
        follower = self._followers.get(capture.camera)
        if follower is None:
            follower = self._followers[capture.camera] = _Follower(self._ids, self.options)
        if self._people is not None:
            follower.learn(self._people, capture.camera)
        follower.has_fixed_frame |= capture.pose is not None
        joints = None
        if (
            capture.depth is not None
            and capture.intrinsics is not None
            and (capture.pose is not None or not follower.has_fixed_frame)
        ):
            joints = lift(
                poses,
                capture.depth,
                capture.intrinsics,
                error=self._depth_error,
                min_score=self._min_score,
            )
        sighting = follower.follow(capture, poses, joints)
        if sighting.tracks is None or not follower.has_fixed_frame:
            return sighting
        if joints is None and self._people is None:  # nobody has ever been in space
            return sighting
        self._people = self._people_tracker.update(capture.camera, sighting.tracks)
        return replace(sighting, people=self._people)


class _Follower:
    """What is kept of one camera from frame to frame."""

    def __init__(self, ids: TrackIds, options: TrackOptions) -> None:
        self._tracker = None if options.tracking == 'off' else Tracker(ids, options)
        self._in_image = _smoother(options.smoothing)
        self._in_space = _smoother(options.smoothing_3d)
        self._kinds: dict[str, tuple[str, str]] = {}
        # From the first capture on whose pose was given; what is in metres has to be in it then.
        self.has_fixed_frame = False

    def learn(self, people: People, camera: str) -> None:
        """Take from other cameras where those are who are hidden from this one."""
        if self._tracker is not None:
            self._tracker.learn(people, camera)

    def follow(self, capture: Capture, poses: Poses, joints: Joints | None) -> Sighting:
        """Say who is who, and calm down what trembles."""
        tracks: Tracks | None = None
        kinds: tuple[tuple[str, str], ...] = ()
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


def _random_name() -> str:
    """Return a name for TrackIds: one of 2e12."""
    rest = ''.join(secrets.choice(ascii_lowercase + digits) for _ in range(7))
    return secrets.choice(ascii_lowercase) + rest


def _smoother(strength: str) -> Smoother | None:
    return None if strength == 'off' else Smoother(strength)
