"""Following the subjects of one camera from frame to frame."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.option import OptionError
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.tracks.association import (
    KINDS,
    VARIANCES,
    Stage,
    assignment,
    duplicates,
    keypoint_similarity,
    overlaps,
    pair,
    pair_in_stages,
)
from vitpose_ros.core.tracks.likelihood import likely_pairs, log_likelihoods
from vitpose_ros.core.tracks.motion import CameraMotion, inverse_of, rotated, transformed
from vitpose_ros.core.tracks.options import DEFAULTS, TrackOptions
from vitpose_ros.core.tracks.people import People
from vitpose_ros.core.tracks.rows import Rows
from vitpose_ros.core.tracks.seen import Positions, Seen
from vitpose_ros.core.tracks.tracks import LOST, PREDICTED, TENTATIVE, TRACKED, TrackIds, Tracks

Array = NDArray[np.float64]

JUMP_BACK_S = 0.1  # a clock that goes back by more begins anew; by less, frames came out of order
LEAST_OVERLAP = 0.3  # IoU by which a pose may be that of a track that no pose is likely for
OTHER_HEIGHT = 0.5  # logarithm, of boxes that are not of one subject then
LOW_LIKELY = 2.0  # log likelihood that poses with low scores need for a track
SAME_POSE, SAME_BOX = 0.75, 0.5  # likeness of two poses, and of their boxes, of one subject
POSITION_FLOOR = 0.05**2 * np.eye(3)  # metres squared: people are no points
SAME_BOX_ALONE = 0.8  # where keypoints cannot be compared
STILL = 1e-5  # radians and metres, below which a camera did not move
SLOWER = 2.0  # times the step before: a longer one is a gap, in which all may have changed
TENTATIVE_MISSES = 2  # frames in a row that end a track which is not confirmed yet


class Tracker:
    """Says who is who in the frames of one camera, and where those are who are hidden.

    Not for several threads at a time. ids: shared by the trackers of a node. Raises OptionError
    where the options turn tracking off.
    """

    def __init__(self, ids: TrackIds, options: TrackOptions = DEFAULTS) -> None:
        if options.tracking == 'off':
            raise OptionError("tracking is 'off'; a Tracker takes 'on' or 'detections'")
        assignment()  # now, not with the first frame
        self.options = options
        self._ids = ids
        self._rows = Rows()
        self._stamp_ns: int | None = None
        self._newest_ns: int | None = None
        self._step_s = 0.0  # between the last two frames
        self._camera_pose: Array | None = None
        self._has_fixed_frame = False

    def update(
        self,
        stamp_ns: int,
        poses: Poses,
        *,
        positions: Positions | None = None,
        camera: PinholeCamera | None = None,
        camera_pose: NDArray[np.floating] | None = None,
    ) -> Tracks:
        """Take the poses of a frame; return all tracks at its time.

        stamp_ns: when the frame was taken. positions: where the subjects are, in the camera's
        optical frame. camera_pose: (4, 4), from the camera's optical frame to a fixed frame, at
        that time; with it and the camera's intrinsics, what the camera's own motion does to the
        image is allowed for. A clock that jumps back ends all tracks and begins anew.
        """
        self._pass_time(stamp_ns, camera, camera_pose, (poses.width, poses.height))
        rows = self._rows
        depths = None if positions is None else positions.position[:, 2].astype(np.float64)
        seen = Seen.of(stamp_ns, poses, *self._in_fixed_frame(positions), depths)
        if self.options.tracking == 'detections':
            pose_of, new = self._by_ids(poses.track_ids, seen.scores)
            i = (pose_of >= 0).nonzero()[0]
            j = pose_of[i]
        else:
            i, j = likely_pairs(rows, seen)
        fits = rows.fits(i, j, seen)
        if self.options.tracking != 'detections':
            likely = log_likelihoods(rows, seen, i, j, fits)
            pose_of, new = self._by_likelihood(seen, likely)
        self._set_states(pose_of)
        found = pose_of[i] == j
        if found.any():
            rows.see(i[found], j[found], seen, fits, found.nonzero()[0])
        new = self._within_bounds(new, seen.scores)
        if len(new):
            self._begin(new, seen, poses.track_ids)
        pose_of = np.concatenate((pose_of, new))
        return self._told(pose_of, seen)

    def learn(self, people: People, camera: str) -> None:
        """Take from other cameras where those are who are hidden from this one.

        people: the newest list over all cameras; camera: the name of this one there. Whom another
        camera sees is not lost here, is known again where the views meet, and nobody else is taken
        for this person.
        """
        rows = self._rows
        row_of = {name: row for row, name in enumerate(rows.ids) if rows.states[row] == PREDICTED}
        found = [
            (row_of[name], person)
            for person, views in enumerate(people.views)
            if people.states[person] == TRACKED and views[0][0] != camera
            for own, name in views
            if own == camera and name in row_of
        ]
        if not found or self._stamp_ns is None:
            return
        mine, theirs = (np.array(indices, dtype=np.int64) for indices in zip(*found, strict=True))
        dt_s = (self._stamp_ns - people.stamp_ns) * 1e-9
        rows.places.put(
            mine,
            people.positions[theirs] + dt_s * people.velocities[theirs],
            people.velocities[theirs],
            people.position_covariances[theirs] + POSITION_FLOOR,
            people.velocity_covariances[theirs],
        )
        rows.seen_ns[mine] = rows.located_ns[mine] = self._stamp_ns
        rows.elsewhere[mine] = rows.doubtful[mine] = True

    def _begin(self, new: NDArray[np.int64], seen: Seen, track_ids: Sequence[str]) -> None:
        """Begin tracks with poses (a,)."""
        given = self.options.tracking == 'detections'
        names = [track_ids[index] if given else self._ids.take() for index in new.tolist()]
        count = len(self._rows)
        self._rows.add(names, new, seen)
        sure = given or self.options.confirm_after == 1
        self._rows.states[count:] = TRACKED if sure else TENTATIVE

    def _pass_time(
        self,
        stamp_ns: int,
        camera: PinholeCamera | None,
        camera_pose: NDArray[np.floating] | None,
        size: tuple[int, int],
    ) -> None:
        """Forget who was told to be lost, move the others on, and say who is lost now."""
        rows, last_ns, last_pose = self._rows, self._newest_ns, self._camera_pose
        if (rows.states == LOST).any():
            rows.keep(rows.states != LOST)
        pose = None if camera_pose is None else np.asarray(camera_pose, dtype=np.float64)
        if pose is not None and not self._has_fixed_frame:
            rows.places.forget(np.arange(len(rows)))  # they were in another frame
            self._has_fixed_frame = True
        self._stamp_ns, self._camera_pose = stamp_ns, pose
        dt_s = 0.0 if last_ns is None else (stamp_ns - last_ns) * 1e-9
        longest_s = max(self.options.track_timeout_s, SLOWER * self._step_s)
        if dt_s > 0:
            self._step_s = dt_s
        if dt_s < -JUMP_BACK_S or dt_s > longest_s:
            rows.states[:] = LOST
            self._newest_ns = stamp_ns
            return
        self._newest_ns = stamp_ns if last_ns is None else max(stamp_ns, last_ns)
        if len(rows):
            if camera is not None and pose is not None and last_pose is not None:
                step = inverse_of(pose) @ last_pose
                if np.abs(step - np.eye(4)).max() > STILL:
                    depths = transformed(inverse_of(last_pose), rows.places.positions)[:, 2]
                    depths = np.where(depths > 0, depths, np.inf)
                    rows.move(CameraMotion(camera, step), depths)
            rows.predict(max(dt_s, 0.0), *size)
            rows.doubt_places(stamp_ns)
            known = (rows.elsewhere & (rows.sizes > 0)).nonzero()[0]
            if len(known) and camera is not None and pose is not None:
                rows.put(known, camera, inverse_of(pose))
            rows.elsewhere[:] = False
            too_long = rows.hidden_s(stamp_ns) > self.options.track_timeout_s
            rows.states[too_long & (rows.misses > 0)] = LOST

    def _in_fixed_frame(self, given: Positions | None) -> tuple[Array | None, Array | None]:
        """Return positions (n, 3) and covariances (n, 3, 3) in the fixed frame, if known."""
        pose = np.eye(4) if not self._has_fixed_frame else self._camera_pose
        if given is None or pose is None:
            return None, None
        position = np.asarray(given.position, dtype=np.float64)
        covariance = np.array(given.position_covariance, dtype=np.float64)
        covariance[~np.isfinite(covariance)] = np.nan
        return transformed(pose, position), rotated(pose, covariance) + POSITION_FLOOR

    def _by_ids(
        self, track_ids: Sequence[str], scores: Array
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pose of each track, or -1, and the poses that are new, by the ids given.

        Of poses with the same id the one with the highest score counts; those without get none.
        """
        index_of: dict[str, int] = {}
        for index in np.argsort(scores, kind='stable').tolist() if len(track_ids) else ():
            index_of[track_ids[index]] = index
        index_of.pop('', None)
        rows = self._rows
        named = np.array([name in index_of for name in rows.ids], dtype=bool)
        again = named & (rows.states == LOST)
        if again.any():  # after a jump of the clock, or too long a time: they begin anew
            rows.keep(~again)
        pose_of = [index_of.pop(name, -1) for name in rows.ids]
        return np.array(pose_of, dtype=np.int64), np.array(list(index_of.values()), dtype=np.int64)

    def _by_likelihood(
        self, seen: Seen, likely: Array
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pose of each track, or -1, and the poses that are new."""
        options, states = self.options, self._rows.states
        single = ~self._duplicates(seen)
        high = single & (seen.scores >= options.track_high_score)
        low = single & ~high & (seen.scores >= options.track_low_score)
        known = (states == TRACKED) | (states == PREDICTED)
        pose_of = pair_in_stages(
            likely,
            (
                Stage(known, high, 0.0),
                Stage(known, low, LOW_LIKELY),
                Stage(states == TENTATIVE, high, 0.0),
            ),
        )
        high[pose_of[pose_of >= 0]] = False
        # Who moved as nobody would foresee, or whose camera did: what overlaps, if all else is
        # clear.
        left = ((pose_of < 0) & (states != LOST) & (self._rows.misses == 0)).nonzero()[0]
        free = high.nonzero()[0]
        if len(left) and len(free):
            common, _ = overlaps(self._rows.boxes[left], seen.boxes[free])
            common[np.isnan(likely[left[:, None], free])] = 0
            heights = self._rows.filter.values[left, None, 2] - seen.numbers[free, 2]
            common[np.abs(heights) > OTHER_HEIGHT] = 0
            i, j = pair(common, LEAST_OVERLAP)
            pose_of[left[i]] = free[j]
            high[free[j]] = False
        return pose_of, high.nonzero()[0]

    def _duplicates(self, seen: Seen) -> NDArray[np.bool_]:
        """Return (n,), which poses show a subject that another one shows better."""
        if len(seen) < 2:
            return np.zeros(len(seen), dtype=bool)
        common, inside = overlaps(seen.boxes, seen.boxes)
        kinds = KINDS[seen.skeletons]
        i, j = ((inside >= SAME_BOX) & (kinds[:, None] == kinds)).nonzero()
        i, j = i[i < j], j[i < j]
        if not len(i):
            return np.zeros(len(seen), dtype=bool)
        skeletons, k = seen.skeletons[i], seen.keypoints.shape[1]
        weight = seen.weights[i] * seen.weights[j]
        weight[skeletons != seen.skeletons[j]] = 0
        variances = VARIANCES[skeletons, :k] * np.maximum(seen.areas[i], seen.areas[j])[:, None]
        alike = keypoint_similarity(seen.keypoints[i], seen.keypoints[j], weight, variances)
        same = np.where(np.isfinite(alike), alike >= SAME_POSE, common[i, j] >= SAME_BOX_ALONE)
        return duplicates(i[same], j[same], seen.scores)

    def _set_states(self, pose_of: NDArray[np.int64]) -> None:
        """Say what became of the tracks, given the pose of each, or -1."""
        rows, found = self._rows, pose_of >= 0
        rows.misses[~found] += 1
        tentative = rows.states == TENTATIVE
        sure = rows.hits + 1 >= self.options.confirm_after
        rows.states[found & (~tentative | sure)] = TRACKED
        rows.states[~found & (rows.states == TRACKED)] = PREDICTED
        rows.states[~found & tentative & (rows.misses >= TENTATIVE_MISSES)] = LOST

    def _within_bounds(self, new: NDArray[np.int64], scores: Array) -> NDArray[np.int64]:
        """Return which of the new poses become tracks; makes room for them where it can."""
        rows = self._rows
        over = int((rows.states != LOST).sum()) + len(new) - self.options.max_tracks
        if over <= 0:
            return new
        hidden = (rows.states == PREDICTED).nonzero()[0]
        hidden = hidden[np.argsort(rows.seen_ns[hidden], kind='stable')][:over]
        rows.states[hidden] = LOST
        best = np.argsort(-scores[new], kind='stable')[: len(new) - (over - len(hidden))]
        return new[np.sort(best)]

    def _told(self, pose_of: NDArray[np.int64], seen: Seen) -> Tracks:
        """Return all tracks, given the pose of each, or -1."""
        rows = self._rows
        assert self._stamp_ns is not None
        boxes = rows.boxes
        boxes[pose_of >= 0] = seen.boxes[pose_of[pose_of >= 0]]
        return Tracks(
            stamp_ns=self._stamp_ns,
            ids=tuple(rows.ids),
            states=rows.states.copy(),
            indices=pose_of,
            boxes=boxes.astype(np.float32),
            velocities=rows.filter.rates[:, :2].astype(np.float32),
            hidden_s=rows.hidden_s(self._stamp_ns).astype(np.float32),
            positions=rows.places.positions.copy(),
            position_covariances=rows.places.covariances.copy(),
            space_velocities=rows.places.velocities.copy(),
            space_velocity_covariances=rows.places.velocity_covariances.copy(),
        )
