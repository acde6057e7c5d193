"""One list of people for several cameras: the same person in two views is one.

What each camera's tracker tells of a person, position and velocity in the fixed frame that all
share, is taken to one time and averaged by its covariances. How far the errors of two cameras
depend on each other, nobody knows, so the mean is no surer than its parts: covariance intersection
(Julier, Uhlmann, "A Non-divergent Estimation Algorithm in the Presence of Unknown Correlations",
1997) with equal weights. Nothing is filtered again, so cameras may have other rates and delays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.tracks.kalman import inverse_and_determinant
from vitpose_ros.core.tracks.options import DEFAULTS, TrackOptions
from vitpose_ros.core.tracks.tracks import LOST, PREDICTED, TRACKED, Tracks
from vitpose_ros.core.tracks.views import APART, View, Views

Array = NDArray[np.float64]

JUMP_BACK_S = 1.0  # a clock that goes back by more begins anew; cameras differ by less
GATE, SPLIT_GATE = 11.3, 25.0  # squared distances: one in 100 is further, nobody is
FARTHEST_M = 1.5  # that two views of one person may be apart
CLEAR = 4.0  # so many times further, squared, must the next one be, else it takes
NEARER = 4.0  # by so much, squared, must another person be nearer to a view
PATIENCE_S = 0.4  # to see whether they stay together, or apart


@dataclass(frozen=True, eq=False)
class People:
    """Who is where at one time, as parallel arrays, in the frame that all cameras share."""

    stamp_ns: int
    ids: tuple[str, ...]  # (m,): of the oldest of its tracks
    states: NDArray[np.uint8]  # (m,) TRACKED, PREDICTED or, once, LOST: NaN then
    positions: Array  # (m, 3) metres
    velocities: Array  # (m, 3) metres a second
    position_covariances: Array  # (m, 3, 3) metres squared
    velocity_covariances: Array  # (m, 3, 3) metres squared a second squared
    # (m,) of each the tracks, by camera and id; first those that see the person, the surest first
    views: tuple[tuple[View, ...], ...]

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.ids)


class PeopleTracker:
    """Makes one list of the tracks of several cameras. Not for several threads at a time."""

    def __init__(self, options: TrackOptions = DEFAULTS) -> None:
        self.options = options
        self._views = Views()
        self._stamp_ns = 0
        self._ages: dict[str, int] = {}  # of people: the lower, the older
        self._people_so_far = 0
        self._told_before: list[str] = []
        self._apart_since: dict[View, int] = {}
        self._together_since: dict[tuple[str, str], int] = {}

    def update(self, camera: str, tracks: Tracks) -> People:
        """Take the tracks of a camera; return all people at the newest time.

        tracks: with positions in the frame that all cameras share; those without one, and the
        tentative ones, are left out.
        """
        views, stamp_ns = self._views, tracks.stamp_ns
        if stamp_ns < self._stamp_ns - JUMP_BACK_S * 1e9:
            views.keep(np.zeros(len(views.keys), dtype=bool))
            self._stamp_ns = stamp_ns
        self._stamp_ns = max(self._stamp_ns, stamp_ns)
        told = np.isfinite(tracks.positions[:, 0])
        told &= (tracks.states == TRACKED) | (tracks.states == PREDICTED)
        for own, name in views.take(camera, tracks, np.flatnonzero(told)):
            views.people.append(self._begin(own, name))
        old = self._stamp_ns - views.stamps_ns > self.options.track_timeout_s * 1e9
        if old.any():
            views.keep(~old)
        self._part()
        self._join()
        return self._told()

    def _begin(self, camera: str, name: str) -> str:
        """Return the name of a new person: that of the track, if it is free."""
        name = f'{camera}_{name}' if name in self._views.people else name
        self._people_so_far += 1
        self._ages.setdefault(name, self._people_so_far)
        return name

    def _part(self) -> None:
        """Let views go that are far from their person, or nearer to another, for some time."""
        views = self._views
        first: dict[str, int] = {}
        for row, name in enumerate(views.people):
            first.setdefault(name, row)
        if len(first) == len(views.people):
            self._apart_since.clear()
            return
        others = [row for row, name in enumerate(views.people) if first[name] != row]
        anchors = list(first.values())
        squared = views.distances(self._stamp_ns, np.array(others), np.array(anchors))
        cameras = {name: self._cameras(name) for name in first}
        apart: dict[View, int] = {}
        for row, distances in zip(others, squared, strict=True):
            key, name = views.keys[row], views.people[row]
            own = distances[list(first).index(name)]
            free = [key[0] not in cameras[person] for person in first]
            if own > SPLIT_GATE or np.min(distances[free], initial=np.inf) < own - NEARER:
                apart[key] = self._apart_since.get(key, self._stamp_ns)
                if self._stamp_ns - apart[key] >= PATIENCE_S * 1e9:
                    del apart[key]
                    views.people[row] = ''
                    views.people[row] = self._begin(*key)
        self._apart_since = apart

    def _cameras(self, name: str) -> set[str]:
        """Return the cameras that see a person now; where none does, those that did."""
        views = self._views
        rows = [row for row, person in enumerate(views.people) if person == name]
        sees = views.seeing(self._stamp_ns)
        seeing = [row for row in rows if sees[row]]
        return {views.keys[row][0] for row in seeing or rows}

    def _join(self) -> None:
        """Make one of two who are at the same place and whom no camera sees as two."""
        views = self._views
        together: dict[tuple[str, str], int] = {}
        pairs = self._pairs()
        joined: set[str] = set()
        for squared, key in pairs:
            if joined & set(key):
                continue
            rivals = (other for other, ends in pairs if len(set(key) & set(ends)) == 1)
            together[key] = self._together_since.get(key, self._stamp_ns)
            clear = min(rivals, default=np.inf) > CLEAR * (squared + 1)
            if clear or self._stamp_ns - together[key] >= PATIENCE_S * 1e9:
                joined |= set(key)
                del together[key]
                stays, goes = sorted(key, key=self._ages.__getitem__)
                views.people[:] = [stays if name == goes else name for name in views.people]
        self._together_since = together

    def _pairs(self) -> list[tuple[float, tuple[str, str]]]:
        """Return who may be one: squared distances and names of pairs, the nearest first."""
        views = self._views
        names = list(dict.fromkeys(views.people))
        if len(names) < 2 or len({camera for camera, _ in views.keys}) < 2:
            return []
        places, _, spreads, _, _ = views.of_people(names, self._stamp_ns)
        apart = places[:, None] - places
        i, j = np.nonzero(np.triu((apart * apart).sum(axis=2) < FARTHEST_M**2, 1))
        if not len(i):
            return []
        inverse, _ = inverse_and_determinant(spreads[i] + spreads[j] + APART)
        squared = np.einsum('pi,pij,pj->p', apart[i, j], inverse, apart[i, j])
        cameras = {name: self._cameras(name) for name in names}
        return sorted(
            (d, (names[a], names[b]))
            for d, a, b in zip(squared.tolist(), i.tolist(), j.tolist(), strict=True)
            if d < GATE and not cameras[names[a]] & cameras[names[b]]
        )

    def _told(self) -> People:
        """Return all people, and those who are no more since the last time."""
        views = self._views
        names = list(dict.fromkeys(views.people))
        lost = [name for name in self._told_before if name not in names]
        self._told_before = names
        for name in lost:
            self._ages.pop(name, None)
        *arrays, seen = views.of_people(names, self._stamp_ns)
        position, velocity, spread, velocity_spread = (
            np.concatenate((values, np.full((len(lost), *values.shape[1:]), np.nan)))
            for values in arrays
        )
        states = np.full(len(names) + len(lost), LOST, dtype=np.uint8)
        states[: len(names)] = np.where(seen, TRACKED, PREDICTED)
        return People(
            self._stamp_ns,
            (*names, *lost),
            states,
            position,
            velocity,
            spread,
            velocity_spread,
            (*self._views_of(names), *((),) * len(lost)),
        )

    def _views_of(self, names: Sequence[str]) -> list[tuple[View, ...]]:
        """Return the views of each person, the best first."""
        views = self._views
        unsure = np.trace(views.spreads, axis1=1, axis2=2)
        order = np.lexsort((unsure, ~views.seeing(self._stamp_ns))).tolist()
        found: dict[str, list[View]] = {name: [] for name in names}
        for row in order:
            found[views.people[row]].append(views.keys[row])
        return [tuple(found[name]) for name in names]
