"""Views: pictures of one person, or of a thing, and what people are in them."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from world import poses

Array = NDArray[Any]


@dataclass(frozen=True)
class Variety:
    """What people are there beside those who stand, walk and sit and are seen whole."""

    sport: float = 0.0  # the share of those in motion, as players and dancers are
    close: float = 0.0  # of those so close that the picture ends below the head, or lower
    covered: float = 0.0  # of those whose front and back differ little
    glance: float = poses.GLANCE  # how far heads turn to a side, degrees, standard deviation
    front: float = 0.0  # the share of those seen from behind who turn round to the camera instead
    backs: float = 0.0  # of those with something printed on the back
    wheels: float = 0.0  # of those in wheelchairs and on bicycles


PLAIN = Variety()


@dataclass
class View:
    """A picture of one person, or of a thing, and what is true of it."""

    picture: Array  # (h, w, 4) uint8 RGBA; what is not the person is transparent
    person: Array  # (h, w) bool: without what the person carries
    keypoints: Array  # (n, 3) of bodies.NAMES: x, y in pixels; 2 seen, 1 hidden by the person
    ground: float  # the row of the lowest point, or below the picture
    light: int  # which panorama lit it; -1: none
    heading: float  # where the camera looked in it, radians
    pitch: float  # of the camera, radians, down
    scale: float  # pixels a metre, as far away as the middle of the person
    # Where the image ends, if the person goes on: x_min, y_min, x_max, y_max, pixels.
    edges: Array | None = None
