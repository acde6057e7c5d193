"""Sequences: what cameras see of people over time, and what is true of it."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from vitpose_ros.core.geometry.pinhole import PinholeCamera

Array = NDArray[Any]
HIDDEN, BEHIND_ITSELF, SEEN = 0, 1, 2  # states of joints


@dataclass(frozen=True)
class Seen:
    """One person as one camera has it; n is the length of bodies.NAMES."""

    id: int  # the same in all cameras, always
    box: Array  # (4,) x_min, y_min, x_max, y_max of what is visible, pixels; NaN: nothing is
    whole_box: Array  # (4,) of all the person, as if nothing hid it and the image had no end
    share: float  # 0 to 1: how much of the person is visible
    points: Array  # (n, 2) float32 pixels
    joints: Array  # (n, 3) float32 metres, in the optical frame
    states: Array  # (n,) uint8: SEEN, BEHIND_ITSELF, or HIDDEN by others, by things, by the border


@dataclass(frozen=True)
class Sight:
    """What one camera sees at one time."""

    stamp_s: float
    arrival_s: float  # when it is there: the stamp and the camera's delay
    name: str  # of the camera
    camera: PinholeCamera  # pixels
    size: tuple[int, int]  # height, width in pixels
    pose: Array  # (4, 4): optical frame to world
    people: tuple[Seen, ...]  # those before the camera, those who are all hidden too
    image: Array | None = None  # (h, w, 3) uint8 RGB
    depth: Array | None = None  # (h, w) float32 metres as a sensor gives it; NaN: hole
    true_depth: Array | None = None  # (h, w) float32 metres


@dataclass(frozen=True)
class Present:
    """One person in the world at one time, whoever sees it."""

    id: int
    joints: Array  # (n, 3) float32 metres in the world
    position: Array  # (3,) metres: the middle between the hips
    velocity: Array  # (3,) metres a second
    heading: float  # radians: where the body faces
    feet_off: Array  # (2,) bool: which feet, left and right, are off the ground
