"""Poses: how people stand, walk, sit and move their arms, as turns of their bones.

A pose starts from directions: of each thigh and shin, of each upper and lower arm, drawn around
what people do. The turns of the bones follow from them.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from world.bodies import BodyModel, Person

Array = NDArray[Any]
Random = np.random.Generator

LEFT, BACK, UP = np.eye(3)
FORWARD = -BACK
GLANCE, FARTHEST_GLANCE = 24.0, 75.0  # how far heads turn to a side, degrees: as usual, at most


def turn(axis: Array, degrees: float) -> Array:
    """Return the rotation (3, 3) about an axis through the origin."""
    vector = axis / np.linalg.norm(axis) * np.radians(degrees)
    return Rotation.from_rotvec(vector).as_matrix()


@dataclass
class Legs:
    """What the legs do; directions in the body's axes, mirrored for the right leg."""

    thighs: tuple[Array, Array]  # left, right
    shins: tuple[Array, Array]
    toes: tuple[float, float] = (0.0, 0.0)  # how far each foot points down, degrees
    lean: float = 0.0  # of the trunk to the front, degrees; half of it by the hips
    seat: bool = False  # on a seat
    tilt: Array = field(default_factory=lambda: np.eye(3))  # of the whole body


def sample(
    rng: Random, model: BodyModel, body: Person, sport: float = 0.0, glance: float = GLANCE
) -> tuple[dict[str, Array], bool]:
    """Draw a pose.

    sport: the share of people in motion, as players and dancers are; glance: how far heads turn
    to a side, degrees, the standard deviation.
    Returns turns of bones for BodyModel.bend, and whether it sits on a seat.
    """
    if sport and rng.random() < sport:
        return assemble(rng, model, body, 'sport', _sport(rng), glance=glance)
    kinds = list(LEGS)
    kind = kinds[rng.choice(len(kinds), p=[LEGS[k][0] for k in kinds])]
    return assemble(rng, model, body, kind, LEGS[kind][1](rng), glance=glance)


def assemble(
    rng: Random,
    model: BodyModel,
    body: Person,
    kind: str,
    legs: Legs,
    moves: list[tuple[Array, Array]] | None = None,
    glance: float = GLANCE,
) -> tuple[dict[str, Array], bool]:
    """Draw what trunk and head do for legs of a kind, and the arms if their moves are not given.

    moves: of the left and the right arm the directions of upper and lower arm, as if left, in the
    trunk's axes. Returns what sample returns.
    """
    turns: dict[str, Array] = {}
    hips = turn(LEFT, legs.lean * 0.5) @ turn(BACK, rng.normal(0, 3))
    twist = rng.normal(0, 24 if kind == 'sport' else 5 if legs.seat else 9)
    bow = legs.lean * 0.5 + rng.normal(4, 5)
    side = rng.normal(0, 16 if kind == 'sport' else 4 if kind in ('stand', 'walk') else 9)
    spine = [f'spine0{i}' for i in range(1, 6)]
    step = turn(LEFT, bow / 5) @ turn(BACK, side / 5) @ turn(UP, twist / 5)
    turns.update(dict.fromkeys(spine, step))
    aside = np.clip(rng.normal(0, glance), -FARTHEST_GLANCE, FARTHEST_GLANCE)
    looks = turn(UP, aside) @ turn(LEFT, rng.normal(6, 13)) @ turn(BACK, rng.normal(0, 6))
    vector = Rotation.from_matrix(looks).as_rotvec() / 4
    part = Rotation.from_rotvec(vector).as_matrix()
    turns.update(dict.fromkeys(('neck01', 'neck02', 'neck03', 'head'), part))

    turns['root'] = legs.tilt @ hips
    for i, s in enumerate('LR'):
        # Thighs hang from the world's axes, not from the leaning hips.
        thigh, shin = legs.thighs[i], legs.shins[i]
        upper, lower = _limb(model, body, ('upperleg01', 'lowerleg01', 'foot'), s, thigh, shin)
        turns[f'upperleg01.{s}'] = hips.T @ upper
        turns[f'lowerleg01.{s}'] = lower
        splay = turn(UP, (1 if s == 'L' else -1) * rng.normal(8, 7))
        down = turn(LEFT, legs.toes[i] + rng.normal(0, 3))
        level = upper @ lower
        # The foot stands level where the leg lets it, and follows the shin where it does not.
        heading = np.arctan2(thigh[0], -thigh[1]) if np.hypot(*thigh[:2]) > 0.4 else 0.0
        yaw = turn(UP, np.degrees(np.clip(heading, -0.6, 0.6)))
        flat = level.T @ yaw @ splay @ down
        vector = Rotation.from_matrix(flat).as_rotvec()
        length = np.linalg.norm(vector)
        if length > 0.9:  # as far as an ankle goes
            vector *= 0.9 / length
        turns[f'foot.{s}'] = Rotation.from_rotvec(vector).as_matrix()
        toe = turn(LEFT, -max(0.0, rng.normal(0, 8)))
        turns.update({f'toe{n}-1.{s}': toe for n in range(1, 6)})

    for s, (upper_arm, lower_arm) in zip('LR', moves or arms(rng, kind), strict=True):
        _arm(rng, model, body, turns, s, upper_arm, lower_arm)
    return turns, legs.seat


def _limb(
    model: BodyModel,
    body: Person,
    bones: tuple[str, str, str],
    side: str,
    upper: Array,
    lower: Array,
) -> tuple[Array, Array]:
    """Return the turns of the two bones of a limb that bring them into directions.

    The first is against the body's axes, the second against the first bone.
    """
    heads = [body.heads[model.bone(f'{bone}.{side}')] for bone in bones]
    rest_upper, rest_lower = _unit(heads[1] - heads[0]), _unit(heads[2] - heads[1])
    leg = bones[0].startswith('upperleg')
    # Knees bend about the left; elbows about what the bent elbows at rest say.
    axis = LEFT if leg else _unit(np.cross(rest_upper, rest_lower))
    upper, lower = _unit(upper), _unit(lower)
    normal = np.cross(upper, lower)
    if leg:  # a straight knee faces the front
        normal = normal + 0.35 * (LEFT - upper * (LEFT @ upper))
    elif np.linalg.norm(normal) < 0.15:
        normal = normal + 0.2 * np.cross(upper, FORWARD + 0.2 * UP)
    normal = _unit(normal - upper * (normal @ upper))
    axis = _unit(axis - rest_upper * (axis @ rest_upper))
    first = np.stack((upper, normal, np.cross(upper, normal)), axis=1)
    rest = np.stack((rest_upper, axis, np.cross(rest_upper, axis)), axis=1)
    whole = first @ rest.T
    bend = _minimal(rest_lower, whole.T @ lower)
    return whole, bend


def _arm(
    rng: Random,
    model: BodyModel,
    body: Person,
    turns: dict[str, Array],
    side: str,
    upper: Array,
    lower: Array,
) -> None:
    """Add the turns of an arm; directions in the trunk's axes, of the left arm."""
    mirror = np.array([1.0, 1, 1]) if side == 'L' else np.array([-1.0, 1, 1])
    upper, lower = _unit(upper) * mirror, _unit(lower) * mirror
    whole, bend = _limb(model, body, ('upperarm01', 'lowerarm01', 'wrist'), side, upper, lower)
    rise = max(0.0, np.degrees(np.arcsin(np.clip(upper[2], -1, 1))) + 20) * 0.3
    clavicle = turn(BACK, -rise * mirror[0])
    turns[f'clavicle.{side}'] = clavicle
    turns[f'upperarm01.{side}'] = clavicle.T @ whole
    turns[f'lowerarm01.{side}'] = bend
    heads = [body.heads[model.bone(f'{bone}.{side}')] for bone in ('lowerarm01', 'wrist')]
    along = heads[1] - heads[0]
    roll = rng.normal(0, 30)
    turns[f'lowerarm02.{side}'] = turn(along, roll * mirror[0] * 0.6)
    turns[f'wrist.{side}'] = (
        turn(along, roll * mirror[0] * 0.4)
        @ turn(LEFT, rng.normal(0, 14))
        @ turn(BACK, rng.normal(0, 14))
    )
    # Fingers bend together, from stretched to a fist; about the line across the knuckles.
    across = (
        body.heads[model.bone(f'finger5-1.{side}')] - body.heads[model.bone(f'finger2-1.{side}')]
    )
    curl = rng.choice([rng.uniform(-10, 25), rng.uniform(25, 80)], p=[0.7, 0.3]) * mirror[0]
    for finger in range(2, 6):
        for joint in (1, 2, 3):
            more = curl + rng.normal(0, 6)
            turns[f'finger{finger}-{joint}.{side}'] = turn(across, more)


# Legs. Directions of the left leg; x is the outside.


def _down(rng: Random, out: float = 0.08, front: float = 0.0, spread: float = 0.05) -> Array:
    return np.array([rng.normal(out, spread), rng.normal(-front, spread), -1.0])


def _mirrored(left: Array, right: Array) -> tuple[Array, Array]:
    return left, right * np.array([-1.0, 1, 1])


def _stand(rng: Random) -> Legs:
    width = abs(rng.normal(0.06, 0.07))
    thighs, shins = [], []
    for _ in range(2):
        knee = abs(rng.normal(0, 0.07)) + (rng.random() < 0.25) * rng.uniform(0, 0.3)
        step = rng.normal(0, 0.06)
        thighs.append(np.array([rng.normal(width, 0.03), step - knee * 0.6, -1]))
        shins.append(np.array([rng.normal(width * 0.8, 0.03), step + knee * 0.6, -1]))
    if rng.random() < 0.08:  # legs crossed
        shift = rng.uniform(0.1, 0.25)
        for limb in (thighs, shins):
            limb[0] = limb[0] - np.array([shift, 0.08, 0])
            limb[1] = limb[1] - np.array([shift, -0.08, 0])
    return Legs(_mirrored(*thighs), _mirrored(*shins), lean=rng.normal(2, 5))


def gait(rng: Random, *, run: bool, phase: float | None = None) -> Legs:
    """Walk or run; phase: where in a step, radians, drawn if not given."""
    drawn = rng.uniform(0, 2 * np.pi)
    phase = drawn if phase is None else phase
    stride = rng.uniform(0.55, 1.0) if run else rng.uniform(0.2, 0.5)
    thighs, shins, toes = [], [], []
    for offset in (0.0, np.pi):
        swing = stride * np.sin(phase + offset)
        # The knee bends while the leg swings to the front.
        bend = max(0.0, np.cos(phase + offset)) * (1.7 if run else 0.95) * rng.uniform(0.8, 1.1)
        bend += 0.25 if run else 0.08
        hip = swing + (0.25 if run else 0.04)
        out = rng.normal(0.03, 0.03)
        thighs.append(np.array([out, -np.sin(hip), -np.cos(hip)]))
        shins.append(np.array([out, -np.sin(hip - bend), -np.cos(hip - bend)]))
        toes.append(25 * bend * (1.0 if run else 0.7) * float(bend > 0.4))
    lean = rng.normal(10, 6) if run else rng.normal(3, 4)
    return Legs(_mirrored(*thighs), _mirrored(*shins), (toes[0], toes[1]), lean)


def _walk(rng: Random) -> Legs:
    return gait(rng, run=False)


def _run(rng: Random) -> Legs:
    return gait(rng, run=True)


def _sit(rng: Random) -> Legs:
    thighs, shins = [], []
    spread = rng.uniform(0.0, 0.45)
    for _ in range(2):
        thighs.append(np.array([rng.normal(spread, 0.08), -1, rng.normal(-0.05, 0.12)]))
        shins.append(np.array([rng.normal(spread * 0.2, 0.08), rng.normal(0.0, 0.28), -1]))
    style = rng.random()
    if style < 0.14:  # one leg over the other
        thighs[0] = np.array([-0.25, -1, 0.15])
        shins[0] = np.array([-0.3, rng.uniform(-0.6, 0.1), -1])
    elif style < 0.24:  # on the ground, legs stretched or bent
        for i in range(2):
            raised = rng.uniform(0, 0.9)
            thighs[i] = np.array([rng.normal(0.15, 0.1), -1, raised])
            shins[i] = np.array([rng.normal(0.05, 0.1), -1 + 1.3 * raised, -0.15 - raised])
    elif style < 0.34:  # on the ground, legs folded
        thighs = [np.array([0.9, -1, 0.1]), np.array([0.9, -1, 0.1])]
        shins = [np.array([-1.2, -0.1, -0.35]), np.array([-1.2, 0.15, -0.35])]
    return Legs(_mirrored(*thighs), _mirrored(*shins), lean=rng.normal(6, 15), seat=style >= 0.34)


def _crouch(rng: Random) -> Legs:
    depth = rng.uniform(-0.4, 0.35)
    thighs = [np.array([rng.uniform(0.1, 0.5), -1, rng.normal(depth, 0.1)]) for _ in range(2)]
    shins = [np.array([rng.normal(0.05, 0.08), rng.uniform(0.35, 0.9), -1]) for _ in range(2)]
    if rng.random() < 0.3:  # on a knee
        thighs[1] = np.array([0.1, -0.1, -1])
        shins[1] = np.array([0, 1, -0.15])
    return Legs(_mirrored(*thighs), _mirrored(*shins), lean=rng.uniform(0, 50))


def _lunge(rng: Random) -> Legs:
    front = np.array([rng.normal(0.1, 0.15), -1, rng.uniform(-1.2, 0.3)])
    back = np.array([rng.normal(0.1, 0.15), rng.uniform(0.2, 1.0), -1])
    shin_front = np.array([rng.normal(0.05, 0.1), rng.uniform(-0.5, 0.4), -1])
    shin_back = back + np.array([0, rng.uniform(0, 1.0), 0.0])
    pairs = [(front, shin_front), (back, shin_back)]
    if rng.random() < 0.5:
        pairs.reverse()
    (a, c), (b, d) = pairs
    return Legs(_mirrored(a, b), _mirrored(c, d), (rng.uniform(0, 25),) * 2, rng.normal(15, 15))


def _straddle(rng: Random) -> Legs:
    """Stand with legs wide apart, to the sides."""
    thighs = [np.array([rng.uniform(0.2, 0.9), rng.normal(0, 0.2), -1]) for _ in range(2)]
    shins = [t * np.array([0.8, 1, 1]) + [0, rng.uniform(0, 0.5), 0] for t in thighs]
    return Legs(_mirrored(*thighs), _mirrored(*shins), lean=rng.normal(8, 15))


def _bend(rng: Random) -> Legs:
    legs = _stand(rng)
    legs.lean = rng.uniform(35, 110)
    return legs


def _any(rng: Random) -> Legs:
    thighs, shins = [], []
    for _ in range(2):
        hip = np.radians(rng.uniform(-25, 110))
        knee = np.radians(max(0, rng.normal(40, 40)))
        out = rng.normal(0.15, 0.3)
        thighs.append(np.array([out, -np.sin(hip), -np.cos(hip)]))
        shins.append(np.array([out * 0.7, -np.sin(hip - knee), -np.cos(hip - knee)]))
    return Legs(
        _mirrored(*thighs), _mirrored(*shins), tuple(rng.uniform(0, 40, 2)), rng.normal(10, 22)
    )


def _kick(rng: Random) -> Legs:
    """Stand on one leg and swing the other, from far behind to high in front."""
    knee = rng.uniform(0, 0.5)
    stands = np.array([rng.normal(0.1, 0.12), -knee * 0.5, -1])
    shin = np.array([rng.normal(0.05, 0.1), knee * 0.6, -1])
    hip = np.radians(rng.uniform(-60, 100))
    bend = np.radians(rng.uniform(20, 110) if hip < 0.2 else abs(rng.normal(0, 35)))
    out = rng.normal(0.35, 0.35)
    swings = np.array([out, -np.sin(hip), -np.cos(hip)])
    swung = np.array([out * 0.8, -np.sin(hip - bend), -np.cos(hip - bend)])
    pairs = [(stands, shin, 0.0), (swings, swung, rng.uniform(0, 45))]
    if rng.random() < 0.5:
        pairs.reverse()
    (a, c, e), (b, d, f) = pairs
    return Legs(_mirrored(a, b), _mirrored(c, d), (e, f), rng.normal(0, 15))


def _jump(rng: Random) -> Legs:
    """Be in the air, both legs alike or each on its own."""
    hip, knee = rng.uniform(-20, 90), rng.uniform(5, 110)
    thighs, shins = [], []
    for _ in range(2):
        own = rng.normal(0, 1) * rng.choice([6, 35])
        angle = np.radians(hip + own)
        bend = np.radians(np.clip(knee + rng.normal(0, 15), 0, 140))
        out = rng.normal(0.2, 0.25)
        thighs.append(np.array([out, -np.sin(angle), -np.cos(angle)]))
        shins.append(np.array([out * 0.8, -np.sin(angle - bend), -np.cos(angle - bend)]))
    toes = rng.uniform(0, 50)
    return Legs(_mirrored(*thighs), _mirrored(*shins), (toes, toes), rng.normal(8, 18))


def _sport(rng: Random) -> Legs:
    """Play, dance, ride or fall: the whole body leans somewhere, sometimes lies."""
    kinds = (_kick, _jump, _lunge, _run, _straddle, _crouch, _any)
    legs = kinds[rng.choice(len(kinds), p=[0.24, 0.14, 0.18, 0.12, 0.1, 0.1, 0.12])](rng)
    around = rng.uniform(0, 2 * np.pi)
    angle = rng.normal(0, 16) if rng.random() < 0.86 else rng.uniform(30, 95)
    legs.tilt = turn(np.cos(around) * LEFT + np.sin(around) * BACK, angle)
    return legs


LEGS = {
    'stand': (0.34, _stand), 'walk': (0.22, _walk), 'run': (0.07, _run), 'sit': (0.13, _sit),
    'crouch': (0.05, _crouch), 'lunge': (0.05, _lunge), 'straddle': (0.03, _straddle),
    'bend': (0.03, _bend), 'any': (0.08, _any),
}  # fmt: skip


# Arms: directions of the left upper and lower arm in the trunk's axes; and how far they vary.
ARMS = {
    'hang': ((0.2, 0.0, -1), (0.1, -0.22, -1), 0.12),
    'loose': ((0.3, 0.12, -1), (0.0, -0.5, -1), 0.2),
    'front': ((0.25, -0.1, -1), (-0.25, -1, 0.0), 0.3),
    'hold': ((0.2, -0.25, -1), (-0.55, -1, 0.25), 0.25),
    'fold': ((0.25, -0.35, -1), (-1, -0.35, 0.12), 0.12),
    'akimbo': ((0.85, 0.3, -0.9), (-0.8, -0.3, -0.7), 0.15),
    'pocket': ((0.35, 0.28, -1), (-0.15, -0.5, -1), 0.1),
    'behind': ((0.25, 0.4, -1), (-0.6, 0.5, -0.6), 0.12),
    'ear': ((0.5, -0.35, -0.75), (-0.35, -0.2, 1), 0.18),
    'head': ((0.8, -0.35, 0.45), (-0.9, 0.1, 0.7), 0.25),
    'face': ((0.2, -0.55, -0.8), (-0.35, -0.35, 1), 0.2),
    'raise': ((0.45, -0.15, 1), (0.15, -0.1, 1), 0.35),
    'wave': ((1, -0.15, -0.1), (0.25, -0.25, 1), 0.35),
    'point': ((0.35, -1, -0.1), (0.2, -1, 0.0), 0.35),
    'side': ((1, -0.1, 0.0), (1, -0.2, 0.05), 0.3),
    'lap': ((0.2, -0.45, -0.9), (-0.2, -1, -0.25), 0.2),
    'wheel': ((0.3, -0.75, -0.65), (0.0, -1, 0.0), 0.25),
    'back': ((0.3, 0.6, -1), (0.1, 0.25, -1), 0.25),
}  # fmt: skip
TOGETHER = ('hold', 'fold', 'behind', 'lap', 'wheel', 'face', 'head')  # seldom with one arm only
_MIX = {
    'stand': {
        'hang': 0.28, 'loose': 0.12, 'front': 0.1, 'hold': 0.1, 'fold': 0.05, 'akimbo': 0.05,
        'pocket': 0.07, 'behind': 0.03, 'ear': 0.03, 'head': 0.02, 'face': 0.03, 'raise': 0.04,
        'wave': 0.03, 'point': 0.02, 'side': 0.02, 'any': 0.05,
    },
    'walk': {
        'swing': 0.6, 'hang': 0.1, 'front': 0.07, 'hold': 0.06, 'pocket': 0.05, 'ear': 0.03,
        'wave': 0.02, 'raise': 0.01, 'loose': 0.04, 'any': 0.02,
    },
    'run': {
        'swing': 0.8, 'any': 0.1, 'raise': 0.05, 'point': 0.05,
    },
    'sit': {
        'lap': 0.42, 'front': 0.12, 'hold': 0.12, 'wheel': 0.1, 'hang': 0.05, 'fold': 0.05,
        'face': 0.05, 'ear': 0.02, 'back': 0.02, 'any': 0.05,
    },
    'sport': {
        'any': 0.42, 'side': 0.2, 'raise': 0.1, 'point': 0.08, 'swing': 0.08, 'front': 0.05,
        'hold': 0.04, 'back': 0.03,
    },
    'other': {
        'any': 0.35, 'front': 0.1, 'hold': 0.08, 'raise': 0.1, 'side': 0.1, 'point': 0.08,
        'back': 0.05, 'hang': 0.05, 'swing': 0.09,
    },
}  # fmt: skip


def arms(rng: Random, kind: str) -> list[tuple[Array, Array]]:
    """Draw what the arms do, given what the legs do: of each upper and lower direction."""
    mix = _MIX.get(kind, _MIX['other'])
    names, chances = list(mix), np.array(list(mix.values()))
    first, second = (names[i] for i in rng.choice(len(names), 2, p=chances / chances.sum()))
    if (first in TOGETHER and rng.random() < 0.85) or rng.random() < 0.35:
        second = first
    phase = rng.uniform(-1, 1)
    running = kind == 'run'
    return [
        _arm_directions(rng, first, phase, running),
        _arm_directions(rng, second, -phase, running),
    ]


def _arm_directions(rng: Random, name: str, phase: float, running: bool) -> tuple[Array, Array]:
    if name == 'swing':
        angle = phase * rng.uniform(0.3, 0.9 if running else 0.6)
        bend = (
            rng.uniform(1.0, 1.9) if running else abs(rng.normal(0.25, 0.2)) + max(0, angle) * 0.5
        )
        out = rng.normal(0.15, 0.06)
        upper = np.array([out, -np.sin(angle), -np.cos(angle)])
        inward = rng.uniform(0.0, 0.4) * min(bend, 1)
        lower = np.array([out - inward, -np.sin(angle + bend), -np.cos(angle + bend)])
        return upper, lower
    if name == 'any':
        while True:
            upper = _unit(rng.normal(size=3) + np.array([0.5, -0.3, -0.2]))
            if upper[0] > -0.35 and upper[1] < 0.75:
                break
        bend = np.radians(abs(rng.normal(0, 60)) % 140)
        aside = _unit(np.cross(upper, rng.normal(size=3)))
        # Elbows bend to the front, up or inwards, not to the back.
        if aside @ [-0.5, -1, 0.4] < 0:
            aside = -aside
        return upper, np.cos(bend) * upper + np.sin(bend) * aside
    upper, lower, spread = ARMS[name]
    return (
        np.array(upper, float) + rng.normal(0, spread * 0.7, 3),
        np.array(lower, float) + rng.normal(0, spread, 3),
    )


def _unit(vector: Array) -> Array:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _minimal(a: Array, b: Array) -> Array:
    """Return the smallest rotation that brings unit vector a to b."""
    axis = np.cross(a, b)
    sine, cosine = np.linalg.norm(axis), a @ b
    if sine < 1e-6:
        return np.eye(3)
    return turn(axis, np.degrees(np.arctan2(sine, cosine)))
