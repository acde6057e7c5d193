"""What of a body its motion depends on: lengths of legs and feet, and where an ankle is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.bodies import SKIN, BodyModel, Person

Array = NDArray[Any]
REACH = 0.998  # of the length of a leg: a knee is never quite straight


@dataclass(frozen=True)
class Limbs:
    """Lengths of a body, metres."""

    thigh: float
    shin: float
    hips: float  # half the distance between the hip joints
    stance: float  # half the distance between the feet of who stands
    ankle: float  # height of the ankle above the sole
    ball: float  # of the foot: how far before the ankle
    heel: float  # how far behind the ankle
    offset: float  # how far the ankles of who stands are before the hips

    @classmethod
    def of(cls, model: BodyModel, person: Person, shoe: float = 0.0) -> 'Limbs':
        """Measure a body at rest; shoe: how thick the soles are, metres."""
        hip, knee, ankle, ball = (
            person.heads[model.bone(f'{name}.L')].astype(float)
            for name in ('upperleg01', 'lowerleg01', 'foot', 'toe2-1')
        )
        foot = person.vertices[SKIN][model.main_bone[SKIN] == model.bone('foot.L')]
        sole = float(person.vertices[SKIN, 2].min())
        return cls(
            thigh=float(np.linalg.norm(knee - hip)),
            shin=float(np.linalg.norm(ankle - knee)),
            hips=float(hip[0]),
            stance=float(hip[0]) * 0.9,
            ankle=float(ankle[2]) - sole + shoe,
            ball=float(ankle[1] - ball[1]),
            heel=float(foot[:, 1].max() - ankle[1]),
            offset=-0.01,
        )

    @property
    def leg(self) -> float:
        """From the hip to the ankle, stretched."""
        return self.thigh + self.shin

    @property
    def standing(self) -> float:
        """Height of the hips of who stands."""
        return self.ankle + 0.993 * self.leg

    @property
    def seated(self) -> float:
        """Height of the hips of who sits on a seat of fitting height."""
        return self.ankle + self.shin + 0.01

    def step(self, speed_mps: float) -> float:
        """Return the length of a step of who walks so fast, metres.

        Steps grow with the root of the speed, about as people's do: 0.65 m at 1.2 m/s for legs
        of 0.85 m.
        """
        return float((0.1 + 0.5 * np.sqrt(speed_mps)) * self.leg / 0.85)

    def ankles(self, feet: Array, yaws: Array, pitches: Array, lifts: Array) -> Array:
        """Return where ankles are, (..., 3), from where feet stand.

        feet: (..., 2) below the ankle of a foot that is flat; yaws: (...) radians, where the toes
        point; pitches: (...) radians, above 0: the heel is up and the foot turns about its ball,
        below 0: the toes are up and it turns about the heel; lifts: (...) metres.
        """
        pivot = np.where(pitches > 0, self.ball, -self.heel)  # ahead of the ankle
        sine, cosine = np.sin(pitches), np.cos(pitches)
        ahead = pivot - pivot * cosine + self.ankle * sine
        up = self.ankle * cosine + pivot * sine
        forward = np.stack((np.cos(yaws), np.sin(yaws)), axis=-1)
        ground = feet + forward * ahead[..., None]
        return np.concatenate((ground, (up + lifts)[..., None]), axis=-1)
