"""What people wear and carry, and what colours skin, hair and clothes have."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.bodies import HAIR, PARTS, SKIRT, TIGHTS, BodyModel, Person
from world.directions import turn

Array = NDArray[Any]
Random = np.random.Generator

# Linear colours: of skin, of hair, of what people wear most.
_SKINS = [(0.72, 0.46, 0.36), (0.62, 0.36, 0.26), (0.46, 0.25, 0.16), (0.26, 0.13, 0.08),
          (0.12, 0.06, 0.04)]  # fmt: skip
_HAIRS = [(0.01, 0.01, 0.01), (0.03, 0.018, 0.012), (0.08, 0.04, 0.02), (0.22, 0.13, 0.06),
          (0.4, 0.3, 0.16), (0.3, 0.3, 0.3), (0.7, 0.68, 0.65), (0.2, 0.05, 0.02)]  # fmt: skip


def _fabric(rng: Random) -> Array:
    """Draw a linear colour: half of them dark, a fifth light, the others coloured."""
    kind = rng.random()
    if kind < 0.42:
        return rng.uniform(0.004, 0.05) * (1 + rng.uniform(-0.3, 0.3, 3))
    if kind < 0.58:
        return rng.uniform(0.45, 0.9) * (1 + rng.uniform(-0.08, 0.08, 3))
    if kind < 0.72:
        return rng.uniform(0.06, 0.4) * (1 + rng.uniform(-0.1, 0.1, 3))
    if kind < 0.82:  # denim
        return np.array([0.04, 0.07, 0.14]) * rng.uniform(0.3, 3.0)
    vivid = rng.uniform(0.0, 1.0, 3) ** 2.2
    grey = vivid.mean()
    return (grey + (vivid - grey) * rng.uniform(0.25, 0.9)) * rng.uniform(0.2, 0.9)


class Look:
    """What a person wears: which clothes, how long, thick, coloured and patterned."""

    def __init__(
        self, rng: Random, person: Person, *, covered: bool = False, backs: float = 0.0
    ) -> None:
        """Draw it.

        covered: so that front and back differ little; backs: how often something is printed on
        the back.
        """
        self.skin = np.array(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.75, 1.15, 3)
        hair = rng.choice(len(_HAIRS), p=(0.22, 0.22, 0.18, 0.12, 0.1, 0.07, 0.05, 0.04))
        self.hair = np.array(_HAIRS[hair]) * rng.uniform(0.7, 1.3)
        self.seed = int(rng.integers(2**31))
        self.hairline = rng.normal(0, 0.12)
        self.bald = not person.female and person.adult and rng.random() < 0.14
        self.beard = not person.female and person.adult and rng.random() < 0.3
        colours = np.zeros((16, 3))
        for first in (0, 2, 4, 6, 12, 14):
            colours[first] = _fabric(rng)
            colours[first + 1] = (
                _fabric(rng) if rng.random() < 0.5 else colours[first] * rng.uniform(0.3, 1.5)
            )
        if rng.random() < 0.35:  # trousers like the top
            colours[2:4] = colours[0:2]
        colours[8] = _fabric(rng) * rng.choice([0.4, 1.0])
        colours[9] = _fabric(rng)
        colours[10], colours[11] = self.hair, self.hair * rng.uniform(0.5, 2)
        plain = rng.random(4) < [0.55, 0.8, 0.75, 0.6]
        kinds = np.where(plain, 0, rng.integers(1, 8, 4))
        patterns = np.column_stack(
            (
                kinds,
                np.exp(rng.uniform(np.log(6), np.log(45), 4)),
                rng.uniform(0.3, 1.0, 4),
                rng.choice([0, 0, np.pi / 2, 0.6], 4) + rng.normal(0, 0.03, 4),
            )
        )
        sleeves = rng.choice([rng.uniform(0.25, 0.85), rng.uniform(0.85, 1.6), 1.93, 0.02],
                             p=[0.38, 0.08, 0.44, 0.1])  # fmt: skip
        trousers = rng.choice([1.9, rng.uniform(0.5, 0.95), rng.uniform(0.95, 1.7), 0.25],
                              p=[0.68, 0.18, 0.1, 0.04])  # fmt: skip
        self._top = (sleeves, rng.uniform(0.08, 0.34), rng.uniform(0.9, 1.02), rng.uniform(0, 1.2))
        self._bottom = (trousers, rng.uniform(0.26, 0.46), rng.choice([-1.0, 1.0], p=[0.7, 0.3]),
                        rng.choice([1.95, rng.uniform(1.4, 1.9)]))  # fmt: skip
        self._loose = (abs(rng.normal(0, 0.012)) + 0.003, abs(rng.normal(0, 0.012)) + 0.003)
        self._shoe = rng.uniform(0.004, 0.014)
        self.bulk = 0.0
        self.layers: tuple[str, ...] = ()
        self._outer = (0.0, 1.0, 0.0, 0.0)
        self._skirt = (0.0, 0.0, 0.0)
        self._dress_over(rng, person, colours, patterns, often=covered)
        self._hair_length = -9.0
        self._cap(rng, person, colours)
        self.shade, self.glasses, self.mask, self.volume = 1.0, False, False, 0.0
        if covered:
            self._cover(rng, colours)
        printed = rng.random() < (0.1 if covered else 0.3)
        self.uniforms: dict[str, Any] = {
            'top': (*self._top[:3], self._hair_length if 'hair' in self.layers else self._top[3]),
            'bottom': self._bottom,
            'outer': self._outer,
            'skirt': self._skirt,
            'colours': colours.astype(np.float32),
            'patterns': patterns.astype(np.float32),
            'print': (rng.uniform(0.22, 0.36), printed * rng.uniform(0.03, 0.14),
                      rng.uniform(0.02, 0.12)),
            'face': (rng.uniform(0.05, 0.075), -0.06, rng.uniform(0.72, 0.78)),
            'wrinkles': rng.uniform(0.25, 1.1),
            'gloss': rng.choice([0.05, 0.3, 1.0], p=[0.6, 0.3, 0.1]),
            'back': (0.0, 0.0, 0.0),
            'numbers': (-1.0, -1.0),
        }  # fmt: skip
        if backs:
            self._print_back(backs)
        self._carries = [
            name for name, chance in
            (('backpack', 0.14), ('handbag', 0.1), ('shoulder bag', 0.08), ('ball', 0.05),
             ('phone', 0.08), ('scarf', 0.08), ('stick', 0.05), ('seat', 0.75))
            if rng.random() < chance
        ]  # fmt: skip

    def _print_back(self, backs: float) -> None:
        """Draw what stands on the back, as a number does that may be on the chest, too."""
        rng = np.random.default_rng([self.seed, 1])
        if rng.random() >= backs:
            return
        self.uniforms['back'] = (
            rng.uniform(0.2, 0.34), rng.uniform(0.05, 0.14), rng.uniform(0.04, 0.14),
        )  # fmt: skip
        if rng.random() < 0.6:
            number = int(rng.integers(0, 100))
            front = number if rng.random() < 0.5 else -1
            self.uniforms['numbers'] = (front, number)
            if front >= 0:
                self.uniforms['print'] = (rng.uniform(0.24, 0.36), *rng.uniform(0.03, 0.1, 2))

    def _dress_over(
        self, rng: Random, person: Person, colours: Array, patterns: Array, *, often: bool
    ) -> None:
        """Draw what is worn above shirt and trousers."""
        kind = rng.random() * (0.6 if often else 1.0)
        if kind < 0.3:  # a jacket or pullover
            hem = rng.uniform(0.02, 0.3)
            opening = rng.choice([0.0, rng.uniform(0.02, 0.09)], p=[0.6, 0.4])
            self._outer = (rng.choice([1.92, 1.5, 0.05], p=[0.8, 0.1, 0.1]), hem, opening, 1.05)
            self.bulk = rng.uniform(0.005, 0.05)
        elif kind < 0.4:  # a coat, closed at the legs by a skirt of the same cloth
            length = rng.uniform(0.3, 1.1)
            self._outer = (1.92, -length, rng.choice([0.0, 0.05]), 1.07)
            self._skirt = (-length * 0.5, 0.4, rng.choice([0.0, 0.04]))
            colours[6:8], patterns[3] = colours[4:6], patterns[2]
            self.layers += ('skirt',)
            self.bulk = rng.uniform(0.01, 0.06)
        elif kind < 0.52:  # wide trousers
            self._outer = (-1.0, -rng.choice([0.9, 1.93], p=[0.25, 0.75]), 0.0, 0.42)
            self.bulk = rng.uniform(0.005, 0.045)
            colours[4:6] = colours[2:4]
        if kind < 0.52:
            self.layers += ('tights',)
        elif person.female and rng.random() < 0.4:
            self._skirt = (-rng.uniform(0.15, 1.0), rng.uniform(0.3, 0.45), 0.0)
            if rng.random() < 0.5:  # a dress
                colours[6:8], patterns[3] = colours[0:2], patterns[0]
            self.layers += ('skirt',)

    def _cap(self, rng: Random, person: Person, colours: Array) -> None:
        """Draw what covers the head: long hair, a hood, a hat."""
        kind = rng.random()
        self.hat = None
        if kind < (0.5 if person.female else 0.08):
            self._hair_length = rng.uniform(0.25, 0.68)
            self.layers += ('hair',)
        elif kind > 0.94 and 'tights' in self.layers:  # a hood of the coat's cloth
            self._hair_length = rng.uniform(0.5, 0.6)
            colours[10:12] = colours[4:6]
            self.layers += ('hair',)
        elif kind > 0.74:
            self.hat = str(rng.choice(['cap', 'beanie', 'brim', 'helmet']))

    def _cover(self, rng: Random, colours: Array) -> None:
        """Close the collar, open the coat, hide the legs, and make the face show less."""
        sleeves, hem, _, _ = self._top
        self._top = (sleeves, hem, rng.uniform(1.0, 1.05), rng.uniform(0, 0.12))
        sleeves, hem, _, collar = self._outer
        if sleeves > 0:
            self._outer = (sleeves, hem, rng.choice([0.0, rng.uniform(0.03, 0.14)]), collar)
        shirt = rng.random()
        if shirt < 0.3:
            colours[0:2] = colours[4:6] * rng.uniform(0.6, 1.6)
        elif shirt < 0.5:
            colours[0:2] = rng.uniform(0.4, 0.9)
        self.hairline -= rng.uniform(0, 0.3)
        self.volume = rng.uniform(0, 0.035)  # metres of hair above the head
        self.shade = rng.uniform(0.3, 1.0)
        self.glasses, self.mask = rng.random() < 0.25, rng.random() < 0.1
        # Trousers hide the legs' shape and fall onto thicker shoes.
        self._loose = (self._loose[0], self._loose[1] + rng.uniform(0, 0.02))
        self._shoe *= rng.uniform(1, 2.5)
        if self._bottom[0] > 1.8 and rng.random() < 0.7:
            hem = rng.uniform(2.1, 2.55)
            self._bottom = (hem, *self._bottom[1:])
            if self._outer[1] < -1.9:
                self._outer = (self._outer[0], -hem, *self._outer[2:])

    def thickness(self, fields: Array) -> Array:
        """Return how far clothes and hair stand off each vertex, (v,) metres."""
        arm, leg, trunk, bare = fields.T
        noise = 0.75 + 0.5 * np.random.default_rng(self.seed).random(8)
        shirt = np.where(arm > 0, arm < self._top[0], (leg <= 0) & (trunk > self._top[1]))
        pants = np.where(leg > 0, leg < self._bottom[0], (arm <= 0) & (trunk <= self._top[1]))
        out = np.where(shirt, self._loose[0] * noise[0], 0) + np.where(
            pants & ~shirt, self._loose[1] * noise[1], 0
        )
        # Loose clothes hang away from the limbs' ends.
        out = out * (1 + 0.6 * np.clip(leg - 0.5, 0, 1.3) + 0.3 * np.clip(arm - 0.5, 0, 1))
        out[bare > 0.5] = 0
        shoe = np.where(pants, np.maximum(out, self._shoe + 0.004), self._shoe)
        out = np.where(leg > 1.97, shoe, out)
        surfaces = np.zeros_like(out)
        surfaces[TIGHTS] = (
            out[TIGHTS]
            + 0.004
            + self.bulk * (0.7 + 0.3 * np.sin(40 * trunk[TIGHTS] * noise[2] + 9 * arm[TIGHTS]))
        )
        surfaces[SKIRT] = 0.01 + self.bulk * 0.8 + 0.03 * np.sin(fields[SKIRT, 2] * 20) ** 2
        surfaces[HAIR] = 0.003 + 0.014 * (noise[3] - 0.75)
        body = slice(0, TIGHTS.start)
        surfaces[body] = out[body]
        return surfaces.astype(np.float32)

    def worn(self, fields: Array, place: Array) -> Array:
        """Return which vertices are drawn, (v,) bool: of clothes and hair the shader leaves some.

        fields: from clothing_fields; place: (v, 3) of the model's template.
        """
        arm, leg, trunk, bare = fields.T
        sleeves, hem, _, collar = self._outer
        coat = np.where(arm > 0, arm < sleeves, (trunk > hem) & (trunk < collar))
        coat = np.where(leg > 0, leg < -hem, coat) & (bare < 0.5)
        worn = np.ones(len(fields), bool)
        worn[TIGHTS] = coat[TIGHTS] & ('tights' in self.layers)
        worn[SKIRT] = ((trunk > self._skirt[0]) & (trunk < self._skirt[1]))[SKIRT]
        worn[SKIRT] &= 'skirt' in self.layers
        worn[HAIR] = (place[HAIR, 2] > self._hair_length) & ('hair' in self.layers)
        return worn

    def things(
        self, rng: Random, model: BodyModel, heads: Array, *, seated: bool
    ) -> list[tuple[str, Array]]:
        """Return what the person wears and holds that is not clothing, at its places."""
        things: list[tuple[str, Array]] = []

        def at(bone: str) -> Array:
            return heads[model.bone(bone)]

        up = at('spine01') - at('spine04')
        size = float(np.linalg.norm(up)) / 0.25
        up = up / max(float(np.linalg.norm(up)), 1e-6)
        left = at('upperarm01.L') - at('upperarm01.R')
        left -= up * (left @ up)
        left /= max(float(np.linalg.norm(left)), 1e-6)
        trunk = np.stack((left, np.cross(up, left), up), axis=1)  # columns: left, back, up

        def put(shape: str, where: Array, half: Any, axes: Array = trunk) -> None:
            place = np.eye(4)
            place[:3, :3], place[:3, 3] = axes * (np.asarray(half) * size), where
            things.append((shape, place))

        if 'backpack' in self._carries:
            where = (at('spine01') + at('spine03')) / 2 + trunk[:, 1] * (0.17 + self.bulk) * size
            put('ball' if rng.random() < 0.5 else 'box', where, [0.15, 0.09, 0.22])
        if 'scarf' in self._carries:
            put('ball', at('neck01') - trunk[:, 1] * 0.01, [0.1, 0.1, 0.05])
        side = 'L' if rng.random() < 0.5 else 'R'
        if 'shoulder bag' in self._carries:
            outside = left * (1 if side == 'L' else -1)
            put('box', at('spine05') + outside * 0.22 * size, [0.05, 0.14, 0.12])
        hand = at(f'finger3-1.{side}')
        if 'handbag' in self._carries:
            put('box', hand - [0, 0, 0.2 * size], [0.06, 0.15, 0.13], np.eye(3))
        elif 'phone' in self._carries:
            put('box', hand, [0.035, 0.01, 0.07], turn(rng.normal(size=3), 70))
        elif 'ball' in self._carries:
            put('ball', hand - [0, 0, 0.08], [rng.uniform(0.04, 0.13)] * 3, np.eye(3))
        elif 'stick' in self._carries:
            put('box', hand, [0.012, 0.012, rng.uniform(0.3, 0.6)],
                turn(rng.normal(size=3), rng.uniform(0, 90)))  # fmt: skip
        if seated and 'seat' in self._carries:
            hips = (at('upperleg01.L') + at('upperleg01.R')) / 2
            put('box', hips - [0, 0, 0.16 * size + 0.03], [0.26, 0.26, 0.035], np.eye(3))
            if rng.random() < 0.6:
                back = hips + np.array([0, 0.27 * size, 0.2 * size])
                put('box', back, [0.25, 0.03, rng.uniform(0.15, 0.35)], np.eye(3))
        if self.hat:
            head = at('head')
            ahead = (at('eye.L') + at('eye.R')) / 2 - head
            upward = at('head') - at('neck01')
            upward = upward / max(float(np.linalg.norm(upward)), 1e-6)
            ahead = ahead - upward * (ahead @ upward)
            ahead = ahead / max(float(np.linalg.norm(ahead)), 1e-6)
            axes = np.stack((np.cross(upward, -ahead) * -1, -ahead, upward), axis=1)
            crown = head + upward * 0.115 * size + ahead * 0.045 * size
            radius = np.array([0.088, 0.108, 0.085])
            put('ball', crown, radius * (1.12 if self.hat == 'helmet' else 1.0), axes)
            if self.hat == 'cap':
                put('ball', crown + ahead * 0.11 * size, [0.07, 0.07, 0.012], axes)
            elif self.hat == 'brim':
                put('ball', crown, [0.17, 0.19, 0.012], axes)
        return things


def clothing_fields(model: BodyModel) -> Array:
    """Return of each vertex (v, 4) where clothes may end: see the shader's fields."""
    heads = model.template_heads
    place = model.template
    part = np.array(PARTS)[model.part]
    fields = np.zeros((len(place), 4), np.float32)
    for side in 'LR':
        name = 'left_' if side == 'L' else 'right_'
        for column, chain, parts in (
            (0, ('upperarm01', 'lowerarm01', 'wrist'), ('upper_arm', 'lower_arm', 'hand')),
            (1, ('upperleg01', 'lowerleg01', 'foot'), ('thigh', 'shin', 'foot')),
        ):
            joints = [heads[model.bone(f'{bone}.{side}')] for bone in chain]
            for i, limb in enumerate(parts):
                mine = part == name + limb
                if i == 2:
                    off = np.linalg.norm(place[mine] - joints[i], axis=1)
                    fields[mine, column] = 2.2 if column == 0 else 2 + np.clip(off / 0.2, 0, 1)
                    continue
                along = joints[i + 1] - joints[i]
                t = (place[mine] - joints[i]) @ along / (along @ along)
                fields[mine, column] = np.clip(i + t, 0.01, 2)
    low = heads[model.bone('upperleg01.L')][2] - 0.08
    high = heads[model.bone('neck01')][2]
    fields[:, 2] = (place[:, 2] - low) / (high - low)
    hands = np.isin(part, ('left_hand', 'right_hand'))
    fields[(part == 'head') | hands, 3] = 1
    fields[SKIRT, :2] = 0
    return fields
