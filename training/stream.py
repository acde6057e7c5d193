"""The stream of samples: rendered as it goes, the same each time for a seed.

Rendering a view takes as long as composing five samples of it, so views are used several times: a
pool keeps the newest, each step draws samples from the pool, and new views replace the oldest. All
that a step sees follows from the seed, the process and the step's number.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from training.compose import HARD, WHOLE, Composer, Sample
from training.crowd_pictures import CrowdComposer
from training.crowds import Crowd
from world.panoramas import Panorama
from world.people import People
from world.views import PLAIN, Variety, View

POSES = 2  # views of a body in the same clothes
PEOPLE = 4  # in a picture, about
THINGS = 0.2  # of views of things, beside one of a person


class Views:
    """Views for one of several processes, the newest of those that it has drawn."""

    def __init__(
        self,
        scenes: list[Panorama],
        seed: int,
        process: int,
        pool: int,
        reuse: int,
        variety: Variety = PLAIN,
    ) -> None:
        """Take how many views the pool keeps, and how many samples a view is for."""
        self._people = People(scenes)
        self._seed = (seed, process)
        self._size = pool
        self._reuse = reuse
        self._variety = variety
        self._views: deque[View] = deque(maxlen=pool)
        self._next = 0  # number of the next pair of views
        self._things: deque[View] = deque(maxlen=int(pool * THINGS))
        self._next_thing = 0

    def at(self, step: int, count: int) -> Sequence[View]:
        """Return what the pool has at a step; count: how many views a step uses.

        Only what it lacks of that is drawn.
        """
        last = (self._size + step * count // self._reuse) // POSES
        self._next = max(self._next, last - self._size // POSES)
        while self._next < last:
            rng = self.random(0, self._next, 0)
            self._views.extend(self._people.views(rng, POSES, self._variety))
            self._next += 1
        return self._views

    def things_at(self, step: int, count: int) -> Sequence[View]:
        """Return views of what is no person, as at does those of people."""
        size = int(self._size * THINGS)
        last = size + int(step * count // self._reuse * THINGS)
        self._next_thing = max(self._next_thing, last - size)
        while self._next_thing < last:
            self._things.append(self._people.thing(self.random(2, self._next_thing)))
            self._next_thing += 1
        return self._things

    def random(self, *numbers: int) -> np.random.Generator:
        """Return a random generator for a purpose of this process."""
        return np.random.default_rng([*self._seed, *numbers])


class Stream:
    """Samples for one of several processes."""

    def __init__(self, views: Views, scenes: list[Panorama], styled: float = 0.0) -> None:
        """Take what they are made of; styled: see CrowdComposer."""
        self._views = views
        self._scenes = scenes
        self._easy, self._hard = (replace(kind, styled=styled) for kind in (WHOLE, HARD))

    def batch(self, step: int, counts: dict[str, int], easy: float) -> dict[str, list[Sample]]:
        """Return the samples of a step; easy: the share of whole people in true boxes."""
        views = self._views.at(step, sum(counts.values()))
        composer = Composer(views, self._scenes)
        batch: dict[str, list[Sample]] = {}
        number = 0
        for name, count in counts.items():
            batch[name] = []
            for _ in range(count):
                rng = self._views.random(1, step, number)
                number += 1
                difficulty = self._easy if rng.random() < easy else self._hard
                index = int(rng.integers(len(views)))
                batch[name].append(composer.sample(rng, index, name, difficulty))
        return batch


class CrowdStream:
    """Pictures of several people for one of several processes."""

    def __init__(
        self,
        views: Views,
        scenes: list[Panorama],
        size: tuple[int, int],
        styled: float = 0.0,
    ) -> None:
        """Take what they are made of, and their size; styled: see CrowdComposer."""
        self._views = views
        self._scenes = scenes
        self._size = size
        self._styled = styled

    def batch(self, step: int, count: int) -> list[Crowd]:
        """Return so many pictures, those of a step."""
        used = count * PEOPLE
        views, things = self._views.at(step, used), self._views.things_at(step, used)
        composer = CrowdComposer(views, self._scenes, self._size, self._styled, things)
        return [composer.picture(self._views.random(1, step, n)) for n in range(count)]
