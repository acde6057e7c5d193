"""Motion: where a person's hips, feet and arms are over time, sampled evenly."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
RATE = 100  # samples a second


@dataclass(frozen=True)
class Moment:
    """What a person does at one time; in a Motion each array has the samples as first axis."""

    place: Array  # (2,) metres: the ground below the middle between the hips, in the world
    heading: Array  # () radians: where the body faces; 0 is along x, left of it above 0
    height: Array  # () metres: of the hips
    lean: Array  # () degrees: of the trunk to the front
    roll: Array  # () degrees: of the hips, to the left
    twist: Array  # () degrees: of the hips to the left; the shoulders turn against it
    swing: Array  # () radians: of the right arm to the front, of the left arm to the back
    seated: Array  # () 0 to 1: how much hands lie in the lap
    waving: Array  # () 0 to 1: how much the right hand is up
    wave: Array  # () where the hand that waves is, -1 to 1
    glance: Array  # (2,) degrees: of the head to the left and down
    feet: Array  # (2, 2) metres: below the left and right ankle of a foot that is flat
    yaws: Array  # (2,) radians: where the toes point
    pitches: Array  # (2,) radians: see Limbs.ankles
    lifts: Array  # (2,) metres


@dataclass(frozen=True)
class Motion:
    """What a person does over time."""

    moments: Moment  # with (t, ...) arrays
    steps: Array  # (t, 2) bool: which feet are off the ground

    @property
    def seconds(self) -> float:
        """How long it lasts; before and after it the person stays as at its ends."""
        return (len(self.moments.place) - 1) / RATE

    def at(self, second: float) -> Moment:
        """Return the moment at a time."""
        last = len(self.moments.place) - 1
        where = float(np.clip(second * RATE, 0, last))
        i = min(int(where), last - 1)
        share = where - i
        values = {}
        for field in fields(Moment):
            samples = getattr(self.moments, field.name)
            values[field.name] = samples[i] * (1 - share) + samples[i + 1] * share
        return Moment(**values)
