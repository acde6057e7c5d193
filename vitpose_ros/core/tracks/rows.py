"""What a tracker remembers of its tracks: arrays, a row each."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.skeletons import AREA_OF_BOX
from vitpose_ros.core.tracks.association import VARIANCES
from vitpose_ros.core.tracks.kalman import AxisFilters, PositionFilters
from vitpose_ros.core.tracks.motion import CameraMotion, transformed
from vitpose_ros.core.tracks.seen import Seen, boxes_of, numbers_of
from vitpose_ros.core.tracks.shapes import STEADINESS, Fits, completed, fit

Array = NDArray[np.float64]

# Of numbers_of a box; of the centre in heights of the box.
FIRST_RATE = np.array([0.8, 0.1, 0.2, 0.0])  # per second: how fast somebody new may be
JOLT = np.array([0.2, 0.01, 0.01, 0.0])  # per second cubed: how much speeds change
DRIFT = np.array([0.0, 0.0, 0.0, 0.05])  # per second: how much the rest changes
HEIGHT_MEMORY_S = 0.3  # for so long who is hidden goes on coming closer, or sinking
OUTSIDE = 0.25  # heights beyond the border of the image, where who left is waited for
NEAREST_M = 0.3  # ahead of the camera; who is nearer, or behind it, is not in the image
BEHIND = -1e5  # pixels: where those are put who are behind the camera
PUT = 0.1  # heights: how well a place in space tells where a box is
SHAPE_VARIANCE = 4.0  # times that of COCO: bodies change their shape
HEIGHT_FLOOR = 0.03  # how sure the logarithm of a height is at best
GOOD_FIT = 0.3  # likeness from which on the shape of a track tells what of a box is hidden
SLACK = 0.08  # of the height: by so much boxes are cut anyhow
FIRST_SPEED = 1.0**2 * np.eye(3)  # (m/s)^2: how fast somebody new may be
OUTLIER = 20.0  # squared distance from which on a measured position is not believed
JOLT_M = 0.5  # m^2/s^3
# For so long a place is foreseen that nobody measures: of who is seen meanwhile, and must be
# somewhere else by now; and of who is hidden, and may have stopped.
SEEN_NOWHERE_S, HIDDEN_S = 1.0, 2.0
EXACT_M = 0.3  # standard deviation of a place that confirms another
PER_TRACK = (
    *('states', 'seen_ns', 'hits', 'misses', 'elsewhere', 'doubtful', 'sizes', 'skeletons'),
    *('shapes', 'weights', 'located_ns'),
)


class Rows:
    """The tracks of a tracker, a row each."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.states = np.empty(0, dtype=np.uint8)
        self.seen_ns = np.empty(0, dtype=np.int64)  # when each was seen last
        self.located_ns = np.empty(0, dtype=np.int64)  # when the place of each was measured last
        self.hits = np.empty(0, dtype=np.int64)  # in how many frames it was seen
        self.misses = np.empty(0, dtype=np.int64)  # in how many since then it was not
        self.elsewhere = np.empty(0, dtype=bool)  # whether another camera sees it now
        # Whether another camera has told where it is, and this one has not confirmed it yet.
        self.doubtful = np.empty(0, dtype=bool)
        self.sizes = np.empty(0)  # heights of their boxes a metre away, pixels; 0: not known
        self.skeletons = np.empty(0, dtype=np.int64)
        # Keypoints from the centre of the box, in heights of the box; 0, with weight 0: not known.
        self.shapes: Array = np.empty((0, 0, 2))
        self.weights: Array = np.empty((0, 0))
        self.filter = AxisFilters(4)
        self.places = PositionFilters()

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self.ids)

    @property
    def boxes(self) -> Array:
        """Where the boxes are, (m, 4) pixels."""
        return boxes_of(self.filter.values)

    @property
    def heights(self) -> Array:
        """How high the boxes are, (m,) pixels."""
        return np.asarray(np.exp(self.filter.values[:, 2]))

    def hidden_s(self, stamp_ns: int) -> Array:
        """Return (m,) for how long each has not been seen."""
        return np.asarray(np.maximum((stamp_ns - self.seen_ns) * 1e-9, 0.0))

    def predict(self, dt_s: float, width: int, height: int) -> None:
        """Let time pass; who left the image, of that width and height, is waited for there."""
        hidden = self.misses > 0
        if hidden.any():  # heights in the distance, and out of view, are no straight lines
            values, rates = self.filter.values[hidden], self.filter.rates[hidden]
            rates[:, 1:3] *= np.exp(-dt_s / HEIGHT_MEMORY_S)
            beyond = OUTSIDE * np.exp(values[:, 2:3])
            edge = values[:, :2].clip(-beyond, beyond + np.array((width, height)))
            rates[:, :2][edge != values[:, :2]] = 0
            values[:, :2] = edge
            self.filter.values[hidden], self.filter.rates[hidden] = values, rates
        scale = np.ones((len(self), 4))
        scale[:, :2] = (self.heights**2)[:, None]
        self.filter.predict(dt_s, JOLT * scale, DRIFT)
        self.places.predict(dt_s, JOLT_M)

    def doubt_places(self, stamp_ns: int) -> None:
        """Forget where those are who are seen, but not where; let those stop who are hidden."""
        nowhere = self.seen_ns - self.located_ns > SEEN_NOWHERE_S * 1e9
        if nowhere.any():
            self.places.forget(nowhere)
        stopped = (self.misses > 0) & (stamp_ns - self.located_ns > HIDDEN_S * 1e9)
        if stopped.any():
            self.places.velocities[stopped] *= 0  # what is not known stays so

    def move(self, motion: CameraMotion, depths: Array) -> None:
        """Move what is known in the image with the camera; depths (m,) of the tracks, metres."""
        values, rates = self.filter.values, self.filter.rates
        places, derivatives = motion.move(values[:, :2], depths)
        stretch = np.linalg.norm(derivatives[:, :, 1], axis=1)  # of what is upright
        rates[:, :2] = (derivatives @ rates[:, :2, None])[:, :, 0]
        self.shapes = self.shapes @ (derivatives / stretch[:, None, None]).transpose(0, 2, 1)
        values[:, :2] = places
        values[:, 2] += np.log(stretch)
        self.filter.state[2:, :, :2] *= (stretch**2)[:, None]

    def fits(self, i: NDArray[np.int64], j: NDArray[np.int64], seen: Seen) -> Fits:
        """Lay the shapes of tracks i (p,) on poses j (p,)."""
        k = min(self.shapes.shape[1], seen.keypoints.shape[1])
        skeletons = self.skeletons[i]
        weight = self.weights[i, :k] * seen.weights[j, :k]
        if (skeletons != seen.skeletons[j]).any():
            weight[skeletons != seen.skeletons[j]] = 0
        state = self.filter.state[:, i]
        area = SHAPE_VARIANCE * AREA_OF_BOX * np.exp(state[0, :, 3:])  # heights squared
        return fit(
            self.shapes[i, :k],
            seen.keypoints[j, :k],
            weight,
            STEADINESS[skeletons, :k],
            np.exp(state[0, :, 2]),
            state[2, :, 2] + HEIGHT_FLOOR**2,
            VARIANCES[skeletons, :k] * area,
        )

    def put(self, rows: NDArray[np.int64], camera: PinholeCamera, inverse: Array) -> None:
        """Put the boxes of rows (a,) where the camera would have their places.

        inverse: (4, 4), from the fixed frame to the optical one.
        """
        points = transformed(inverse, self.places.positions[rows])
        ahead = np.maximum(points[:, 2], NEAREST_M)
        heights = self.sizes[rows] / ahead
        state = self.filter.state
        state[0, rows, 0] = points[:, 0] / ahead * camera.focal_x + camera.centre_x
        state[0, rows, 1] = points[:, 1] / ahead * camera.focal_y + camera.centre_y
        state[0, rows, 2] = np.log(heights)
        state[1:4:2, rows, :3] = 0
        unsure = np.sqrt(np.trace(self.places.covariances[rows], axis1=1, axis2=2))
        spread = PUT * heights + unsure * camera.focal_x / ahead
        state[2, rows, :2] = (spread * spread)[:, None]
        state[2, rows, 2] = PUT**2
        self.filter.state[0, rows[points[:, 2] < NEAREST_M], 0] = BEHIND

    def see(
        self,
        rows: NDArray[np.int64],
        poses: NDArray[np.int64],
        seen: Seen,
        fits: Fits,
        pairs: NDArray[np.int64],
    ) -> None:
        """Take poses (a,) of a frame as those of the tracks of rows (a,); pairs: (a,) of fits."""
        variances, boxes = seen.variances[poses], seen.boxes[poses]
        numbers = np.empty((len(rows), 4))
        numbers[:, :3], numbers[:, 3] = fits.numbers[pairs], self.filter.values[rows, 3]
        good = (fits.alike[pairs] >= GOOD_FIT)[:, None]
        slack = np.where(good[:, 0], SLACK * np.exp(numbers[:, 2]), np.inf)
        measured = numbers_of(completed(boxes, boxes_of(numbers), slack=slack))
        middle = (measured[:, :2] + numbers[:, :2]) / 2
        measured[:, :2] = np.where(good, middle, measured[:, :2])
        variances[:, :2] *= np.where(good, 0.5, 1.0)
        self.filter.update(rows, measured, variances)
        self._remember(rows, poses, seen)

    def add(self, ids: list[str], poses: NDArray[np.int64], seen: Seen) -> None:
        """Add tracks that begin with poses (a,) of a frame."""
        rows = np.arange(len(self), len(self) + len(ids))
        self.ids += ids
        self._widen(len(ids), 0)
        variances = seen.variances[poses]
        rates = np.tile(FIRST_RATE**2, (len(ids), 1))
        rates[:, :2] *= np.exp(2 * seen.numbers[poses, 2:3])
        self.filter.add(seen.numbers[poses], variances, rates)
        self.places.add(len(ids))
        self._remember(rows, poses, seen)

    def _locate(self, rows: NDArray[np.int64], poses: NDArray[np.int64], seen: Seen) -> None:
        """Take where the subjects of poses (a,) are as the places of the tracks of rows (a,)."""
        if seen.positions is None or seen.position_covariances is None:
            return
        positions, covariances = seen.positions[poses], seen.position_covariances[poses]
        known = np.isfinite(positions.sum(axis=1)) & np.isfinite(covariances.sum(axis=(1, 2)))
        new = known & np.isnan(self.places.positions[rows, 0])
        if new.any():
            self.places.put(rows[new], positions[new], 0.0, covariances[new], FIRST_SPEED)
        old = known & ~new
        believed = self.places.update(rows[old], positions[old], covariances[old], gate=OUTLIER)
        exact = np.trace(covariances[old], axis1=1, axis2=2) < EXACT_M**2
        self.doubtful[rows[old][believed & exact]] = False
        self.located_ns[rows[new]] = self.located_ns[rows[old][believed]] = seen.stamp_ns
        if seen.depths is not None:
            self.sizes[rows[known]] = self.heights[rows[known]] * seen.depths[poses[known]]

    def keep(self, rows: NDArray[Any]) -> None:
        """Keep the tracks of a mask (m,)."""
        self.ids = [name for name, kept in zip(self.ids, rows.tolist(), strict=True) if kept]
        for name in PER_TRACK:
            setattr(self, name, getattr(self, name)[rows])
        self.filter.keep(rows)
        self.places.keep(rows)

    def _widen(self, count: int, k: int) -> None:
        """Make room for so many more tracks, and for skeletons with k keypoints."""
        k = max(k - self.shapes.shape[1], 0)
        for name in PER_TRACK:
            values = getattr(self, name)
            room = ((0, count), (0, k), (0, 0))[: values.ndim]
            setattr(self, name, np.pad(values, room))

    def _remember(self, rows: NDArray[np.int64], poses: NDArray[np.int64], seen: Seen) -> None:
        """Keep what tracks look like, and that they were seen."""
        k = seen.keypoints.shape[1]
        if k > self.shapes.shape[1]:
            self._widen(0, k)
        centres, heights = self.filter.values[rows, :2], self.heights[rows]
        shapes = (seen.keypoints[poses] - centres[:, None]) / heights[:, None, None]
        weights = seen.weights[poses]
        shapes *= (weights > 0)[:, :, None]
        if k < self.shapes.shape[1]:
            self.weights[rows, k:], self.shapes[rows, k:] = 0, 0
        self.weights[rows, :k], self.shapes[rows, :k] = weights, shapes
        self.skeletons[rows] = seen.skeletons[poses]
        self.seen_ns[rows] = seen.stamp_ns
        self.elsewhere[rows] = False
        self._locate(rows, poses, seen)
        self.hits[rows] += 1
        self.misses[rows] = 0
