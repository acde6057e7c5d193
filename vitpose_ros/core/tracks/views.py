"""The tracks of all cameras, as one list over cameras keeps them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.tracks.kalman import inverse_and_determinant
from vitpose_ros.core.tracks.tracks import TRACKED, Tracks

Array = NDArray[np.float64]
View = tuple[str, str]  # a camera, and the id of one of its tracks

RECENT_S = 0.5  # who told nothing for longer does not see whom it saw
JOLT_M = 0.5  # m^2/s^3: how much velocities change
APART = 0.2**2 * np.eye(3)  # m^2: cameras see other sides of a body, and are not exactly in place


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
        spreads = self.spreads + dt_s[:, :, None] ** 2 * self.velocity_spreads
        spreads += JOLT_M / 3 * np.abs(dt_s[:, :, None]) ** 3 * np.eye(3)
        return self.positions + dt_s * self.velocities, spreads

    def distances(
        self, stamp_ns: int, rows: NDArray[np.int64], others: NDArray[np.int64]
    ) -> Array:
        """Return squared Mahalanobis distances (a, b) of views to others at a time."""
        positions, spreads = self.at(stamp_ns)
        apart = (positions[rows, None] - positions[others]).reshape(-1, 3)
        total = (spreads[rows, None] + spreads[others] + APART).reshape(-1, 3, 3)
        inverse, _ = inverse_and_determinant(total)
        squared = np.einsum('pi,pij,pj->p', apart, inverse, apart)
        return np.asarray(squared.reshape(len(rows), len(others)))

    def seeing(self, stamp_ns: int) -> NDArray[np.bool_]:
        """Return (v,), which see their person at about this time."""
        return np.asarray((self.states == TRACKED) & (stamp_ns - self.stamps_ns <= RECENT_S * 1e9))

    def of_people(
        self, names: Sequence[str], stamp_ns: int
    ) -> tuple[Array, Array, Array, Array, NDArray[np.bool_]]:
        """Return positions, velocities and their covariances of people, and who is seen.

        (p, 3), (p, 3), (p, 3, 3), (p, 3, 3), (p,): the mean over the views that see a person, over
        all where none does.
        """
        place_of = {name: place for place, name in enumerate(names)}
        person = np.array([place_of[name] for name in self.people], dtype=np.int64)
        sees = self.seeing(stamp_ns)
        seen = np.zeros(len(names), dtype=bool)
        seen[person[sees]] = True
        counts = sees | ~seen[person]
        person = person[counts]
        positions, spreads = self.at(stamp_ns)
        places = mean(person, len(names), positions[counts], spreads[counts])
        rates = mean(person, len(names), self.velocities[counts], self.velocity_spreads[counts])
        return places[0], rates[0], places[1], rates[1], seen


def mean(
    group: NDArray[np.int64], count: int, values: Array, covariances: Array
) -> tuple[Array, Array]:
    """Average values (v, 3) by covariances (v, 3, 3) in each of so many groups (v,).

    The result is no surer than if all had the same errors: covariance intersection with equal
    weights. Returns (count, 3) and (count, 3, 3).
    """
    inverse, _ = inverse_and_determinant(covariances)
    number = np.bincount(group, minlength=count)[:, None, None]
    information = np.zeros((count, 3, 3))
    np.add.at(information, group, inverse)
    weighed = np.zeros((count, 3))
    np.add.at(weighed, group, (inverse @ values[:, :, None])[:, :, 0])
    spread, _ = inverse_and_determinant(information / number)
    return (spread @ (weighed / number[:, :, 0])[:, :, None])[:, :, 0], spread


ARRAYS = ('states', 'stamps_ns', 'positions', 'velocities', 'spreads', 'velocity_spreads')
