"""What arms do: hang, swing, hold, point, and mixes of it for what the legs do."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.directions import unit

Array = NDArray[Any]
Random = np.random.Generator

# Arms: directions of the left upper and lower arm in the trunk's axes; and how far they vary.
ARMS = {
    'hang': ((0.2, 0.0, -1), (0.1, -0.22, -1), 0.12),
    'loose': ((0.3, 0.12, -1), (0.0, -0.5, -1), 0.2),
    'front': ((0.25, -0.1, -1), (-0.25, -1, 0.0), 0.3),
    'hold': ((0.2, -0.25, -1), (-0.55, -1, 0.25), 0.25),
    'fold': ((0.25, -0.35, -1), (-1, -0.35, 0.12), 0.12),
    'akimbo': ((0.85, 0.3, -0.9), (-0.8, -0.3, -0.7), 0.15),
    'pocket': ((0.35, 0.28, -1), (-0.15, -0.5, -1), 0.1),
    'behind': ((0.25, 0.4, -1), (-0.6, 0.5, -0.6), 0.12),
    'ear': ((0.5, -0.35, -0.75), (-0.35, -0.2, 1), 0.18),
    'head': ((0.8, -0.35, 0.45), (-0.9, 0.1, 0.7), 0.25),
    'face': ((0.2, -0.55, -0.8), (-0.35, -0.35, 1), 0.2),
    'raise': ((0.45, -0.15, 1), (0.15, -0.1, 1), 0.35),
    'wave': ((1, -0.15, -0.1), (0.25, -0.25, 1), 0.35),
    'point': ((0.35, -1, -0.1), (0.2, -1, 0.0), 0.35),
    'side': ((1, -0.1, 0.0), (1, -0.2, 0.05), 0.3),
    'lap': ((0.2, -0.45, -0.9), (-0.2, -1, -0.25), 0.2),
    'wheel': ((0.3, -0.75, -0.65), (0.0, -1, 0.0), 0.25),
    'back': ((0.3, 0.6, -1), (0.1, 0.25, -1), 0.25),
    'bar': ((0.15, -0.8, -0.75), (0.05, -1, -0.45), 0.12),
}  # fmt: skip
TOGETHER = (
    'bar',
    'hold',
    'fold',
    'behind',
    'lap',
    'wheel',
    'face',
    'head',
)  # seldom with one arm only
_MIX = {
    'stand': {
        'hang': 0.28, 'loose': 0.12, 'front': 0.1, 'hold': 0.1, 'fold': 0.05, 'akimbo': 0.05,
        'pocket': 0.07, 'behind': 0.03, 'ear': 0.03, 'head': 0.02, 'face': 0.03, 'raise': 0.04,
        'wave': 0.03, 'point': 0.02, 'side': 0.02, 'any': 0.05,
    },
    'walk': {
        'swing': 0.6, 'hang': 0.1, 'front': 0.07, 'hold': 0.06, 'pocket': 0.05, 'ear': 0.03,
        'wave': 0.02, 'raise': 0.01, 'loose': 0.04, 'any': 0.02,
    },
    'wheelchair': {
        'wheel': 0.3, 'lap': 0.35, 'loose': 0.1, 'front': 0.1, 'hold': 0.1, 'wave': 0.05,
    },
    'ride': {
        'bar': 0.9, 'front': 0.05, 'side': 0.05,
    },
    'run': {
        'swing': 0.8, 'any': 0.1, 'raise': 0.05, 'point': 0.05,
    },
    'sit': {
        'lap': 0.42, 'front': 0.12, 'hold': 0.12, 'wheel': 0.1, 'hang': 0.05, 'fold': 0.05,
        'face': 0.05, 'ear': 0.02, 'back': 0.02, 'any': 0.05,
    },
    'sport': {
        'any': 0.42, 'side': 0.2, 'raise': 0.1, 'point': 0.08, 'swing': 0.08, 'front': 0.05,
        'hold': 0.04, 'back': 0.03,
    },
    'other': {
        'any': 0.35, 'front': 0.1, 'hold': 0.08, 'raise': 0.1, 'side': 0.1, 'point': 0.08,
        'back': 0.05, 'hang': 0.05, 'swing': 0.09,
    },
}  # fmt: skip


def arms(rng: Random, kind: str) -> list[tuple[Array, Array]]:
    """Draw what the arms do, given what the legs do: of each upper and lower direction."""
    mix = _MIX.get(kind, _MIX['other'])
    names, chances = list(mix), np.array(list(mix.values()))
    first, second = (names[i] for i in rng.choice(len(names), 2, p=chances / chances.sum()))
    if (first in TOGETHER and rng.random() < 0.85) or rng.random() < 0.35:
        second = first
    phase = rng.uniform(-1, 1)
    running = kind == 'run'
    return [
        _arm_directions(rng, first, phase, running),
        _arm_directions(rng, second, -phase, running),
    ]


def _arm_directions(rng: Random, name: str, phase: float, running: bool) -> tuple[Array, Array]:
    if name == 'swing':
        angle = phase * rng.uniform(0.3, 0.9 if running else 0.6)
        bend = (
            rng.uniform(1.0, 1.9) if running else abs(rng.normal(0.25, 0.2)) + max(0, angle) * 0.5
        )
        out = rng.normal(0.15, 0.06)
        upper = np.array([out, -np.sin(angle), -np.cos(angle)])
        inward = rng.uniform(0.0, 0.4) * min(bend, 1)
        lower = np.array([out - inward, -np.sin(angle + bend), -np.cos(angle + bend)])
        return upper, lower
    if name == 'any':
        while True:
            upper = unit(rng.normal(size=3) + np.array([0.5, -0.3, -0.2]))
            if upper[0] > -0.35 and upper[1] < 0.75:
                break
        bend = np.radians(abs(rng.normal(0, 60)) % 140)
        aside = unit(np.cross(upper, rng.normal(size=3)))
        # Elbows bend to the front, up or inwards, not to the back.
        if aside @ [-0.5, -1, 0.4] < 0:
            aside = -aside
        return upper, np.cos(bend) * upper + np.sin(bend) * aside
    upper, lower, spread = ARMS[name]
    return (
        np.array(upper, float) + rng.normal(0, spread * 0.7, 3),
        np.array(lower, float) + rng.normal(0, spread, 3),
    )
