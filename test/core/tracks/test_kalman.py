"""The filters against the textbook's matrices, track by track."""

import numpy as np
import pytest

from vitpose_ros.core.tracks.kalman import (
    AxisFilters,
    PositionFilters,
    inverse_and_determinant,
)

STEPS = (0.05, 0.2, 0.0, 0.013, 1.7)  # seconds; real time steps differ


def slow(dimensions, first, spread, speed):
    """Return a filter of one track as matrices: state (2d,) and covariance (2d, 2d)."""
    state = np.concatenate((first, np.zeros(dimensions)))
    covariance = np.zeros((2 * dimensions, 2 * dimensions))
    covariance[:dimensions, :dimensions] = spread
    covariance[dimensions:, dimensions:] = np.eye(dimensions) * speed**2
    return state, covariance


def predicted(state, covariance, dt, jolt, drift):
    d = len(state) // 2
    move = np.eye(2 * d)
    move[:d, d:] = dt * np.eye(d)
    noise = np.block(
        [[jolt * dt**3 / 3 + drift * dt, jolt * dt**2 / 2], [jolt * dt**2 / 2, jolt * dt]]
    )
    return move @ state, move @ covariance @ move.T + noise


def updated(state, covariance, measured, spread):
    d = len(measured)
    pick = np.eye(d, 2 * d)
    gain = covariance @ pick.T @ np.linalg.inv(pick @ covariance @ pick.T + spread)
    # Joseph's form, which holds for any gain.
    rest = np.eye(2 * d) - gain @ pick
    return (
        state + gain @ (measured - pick @ state),
        rest @ covariance @ rest.T + gain @ spread @ gain.T,
    )


def test_axes_agree_with_the_textbook_for_steps_that_differ():
    rng = np.random.default_rng(1)
    m, d = 5, 4
    first, spread = rng.normal(size=(m, d)), rng.uniform(0.1, 1, (m, d))
    jolt, drift = rng.uniform(0, 2, (m, d)), rng.uniform(0, 1, d)
    filters = AxisFilters(d)
    filters.add(first[:3], spread[:3], np.full((3, d), 4.0))
    filters.add(first[3:], spread[3:], np.full((2, d), 4.0))
    tracks = [slow(d, first[i], np.diag(spread[i]), 2.0) for i in range(m)]
    for step, dt in enumerate(STEPS):
        filters.predict(dt, jolt, drift)
        tracks = [
            predicted(*track, dt, np.diag(jolt[i]), np.diag(drift))
            for i, track in enumerate(tracks)
        ]
        rows = np.array([[0, 1, 2, 3, 4], [4, 0], [2], [1, 3, 0], [0, 4]][step])
        measured, noise = rng.normal(size=(len(rows), d)), rng.uniform(0.01, 2, (len(rows), d))
        filters.update(rows, measured, noise)
        for place, row in enumerate(rows):
            tracks[row] = updated(*tracks[row], measured[place], np.diag(noise[place]))
        for i, (state, covariance) in enumerate(tracks):
            value, rate, pp, pv, vv = filters.state[:, i]
            assert np.allclose(np.concatenate((value, rate)), state)
            whole = np.block([[np.diag(pp), np.diag(pv)], [np.diag(pv), np.diag(vv)]])
            assert np.allclose(whole, covariance)


def test_what_has_infinite_variance_was_not_measured():
    filters = AxisFilters(2)
    filters.add(np.ones((1, 2)), np.ones((1, 2)), np.ones((1, 2)))
    filters.predict(0.5, 1.0)
    before = filters.state.copy()
    filters.update(np.array([0]), np.full((1, 2), 9.0), np.array([[np.inf, 1.0]]))
    assert np.array_equal(filters.state[:, 0, 0], before[:, 0, 0])
    assert filters.values[0, 1] > before[0, 0, 1]


def test_positions_agree_with_the_textbook():
    rng = np.random.default_rng(2)
    m = 4

    def covariances(count):
        root = rng.normal(size=(count, 3, 3))
        return root @ root.transpose(0, 2, 1) + 0.1 * np.eye(3)

    filters, first, spread = PositionFilters(), rng.normal(size=(m, 3)), covariances(m)
    filters.add(m)
    filters.put(np.arange(m), first, 0.0, spread, np.eye(3) * 1.5**2)
    tracks = [slow(3, first[i], spread[i], 1.5) for i in range(m)]
    for dt in STEPS:
        filters.predict(dt, 0.7)
        tracks = [predicted(*track, dt, 0.7 * np.eye(3), np.zeros((3, 3))) for track in tracks]
        rows = np.array([3, 0, 2])
        measured, noise = rng.normal(size=(3, 3)), covariances(3)
        squared, determinants = filters.distances(rows, measured, noise)
        for place, row in enumerate(rows):
            state, covariance = tracks[row]
            off, total = measured[place] - state[:3], covariance[:3, :3] + noise[place]
            assert squared[place] == pytest.approx(off @ np.linalg.inv(total) @ off)
            assert determinants[place] == pytest.approx(np.linalg.det(total))
            tracks[row] = updated(state, covariance, measured[place], noise[place])
        filters.update(rows, measured, noise)
        for i, (state, covariance) in enumerate(tracks):
            assert np.allclose(filters.positions[i], state[:3])
            assert np.allclose(filters.velocities[i], state[3:])
            assert np.allclose(filters.spreads[i], covariance)


def test_a_position_beyond_the_gate_changes_nothing():
    filters = PositionFilters()
    filters.add(2)
    filters.put(np.arange(2), np.zeros((2, 3)), 0.0, np.tile(np.eye(3), (2, 1, 1)), np.eye(3))
    far = np.array([[0.1, 0, 0], [9.0, 0, 0]])
    filters.update(np.arange(2), far, np.tile(np.eye(3), (2, 1, 1)), gate=16.0)
    assert filters.positions[0, 0] == pytest.approx(0.05)
    assert filters.positions[1, 0] == 0 and np.array_equal(filters.covariances[1], np.eye(3))


def test_positions_nobody_knows_stay_unknown_and_harm_nobody():
    filters = PositionFilters()
    filters.add(2)
    filters.put(np.array([1]), np.ones((1, 3)), 0.0, np.eye(3)[None], np.eye(3))
    filters.predict(0.1, 1.0)
    assert np.isnan(filters.positions[0]).all() and np.isnan(filters.covariances[0]).all()
    squared, _ = filters.distances(
        np.array([0, 1]), np.ones((2, 3)), np.tile(np.eye(3), (2, 1, 1))
    )
    assert np.isnan(squared[0]) and squared[1] == 0
    filters.keep(np.array([False, True]))
    assert filters.positions.tolist() == [[1, 1, 1]]


def test_errors_are_as_large_as_the_filter_says():
    # Tracks that move as the model says: squared errors over variances are 1 on average.
    rng = np.random.default_rng(3)
    m, dt, jolt, noise = 4000, 0.1, 2.0, 0.04
    filters = AxisFilters(1)
    place, speed = np.zeros((m, 1)), rng.normal(size=(m, 1))
    filters.add(place + rng.normal(0, 0.2, (m, 1)), np.full((m, 1), noise), np.ones((m, 1)))
    root = np.linalg.cholesky(jolt * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]]))
    for _ in range(15):
        kick = rng.normal(size=(m, 2)) @ root.T
        place, speed = place + dt * speed + kick[:, :1], speed + kick[:, 1:]
        filters.predict(dt, jolt)
        measured = place + rng.normal(0, noise**0.5, (m, 1))
        filters.update(np.arange(m), measured, np.full((m, 1), noise))
    error = (filters.values - place) ** 2 / filters.state[2]
    of_rate = (filters.rates - speed) ** 2 / filters.state[4]
    assert error.mean() == pytest.approx(1, abs=0.1)
    assert of_rate.mean() == pytest.approx(1, abs=0.1)


def test_small_matrices_are_inverted_as_numpy_does():
    rng = np.random.default_rng(4)
    root = rng.normal(size=(50, 3, 3))
    matrices = root @ root.transpose(0, 2, 1) + 0.01 * np.eye(3)
    inverse, determinant = inverse_and_determinant(matrices)
    assert np.allclose(inverse, np.linalg.inv(matrices))
    assert np.allclose(determinant, np.linalg.det(matrices))
    unknown, _ = inverse_and_determinant(np.full((1, 3, 3), np.nan))
    assert np.isnan(unknown).all()
