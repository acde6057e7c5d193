"""From images to people: their poses, their joints in metres, who is who, and calm over time."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from string import ascii_lowercase, digits

from vitpose_ros.core.boxes import carrying
from vitpose_ros.core.boxes.classes import ClassNames, KeypointSetChoice
from vitpose_ros.core.boxes.detector import LEAST_SCORE
from vitpose_ros.core.boxes.objects import Filter, Finder, Objects, choose, framed
from vitpose_ros.core.captures import Capture, Sighting
from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.follower import Follower
from vitpose_ros.core.geometry.lifting import MIN_SCORE, lift
from vitpose_ros.core.geometry.surfaces import STEREO, DepthError
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.tracks.options import DEFAULTS, TrackOptions
from vitpose_ros.core.tracks.people import People, PeopleTracker
from vitpose_ros.core.tracks.tracks import TrackIds

MOST_SUBJECTS = 64  # of a frame, if a detector finds more


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
        detector: Finder | None = None,
        detector_every: int = 1,
        least_score: float = LEAST_SCORE,
        refine: bool = True,
        depth_error: DepthError = STEREO,
        min_score: float = MIN_SCORE,
        run: str | None = None,
    ) -> None:
        """Take what estimates the poses.

        detector: finds the boxes, those with a least_score; it looks at every n-th frame of a
        camera (detector_every), and between them the tracks carry the boxes. refine: whether
        subjects whose keypoints it found, too, are estimated all the same. min_score: keypoints
        below it become no joints in metres. run: the first part of all ids, see
        TrackIds; drawn at random if left out, so that ids are those of no other run. Raises
        OptionError where these do not go together.
        """
        carrying.check(options, detector_every if detector is not None else 1)
        self.estimator = estimator
        self.options = options
        self._ids = TrackIds(run or _random_name())
        self._depth_error = depth_error
        self._min_score = min_score
        self._detector = detector
        self._every = detector_every
        self._least_score = least_score
        self._refine = refine
        self._followers: dict[str, Follower] = {}
        self._people_tracker = PeopleTracker(options)
        self._people: People | None = None  # as last told

    def process(self, captures: Sequence[Capture]) -> list[Sighting]:
        """Return the people of captures, which share forward passes.

        With a detector boxes are what it finds that the network's keypoint sets are for.
        """
        sightings: list[Sighting] = []
        for turn in self._turns(captures):
            found: list[tuple[Capture, Poses | None]] = [(capture, None) for capture in turn]
            if self._detector is not None:
                found = self._with_boxes(turn)
            frames = [capture.frame for capture, poses in found if poses is None]
            estimated = iter(self.estimator.predict(frames))
            sightings += [
                self.follow(capture, next(estimated) if poses is None else poses)
                for capture, poses in found
            ]
        return sightings

    def _turns(self, captures: Sequence[Capture]) -> Iterator[Sequence[Capture]]:
        """Cut captures into turns of which each has one of a camera, where tracks carry boxes."""
        if self._detector is None or self._every == 1:
            yield captures
            return
        turn: list[Capture] = []
        for capture in captures:
            if any(other.camera == capture.camera for other in turn):
                yield turn
                turn = []
            turn.append(capture)
        yield turn

    def _with_boxes(self, captures: Sequence[Capture]) -> list[tuple[Capture, Poses | None]]:
        """Return captures with what is found in them, and their poses, where these were found."""
        names = ClassNames(())  # the detector's own
        sets = KeypointSetChoice(names, [s.name for s in self.estimator.skeletons], {})
        wanted = Filter(names, sets.fitting(), self._least_score, MOST_SUBJECTS)
        looked = self.find(captures, self._least_score)
        found: list[tuple[Capture, Poses | None]] = []
        for capture, (objects, is_carried) in zip(captures, looked, strict=True):
            height, width = capture.frame.image.shape[:2]
            chosen = choose(objects, wanted, width, height).objects
            frame = framed(capture.frame, chosen, sets)
            found.append((replace(capture, frame=frame, is_carried=is_carried), chosen.poses))
        return found

    def find(
        self, captures: Sequence[Capture], min_score: float = LEAST_SCORE
    ) -> list[tuple[Objects, bool]]:
        """Return what is in captures, whose boxes are not looked at, and whether it was carried.

        Poses that were found stand with it, unless they are to be refined. All that are due share
        a forward pass of the detector. An error leaves all as it was.
        """
        assert self._detector is not None, 'no detector'
        found: dict[int, tuple[Objects, bool]] = {}
        due = []
        for index, capture in enumerate(captures):
            follower = self._follower(capture.camera)
            if follower.carries(self._every):
                found[index] = follower.expected(capture.stamp_ns), True
            else:
                due.append(index)
        most = self.estimator.max_batch
        for start in range(0, len(due), most):
            part = due[start : start + most]
            objects = self._detector.find([captures[index].frame for index in part], min_score)
            if self._refine:
                objects = [replace(own, poses=None) for own in objects]
            found.update(zip(part, ((own, False) for own in objects), strict=True))
        for index, capture in enumerate(captures):
            self._follower(capture.camera).count(is_carried=found[index][1])
        return [found[index] for index in range(len(captures))]

    def _follower(self, camera: str) -> Follower:
        follower = self._followers.get(camera)
        if follower is None:
            follower = self._followers[camera] = Follower(self._ids, self.options)
        return follower

    def is_too_old(self, sighting: Sighting) -> bool:
        """Tell whether others' stamps are so much newer that nobody seen here is on the list."""
        people = sighting.people
        return people is not None and (
            people.stamp_ns - sighting.stamp_ns > self._people_tracker.longest_s * 1e9
        )

    def follow(self, capture: Capture, poses: Poses) -> Sighting:
        """Return the people of a capture whose poses are there."""
        follower = self._follower(capture.camera)
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


def _random_name() -> str:
    """Return a name for TrackIds: one of 2e12."""
    rest = ''.join(secrets.choice(ascii_lowercase + digits) for _ in range(7))
    return secrets.choice(ascii_lowercase) + rest
