"""Scripts: who walks where, stands, waves, turns and sits, one after the other.

Feet are planted: a foot that carries the body stays where it was set, and the legs follow from
hips and feet. Steps are tied to the way that the body went, so that they fit each speed.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from world.limbs import REACH, Limbs
from world.motion import RATE, Moment, Motion

Array = NDArray[Any]

RAMP_S = 0.7  # to walk at full speed, and to halt
STRIKE, LIFT = 0.5, 0.72  # steps: how far a foot is ahead when it lands, behind when it leaves
ROLL, TOES = 0.55, 0.3  # radians: how far heels, and toes, are up at a full step
FULL = 0.65  # metres: a full step
CLEARANCE = 0.035  # metres: how high a foot swings
SHARP = np.radians(50)  # who turns more than that does so before walking
RISE_S = 1.7  # to sit down, or to stand up
RAISE_S = 1.1  # to raise a hand that waves, or to drop it
BOW = 34.0  # degrees: how far the trunk leans while sitting down or standing up


@dataclass(frozen=True)
class Seat:
    """Where somebody sits: the ground below the hips, and where the person faces."""

    place: Array  # (2,) metres
    heading: float  # radians


def direction(heading: Any) -> Array:
    """Return the unit vector (..., 2) of a heading in radians."""
    return np.stack((np.cos(heading), np.sin(heading)), axis=-1)


def eased(share: Array) -> Array:
    """Return 0 to 1 as 0 to 1, at rest at both ends in speed and acceleration."""
    t = np.clip(share, 0, 1)
    return t**3 * (10 - 15 * t + 6 * t**2)


class Script:
    """Collects what a person does and makes a motion of it."""

    def __init__(
        self, limbs: Limbs, place: Any, heading: float, rng: np.random.Generator, *,
        restless: float = 1.0,
    ) -> None:  # fmt: skip
        """Begin standing at a place (2,), facing a heading in radians.

        restless: how much who stands sways, 1 is as people do.
        """
        self.limbs = limbs
        self.seats: list[Seat] = []
        self._rng = rng
        self._restless = restless
        self._place = np.asarray(place, float)
        self._heading = float(heading)
        self._feet = self._beside(self._place, self._heading)
        self._yaws = np.full(2, self._heading)
        self._chunks: list[dict[str, Array]] = []
        self.stand(1 / RATE)

    def stand(self, seconds: float) -> 'Script':
        """Stand still."""
        self._append(self._chunk(seconds))
        return self

    def wave(self, seconds: float) -> 'Script':
        """Stand and wave with the right hand."""
        chunk = self._chunk(seconds)
        t = np.arange(len(chunk['height'])) / RATE
        chunk['waving'] = eased(t / RAISE_S) * eased((seconds - t) / RAISE_S)
        chunk['wave'] = np.sin(2 * np.pi * self._rng.uniform(0.8, 1.2) * t)
        self._append(chunk)
        return self

    def shift(self, seconds: float) -> 'Script':
        """Stand and shift the weight from one leg to the other and back, every two seconds."""
        chunk = self._chunk(seconds)
        t = np.arange(len(chunk['height'])) / RATE
        fade = eased(t / 0.8) * eased((seconds - t) / 0.8)
        side = np.sin(2 * np.pi * t / 4.0) * fade
        left = direction(self._heading + np.pi / 2)
        chunk['place'] = chunk['place'] + 0.045 * side[:, None] * left
        chunk['roll'] = 3.0 * side
        self._append(chunk)
        return self

    def turn(self, heading: float) -> 'Script':
        """Turn on the spot, with small steps."""
        angle = (heading - self._heading + np.pi) % (2 * np.pi) - np.pi
        pairs = max(1, int(np.ceil(abs(angle) / np.radians(55))))
        seconds = 0.75 * pairs
        chunk = self._chunk(seconds)
        t = np.arange(len(chunk['height'])) / RATE
        chunk['heading'] = self._heading + angle * eased(t / seconds)
        order = (0, 1) if angle > 0 else (1, 0)
        for pair in range(pairs):
            after = self._heading + angle * (pair + 1) / pairs
            prints = self._beside(self._place, after)
            for half, foot in enumerate(order):
                start = 0.75 * pair + 0.375 * half
                self._swing(chunk, foot, start, start + 0.375, prints[foot], after, 0.3)
        self._heading += angle
        self._append(chunk)
        return self

    def walk(self, points: Any, speed_mps: float = 1.1, end: float | None = None) -> 'Script':
        """Walk through points (n, 2) metres; end: the heading at the last one, radians."""
        corners = np.vstack((self._place, np.asarray(points, float).reshape(-1, 2)))
        first = corners[1] - corners[0]
        angle = np.arctan2(first[1], first[0]) - self._heading
        if abs((angle + np.pi) % (2 * np.pi) - np.pi) > SHARP:
            self.turn(self._heading + angle)
        way, along = self._way(corners, end)
        length = along[-1]
        speed = min(speed_mps, length / RAMP_S)
        seconds = length / speed + RAMP_S
        chunk = self._chunk(seconds)
        t = np.arange(len(chunk['height'])) / RATE
        rate = speed * eased(t / RAMP_S) * eased((seconds - t) / RAMP_S)
        gone = np.concatenate(([0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)))
        gone *= length / gone[-1]

        headings = np.unwrap(np.arctan2(*np.gradient(way, axis=0).T[::-1]))
        headings += 2 * np.pi * np.round((self._heading - headings[0]) / (2 * np.pi))
        # What is left between how the person stands and where the path begins is turned away
        # over the first half metre.
        headings += (self._heading - headings[0]) * (1 - eased(along / 0.5))

        def at(s: Any) -> tuple[Array, Array]:
            place = np.stack([np.interp(s, along, way[:, i]) for i in range(2)], axis=-1)
            return place, np.interp(s, along, headings)

        chunk['place'], chunk['heading'] = at(gone)
        count = max(2, round(length / self.limbs.step(speed)))
        step = length / count
        for foot in (0, 1):
            stops = [0, *range(1 if foot == 0 else 2, count + 1, 2)]
            stops += [count] if stops[-1] != count else []
            for a, b in pairwise(stops):
                lift = 0.02 if b - a == 1 and a == 0 else min(a + LIFT, b - 0.3)
                land = b - (0.02 if b == count and b - a == 1 else STRIKE)
                times = np.interp([lift * step, land * step], gone, t)
                place, yaw = at(b * step)
                target = self._beside(place, float(yaw))[foot]
                size = step * (b - a) / 2 / FULL
                self._swing(chunk, foot, times[0], times[1], target, float(yaw), size)
        strength = np.minimum(rate / 1.2, 1.2)
        phase = np.pi * gone / step
        chunk['swing'] = 0.42 * strength * np.sin(phase)
        chunk['twist'] = -4.5 * strength * np.sin(phase)
        left = direction(chunk['heading'] + np.pi / 2)
        chunk['place'] = chunk['place'] - 0.018 * (strength * np.cos(phase))[:, None] * left
        chunk['lean'] = 2.5 * strength
        self._place, self._heading = way[-1], float(headings[-1])
        self._append(chunk)
        return self

    def sit(self, seconds: float) -> 'Script':
        """Sit down on what stands behind, stay, and stand up again; of all that so long."""
        chunk = self._chunk(seconds)
        t = np.arange(len(chunk['height'])) / RATE
        down, up = t / RISE_S, (seconds - t) / RISE_S
        share = eased(down) * eased(up)
        bow = np.sin(np.pi * np.clip(down, 0, 1)) ** 2 + np.sin(np.pi * np.clip(up, 0, 1)) ** 2
        limbs = self.limbs
        back = 0.9 * limbs.thigh
        # First the hips go back, then down.
        behind = eased(down * 1.25) * eased(up * 1.25)
        seat = self._place - back * direction(self._heading)
        chunk['place'] = self._place + behind[:, None] * (seat - self._place)
        chunk['height'] = limbs.standing + share * (limbs.seated - limbs.standing)
        chunk['lean'] = BOW * bow + share * self._rng.uniform(-4, 8)
        chunk['seated'] = share
        self.seats.append(Seat(seat, self._heading))
        self._append(chunk)
        return self

    def motion(self) -> Motion:
        """Return all of it as a motion."""
        joined = {
            name: np.concatenate([chunk[name] for chunk in self._chunks])
            for name in self._chunks[0]
        }
        steps = joined.pop('off') > 0
        self._sway(joined)
        joined['height'] = self._within_reach(joined)
        for name in ('swing', 'twist', 'lean', 'roll'):
            joined[name] = gaussian_filter1d(joined[name], 6, axis=0, mode='nearest')
        return Motion(Moment(**joined), steps)

    def _beside(self, place: Array, heading: float) -> Array:
        """Return where the feet (2, 2) of who stands somewhere are."""
        left = direction(heading + np.pi / 2) * self.limbs.stance
        return place + self.limbs.offset * direction(heading) + np.stack((left, -left))

    def _chunk(self, seconds: float) -> dict[str, Array]:
        """Return samples of somebody who stands."""
        count = max(1, round(seconds * RATE))
        zero = np.zeros(count)
        return {
            'place': np.tile(self._place, (count, 1)),
            'heading': np.full(count, self._heading),
            'height': np.full(count, self.limbs.standing),
            'lean': zero, 'roll': zero, 'twist': zero, 'swing': zero, 'seated': zero,
            'waving': zero, 'wave': zero, 'glance': np.zeros((count, 2)),
            'feet': np.tile(self._feet, (count, 1, 1)), 'yaws': np.tile(self._yaws, (count, 1)),
            'pitches': np.zeros((count, 2)), 'lifts': np.zeros((count, 2)),
            'off': np.zeros((count, 2)),
        }  # fmt: skip

    def _append(self, chunk: dict[str, Array]) -> None:
        self._chunks.append(chunk)
        self._feet, self._yaws = chunk['feet'][-1].copy(), chunk['yaws'][-1].copy()

    def _swing(
        self, chunk: dict[str, Array], foot: int, start: float, end: float, target: Array,
        yaw: float, size: float,
    ) -> None:  # fmt: skip
        """Bring a foot from where it is to a target between two times, seconds in a chunk."""
        t = np.arange(len(chunk['height'])) / RATE
        u = np.clip((t - start) / (end - start), 0, 1)
        share = u**2 * (3 - 2 * u)
        before, turned = self._feet[foot].copy(), float(self._yaws[foot])
        later = t >= start
        chunk['feet'][later, foot] = before + share[later, None] * (target - before)
        chunk['yaws'][later, foot] = turned + share[later] * (yaw - turned)
        flying = (t > start) & (t < end)
        chunk['lifts'][flying, foot] = CLEARANCE * np.sin(np.pi * u[flying]) ** 2
        chunk['off'][flying, foot] = 1
        # The heel rises before the foot leaves, and the toes are up when it lands.
        size = min(size, 1.1)
        rise, fall = 0.4 * (end - start) + 0.1, 0.12
        heel = ROLL * size * np.where(t < start, eased((t - start + rise) / rise), 1 - eased(u))
        toes = -TOES * size * np.where(t < end, eased(2 * u - 1), 1 - eased((t - end) / fall))
        window = (t > start - rise) & (t < end + fall)
        chunk['pitches'][window, foot] += (heel + toes)[window]
        self._feet[foot], self._yaws[foot] = target, yaw

    def _way(self, corners: Array, end: float | None) -> tuple[Array, Array]:
        """Return a smooth way through corners, (n, 2), and how far along it each point is."""
        far = np.concatenate(([0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))))
        start = (1, direction(self._heading))
        stop = (2, np.zeros(2)) if end is None else (1, direction(end))
        spline = CubicSpline(far, corners, bc_type=(start, stop))
        way = spline(np.linspace(0, far[-1], max(20, int(far[-1] * 50))))
        steps = np.linalg.norm(np.diff(way, axis=0), axis=1)
        return way, np.concatenate(([0], np.cumsum(steps)))

    def _sway(self, joined: dict[str, Array]) -> None:
        """Add the small motion of somebody who stands, and glances."""
        count = len(joined['height'])
        t = np.arange(count) / RATE

        def wander(size: float, slow: float, fast: float) -> Array:
            total = np.zeros(count)
            for _ in range(4):
                hertz, phase = self._rng.uniform(slow, fast), self._rng.uniform(0, 2 * np.pi)
                total += np.sin(2 * np.pi * hertz * t + phase)
            return size * total / 2

        sway = np.stack([wander(0.005, 0.1, 0.5) for _ in range(2)], axis=1)
        joined['place'] = joined['place'] + self._restless * sway
        joined['lean'] = joined['lean'] + self._restless * wander(0.5, 0.1, 0.4)
        look = np.stack((wander(9, 0.03, 0.2), wander(3, 0.03, 0.25)), axis=1)
        joined['glance'] = joined['glance'] + self._restless * look

    def _within_reach(self, joined: dict[str, Array]) -> Array:
        """Return how high the hips are, so that both legs reach their feet."""
        limbs = self.limbs
        ankles = limbs.ankles(*(joined[name] for name in ('feet', 'yaws', 'pitches', 'lifts')))
        left = direction(joined['heading'] + np.pi / 2) * limbs.hips
        ahead = direction(joined['heading']) * np.radians(joined['twist'])[:, None] * limbs.hips
        left = left - ahead
        height = joined['height']
        for foot, sign in ((0, 1), (1, -1)):
            hip = joined['place'] + sign * left
            off = np.linalg.norm(ankles[:, foot, :2] - hip, axis=1)
            rest = np.maximum((REACH * limbs.leg) ** 2 - off**2, 0.01)
            height = np.minimum(height, ankles[:, foot, 2] + np.sqrt(rest))
        return gaussian_filter1d(height, 5, mode='nearest')
