"""The tracks of all cameras, as one list over cameras keeps them."""

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.tracks.kalman import inverse_and_determinant
from vitpose_ros.core.tracks.tracks import TRACKED, Tracks

Array = NDArray[np.float64]
View = tuple[str, str]  # a camera, and the id of one of its tracks

RECENT_S = 0.5  # who told nothing for longer does not see whom it saw
JOLT_M = 0.5  # m^2/s^3: how much velocities change
EYE = np.eye(3)
APART = 0.2**2 * EYE  # m^2: cameras see other sides of a body, and are not exactly in place


class Views:
    """Tracks of all cameras, a row each, in the order in which they came."""

    def __init__(self) -> None:
        self.keys: list[View] = []
        self.people: list[str] = []  # the person that each shows
        self.states = np.zeros(0, dtype=np.uint8)
        self.stamps_ns = np.zeros(0, dtype=np.int64)
        # (v, 3) each, metres and metres a second, and (v, 3, 3), the same squared.
        self.positions, self.velocities = np.zeros((2, 0, 3))
        self.spreads, self.velocity_spreads = np.zeros((2, 0, 3, 3))

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Keep the views of a mask (v,)."""
        rows = np.flatnonzero(mask).tolist()
        self.keys = [self.keys[row] for row in rows]
        self.people = [self.people[row] for row in rows]
        for name in ARRAYS:
            setattr(self, name, getattr(self, name)[mask])

    def take(self, camera: str, tracks: Tracks, chosen: NDArray[np.int64]) -> list[View]:
        """Take chosen tracks of a camera (indices); what else it had shown is gone.

        Returns the views that are new, in order; whom they show is to be said of them.
        """
        names = [(camera, tracks.ids[row]) for row in chosen.tolist()]
        still = set(names)
        kept = np.array([key[0] != camera or key in still for key in self.keys], dtype=bool)
        if not kept.all():
            self.keep(kept)
        row_of = {key: row for row, key in enumerate(self.keys)}
        new = [name for name in names if name not in row_of]
        if new:
            row_of |= {name: len(self.keys) + place for place, name in enumerate(new)}
            self.keys += new
            for name in ARRAYS:
                values = getattr(self, name)
                room = ((0, len(new)),) + ((0, 0),) * (values.ndim - 1)
                setattr(self, name, np.pad(values, room))
        rows = np.array([row_of[name] for name in names], dtype=np.int64)
        self.states[rows], self.stamps_ns[rows] = tracks.states[chosen], tracks.stamp_ns
        self.positions[rows] = tracks.positions[chosen]
        self.velocities[rows] = tracks.space_velocities[chosen]
        self.spreads[rows] = tracks.position_covariances[chosen]
        self.velocity_spreads[rows] = tracks.space_velocity_covariances[chosen]
        return new

    def at(self, stamp_ns: int) -> tuple[Array, Array]:
        """Return where each has its person at a time: (v, 3) and covariances (v, 3, 3)."""
        dt_s = ((stamp_ns - self.stamps_ns) * 1e-9)[:, None]
        square = dt_s * dt_s
        spreads = self.spreads + square[:, :, None] * self.velocity_spreads
        spreads += (JOLT_M / 3 * square * np.abs(dt_s))[:, :, None] * EYE
        return self.positions + dt_s * self.velocities, spreads

    def seeing(self, stamp_ns: int) -> NDArray[np.bool_]:
        """Return (v,), which see their person at about this time."""
        recent = stamp_ns - self.stamps_ns <= RECENT_S * 1e9
        return np.asarray(recent & (self.states == TRACKED))


def squared_distances(apart: Array, covariances: Array) -> Array:
    """Return squared Mahalanobis distances (p,) of what is apart (p, 3) by covariances."""
    inverse, _ = inverse_and_determinant(covariances + APART)
    return np.asarray(np.einsum('pi,pij,pj->p', apart, inverse, apart))


def means(
    group: NDArray[np.int64], count: int, values: Array, covariances: Array
) -> tuple[Array, Array]:
    """Average values (q, v, 3) by covariances (q, v, 3, 3) in each of so many groups (v,).

    Each of q kinds for itself. A mean is no surer than if all had the same errors: covariance
    intersection with equal weights. Returns (q, count, 3) and (q, count, 3, 3).
    """
    kinds, number = values.shape[:2]
    inverse, _ = inverse_and_determinant(covariances.reshape(-1, 3, 3))
    weighed = inverse @ values.reshape(-1, 3, 1)
    parts = np.concatenate((inverse, weighed), axis=2).reshape(kinds, number, 12)
    share = np.zeros((count, number))
    share[group, np.arange(number)] = 1
    share /= share.sum(axis=1, keepdims=True)
    total = (share @ parts).reshape(-1, 3, 4)
    spreads, _ = inverse_and_determinant(total[:, :, :3])
    places = spreads @ total[:, :, 3:]
    return places.reshape(kinds, count, 3), spreads.reshape(kinds, count, 3, 3)


ARRAYS = ('states', 'stamps_ns', 'positions', 'velocities', 'spreads', 'velocity_spreads')
