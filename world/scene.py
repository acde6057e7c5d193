"""Scenes: people in a room before the cameras of a robot, as a function of a seed and a scenario.

Everything is a function of time: ask for any second, in any order.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.cast import Actor
from world.figures import NOBODY, Layers, add, figure, seen
from world.look import Look
from world.people import People
from world.postures import Poser
from world.room import Box, Room
from world.scenarios import SCENARIOS, Plot
from world.script import Script
from world.sensors import Mount, Viewpoint
from world.sequence import Present, Sight

Array = NDArray[Any]

REDUCED = 4  # times smaller: the image in which it is decided who hides whom
FLESH = 0.1  # metres between the hip joints and what somebody sits on


@lru_cache(maxsize=1)
def everybody() -> People:
    """Return what draws people; it takes seconds to make, and is made once."""
    return People([])


class Scene:
    """People who do what a scenario says, before cameras."""

    def __init__(
        self, seed: int, scenario: str, *, rate_hz: float | None = None,
        people: People | None = None,
    ) -> None:  # fmt: skip
        """Draw a scene.

        scenario: a name of scenarios.SCENARIOS; rate_hz: of the first camera, the others keep
        their rates' proportions; people: what draws them, everybody's if not given.
        """
        if scenario not in SCENARIOS:
            raise ValueError(f"scenario '{scenario}': known are {', '.join(SCENARIOS)}")
        self.people = people or everybody()
        self._rng = np.random.default_rng([seed, *scenario.encode()])
        self._scripts: list[tuple[Script, Poser, Look, int]] = []
        plot = Plot(self._rng, self._enter)
        SCENARIOS[scenario](plot)
        self.seconds = plot.seconds
        faster = 1.0 if rate_hz is None else rate_hz / plot.mounts[0].rate_hz
        self.mounts = {
            m.name: Mount(**{**vars(m), 'rate_hz': m.rate_hz * faster}) for m in plot.mounts
        }
        self.drive = plot.drive
        self.actors = [
            Actor.of(self.people, number, look, poser, script.motion(), carried)
            for number, (script, poser, look, carried) in enumerate(self._scripts, start=1)
        ]
        boxes = [*plot.boxes, *(box for script in plot.seats for box in _seats(script))]
        self.room = Room(boxes=tuple(boxes))

    def _enter(
        self, place: Any, heading: float, *, restless: float = 1.0, adult: bool = False
    ) -> Script:
        """Bring somebody in."""
        person = self.people.build(self._rng)
        while adult and not person.adult:
            person = self.people.build(self._rng)
        carried = int(self._rng.integers(2**31))
        look = Look(self._rng, person)
        poser = Poser(self.people.model, person, carried, self.people.soles(look, person))
        script = Script(poser.limbs, place, heading, self._rng, restless=restless)
        self._scripts.append((script, poser, look, carried))
        return script

    def present(self, second: float) -> list[Present]:
        """Return where everybody is, seen or not."""
        return [actor.present(second) for actor in self.actors]

    def pose(self, camera: str, second: float) -> Array:
        """Return the pose (4, 4) of a camera: optical frame to world."""
        return self.drive.pose(second) @ self.mounts[camera].on_robot()

    def stamps(self, camera: str) -> Array:
        """Return when a camera takes its images, seconds."""
        mount = self.mounts[camera]
        count = int((self.seconds - mount.phase_s) * mount.rate_hz + 1e-6) + 1
        return mount.phase_s + np.arange(count) / mount.rate_hz

    def sequence(self) -> Iterator[Sight]:
        """Yield what all cameras see, in the order in which it arrives."""
        order = [
            (stamp + mount.delay_s, name, stamp)
            for name, mount in self.mounts.items()
            for stamp in self.stamps(name)
        ]
        for _, name, stamp in sorted(order):
            yield self.sight(name, float(stamp))

    def sights(self, second: float, cameras: Sequence[str] | None = None) -> list[Sight]:
        """Return what cameras, all if not given, see at the same time."""
        return [self.sight(name, second) for name in cameras or self.mounts]

    def sight(self, camera: str, second: float) -> Sight:
        """Return what one camera sees."""
        mount = self.mounts[camera]
        view = Viewpoint(mount.lens, self.pose(camera, second))
        small = view.reduced(REDUCED)
        depth, _ = self.room.surfaces(small)
        layers = Layers(depth, np.full(depth.shape, NOBODY))
        found = []
        for actor in self.actors:
            shown = figure(actor, second, view, fine=False)
            if shown:
                found.append((shown, add(self.people, layers, shown, small)))
        return Sight(
            stamp_s=second,
            arrival_s=second + mount.delay_s,
            name=camera,
            camera=mount.lens.camera,
            size=(mount.lens.height, mount.lens.width),
            pose=view.pose,
            people=tuple(seen(shown, layers, view, small, whole) for shown, whole in found),
        )


def _seats(script: Script) -> Iterator[Box]:
    """Yield what people of a script sit on."""
    for seat in script.seats:
        top = script.limbs.seated - FLESH
        yield Box((*seat.place, top / 2), (0.2, 0.22, top / 2), seat.heading)
