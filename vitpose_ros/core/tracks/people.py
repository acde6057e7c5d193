"""One list of people for several cameras: the same person in two views is one.

What each camera's tracker tells of a person, position and velocity in the fixed frame that all
share, is taken to one time and averaged by its covariances. How far the errors of two cameras
depend on each other, nobody knows, so the mean is no surer than its parts: covariance intersection
(Julier, Uhlmann, "A Non-divergent Estimation Algorithm in the Presence of Unknown Correlations",
1997) with equal weights. Nothing is filtered again, so cameras may have other rates and delays.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.tracks.options import DEFAULTS, TrackOptions
from vitpose_ros.core.tracks.tracks import LOST, PREDICTED, TRACKED, Tracks
from vitpose_ros.core.tracks.views import RECENT_S, View, Views, means, squared_distances

Array = NDArray[np.float64]

JUMP_BACK_S = 1.0  # a camera whose clock goes back by more begins anew, and all with it
GATE, SPLIT_GATE = 11.3, 16.0  # squared distances: one in 100 is further, one in 1000
FARTHEST_M = 1.5  # that two views of one person may be apart
CLEAR = 4.0  # so many times further, squared, must the next one be, else it takes
NEARER = 4.0  # by so much, squared, must another person be nearer to a view
MOST_ENDED = 10_000  # names that are remembered, so that they do not come again
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
        self._stamp_ns = 0  # the newest of all
        self._newest_ns: dict[str, int] = {}  # of each camera
        self._ages: dict[str, int] = {}  # of people: the lower, the older
        self._people_so_far = 0
        self._told_before: list[str] = []
        self._ended: dict[str, None] = {}  # names that were told to be lost, the oldest first
        # Those whom a camera follows, but nobody knows where they are: name, and stamp of that.
        self._nowhere: dict[View, tuple[str, int]] = {}
        self._apart_since: dict[View, int] = {}
        self._together_since: dict[tuple[str, str], int] = {}

    @property
    def longest_s(self) -> float:
        """How much older than the newest of all may be what a camera tells, to count."""
        return max(self.options.track_timeout_s, RECENT_S)

    def update(self, camera: str, tracks: Tracks) -> People:
        """Take the tracks of a camera; return all people at the newest time.

        tracks: with positions in the frame that all cameras share; those without one, and the
        tentative ones, are left out. Who had one, and is followed on, is not lost meanwhile.
        """
        views, stamp_ns = self._views, tracks.stamp_ns
        if stamp_ns < self._newest_ns.get(camera, 0) - JUMP_BACK_S * 1e9:
            views.keep(np.zeros(len(views.keys), dtype=bool))
            self._newest_ns.clear()
            self._nowhere.clear()
            self._stamp_ns = stamp_ns
        self._newest_ns[camera] = max(self._newest_ns.get(camera, 0), stamp_ns)
        self._stamp_ns = max(self._stamp_ns, stamp_ns)
        longest_ns = self.longest_s * 1e9
        followed = (tracks.states == TRACKED) | (tracks.states == PREDICTED)
        placed = np.isfinite(tracks.positions[:, 0])
        nowhere = np.flatnonzero(followed & ~placed)
        left = self._without_place(camera, tracks, nowhere, longest_ns)
        for own, name in views.take(camera, tracks, np.flatnonzero(followed & placed)):
            views.people.append(self._begin(own, name))
        self._nowhere = left
        old = self._stamp_ns - views.stamps_ns > longest_ns
        if old.any():
            views.keep(~old)
        now = _Now.of(views, self._stamp_ns)
        if self._part(now) | self._join(now):
            now = _Now.of(views, self._stamp_ns)
        return self._told(now)

    def _without_place(
        self, camera: str, tracks: Tracks, nowhere: NDArray[np.int64], longest_ns: float
    ) -> dict[View, tuple[str, int]]:
        """Return whom cameras follow without a place, given those of one (indices of tracks)."""
        before = self._nowhere
        if not len(nowhere) and not before:
            return before
        person_of = dict(zip(self._views.keys, self._views.people, strict=True))
        found = {
            view: (name, stamp_ns)
            for view, (name, stamp_ns) in before.items()
            if view[0] != camera and self._stamp_ns - stamp_ns <= longest_ns
        }
        for row in nowhere.tolist():
            view = camera, tracks.ids[row]
            name = person_of.get(view) or before.get(view, ('', 0))[0]
            if name:
                found[view] = name, tracks.stamp_ns
        return found

    def _begin(self, camera: str, name: str) -> str:
        """Return the name of a new person.

        That of whom the track showed before nobody knew where; else that of the track, if nobody
        has or had it.
        """
        self._people_so_far += 1
        before, _ = self._nowhere.get((camera, name), ('', 0))
        if before and before not in self._views.people:
            self._ages.setdefault(before, self._people_so_far)
            return before
        choices = [name, f'{name}_{self._people_so_far}']
        if camera:
            choices.insert(1, f'{camera}_{name}')
        taken = {*self._views.people, *self._ended, *(own for own, _ in self._nowhere.values())}
        name = next((own for own in choices if own not in taken), choices[-1])
        self._ages.setdefault(name, self._people_so_far)
        return name

    def _part(self, now: '_Now') -> bool:
        """Let views go that are far from their person, or nearer to another, for some time."""
        views = self._views
        shared = {name: rows for name, rows in now.rows.items() if len(rows) > 1}
        apart: dict[View, int] = {}
        parted = False
        far = now.all_distances() if shared else np.zeros((0, 0))
        for name, rows in shared.items():
            for row in rows:
                key = views.keys[row]
                # The first one stays, unless it is nearer to somebody else; else the others go.
                is_first = row == rows[0]
                squared = far[row, rows[1:] if is_first else rows[:1]].min()
                free = [
                    own[0]
                    for other, own in now.rows.items()
                    if other != name and key[0] not in now.cameras[other]
                ]
                nearest = far[row, free].min(initial=np.inf)
                if not (nearest < squared - NEARER or (squared > SPLIT_GATE and not is_first)):
                    continue
                apart[key] = self._apart_since.get(key, self._stamp_ns)
                if self._stamp_ns - apart[key] >= PATIENCE_S * 1e9:
                    del apart[key]
                    views.people[row] = ''
                    views.people[row] = self._begin(*key)
                    parted = True
                    if is_first:
                        break  # the others were compared with it, and are the person now
        self._apart_since = apart
        return parted

    def _join(self, now: '_Now') -> bool:
        """Make one of two who are at the same place and whom no camera sees as two."""
        views = self._views
        together: dict[tuple[str, str], int] = {}
        pairs = now.pairs()
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
        return bool(joined)

    def _told(self, now: '_Now') -> People:
        """Return all people, and those who are no more since the last time."""
        names = list(now.rows)
        away = dict.fromkeys(name for name, _ in self._nowhere.values() if name not in now.rows)
        lost = [name for name in self._told_before if name not in now.rows and name not in away]
        self._told_before = [*names, *away]
        self._ages = {
            name: age for name, age in self._ages.items() if name in now.rows or name in away
        }
        for name in lost:
            if self.options.tracking != 'detections':  # whose names may come again
                self._ended[name] = None
        while len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        values, spreads = now.values, now.spreads
        if lost:
            values = np.pad(values, ((0, 0), (0, len(lost)), (0, 0)), constant_values=np.nan)
            room = (0, 0), (0, len(lost)), (0, 0), (0, 0)
            spreads = np.pad(spreads, room, constant_values=np.nan)
        states = np.full(len(names) + len(lost), LOST, dtype=np.uint8)
        states[: len(names)] = np.where(now.seen, TRACKED, PREDICTED)
        return People(
            self._stamp_ns,
            (*names, *lost),
            states,
            values[0],
            values[1],
            spreads[0],
            spreads[1],
            (*now.best_views(), *((),) * len(lost)),
        )


@dataclass(frozen=True, eq=False)
class _Now:
    """All views and people at one time."""

    views: Views
    positions: Array  # (v, 3)
    covariances: Array  # (v, 3, 3)
    sees: list[bool]  # (v,)
    rows: dict[str, list[int]]  # the views of each person
    cameras: dict[str, set[str]]  # those that see a person; where none does, those that did
    seen: list[bool]  # (p,)
    values: Array  # (2, p, 3): positions and velocities of people
    spreads: Array  # (2, p, 3, 3)

    @classmethod
    def of(cls, views: Views, stamp_ns: int) -> '_Now':
        """Average what all views tell of each person: those that see it, all if none does."""
        positions, covariances = views.at(stamp_ns)
        sees = views.seeing(stamp_ns).tolist()
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(views.people):
            rows.setdefault(name, []).append(row)
        seen, cameras, counted, group = [], {}, [], []
        for place, (name, own) in enumerate(rows.items()):
            seeing = [row for row in own if sees[row]]
            seen.append(bool(seeing))
            seeing = seeing or own
            cameras[name] = {views.keys[row][0] for row in seeing}
            counted += seeing
            group += [place] * len(seeing)
        chosen = np.array(counted, dtype=np.int64)
        values, spreads = means(
            np.array(group, dtype=np.int64),
            len(rows),
            np.stack((positions[chosen], views.velocities[chosen])),
            np.stack((covariances[chosen], views.velocity_spreads[chosen])),
        )
        return cls(views, positions, covariances, sees, rows, cameras, seen, values, spreads)

    def all_distances(self) -> Array:
        """Return the squared distances (v, v) of all views to each other."""
        count = len(self.positions)
        apart = self.positions[:, None] - self.positions
        total = self.covariances[:, None] + self.covariances
        squared = squared_distances(apart.reshape(-1, 3), total.reshape(-1, 3, 3))
        return squared.reshape(count, count)

    def pairs(self) -> list[tuple[float, tuple[str, str]]]:
        """Return who may be one: squared distances and names of pairs, the nearest first."""
        names, cameras = list(self.rows), list(self.cameras.values())
        free = [
            (a, b)
            for a in range(len(names))
            for b in range(a + 1, len(names))
            if not cameras[a] & cameras[b]
        ]
        if not free:
            return []
        i, j = np.array(free).T
        apart = self.values[0, i] - self.values[0, j]
        squared = squared_distances(apart, self.spreads[0, i] + self.spreads[0, j])
        near = (squared < GATE) & ((apart * apart).sum(axis=1) < FARTHEST_M**2)
        return sorted(
            (float(squared[p]), (names[i[p]], names[j[p]])) for p in np.flatnonzero(near)
        )

    def best_views(self) -> list[tuple[View, ...]]:
        """Return the views of each person, first those that see it, the surest first."""
        unsure = np.einsum('vii->v', self.covariances).tolist()
        keys, sees = self.views.keys, self.sees
        return [
            tuple(keys[r] for r in sorted(own, key=lambda r: (not sees[r], unsure[r])))
            for own in self.rows.values()
        ]
