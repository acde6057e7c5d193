"""Keypoints calmed over time, in the image or in metres.

Each keypoint is one of three at a time: at rest, in even motion, or in a motion that changes. A
Kalman filter for each runs on, and what comes out is their mean, weighed by how well each explains
what was measured: the interacting multiple models of Blom and Bar-Shalom, "The Interacting
Multiple Model Algorithm for Systems with Markovian Switching Coefficients", 1988. So who stands
stands still, and who walks is followed without delay.

How much a network's keypoints tremble, nobody tells: it is measured, per subject, by how far each
measurement is from the line through the two before it, which motion hardly changes; the median
over all keypoints counts.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.poses import Poses
from vitpose_ros.core.tracks.association import VARIANCES
from vitpose_ros.core.tracks.seen import PLACES

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Strength:
    """How much is smoothed."""

    # Of the models at rest, in even and in changing motion: the density of what changes
    # velocities, heights of the subject squared per second cubed.
    jolts: tuple[float, float, float]
    stay: float  # how likely a keypoint goes on as it does, from one frame to the next


STRENGTHS = {
    'light': Strength((0.01, 0.5, 40.0), 0.9),
    'strong': Strength((0.002, 0.1, 20.0), 0.95),
}
HOLD_S = 0.3  # for so long a keypoint that is not measured is predicted
FIRST_RATE = 1.0  # heights a second: how fast a keypoint may be at first
LEAST_SCORE = 0.1
FEWEST = 8  # numbers that must tell how much the keypoints tremble
LEAST_LIKELY = 1e-4  # of a model: it may be right again
LEAST_VARIANCE = 1e-12
MEDIAN = 0.455  # of the square of a normal variable
LONGEST_STEP_S = 0.15  # beyond it, motion is no line
TREMBLES = np.log(100.0)  # so much more, or less, than was told, at most, as a logarithm
FORGETTING = 0.05  # a frame, of how much the keypoints tremble


def image_variances(poses: Poses) -> Array:
    """Return (n, k, 2), pixels squared, how unsure keypoints in the image are to each other.

    By the spread of their heatmaps where it was measured, else by COCO's sigmas; low scores make
    them less sure. Infinite where there is none.
    """
    n, k = poses.scores.shape
    if poses.heatmap_spread is not None:
        variances = poses.heatmap_spread[..., (0, 1), (0, 1)].astype(np.float64)
    else:
        rows = np.array([PLACES[name] for name in poses.skeletons], dtype=np.int64)
        size = (poses.boxes[:, 2:] - poses.boxes[:, :2]).astype(np.float64)
        area = size[:, 0] * size[:, 1]
        variances = np.broadcast_to((VARIANCES[rows, :k] * area[:, None])[..., None], (n, k, 2))
    scores = np.nan_to_num(poses.scores).clip(0, 1)
    variances = variances / np.maximum(scores, LEAST_SCORE)[..., None] ** 2
    return np.where((scores > 0)[..., None], variances, np.inf)


class Smoother:
    """Smooths the keypoints of subjects, each by its id.

    strength: of STRENGTHS. Not for several threads at a time.
    """

    def __init__(self, strength: str) -> None:
        chosen = STRENGTHS[strength]
        self._jolts = np.array(chosen.jolts)[:, None]
        self._leave = (1 - chosen.stay) / (len(chosen.jolts) - 1)  # for each of the others
        self._row_of: dict[Hashable, int] = {}
        self._state: _State | None = None

    def update(
        self,
        stamp_ns: int,
        ids: Sequence[Hashable],
        points: NDArray[Any],
        variances: NDArray[Any],
        heights: NDArray[Any],
    ) -> Array:
        """Take the keypoints of a frame; return them smoothed, (n, k, d).

        ids: (n,), each once; another skeleton makes another id. points: (n, k, d), pixels or
        metres, NaN where nothing was measured: that is predicted for HOLD_S, and NaN then.
        variances: (n, k, d), of which the proportions to each other count. heights: (n,), of the
        subjects, in the unit of the points.
        """
        if not len(ids):
            return np.zeros(points.shape)
        state, rows = self._rows_of(stamp_ns, ids, points.shape)
        one, k = state.of(rows), points.shape[1]
        if k < state.odds.shape[2]:
            room = (0, 0), (0, state.odds.shape[2] - k), (0, 0)
            points = np.pad(points, room, constant_values=np.nan)
            variances = np.pad(variances, room, constant_values=np.nan)
        measured = np.isfinite(points.sum(axis=2)) & np.isfinite(variances.sum(axis=2))  # (n, k)
        known = ((stamp_ns - one.measured_ns) <= HOLD_S * 1e9) & (stamp_ns >= one.measured_ns)
        dt_s = ((stamp_ns - one.stamps_ns) * 1e-9).clip(0, HOLD_S)
        there = measured[:, :, None]
        points = np.where(there, np.asarray(points, dtype=np.float64), np.nan)
        variances = np.maximum(np.asarray(variances, dtype=np.float64), LEAST_VARIANCE)
        heights = np.asarray(heights, dtype=np.float64)

        self._mix(one)
        self._predict(one, dt_s[:, None, None], heights[:, None] ** 2)
        one.learn_tremble(points, variances, dt_s)
        variances = np.where(there, variances * np.exp(one.tremble)[:, None, None], 1.0)
        _correct(one, np.where(there, points, 0.0), variances, measured)
        new = measured & ~known
        if new.any():
            one.begin(new, points, variances, (FIRST_RATE * heights[:, None, None]) ** 2)
        one.measured_ns[measured] = stamp_ns
        one.stamps_ns[:] = stamp_ns
        state.put(rows, one)
        smooth = (one.odds[:, :, :, None] * one.models[0]).sum(axis=0)
        smooth[~(measured | known)] = np.nan
        return np.asarray(smooth[:, :k])

    def _mix(self, one: '_State') -> None:
        """Let keypoints change from one model to another."""
        moments, leave = one.models, self._leave
        stay = 1 - leave * len(one.odds)  # beyond what comes from all alike
        origin = moments[0, -1].copy()  # for precision
        value, rate = moments[0], moments[1]
        value -= origin
        moments[2] += value * value
        moments[3] += value * rate
        moments[4] += rate * rate
        moments *= one.odds[:, :, :, None]
        total = moments[:, 0] + moments[:, 1] + moments[:, 2]
        total *= leave
        moments *= stay
        moments += total[:, None]
        one.odds = stay * one.odds + leave  # they sum to 1
        moments /= one.odds[:, :, :, None]
        moments[2] -= value * value
        moments[3] -= value * rate
        moments[4] -= rate * rate
        value += origin

    def _predict(self, one: '_State', dt_s: Array, area: Array) -> None:
        """Let time pass: dt_s (n, 1, 1); area: (n, 1) of the subjects, heights squared."""
        value, rate, pp, pv, vv = one.models
        rate[0] = pv[0] = vv[0] = 0  # at rest
        jolt = (self._jolts * area[:, 0])[:, :, None, None]
        value += dt_s * rate
        pp += dt_s * (2 * pv + dt_s * (vv + jolt * (dt_s / 3)))
        pv += dt_s * (vv + jolt * (dt_s / 2))
        vv += jolt * dt_s

    def _rows_of(
        self, stamp_ns: int, ids: Sequence[Hashable], shape: tuple[int, ...]
    ) -> tuple['_State', NDArray[np.int64]]:
        """Return the state with rows for these ids, without those of who went, and the rows."""
        state = self._state or _State.empty(shape[1], shape[2])
        rest = set(self._row_of).difference(ids)
        if rest:
            names = list(self._row_of)
            old = np.abs(stamp_ns - state.stamps_ns) > HOLD_S * 1e9
            kept = [r for r, name in enumerate(names) if name not in rest or not old[r]]
            if len(kept) < len(names):
                state = state.of(np.array(kept, dtype=np.int64))
                self._row_of = {names[row]: place for place, row in enumerate(kept)}
        for name in ids:
            self._row_of.setdefault(name, len(self._row_of))
        self._state = state = state.widened(len(self._row_of), shape[1])
        return state, np.array([self._row_of[name] for name in ids], dtype=np.int64)


@dataclass
class _State:
    """What is remembered of m subjects."""

    # (5, 3, m, k, d): value, rate, variance of the value, covariance, variance of the rate; each
    # of the models at rest, in even motion, in changing motion.
    models: Array
    odds: Array  # (3, m, k): how likely each model is
    before: Array  # (4, m, k, d): the last measurement and its variance, those before; NaN: none
    step_s: Array  # (m,): what lies between these two
    tremble: Array  # (m,): how much larger variances are than was told, as a logarithm
    frames: Array  # (m,): how many have told that
    stamps_ns: NDArray[np.int64]  # (m,)
    measured_ns: NDArray[np.int64]  # (m, k)

    @classmethod
    def empty(cls, k: int, d: int) -> '_State':
        return cls(
            models=np.zeros((5, 3, 0, k, d)),
            odds=np.zeros((3, 0, k)),
            before=np.zeros((4, 0, k, d)),
            step_s=np.zeros(0),
            tremble=np.zeros(0),
            frames=np.zeros(0),
            stamps_ns=np.zeros(0, dtype=np.int64),
            measured_ns=np.zeros((0, k), dtype=np.int64),
        )

    def of(self, rows: NDArray[np.int64]) -> '_State':
        """Return the state of some subjects: this one, where they are all, in this order."""
        if len(rows) == len(self.stamps_ns) and (rows == np.arange(len(rows))).all():
            return self
        return _State(
            **{name: np.take(getattr(self, name), rows, axis) for name, axis in AXES.items()}
        )

    def put(self, rows: NDArray[np.int64], one: '_State') -> None:
        """Take back what of gave for these rows."""
        if one is not self:
            for name, axis in AXES.items():
                getattr(self, name)[(slice(None),) * axis + (rows,)] = getattr(one, name)

    def widened(self, count: int, k: int) -> '_State':
        """Return the state with rows for so many subjects, and room for k keypoints."""
        more, wider = count - len(self.stamps_ns), k - self.odds.shape[2]
        if more <= 0 and wider <= 0:
            return self
        arrays = {}
        for name, axis in AXES.items():
            values = getattr(self, name)
            room = [(0, 0)] * values.ndim
            room[axis] = 0, max(more, 0)
            if values.ndim > axis + 1:
                room[axis + 1] = 0, max(wider, 0)
            arrays[name] = np.pad(values, room, constant_values=UNKNOWN.get(name, 0))
        return _State(**arrays)

    def learn_tremble(self, points: Array, variances: Array, dt_s: Array) -> None:
        """Learn by a new measurement how much the keypoints tremble."""
        last, last_variances, first, first_variances = self.before
        fits = (dt_s > 0) & (self.step_s > 0) & (np.maximum(dt_s, self.step_s) < LONGEST_STEP_S)
        ratio = (dt_s / np.where(fits, self.step_s, 1))[:, None, None]
        off = points - last - ratio * (last - first)
        expected = variances + (1 + ratio) ** 2 * last_variances + ratio**2 * first_variances
        squared = np.sort((off * off / expected).reshape(len(dt_s), -1), axis=1)  # NaN at the end
        count = np.isfinite(squared).sum(axis=1)
        fits &= count >= FEWEST
        median = squared[np.arange(len(dt_s)), count // 2 - (count > 0)][fits]
        self.frames[fits] += 1
        weight = np.maximum(FORGETTING, 1 / self.frames[fits])
        told = np.log(np.maximum(median / MEDIAN, 1e-9)).clip(-TREMBLES, TREMBLES)
        self.tremble[fits] += weight * (told - self.tremble[fits])
        self.before = np.stack((points, variances, last, last_variances))
        self.step_s[:] = dt_s

    def begin(self, new: NDArray[np.bool_], points: Array, variances: Array, rates: Array) -> None:
        """Begin keypoints (n, k) with what was measured; rates: (n, 1, 1), variances of theirs."""
        value, rate, pp, pv, vv = self.models
        value[:, new], pp[:, new] = points[new], variances[new]
        rate[:, new] = pv[:, new] = 0
        vv[:, new] = np.broadcast_to(rates, points.shape)[new]
        self.odds[:, new] = 1 / len(self.odds)


# The fields of a state, and which axis of each has the subjects.
AXES = {
    'models': 2, 'odds': 1, 'before': 1, 'step_s': 0, 'tremble': 0, 'frames': 0, 'stamps_ns': 0,
    'measured_ns': 0,
}  # fmt: skip
UNKNOWN = {'before': np.nan, 'odds': 1 / 3, 'measured_ns': np.iinfo(np.int64).min // 2}


def _correct(one: _State, points: Array, variances: Array, measured: NDArray[np.bool_]) -> None:
    """Let each model take what was measured, and weigh the models by how well they foresaw it."""
    value, rate, pp, pv, vv = one.models
    total = pp + variances
    off = points - value
    if not measured.all():
        off *= measured[:, :, None]
    unlikely = off * off / total
    squared, volume = unlikely[..., 0].copy(), total[..., 0].copy()
    for axis in range(1, points.shape[2]):
        squared += unlikely[..., axis]
        volume *= total[..., axis]
    likely = np.exp((squared.min(axis=0) - squared) / 2) / np.sqrt(volume)
    odds = np.where(measured, one.odds * likely, one.odds)
    odds = np.maximum(odds / (odds[0] + odds[1] + odds[2]), LEAST_LIKELY)
    one.odds = odds / (odds[0] + odds[1] + odds[2])
    there = measured[:, :, None] / total
    gain, rate_gain = pp * there, pv * there
    value += gain * off
    rate += rate_gain * off
    vv -= rate_gain * pv
    pv -= gain * pv
    pp -= gain * pp
