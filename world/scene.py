"""Scenes: people in a room before the cameras of a robot, as a function of a seed and a scenario.

Everything is a function of time: ask for any second, in any order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world import camera_image
from world.cast import Actor
from world.decor import Decor
from world.depth_noise import NOISES
from world.figures import NOBODY, Figure, Layers, draw, may_be_seen, seen, whole
from world.look import Look
from world.panoramas import Panorama
from world.people import People
from world.postures import Poser
from world.room import Box, Room
from world.scenarios import SCENARIOS, Plot
from world.script import Script
from world.sensors import LENSES, Viewpoint
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
        self, seed: int, scenario: str, *, rate_hz: float | None = None, lens: str | None = None,
        noise: str = 'stereo', panorama: Panorama | None = None, people: People | None = None,
    ) -> None:  # fmt: skip
        """Draw a scene.

        scenario: a name of scenarios.SCENARIOS; rate_hz: of the first camera, the others keep
        their rates' proportions; lens: of all cameras, a name of sensors.LENSES, the scenario's
        if not given; noise: of depth, a name of depth_noise.NOISES; panorama: a place that the
        room looks like; people: what draws them, everybody's if not given.
        """
        tables: Any = {
            'scenario': (scenario, SCENARIOS), 'lens': (lens, LENSES), 'noise': (noise, NOISES),
        }  # fmt: skip
        for what, (name, known) in tables.items():
            if name is not None and name not in known:
                raise ValueError(f"{what} '{name}': known are {', '.join(known)}")
        self.people = people or everybody()
        self._noise = NOISES[noise]
        self._panorama = panorama
        self._key = [seed, *scenario.encode()]
        self._rng = np.random.default_rng(self._key)
        self._entered: list[tuple[Script, Poser, Look, int]] = []
        plot = Plot(self._rng, self._enter)
        SCENARIOS[scenario](plot)
        self.seconds = plot.seconds
        self.drive = plot.drive
        faster = 1.0 if rate_hz is None else rate_hz / plot.mounts[0].rate_hz
        self.mounts = {
            m.name: replace(m, rate_hz=m.rate_hz * faster, lens=LENSES[lens] if lens else m.lens)
            for m in plot.mounts
        }
        self.actors = [
            Actor.of(self.people, number, look, poser, script.motion(), carried)
            for number, (script, poser, look, carried) in enumerate(self._entered, start=1)
        ]
        boxes = [*plot.boxes, *(box for script in plot.seats for box in _seats(script))]
        self.room = Room(boxes=tuple(boxes))
        self._behind: dict[Any, tuple[Array, Array, Array | None]] = {}

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
        self._entered.append((script, poser, look, carried))
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

    def arrivals(self) -> list[tuple[float, str, float]]:
        """Return when images arrive, of which camera, and when they were taken, in order."""
        return sorted(
            (float(stamp) + mount.delay_s, name, float(stamp))
            for name, mount in self.mounts.items()
            for stamp in self.stamps(name)
        )

    def sequence(self, *, pictures: bool = False, depth: bool | None = None) -> Iterator[Sight]:
        """Yield what all cameras see, in the order in which it arrives; see sight."""
        for _, name, stamp in self.arrivals():
            yield self.sight(name, stamp, pictures=pictures, depth=depth)

    def sights(
        self,
        second: float,
        cameras: Sequence[str] | None = None,
        *,
        pictures: bool = False,
        depth: bool | None = None,
    ) -> list[Sight]:
        """Return what cameras, all if not given, see at the same time; see sight."""
        return [
            self.sight(name, second, pictures=pictures, depth=depth)
            for name in cameras or self.mounts
        ]

    def sight(
        self, camera: str, second: float, *, pictures: bool = False, depth: bool | None = None
    ) -> Sight:
        """Return what one camera sees.

        pictures: with the image; depth: with depth, if not given as pictures. Without both it is
        decided in an image of fewer pixels who hides whom, which takes much less time.
        """
        depth = pictures if depth is None else depth
        mount = self.mounts[camera]
        view = Viewpoint(mount.lens, self.pose(camera, second))
        small = view.reduced(REDUCED)
        layers = self._empty(small, False)[0]
        found, sizes = [], []
        for actor in self.actors:
            moment = actor.motion.at(second)
            if not may_be_seen(moment, view):
                continue
            figure = Figure.of(actor, actor.rough, actor.poser.pose(moment), view)
            if figure.within(view):
                found.append(figure)
                sizes.append(whole(self.people, figure, layers, small, REDUCED))
        counts = [int((layers.who == figure.actor.id).sum()) for figure in found]
        shares = [min(1.0, n / max(1, size)) for n, size in zip(counts, sizes, strict=True)]
        sight = Sight(
            stamp_s=second,
            arrival_s=second + mount.delay_s,
            name=camera,
            camera=mount.lens.camera,
            size=(mount.lens.height, mount.lens.width),
            pose=view.pose,
            people=(),
        )
        if not (pictures or depth):
            views = zip(found, shares, strict=True)
            people = tuple(seen(f, layers, view, share, REDUCED) for f, share in views)
            return replace(sight, people=people)

        layers, found = self._drawn(found, view, pictures)
        people = tuple(seen(f, layers, view, s) for f, s in zip(found, shares, strict=True))
        rng = np.random.default_rng([*self._key, *camera.encode(), round(second * 1e6)])
        true = layers.depth.astype(np.float32)
        measured = true
        if depth and self._noise:
            measured = self._noise.measure(true, mount.lens.camera.focal_x, rng)
        return replace(
            sight,
            people=people,
            image=camera_image.finished(layers, self._grain, rng) if pictures else None,
            depth=measured if depth else None,
            true_depth=true if depth else None,
        )

    def _drawn(
        self, found: list[Figure], view: Viewpoint, pictures: bool
    ) -> tuple[Layers, list[Figure]]:
        """Return everybody in an image of all pixels, and their figures."""
        layers, surface = self._empty(view, pictures)
        fine = [Figure.of(f.actor, f.actor.fine, f.posture, view) for f in found]
        if pictures:
            bones = [self.people.model.bone(f'foot.{side}') for side in 'LR']
            feet = [figure.posture.heads[bones] for figure in fine]
            if feet:
                camera_image.shade(layers, surface == 4, view, np.concatenate(feet))
        for figure in fine:
            draw(self.people, figure, layers, view, self._light)
        return layers, fine

    def _empty(self, view: Viewpoint, picture: bool) -> tuple[Layers, Array]:
        """Return the room without people, and its surfaces (h, w); see Room.surfaces."""
        key = view.lens, view.pose.tobytes()
        if key not in self._behind or (picture and self._behind[key][2] is None):
            depth, surface = self.room.surfaces(view)
            image = self._decor.picture(view, depth, surface) if picture else None
            if self._moves:
                self._behind.clear()
            self._behind[key] = depth, surface, image
        depth, surface, image = self._behind[key]
        nobody = np.full(depth.shape, NOBODY, np.int16)
        return Layers(depth.copy(), nobody, image.copy() if picture else None), surface

    @property
    def _moves(self) -> bool:
        return bool(self.drive.speed_mps or self.drive.turn_degrees)

    @cached_property
    def _heading(self) -> float:
        """Which direction of the panorama is along x, radians."""
        return float(np.random.default_rng([*self._key, 4]).uniform(0, 2 * np.pi))

    @cached_property
    def _decor(self) -> Decor:
        rng = np.random.default_rng([*self._key, 1])
        return Decor(self.room, rng, self._panorama, self._heading)

    @cached_property
    def _grain(self) -> Array:
        lenses = [mount.lens for mount in self.mounts.values()]
        size = max(lens.height for lens in lenses), max(lens.width for lens in lenses)
        return camera_image.grain_of(np.random.default_rng([*self._key, 2]), size)

    @cached_property
    def _light(self) -> dict[str, Any]:
        """The light on people: of the panorama, or of lamps under the ceiling."""
        if self._panorama:
            sky = self._panorama.irradiance(-self._heading).astype(np.float32)
            strength = 0.0
        else:
            rng = np.random.default_rng([*self._key, 3])
            sky = np.zeros((9, 3), np.float32)
            sky[0] = rng.uniform(0.5, 0.7) * (1 + rng.uniform(-0.08, 0.08, 3))
            sky[1:4] = rng.normal(0, 0.06, (3, 1))
            sky[2] = rng.uniform(0.15, 0.3)
            strength = rng.uniform(0.0, 0.3)
        total = float(sky[0].mean()) + 0.35 * strength
        return {
            'sky': sky,
            'sun': (-0.4, 0.1, 0.91),
            'sun_colour': (strength, strength, 0.95 * strength),
            'exposure': 0.72 / max(total, 1e-3),
        }


def _seats(script: Script) -> Iterator[Box]:
    """Yield what people of a script sit on."""
    for seat in script.seats:
        top = script.limbs.seated - FLESH
        yield Box((*seat.place, top / 2), (0.2, 0.22, top / 2), seat.heading)
