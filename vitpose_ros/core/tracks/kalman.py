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

    positions and velocities: (m, 3) float64; of their covariances the blocks of the positions, of
    positions with velocities, and of the velocities: (m, 3, 3) each. Positions that are not known
    are NaN, with all that belongs to them.
    """

    def __init__(self) -> None:
        self.positions: Array = np.empty((0, 3))
        self.velocities: Array = np.empty((0, 3))
        self.blocks: Array = np.empty((3, 0, 3, 3))

    @property
    def covariances(self) -> Array:
        """How sure the positions are, (m, 3, 3): a view."""
        return np.asarray(self.blocks[0])

    @property
    def velocity_covariances(self) -> Array:
        """How sure the velocities are, (m, 3, 3): a view."""
        return np.asarray(self.blocks[2])

    def add(self, count: int) -> None:
        """Add tracks whose positions nobody knows yet."""
        unknown = np.full((count, 3), np.nan)
        self.positions = np.concatenate((self.positions, unknown))
        self.velocities = np.concatenate((self.velocities, unknown))
        self.blocks = np.concatenate((self.blocks, np.full((3, count, 3, 3), np.nan)), axis=1)

    def keep(self, rows: NDArray[Any]) -> None:
        """Keep the tracks of a mask or of indices."""
        self.positions, self.velocities = self.positions[rows], self.velocities[rows]
        self.blocks = self.blocks[:, rows]

    def forget(self) -> None:
        """Forget where all tracks are."""
        self.positions[:] = self.velocities[:] = np.nan
        self.blocks[:] = np.nan

    def start(
        self, rows: NDArray[Any], positions: Array, covariances: Array, speed_m_s: float
    ) -> None:
        """Begin at positions (a, 3) with covariances (a, 3, 3); velocities are about 0.

        speed_m_s: the standard deviation of each of their components.
        """
        self.positions[rows], self.velocities[rows] = positions, 0
        self.blocks[0, rows], self.blocks[1, rows] = covariances, 0
        self.blocks[2, rows] = np.eye(3) * speed_m_s**2

    def put(
        self,
        rows: NDArray[Any],
        positions: Array,
        velocities: Array,
        covariances: Array,
        velocity_covariances: Array,
    ) -> None:
        """Say where the tracks of some indices are, (a, 3) and (a, 3, 3)."""
        self.positions[rows], self.velocities[rows] = positions, velocities
        self.blocks[0, rows], self.blocks[1, rows] = covariances, 0
        self.blocks[2, rows] = velocity_covariances

    def predict(self, dt_s: float, jolt: Array | float) -> None:
        """Let time pass; jolt: (3,) or one, m^2/s^3, how much velocities change."""
        here, both, velocity = self.blocks
        noise = np.eye(3) * jolt
        self.positions += dt_s * self.velocities
        here += dt_s * (both + both.transpose(0, 2, 1) + dt_s * velocity)
        here += noise * (dt_s**3 / 3)
        both += dt_s * velocity + noise * (dt_s**2 / 2)
        velocity += noise * dt_s

    def update(
        self, rows: NDArray[Any], measured: Array, covariances: Array, *, gate: float = np.inf
    ) -> None:
        """Take positions (a, 3) with covariances (a, 3, 3) of the tracks of some indices.

        gate: squared Mahalanobis distance beyond which one is not believed.
        """
        here, both, velocity = self.blocks[:, rows]
        apart = measured - self.positions[rows]
        inverse, _ = inverse_and_determinant(here + covariances)
        weighed = inverse @ apart[:, :, None]
        squared = (weighed[:, :, 0] * apart).sum(axis=1)
        if (squared > gate).any():
            believed = squared <= gate
            rows, weighed, inverse = rows[believed], weighed[believed], inverse[believed]
            here, both, velocity = here[believed], both[believed], velocity[believed]
        across = both.transpose(0, 2, 1)
        self.positions[rows] += (here @ weighed)[:, :, 0]
        self.velocities[rows] += (across @ weighed)[:, :, 0]
        gain = here @ inverse
        self.blocks[0, rows] = here - gain @ here
        self.blocks[1, rows] = both - gain @ both
        self.blocks[2, rows] = velocity - across @ inverse @ both

    def distances(
        self, rows: NDArray[Any], measured: Array, covariances: Array
    ) -> tuple[Array, Array]:
        """Return squared Mahalanobis distances (a,) of tracks to positions (a, 3).

        And the determinants (a,) of what they were measured by. NaN where either is not known.
        """
        apart = measured - self.positions[rows]
        inverse, determinant = inverse_and_determinant(self.blocks[0, rows] + covariances)
        return np.einsum('ai,aij,aj->a', apart, inverse, apart), determinant


def inverse_and_determinant(matrices: Array) -> tuple[Array, Array]:
    """Invert symmetric matrices (n, 3, 3) by their cofactors, and return determinants (n,).

    NaN and those that are not positive give NaN.
    """
    (a, b, c), (_, d, e), (_, _, f) = matrices.transpose(1, 2, 0)
    cofactors = np.empty((3, 3, len(matrices)))
    cofactors[0, 0] = d * f - e * e
    cofactors[0, 1] = cofactors[1, 0] = c * e - b * f
    cofactors[0, 2] = cofactors[2, 0] = b * e - c * d
    cofactors[1, 1] = a * f - c * c
    cofactors[1, 2] = cofactors[2, 1] = b * c - a * e
    cofactors[2, 2] = a * d - b * b
    determinant = a * cofactors[0, 0] + b * cofactors[0, 1] + c * cofactors[0, 2]
    determinant = np.where(determinant > 0, determinant, np.nan)
    return (cofactors / determinant).transpose(2, 0, 1), determinant
