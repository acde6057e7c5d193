"""Kalman filters of constant velocity, each for many tracks at once.

Velocities change by white noise: its density q, in units squared per second cubed, adds q t^3/3 to
the variance of the position, q t^2/2 to what it shares with the velocity, and q t to that of the
velocity (Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to Tracking and Navigation",
2001, 6.2.2). Time steps are real ones, and may differ each time.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class AxisFilters:
    """Positions on axes that know nothing of each other: a state per axis of each track.

    state: (5, m, ...) float64: value, rate, variance of the value, covariance of both, variance
    of the rate. What follows m is the same for all tracks: (4,) for boxes, (k, 2) for keypoints.
    """

    def __init__(self, *shape: int) -> None:
        self.state: Array = np.empty((5, 0, *shape))

    @property
    def values(self) -> Array:
        """Where the tracks are, (m, ...): a view."""
        return np.asarray(self.state[0])

    @property
    def rates(self) -> Array:
        """How fast they move, (m, ...) per second: a view."""
        return np.asarray(self.state[1])

    def add(self, values: Array, variances: Array, rate_variances: Array) -> None:
        """Add tracks that stand at values (a, ...), as far as is known."""
        new = np.zeros((5, *values.shape))
        new[0], new[2], new[4] = values, variances, rate_variances
        self.state = np.concatenate((self.state, new), axis=1)

    def keep(self, rows: NDArray[Any]) -> None:
        """Keep the tracks of a mask or of indices."""
        self.state = self.state[:, rows]

    def predict(self, dt_s: float, jolt: Any, drift: Any = 0.0) -> None:
        """Let time pass.

        jolt: density of what changes velocities, units^2/s^3; drift: of what changes positions
        alone, units^2/s. Each a number, or an array that broadcasts with (m, ...).
        """
        value, rate, pp, pv, vv = self.state
        value += dt_s * rate
        pp += dt_s * (2 * pv + dt_s * vv + drift + jolt * (dt_s * dt_s / 3))
        pv += dt_s * (vv + jolt * (dt_s / 2))
        vv += jolt * dt_s

    def update(self, rows: NDArray[Any], measured: Array, variances: Array) -> None:
        """Take what was measured of the tracks of some rows (indices or a slice), each once.

        measured, variances: (a, ...). Where the variance is infinite, nothing was measured.
        """
        state = self.state[:, rows]
        gain = state[2:4] / (state[2] + variances)
        state[:2] += gain * (measured - state[0])
        state[4] -= gain[1] * state[3]
        state[2:4] -= gain * state[2]
        self.state[:, rows] = state


class PositionFilters:
    """Positions in space, measured with full covariances.

    states: (m, 6) float64, positions and velocities; spreads: (m, 6, 6), their covariances.
    Positions that are not known are NaN, with all that belongs to them.
    """

    def __init__(self) -> None:
        self.states: Array = np.empty((0, 6))
        self.spreads: Array = np.empty((0, 6, 6))

    @property
    def positions(self) -> Array:
        """Where the tracks are, (m, 3): a view."""
        return np.asarray(self.states[:, :3])

    @property
    def velocities(self) -> Array:
        """How fast they move, (m, 3) per second: a view."""
        return np.asarray(self.states[:, 3:])

    @property
    def covariances(self) -> Array:
        """How sure the positions are, (m, 3, 3): a view."""
        return np.asarray(self.spreads[:, :3, :3])

    @property
    def velocity_covariances(self) -> Array:
        """How sure the velocities are, (m, 3, 3): a view."""
        return np.asarray(self.spreads[:, 3:, 3:])

    def add(self, count: int) -> None:
        """Add tracks whose positions nobody knows yet."""
        self.states = np.concatenate((self.states, np.full((count, 6), np.nan)))
        self.spreads = np.concatenate((self.spreads, np.full((count, 6, 6), np.nan)))

    def keep(self, rows: NDArray[Any]) -> None:
        """Keep the tracks of a mask or of indices."""
        self.states, self.spreads = self.states[rows], self.spreads[rows]

    def forget(self, rows: NDArray[Any]) -> None:
        """Forget where the tracks of a mask or of indices are."""
        self.states[rows] = self.spreads[rows] = np.nan

    def put(
        self,
        rows: NDArray[Any],
        positions: Array,
        velocities: Array | float,
        covariances: Array,
        velocity_covariances: Array,
    ) -> None:
        """Say where the tracks of some indices are, (a, 3) and (a, 3, 3)."""
        self.states[rows, :3], self.states[rows, 3:] = positions, velocities
        self.spreads[rows] = 0
        self.spreads[rows, :3, :3], self.spreads[rows, 3:, 3:] = covariances, velocity_covariances

    def predict(self, dt_s: float, jolt: float) -> None:
        """Let time pass; jolt: m^2/s^3, how much velocities change."""
        states, spreads = self.states, self.spreads
        states[:, :3] += dt_s * states[:, 3:]
        spreads[:, :3] += dt_s * spreads[:, 3:]
        spreads[:, :, :3] += dt_s * spreads[:, :, 3:]
        spreads += (jolt * dt_s**3 / 3) * OF_POSITIONS + (jolt * dt_s) * OF_VELOCITIES
        spreads += (jolt * dt_s**2 / 2) * OF_BOTH

    def update(
        self, rows: NDArray[Any], measured: Array, covariances: Array, *, gate: float = np.inf
    ) -> NDArray[np.bool_]:
        """Take positions (a, 3) with covariances (a, 3, 3) of the tracks of some indices.

        gate: squared Mahalanobis distance beyond which one is not believed. Returns (a,), which
        are.
        """
        states, spreads = self.states[rows], self.spreads[rows]
        apart = measured - states[:, :3]
        inverse, _ = inverse_and_determinant(spreads[:, :3, :3] + covariances)
        gain = spreads[:, :, :3] @ inverse
        weighed = (inverse @ apart[:, :, None])[:, :, 0]
        believed = np.einsum('ni,ni->n', weighed, apart) <= gate
        if not believed.all():
            gain[~believed] = 0
        self.states[rows] = states + (gain @ apart[:, :, None])[:, :, 0]
        self.spreads[rows] = spreads - gain @ spreads[:, :3]
        return np.asarray(believed)

    def distances(
        self, rows: NDArray[Any], measured: Array, covariances: Array
    ) -> tuple[Array, Array]:
        """Return squared Mahalanobis distances (a,) of tracks to positions (a, 3).

        And the determinants (a,) of what they were measured by. NaN where either is not known.
        """
        apart = (measured - self.states[rows, :3])[:, :, None]
        inverse, determinant = inverse_and_determinant(self.spreads[rows, :3, :3] + covariances)
        return np.asarray(np.einsum('nij,nij->n', apart, inverse @ apart)), determinant


def inverse_and_determinant(matrices: Array) -> tuple[Array, Array]:
    """Invert symmetric matrices (n, 3, 3) by their cofactors, and return determinants (n,).

    NaN and those that are not positive give NaN.
    """
    entries = matrices.reshape(-1, 9).T
    first, second, third, fourth = entries.take(FACTORS, 0)
    cofactors = first * second - third * fourth
    determinant = np.asarray(np.einsum('in,in->n', entries[:3], cofactors[:3]))
    determinant[~(determinant > 0)] = np.nan
    cofactors /= determinant
    return cofactors.T.reshape(-1, 3, 3), determinant


# Which entries of a covariance (6, 6) are those of positions, of velocities, and of both.
OF_POSITIONS = np.diag([1.0, 1, 1, 0, 0, 0])
OF_VELOCITIES = np.diag([0.0, 0, 0, 1, 1, 1])
OF_BOTH = np.eye(6, k=3) + np.eye(6, k=-3)
# Places of the entries whose products, less those of the others, are the cofactors, in order.
FACTORS = np.array(
    (
        *([4, 5, 3, 5, 0, 2, 3, 2, 0], [8, 6, 7, 6, 8, 3, 7, 3, 4]),
        *([5, 3, 4, 3, 2, 0, 4, 0, 1], [7, 8, 6, 8, 6, 5, 6, 5, 3]),
    )
)
