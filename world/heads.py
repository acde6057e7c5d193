"""Faces and short hair."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.bodies import BodyModel
from world.look import Look

Array = NDArray[Any]


class Heads:
    """Colours of skin, hair, eyes, brows and lips of each vertex, and the shape of the hair."""

    def __init__(self, model: BodyModel) -> None:
        heads = model.template_heads
        eyes = [heads[model.bone(f'eye.{s}')] for s in 'LR']
        centre = heads[model.bone('head')] + [0, -0.046, 0.04]
        self._at = (model.template - centre) / 0.1  # about -1 to 1 on the head
        self._is_head = np.array([name.startswith(('head', 'neck')) for name in model.bones])[
            model.main_bone
        ]
        self._iris = np.zeros(len(model.template), bool)
        self._brow = np.zeros(len(model.template), bool)
        self._socket = np.zeros(len(model.template))
        for i, eye in enumerate(eyes):
            mine = model.main_bone == model.bone(f'eye.{"LR"[i]}')
            front = model.template[:, 1] < model.template[mine, 1].min() + 0.003
            self._iris |= mine & front
            off = model.template - eye
            self._brow |= (
                (abs(off[:, 0]) < 0.022) & (abs(off[:, 2] - 0.022) < 0.006) & (off[:, 1] < 0.0)
            ) & ~mine
            near = np.linalg.norm(off[:, [0, 2]], axis=1)
            self._socket += np.exp(-((near / 0.014) ** 2)) * (off[:, 1] < 0)
        self._white = np.array([name.startswith('eye') for name in model.bones])[model.main_bone]
        mouth = (eyes[0] + eyes[1]) / 2 + [0, 0, -0.068]
        off = model.template - mouth
        self._lips = (abs(off[:, 0]) < 0.024) & (abs(off[:, 2]) < 0.009) & (off[:, 1] < 0.01)
        self._chin = (off[:, 2] < 0.018) & (off[:, 2] > -0.06) & self._is_head
        self._face = self._is_head & (self._at[:, 1] < -0.2)
        self._muzzle = self._face & (off[:, 2] < 0.03) & (off[:, 2] > -0.05)

    def paint(self, look: Look) -> Array:
        """Return a linear colour of each vertex, (v, 3)."""
        rng = np.random.default_rng(look.seed)
        colours = np.tile(look.skin, (len(self._at), 1))
        colours *= 1 + rng.normal(0, 0.03, (len(colours), 1))
        colours *= (1 - 0.25 * np.clip(self._socket, 0, 1))[:, None]
        colours[self._lips] *= [0.95, 0.6, 0.6]
        colours[self._brow] = look.hair * 0.8 + look.skin * 0.2
        colours[self._white] = 0.5
        colours[self._iris] = rng.uniform(0.01, 0.08, 3)
        if look.mask:
            colours[self._muzzle] = rng.choice([0.02, 0.3, 0.8]) * rng.uniform(0.6, 1.0, 3)
        if look.glasses:
            colours[self._socket > 0.2] = rng.uniform(0.0, 0.03)
        colours[self._face] *= look.shade
        if look.beard:
            colours[self._chin & ~self._lips & (self._at[:, 1] < -0.2)] = look.hair
        hair = self._hair(look)
        colours[hair] = look.hair * (0.8 + 0.4 * rng.random((hair.sum(), 1)))
        return colours.astype(np.float32)

    def thickness(self, look: Look) -> Array:
        """Return how far hair stands off each vertex, (v,) metres; most on top, least behind."""
        return look.volume * self._hair(look) * np.clip(0.5 + 0.5 * self._at[:, 2], 0.15, 1)

    def _hair(self, look: Look) -> Array:
        """Return which vertices hair grows on, (v,) bool."""
        x, y, z = self._at.T
        # From the forehead past the ears down to the nape.
        line = 0.55 + look.hairline - 1.25 * np.clip(y + 0.55, 0, 1.2) + 0.06 * np.sin(11 * x)
        hair: Array = self._is_head & (z > line) & ~self._white
        if look.bald:
            hair &= (z < 0.5) & (y > -0.3)
        return hair
