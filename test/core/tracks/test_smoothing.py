"""Calm keypoints without delay, against the textbook's loops and known motion."""

from dataclasses import replace

import numpy as np
import pytest
from figures import SHAPE, ns, poses
from street import Walker

from vitpose_ros.core.tracks.smoothing import (
    FIRST_RATE,
    HOLD_S,
    STRENGTHS,
    Smoother,
    image_variances,
)

HERTZ = 15.0


def smoothed(strength, points, variances, *, height=1.7, stamps=None):
    """Smooth the keypoints (t, k, d) of one subject."""
    one, out = Smoother(strength), []
    stamps = np.arange(len(points)) / HERTZ if stamps is None else stamps
    for t, now in zip(stamps, points, strict=True):
        spread = np.broadcast_to(variances, now.shape)[None]
        out.append(one.update(ns(t), ['a'], now[None], spread, np.array([height]))[0])
    return np.array(out)


class Slow:
    """One keypoint by Blom and Bar-Shalom's steps, matrix by matrix; variances as they are."""

    def __init__(self, strength, point, variance, height):
        self.jolts = [jolt * height**2 for jolt in strength.jolts]
        off = (1 - strength.stay) / 2
        self.change = np.full((3, 3), off) + np.eye(3) * (strength.stay - off)
        self.odds = np.full(3, 1 / 3)
        self.states = [[np.array([x, 0.0]) for x in point] for _ in range(3)]
        first = [np.diag([variance, (FIRST_RATE * height) ** 2]) for _ in point]
        self.covariances = [[c.copy() for c in first] for _ in range(3)]

    def update(self, dt, point, variance):
        d = len(point)
        together = self.change.T @ self.odds
        share = self.change * self.odds[:, None] / together
        states, covariances = [], []
        for j in range(3):
            mixed = [sum(share[i, j] * self.states[i][a] for i in range(3)) for a in range(d)]
            spread = [
                sum(
                    share[i, j]
                    * (
                        self.covariances[i][a]
                        + np.outer(self.states[i][a] - mixed[a], self.states[i][a] - mixed[a])
                    )
                    for i in range(3)
                )
                for a in range(d)
            ]
            states.append(mixed)
            covariances.append(spread)
        likely = np.ones(3)
        move = np.array([[1, dt], [0, 1]])
        for j in range(3):
            noise = self.jolts[j] * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
            for a in range(d):
                state, covariance = states[j][a], covariances[j][a]
                if j == 0:
                    rest = np.diag([1.0, 0.0])
                    state, covariance = rest @ state, rest @ covariance @ rest
                state, covariance = move @ state, move @ covariance @ move.T + noise
                total = covariance[0, 0] + variance
                off = point[a] - state[0]
                likely[j] *= np.exp(-(off**2) / total / 2) / np.sqrt(total)
                gain = covariance[:, 0] / total
                states[j][a] = state + gain * off
                covariances[j][a] = covariance - np.outer(gain, covariance[0])
        self.states, self.covariances = states, covariances
        self.odds = together * likely
        self.odds = np.maximum(self.odds / self.odds.sum(), 1e-4)
        self.odds /= self.odds.sum()
        return [sum(self.odds[j] * states[j][a][0] for j in range(3)) for a in range(d)]


@pytest.mark.parametrize('strength', STRENGTHS)
def test_models_agree_with_the_textbook_for_steps_that_differ(strength):
    # Fewer numbers than must tell how much they tremble: variances stay as they are given.
    rng = np.random.default_rng(1)
    stamps = np.cumsum([0.0, 0.05, 0.2, 0.07, 0.01, 0.25, 0.1, 0.06, 0.07, 0.05])
    points = np.cumsum(rng.normal(0, 0.05, (len(stamps), 2, 3)), axis=0) + 100.0
    variances = np.array([4e-4, 9e-4])
    got = smoothed(strength, points, variances[:, None], stamps=stamps)
    for k in range(2):
        slow = Slow(STRENGTHS[strength], points[0, k], variances[k], 1.7)
        for i in range(1, len(stamps)):
            expected = slow.update(stamps[i] - stamps[i - 1], points[i, k], variances[k])
            assert got[i, k] == pytest.approx(expected, abs=1e-6), (k, i)


def jitter(points):
    return np.sqrt((np.diff(points[20:], axis=0) ** 2).mean())


@pytest.mark.parametrize('strength', STRENGTHS)
@pytest.mark.parametrize('told', [0.3, 1.0, 3.0])  # variances that are wrong tenfold, or right
def test_who_stands_trembles_a_third_at_most(strength, told):
    rng = np.random.default_rng(2)
    still = np.tile(SHAPE * 1.7, (90, 1, 1))
    noisy = still + rng.normal(0, 0.015, still.shape)
    calm = smoothed(strength, noisy, (0.015 * told) ** 2)
    assert jitter(calm) < jitter(noisy) / 3
    assert np.abs(calm[20:] - still[20:]).mean() < 0.6 * np.abs(noisy[20:] - still[20:]).mean()


def delay(points, truth, *, skip=15):
    """Return by which time points (t, k, d) lag behind the truth, seconds."""
    stamps = np.arange(len(truth)) / HERTZ
    errors = {}
    for lag in np.arange(-0.05, 0.2, 0.005):
        shifted = np.stack(
            [np.interp(stamps - lag, stamps, line) for line in truth.reshape(len(truth), -1).T], 1
        )
        errors[lag] = ((shifted - points.reshape(len(points), -1))[skip:-5] ** 2).sum()
    return min(errors, key=errors.get)


@pytest.mark.parametrize('strength', STRENGTHS)
def test_who_walks_is_followed_within_a_frame_and_calmed(strength):
    rng = np.random.default_rng(3)
    walker = Walker([0, 20], [(-6.0, 4.0), (16.0, 4.0)])
    truth = np.stack([walker.joints(2 + i / HERTZ)[:17] for i in range(90)])
    noisy = truth + rng.normal(0, 0.015, truth.shape)
    calm = smoothed(strength, noisy, 0.015**2)
    assert delay(calm, truth) < 0.5 / HERTZ
    assert delay(calm[:, 9:], truth[:, 9:]) < 0.5 / HERTZ  # arms and legs alone
    assert np.sqrt(((calm - truth)[15:] ** 2).mean()) < 0.9 * 0.015


def test_who_starts_to_walk_is_followed_soon():
    rng = np.random.default_rng(4)
    way = np.clip(np.arange(60) / HERTZ - 2, 0, None) * 1.2
    truth = SHAPE * 1.7 + way[:, None, None] * (1, 0)
    noisy = truth + rng.normal(0, 0.015, truth.shape)
    calm = smoothed('strong', noisy, 0.015**2)
    behind = (truth - calm)[..., 0].mean(axis=1)
    assert behind[30:36].max() < 1.2 / HERTZ and np.abs(behind[36:]).max() < 0.02


def test_what_is_not_measured_is_predicted_for_a_short_time():
    rng = np.random.default_rng(5)
    truth = SHAPE * 1.7 + (np.arange(40) / HERTZ)[:, None, None] * (1.0, 0)
    noisy = truth + rng.normal(0, 0.005, truth.shape)
    noisy[20:32, 3] = np.nan
    noisy[25, 5, 1] = np.nan  # half of a keypoint is none
    calm = smoothed('light', noisy, 0.005**2)
    held = int(HOLD_S * HERTZ + 1e-6)
    assert np.abs(calm[20 : 20 + held, 3] - truth[20 : 20 + held, 3]).max() < 0.1  # of 0.27
    assert np.isnan(calm[20 + held : 32, 3]).all()
    assert np.isfinite(calm[32:, 3]).all() and np.isfinite(calm[25, 5]).all()
    assert calm[32, 3] == pytest.approx(noisy[32, 3])  # it begins anew
    assert np.isfinite(np.delete(calm, 3, axis=1)).all()


def test_subjects_come_and_go_in_any_order_and_do_not_touch_each_other():
    rng = np.random.default_rng(6)
    paths = {name: SHAPE + rng.normal(0, 1, 2) for name in 'abcd'}
    noise = {name: rng.normal(0, 0.01, (30, 17, 2)) for name in 'abcd'}
    one, alone = Smoother('light'), {name: Smoother('light') for name in 'abcd'}
    for i in range(30):
        ids = [name for name in rng.permutation(list('abcd')).tolist() if rng.random() < 0.9]
        if i > 20:
            ids = [name for name in ids if name != 'b'] + ['e'] * (i > 22)
        points = {n: paths.get(n, SHAPE) + noise.get(n, noise['a'])[i] for n in ids}
        stack = np.array([points[n] for n in ids]).reshape(-1, 17, 2)
        count = len(ids)
        got = one.update(ns(i / 15), ids, stack, np.full(stack.shape, 1e-4), np.ones(count))
        for name, other in alone.items():
            rows = [row for row, one_id in enumerate(ids) if one_id == name]
            told = [name] * len(rows), stack[rows], np.full((len(rows), 17, 2), 1e-4)
            own = other.update(ns(i / 15), *told, np.ones(len(rows)))
            assert np.allclose(got[rows], own, atol=1e-6)
    assert len(one._row_of) <= 4  # who went is forgotten


def test_more_keypoints_than_before_have_room():
    one = Smoother('light')
    few, many = np.zeros((1, 17, 2)), np.zeros((2, 133, 2))
    one.update(ns(0), ['a'], few, np.ones(few.shape), np.ones(1))
    got = one.update(ns(0.1), ['a', 'b'], many, np.ones(many.shape), np.ones(2))
    assert got.shape == (2, 133, 2) and np.isfinite(got).all()
    assert one.update(ns(0.2), ['a'], few, np.ones(few.shape), np.ones(1)).shape == (1, 17, 2)
    assert one.update(ns(0.3), [], few[:0], few[:0], np.ones(0)).shape == (0, 17, 2)


def test_a_clock_that_jumps_back_begins_anew():
    one, far = Smoother('strong'), SHAPE[None] + 5
    for i in range(20):
        one.update(ns(100 + i / 15), ['a'], SHAPE[None], np.full((1, 17, 2), 1e-4), np.ones(1))
    got = one.update(ns(3), ['a'], far, np.full((1, 17, 2), 1e-4), np.ones(1))
    assert got == pytest.approx(far)


def test_keypoints_in_the_image_are_as_sure_as_their_scores_and_spread_tell():
    seen = poses((300, 300, 200), (600, 300, 400))
    seen.scores[0, 3], seen.scores[0, 4] = 0.3, 0.0
    variances = image_variances(seen)
    assert variances.shape == (2, 17, 2)
    assert variances[1, 0] == pytest.approx(4 * variances[0, 0], rel=1e-3)
    assert variances[0, 3, 0] == pytest.approx(9 * variances[1, 3, 0] / 4, rel=1e-3)
    assert np.isinf(variances[0, 4]).all()
    spread = np.tile(np.array([[4.0, 1.0], [1.0, 9.0]], np.float32), (2, 17, 1, 1))
    assert image_variances(replace(seen, heatmap_spread=spread))[1, 0] == pytest.approx(
        np.array([4, 9]) / 0.81, rel=1e-3
    )
