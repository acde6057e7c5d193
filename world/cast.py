"""The cast of a scene: people with their clothes, and what they do over time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from world.bodies import BodyModel, blend
from world.look import Look
from world.motion import RATE, Motion
from world.people import People
from world.postures import Poser, Posture
from world.sequence import Present

Array = NDArray[Any]
SPAN_S = 0.02  # over which velocities are measured


@dataclass(frozen=True)
class Surface:
    """Vertices of a dressed body that are drawn."""

    rows: Array  # (m,) which of the model's vertices they are
    worn: Array  # (m,) bool: which of them show
    triangles: Array  # (t, 3) of these vertices
    vertices: Array  # (m, 3) at rest, dressed
    weights: csr_matrix  # (m, b): see bodies.blend

    def bent(self, posture: Posture) -> Array:
        """Return where they are, (m, 3) metres in the world."""
        return blend(self.weights, posture.transforms, self.vertices)


@dataclass(frozen=True)
class Actor:
    """Somebody in a scene."""

    id: int
    look: Look
    poser: Poser
    motion: Motion
    fine: Surface
    rough: Surface  # of few triangles
    skin: Array  # (v, 3) linear colours of the model's vertices
    seed: int  # of what is carried

    @classmethod
    def of(
        cls, people: People, number: int, look: Look, poser: Poser, motion: Motion, seed: int
    ) -> 'Actor':
        """Dress somebody."""
        coat, worn, skin = people.coat(look, poser.person)
        surfaces = []
        # The renderer cuts triangles at hems; of the few and small ones whole triangles are left.
        for layers, cut in ((people.model.triangles, True), (people.shells, False)):
            triangles = np.concatenate([layers[layer] for layer in ('body', *look.layers)])
            if not cut:
                triangles = triangles[worn[triangles].all(axis=1)]
            rows, corners = np.unique(triangles, return_inverse=True)
            weights = people.model.weights(rows)
            surfaces.append(Surface(rows, worn[rows], corners.reshape(-1, 3), coat[rows], weights))
        return cls(number, look, poser, motion, surfaces[0], surfaces[1], skin, seed)

    def posture(self, second: float) -> Posture:
        """Return the posture at a time."""
        return self.poser.pose(self.motion.at(second))

    def things(self, model: BodyModel, heads: Array) -> list[tuple[str, Array]]:
        """Return what the person carries."""
        rng = np.random.default_rng(self.seed)
        return self.look.things(rng, model, heads, seated=False)

    def present(self, second: float) -> Present:
        """Return where the person is at a time."""
        moment = self.motion.at(second)
        before, after = (self.motion.at(second + s * SPAN_S / 2) for s in (-1, 1))
        ways = [np.append(m.place, m.height) for m in (before, after)]
        sample = int(np.clip(round(second * RATE), 0, len(self.motion.steps) - 1))
        return Present(
            id=self.id,
            joints=self.poser.pose(moment).joints,
            position=np.append(moment.place, moment.height),
            velocity=(ways[1] - ways[0]) / SPAN_S,
            heading=float(moment.heading),
            feet_off=self.motion.steps[sample],
        )
