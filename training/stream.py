"""The stream of samples: rendered as it goes, the same each time for a seed.

Rendering a view takes as long as composing five samples of it, so views are used several times: a
pool keeps the newest, each step draws samples from the pool, and new views replace the oldest. All
that a step sees follows from the seed, the process and the step's number.
"""

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from training.compose import HARD, WHOLE, Composer, Sample
from world.panoramas import Panorama
from world.people import PLAIN, People, Variety, View

POSES = 2  # views of a body in the same clothes


class Stream:
    """Samples for one of several processes."""

    def __init__(
        self,
        scenes: list[Panorama],
        seed: int,
        process: int,
        pool: int,
        reuse: int,
        variety: Variety = PLAIN,
        styled: float = 0.0,
    ) -> None:
        """Take how many views the pool keeps, and how many samples a view is for."""
        self._easy, self._hard = (replace(kind, styled=styled) for kind in (WHOLE, HARD))
        self._people = People(scenes)
        self._scenes = scenes
        self._seed = (seed, process)
        self._size = pool
        self._reuse = reuse
        self._variety = variety
        self._views: deque[View] = deque(maxlen=pool)
        self._next = 0  # number of the next pair of views

    def batch(self, step: int, counts: dict[str, int], easy: float) -> dict[str, list[Sample]]:
        """Return the samples of a step; easy: the share of whole people in true boxes."""
        self._fill(step, sum(counts.values()))
        composer = Composer(self._views, self._scenes)
        batch: dict[str, list[Sample]] = {}
        number = 0
        for name, count in counts.items():
            batch[name] = []
            for _ in range(count):
                rng = self._random(1, step, number)
                number += 1
                difficulty = self._easy if rng.random() < easy else self._hard
                index = int(rng.integers(len(self._views)))
                batch[name].append(composer.sample(rng, index, name, difficulty))
        return batch

    def _fill(self, step: int, count: int) -> None:
        """Render what the pool has at a step, and what it lacks of that only."""
        last = (self._size + step * count // self._reuse) // POSES
        self._next = max(self._next, last - self._size // POSES)
        while self._next < last:
            rng = self._random(0, self._next, 0)
            self._views.extend(self._people.views(rng, POSES, self._variety))
            self._next += 1

    def _random(self, *numbers: Any) -> np.random.Generator:
        return np.random.default_rng([*self._seed, *numbers])
