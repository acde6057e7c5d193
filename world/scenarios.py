"""Scenarios: who does what before which cameras, drawn for a seed.

World axes: x ahead of where the robot starts, y to its left, z up; metres.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.room import Box
from world.script import Script
from world.sensors import LENSES, Drive, Mount

Array = NDArray[Any]
Random = np.random.Generator

TOWARDS = np.pi  # the heading of who faces the robot
LEFT, RIGHT = np.pi / 2, -np.pi / 2


@dataclass
class Plot:
    """A scenario as it is written: the cast, the furniture, the robot."""

    rng: Random
    enter: Callable[..., Script]  # (place, heading, *, restless, adult) brings a person in
    seconds: float = 10.0
    boxes: list[Box] = field(default_factory=list)
    mounts: tuple[Mount, ...] = (Mount(),)
    drive: Drive = field(default_factory=Drive)
    seats: list[Script] = field(default_factory=list)  # whose seats are to be put there

    def between(self, low: float, high: float) -> float:
        """Draw a number."""
        return float(self.rng.uniform(low, high))

    def side(self) -> int:
        """Draw -1 or 1."""
        return int(self.rng.choice((-1, 1)))


def _standing(plot: Plot) -> None:
    """Two people stand quietly and face the camera."""
    plot.seconds = 8.0
    for y in (-0.6, 0.6):
        place = plot.between(1.8, 3.6), y + plot.between(-0.15, 0.15)
        script = plot.enter(place, TOWARDS + plot.between(-0.6, 0.6), restless=0.4)
        script.stand(plot.seconds)


def _waving(plot: Plot) -> None:
    """One waves, one shifts the weight."""
    y = plot.side() * plot.between(0.5, 0.8)
    plot.enter((plot.between(2.0, 3.2), y), TOWARDS).stand(plot.between(0.5, 1.5)).wave(6).stand(2)
    other = plot.enter((plot.between(2.0, 3.8), -y), TOWARDS + plot.between(-0.7, 0.7))
    other.stand(plot.between(0.2, 1.0)).shift(8.0)


def _walking(plot: Plot) -> None:
    """Two come close, turn and go away again."""
    plot.seconds = 12.0
    for y in (-0.7, 0.7):
        y += plot.between(-0.15, 0.15)
        near = plot.between(1.7, 2.4)
        script = plot.enter((plot.between(4.5, 5.8), 1.2 * y), TOWARDS)
        script.stand(plot.between(0.0, 0.8)).walk([(near, y)], plot.between(0.7, 1.2))
        script.stand(plot.between(0.3, 1.0)).walk([(3.5, 1.3 * y), (5.6, y)], 1.1)


def _to_and_fro(plot: Plot, x: float, side: int, wait: float, speed: float) -> Script:
    """Bring in somebody who crosses the view at a distance, leaves it and comes back."""
    edge = 0.6 * x + 0.45
    script = plot.enter((x, side * edge), -side * LEFT)
    script.stand(wait).walk([(x + plot.between(-0.1, 0.1), -side * edge)], speed)
    script.stand(plot.between(0.0, 0.3))
    return script.walk([(x + plot.between(-0.1, 0.1), side * edge)], speed)


def _crossing(plot: Plot) -> None:
    """Three cross each other before the camera, each at a distance of its own."""
    plot.seconds = 13.0
    side = plot.side()
    for i, x in enumerate((2.2, 3.1, 4.0)):
        x += plot.between(-0.1, 0.1)
        _to_and_fro(plot, x, side, plot.between(0.0, 0.8), plot.between(0.8, 1.3))
        side = -side if i == 0 else plot.side()


def _occlusion(plot: Plot) -> None:
    """One passes before two who stand and talk."""
    plot.seconds = 11.0
    for y in (-0.45, 0.45):
        place = plot.between(3.5, 4.2), y + plot.between(-0.1, 0.1)
        script = plot.enter(place, TOWARDS + 1.2 * np.sign(y) + plot.between(-0.3, 0.3))
        script.stand(1).shift(9.0)
    _to_and_fro(plot, plot.between(2.1, 2.6), plot.side(), 0.3, plot.between(0.7, 1.2))


def _pillar(plot: Plot) -> None:
    """One walks behind a pillar and is hidden for less than a second; one stands."""
    plot.seconds = 11.0
    x, y, speed = plot.between(2.0, 2.4), plot.between(-0.5, 0.5), plot.between(0.8, 1.2)
    far, hidden_s = plot.between(3.0, 3.6), plot.between(0.2, 0.6)
    half = (hidden_s * speed + 0.7) / 2 * x / far  # who walks is about 0.7 m wide
    plot.boxes.append(Box((x, y, 1.25), (0.15, half, 1.25), 0.0, (0.5, 0.48, 0.44)))
    _to_and_fro(plot, far, plot.side(), 0.2, speed)
    aside = -1.6 if y > 0 else 1.6
    plot.enter((4.6, 1.5 * y + aside), TOWARDS + plot.between(-0.8, 0.8)).stand(12)


def _overtaking(plot: Plot) -> None:
    """One walks past another who goes the same way farther off, and hides the other meanwhile."""
    plot.seconds = 11.0
    far, near, side = plot.between(3.6, 4.0), plot.between(1.6, 1.8), plot.side()
    slow, fast = plot.between(0.85, 1.1), plot.between(0.75, 0.95)
    # Both are ahead of the camera at the same time.
    wait = (0.6 * far + 0.45) / slow - (0.6 * near + 0.45) / fast
    _to_and_fro(plot, far, side, 0.1, slow)
    _to_and_fro(plot, near, side, max(0.0, wait) + 0.1, fast)


def _sitting(plot: Plot) -> None:
    """One comes, sits down, stands up and goes; one walks by."""
    plot.seconds = 16.0
    side = plot.side()
    x, y = plot.between(2.7, 3.3), plot.between(-0.3, 0.3)
    facing = TOWARDS + side * plot.between(0.0, 1.0)
    script = plot.enter((x - 0.2, side * 2.2), -side * LEFT, adult=True)
    script.walk([(x, y)], plot.between(0.8, 1.1)).turn(facing).stand(0.3)
    script.sit(plot.between(5.5, 7.0)).stand(0.3).walk([(x - 0.1, side * 2.4)], 1.0)
    plot.seats.append(script)
    _to_and_fro(plot, plot.between(4.5, 5.0), plot.side(), plot.between(0, 3), 1.0)


def _leaving(plot: Plot) -> None:
    """One leaves the view and comes back after one to three seconds; one stays."""
    plot.seconds = 14.0
    side = plot.side()
    x = plot.between(2.2, 3.2)
    edge = 0.62 * x + 0.6
    script = plot.enter((x, 0.3 * side), TOWARDS).stand(plot.between(0.5, 1.0))
    script.walk([(x, side * edge)], plot.between(0.9, 1.2)).stand(plot.between(0.1, 0.8))
    script.walk([(x - 0.2, 0.2 * side)], plot.between(0.9, 1.2)).turn(TOWARDS).shift(5)
    other = plot.enter((plot.between(3.4, 4.5), -side * plot.between(0.7, 1.0)), TOWARDS)
    other.stand(1).shift(12)


def _furniture(plot: Plot) -> None:
    """Tables hide legs of two who walk behind them; one stands behind a box."""
    plot.seconds = 12.0
    x = plot.between(1.9, 2.3)
    for y in (-0.8, 0.8):
        top = plot.between(0.6, 0.85)
        plot.boxes.append(Box((x, y, top / 2), (0.3, plot.between(0.35, 0.55), top / 2), 0.1 * y))
    _to_and_fro(plot, x + plot.between(0.9, 1.1), 1, 0.0, plot.between(0.7, 1.0))
    _to_and_fro(plot, x + plot.between(1.7, 2.0), -1, 0.5, plot.between(0.8, 1.2))
    plot.enter((x + 2.6, plot.side() * 0.8), TOWARDS).stand(1).shift(10)


def _crowd(plot: Plot) -> None:
    """Six walk to and fro."""
    plot.seconds = 13.0
    side = 1
    for x in (1.9, 2.6, 3.3, 4.0, 4.7, 5.4):
        _to_and_fro(plot, x, side, plot.between(0.0, 2.5), plot.between(0.7, 1.4))
        side = -side


def _close(plot: Plot) -> None:
    """One stands so close that the picture ends at the hips; one passes behind."""
    plot.seconds = 8.0
    script = plot.enter((plot.between(0.95, 1.3), plot.between(-0.2, 0.2)), TOWARDS)
    script.stand(1.5).wave(4).stand(2.5)
    _to_and_fro(plot, plot.between(2.4, 3.0), plot.side(), 0.0, 1.1)


def _driving(plot: Plot) -> None:
    """Drive between people who stand, come and cross."""
    plot.seconds = 9.0
    plot.drive = Drive(speed_mps=plot.between(0.15, 0.28), turn_degrees=plot.between(2, 6))
    side = plot.side()
    plot.enter((plot.between(3.8, 4.4), side * 1.1), TOWARDS).stand(1).shift(9)
    script = plot.enter((6.3, -side * 0.6), TOWARDS).stand(plot.between(0, 0.6))
    script.walk([(4.0, -side * 1.1), (1.2, -side * 1.7)], plot.between(0.7, 1.0)).stand(3)
    _to_and_fro(plot, plot.between(5.0, 5.5), -side, plot.between(0, 0.5), 1.0)


def _pair(plot: Plot) -> tuple[Mount, Mount]:
    """Return two cameras whose views overlap, with rates and delays of their own."""
    yaw = plot.between(17, 22)
    left = Mount(
        'left', position=(0.12, 0.1, 1.2), yaw=yaw, rate_hz=15.0, delay_s=plot.between(0.02, 0.05)
    )
    right = Mount(
        'right', position=(0.12, -0.1, 1.2), yaw=-yaw, rate_hz=10.0,
        phase_s=plot.between(0.0, 0.06), delay_s=plot.between(0.04, 0.12),
    )  # fmt: skip
    return left, right


def _two_cameras(plot: Plot) -> None:
    """People walk from one camera's view into the other's."""
    plot.seconds = 14.0
    plot.mounts = _pair(plot)
    side = plot.side()
    for x in (2.3, 3.3):
        edge = 0.75 * x
        script = plot.enter((x, side * edge), -side * LEFT).stand(plot.between(0, 1))
        script.walk([(x + plot.between(-0.15, 0.15), -side * edge)], plot.between(0.8, 1.2))
        script.stand(0.5).walk([(x, side * edge)], plot.between(0.8, 1.2))
        side = -side
    plot.enter((4.5, plot.between(-1.5, 1.5)), TOWARDS).stand(1).shift(12)


def _turning(plot: Plot) -> None:
    """Turn to and fro between three people, with two cameras."""
    _two_cameras(plot)
    plot.drive = Drive(turn_degrees=plot.between(20, 40), period_s=plot.between(7, 10))


def _unregistered(plot: Plot) -> None:
    """Have a depth camera beside the colour camera, larger and wider: as walking."""
    _walking(plot)
    depth = Mount('depth', LENSES['1280x720'], position=(0.15, 0.015, 1.2))
    plot.mounts = (Mount(), depth)


SCENARIOS: dict[str, Callable[[Plot], None]] = {
    'standing': _standing, 'waving': _waving, 'walking': _walking, 'crossing': _crossing,
    'occlusion': _occlusion, 'pillar': _pillar, 'overtaking': _overtaking, 'sitting': _sitting,
    'leaving': _leaving, 'furniture': _furniture, 'crowd': _crowd, 'close': _close,
    'driving': _driving, 'two_cameras': _two_cameras, 'turning': _turning,
    'unregistered': _unregistered,
}  # fmt: skip


def described() -> Iterator[tuple[str, str]]:
    """Yield the name of each scenario and what happens in it."""
    for name, write in SCENARIOS.items():
        yield name, str(write.__doc__).splitlines()[0]
