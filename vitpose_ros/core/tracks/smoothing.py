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
        self._jolts = np.array(chosen.jolts)[:, None, None, None]
        self._leave = (1 - chosen.stay) / (len(chosen.jolts) - 1)  # for each of the others
        self._row_of: dict[Hashable, int] = {}
        self._state = _State()
        self._stamp_ns = 0

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
        dt_s = min(max((stamp_ns - self._stamp_ns) * 1e-9, 0.0), HOLD_S)
        self._stamp_ns = stamp_ns
        rows = self._rows_of(stamp_ns, ids, points.shape)
        state, k = self._state, points.shape[1]
        m, wide, d = state.models.shape[2:]
        given = np.full((2, m, wide, d), np.nan)
        given[0, rows, :k], given[1, rows, :k] = points, variances
        state.areas[rows] = np.square(heights, dtype=np.float64)
        measured = np.isfinite(given.sum(axis=(0, 3)))  # (m, k)
        since = stamp_ns - state.measured_ns
        known = (since <= HOLD_S * 1e9) & (since >= 0)

        self._mix(state)
        self._predict(state, dt_s)
        given[:, ~measured] = np.nan
        state.learn_tremble(given, dt_s)
        z, spread = given
        spread *= np.exp(state.tremble)[:, None, None]
        spread += LEAST_VARIANCE
        new = measured & ~known
        if not measured.all():
            z[~measured], spread[~measured] = 0.0, 1.0
        _correct(state, z, spread, measured)
        if new.any():
            state.begin(new, z, spread)
        state.measured_ns[measured] = stamp_ns
        smooth = np.einsum('jmk,jmkd->mkd', state.odds, state.models[0])[rows, :k]
        smooth[~(measured | known)[rows, :k]] = np.nan
        return np.asarray(smooth)

    def _mix(self, state: '_State') -> None:
        """Let keypoints change from one model to another."""
        moments, leave = state.models, self._leave
        stay = 1 - leave * len(state.odds)  # beyond what comes from all alike
        origin = moments[0, -1].copy()  # for precision
        value, rate = moments[0], moments[1]
        value -= origin
        moments[2] += value * value
        moments[3] += value * rate
        moments[4] += rate * rate
        moments *= state.odds[:, :, :, None]
        total = moments[:, 0] + moments[:, 1]
        total += moments[:, 2]
        total *= leave
        moments *= stay
        moments += total[:, None]
        state.odds = stay * state.odds + leave  # they sum to 1
        moments /= state.odds[:, :, :, None]
        moments[2] -= value * value
        moments[3] -= value * rate
        moments[4] -= rate * rate
        value += origin

    def _predict(self, state: '_State', dt_s: float) -> None:
        """Let time pass."""
        value, rate, pp, pv, vv = state.models
        state.models[1::2, 0] = vv[0] = 0  # at rest
        noise = self._jolts * state.areas[:, None, None]
        value += dt_s * rate
        pp += (2 * dt_s) * pv
        pp += dt_s**2 * vv
        pp += noise * (dt_s**3 / 3)
        pv += dt_s * vv
        pv += noise * (dt_s**2 / 2)
        vv += noise * dt_s

    def _rows_of(
        self, stamp_ns: int, ids: Sequence[Hashable], shape: tuple[int, ...]
    ) -> NDArray[np.int64]:
        """Return the rows of the state for these ids; makes new ones, drops those who went."""
        gone = self._row_of.keys() - set(ids)
        if gone:
            last = self._state.measured_ns.max(axis=1)
            old = np.abs(stamp_ns - last) > HOLD_S * 1e9
            gone = {name for name in gone if old[self._row_of[name]]}
            if gone:
                kept = [name for name in self._row_of if name not in gone]
                self._state.keep(np.array([self._row_of[name] for name in kept], dtype=np.int64))
                self._row_of = {name: row for row, name in enumerate(kept)}
        for name in ids:
            self._row_of.setdefault(name, len(self._row_of))
        self._state.widen(len(self._row_of), *shape[1:])
        return np.array([self._row_of[name] for name in ids], dtype=np.int64)


class _State:
    """What is remembered of m subjects."""

    def __init__(self) -> None:
        # (5, 3, m, k, d): value, rate, variance of the value, covariance, variance of the rate; of
        # each of the models at rest, in even motion, in changing motion.
        self.models: Array = np.zeros((5, 3, 0, 0, 0))
        self.odds: Array = np.zeros((3, 0, 0))  # (3, m, k): how likely each model is
        # (2, m, k, d) each: the last measurement and its variances, the one before; NaN: none.
        self.last: Array = np.zeros((2, 0, 0, 0))
        self.first: Array = np.zeros((2, 0, 0, 0))
        self.step_s = 0.0  # between these two
        self.areas: Array = np.zeros(0)  # (m,) of the subjects, heights squared
        self.tremble: Array = np.zeros(0)  # (m,): logarithm of how much too small variances are
        self.frames: Array = np.zeros(0)  # (m,): how many have told that
        self.measured_ns: NDArray[np.int64] = np.zeros((0, 0), dtype=np.int64)  # (m, k)

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Keep some subjects."""
        for name, axis in AXES.items():
            setattr(self, name, np.take(getattr(self, name), rows, axis))

    def widen(self, count: int, k: int, d: int) -> None:
        """Make room for so many subjects, with k keypoints in d dimensions."""
        _, _, m, wide, deep = self.models.shape
        more, wider, deeper = count - m, max(k - wide, 0), d - deep
        if not (more or wider or deeper):
            return
        for name, axis in AXES.items():
            values = getattr(self, name)
            room = [(0, 0)] * axis + [(0, more), (0, wider), (0, deeper)]
            filler = UNKNOWN.get(name, 0)
            setattr(self, name, np.pad(values, room[: values.ndim], constant_values=filler))

    def learn_tremble(self, given: Array, dt_s: float) -> None:
        """Learn how much the keypoints tremble: given (2, m, k, d) are measured, and variances."""
        if given.size and 0 < dt_s < LONGEST_STEP_S and 0 < self.step_s < LONGEST_STEP_S:
            ratio = dt_s / self.step_s
            points = given[0] - (1 + ratio) * self.last[0] + ratio * self.first[0]
            points *= points
            points /= given[1] + (1 + ratio) ** 2 * self.last[1] + ratio**2 * self.first[1]
            squared = points.reshape(len(points), -1)
            squared.sort(axis=1)  # NaN comes last
            count = np.isfinite(squared).sum(axis=1)
            fits = np.flatnonzero(count >= FEWEST)
            median = squared[fits, (count[fits] - 1) // 2]
            self.frames[fits] += 1
            weight = np.maximum(FORGETTING, 1 / self.frames[fits])
            told = np.log(np.maximum(median / MEDIAN, LEAST_VARIANCE)).clip(-TREMBLES, TREMBLES)
            self.tremble[fits] += weight * (told - self.tremble[fits])
        self.first, self.last, self.step_s = self.last, given.copy(), dt_s

    def begin(self, new: NDArray[np.bool_], points: Array, variances: Array) -> None:
        """Begin keypoints (m, k) with what was measured."""
        rates = np.broadcast_to((FIRST_RATE**2 * self.areas)[:, None, None], points.shape)
        value, rate, pp, pv, vv = self.models
        value[:, new], pp[:, new], vv[:, new] = points[new], variances[new], rates[new]
        rate[:, new] = pv[:, new] = 0
        self.odds[:, new] = 1 / len(self.odds)


# The fields of a state, and which axis of each has the subjects.
AXES = {
    'models': 2, 'odds': 1, 'last': 1, 'first': 1, 'areas': 0, 'tremble': 0, 'frames': 0,
    'measured_ns': 0,
}  # fmt: skip
UNKNOWN = {
    'last': np.nan, 'first': np.nan, 'odds': 1 / 3, 'measured_ns': np.iinfo(np.int64).min // 2,
}  # fmt: skip


def _correct(state: _State, points: Array, variances: Array, measured: NDArray[np.bool_]) -> None:
    """Let each model take what was measured, and weigh the models by how well they foresaw it."""
    value, rate, pp, pv, vv = state.models
    total = pp + variances
    off = points - value
    there = measured[:, :, None] / total
    unlikely = off * off * there
    squared, volume = unlikely[..., 0], total[..., 0]
    for axis in range(1, points.shape[2]):
        squared = squared + unlikely[..., axis]
        volume = volume * total[..., axis]
    # In float32, whose exponential is several times faster.
    likely = np.exp(((squared.min(axis=0) - squared) / 2).astype(np.float32)) / np.sqrt(volume)
    odds = np.where(measured, state.odds * likely, state.odds)
    odds /= odds[0] + odds[1] + odds[2]
    np.maximum(odds, LEAST_LIKELY, out=odds)
    odds /= odds[0] + odds[1] + odds[2]
    state.odds = odds
    gain = pp * there
    rate_gain = pv * there
    value += gain * off
    rate += rate_gain * off
    vv -= rate_gain * pv
    pv -= gain * pv
    pp -= gain * pp
