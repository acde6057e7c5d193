"""Poses: how people stand, walk, sit and move their arms, as turns of their bones.

A pose starts from directions: of each thigh and shin, of each upper and lower arm, drawn around
what people do. The turns of the bones follow from them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from world.arms import arms
from world.bodies import BodyModel, Person
from world.directions import BACK, FORWARD, LEFT, UP, cross, smallest_turn, turn, unit
from world.legs import LEGS, Legs, ride, wheelchair
from world.legs import sport as sport_legs

Array = NDArray[Any]
Random = np.random.Generator

GLANCE, FARTHEST_GLANCE = 24.0, 75.0  # how far heads turn to a side, degrees: as usual, at most


def sample(
    rng: Random, model: BodyModel, body: Person, sport: float = 0.0, glance: float = GLANCE
) -> tuple[dict[str, Array], bool]:
    """Draw a pose.

    sport: the share of people in motion, as players and dancers are; glance: how far heads turn
    to a side, degrees, the standard deviation.
    Returns turns of bones for BodyModel.bend, and whether it sits on a seat.
    """
    if sport and rng.random() < sport:
        return assemble(rng, model, body, 'sport', sport_legs(rng), glance=glance)
    kinds = list(LEGS)
    kind = kinds[rng.choice(len(kinds), p=[LEGS[k][0] for k in kinds])]
    return assemble(rng, model, body, kind, LEGS[kind][1](rng), glance=glance)


def on_wheels(
    rng: Random, model: BodyModel, body: Person, vehicle: str, glance: float = GLANCE
) -> dict[str, Array]:
    """Draw the turns of the bones of who sits in a wheelchair or on a bicycle."""
    if vehicle == 'wheelchair':
        return assemble(rng, model, body, vehicle, wheelchair(rng), glance=glance)[0]
    return assemble(rng, model, body, 'ride', ride(rng), glance=glance)[0]


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
        upper, lower = limb(model, body, ('upperleg01', 'lowerleg01', 'foot'), s, thigh, shin)
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
        arm(rng, model, body, turns, s, upper_arm, lower_arm)
    return turns, legs.seat


def limb(
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
    rest_upper, rest_lower = unit(heads[1] - heads[0]), unit(heads[2] - heads[1])
    leg = bones[0].startswith('upperleg')
    # Knees bend about the left; elbows about what the bent elbows at rest say.
    axis = LEFT if leg else unit(cross(rest_upper, rest_lower))
    upper, lower = unit(upper), unit(lower)
    normal = cross(upper, lower)
    if leg:  # a straight knee faces the front
        normal = normal + 0.35 * (LEFT - upper * (LEFT @ upper))
    elif np.linalg.norm(normal) < 0.15:
        normal = normal + 0.2 * cross(upper, FORWARD + 0.2 * UP)
    normal = unit(normal - upper * (normal @ upper))
    axis = unit(axis - rest_upper * (axis @ rest_upper))
    first = np.stack((upper, normal, cross(upper, normal)), axis=1)
    rest = np.stack((rest_upper, axis, cross(rest_upper, axis)), axis=1)
    whole = first @ rest.T
    bend = smallest_turn(rest_lower, whole.T @ lower)
    return whole, bend


def arm(
    rng: Random,
    model: BodyModel,
    body: Person,
    turns: dict[str, Array],
    side: str,
    upper: Array,
    lower: Array,
) -> None:
    """Add the turns of an arm; directions in the trunk's axes, of the left arm."""
    turns.update(arm_turns(model, body, side, upper, lower))
    turns.update(hand_turns(rng, model, body, side))


def arm_turns(
    model: BodyModel, body: Person, side: str, upper: Array, lower: Array
) -> dict[str, Array]:
    """Return the turns that bring an arm into directions, in the trunk's axes, of the left arm."""
    mirror = np.array([1.0, 1, 1]) if side == 'L' else np.array([-1.0, 1, 1])
    upper, lower = unit(upper) * mirror, unit(lower) * mirror
    whole, bend = limb(model, body, ('upperarm01', 'lowerarm01', 'wrist'), side, upper, lower)
    rise = max(0.0, np.degrees(np.arcsin(np.clip(upper[2], -1, 1))) + 20) * 0.3
    clavicle = turn(BACK, -rise * mirror[0])
    return {
        f'clavicle.{side}': clavicle,
        f'upperarm01.{side}': clavicle.T @ whole,
        f'lowerarm01.{side}': bend,
    }


def hand_turns(rng: Random, model: BodyModel, body: Person, side: str) -> dict[str, Array]:
    """Draw how a hand is turned and what its fingers do."""
    turns: dict[str, Array] = {}
    outside = 1.0 if side == 'L' else -1.0
    heads = [body.heads[model.bone(f'{bone}.{side}')] for bone in ('lowerarm01', 'wrist')]
    along = heads[1] - heads[0]
    roll = rng.normal(0, 30)
    turns[f'lowerarm02.{side}'] = turn(along, roll * outside * 0.6)
    turns[f'wrist.{side}'] = (
        turn(along, roll * outside * 0.4)
        @ turn(LEFT, rng.normal(0, 14))
        @ turn(BACK, rng.normal(0, 14))
    )
    # Fingers bend together, from stretched to a fist; about the line across the knuckles.
    across = (
        body.heads[model.bone(f'finger5-1.{side}')] - body.heads[model.bone(f'finger2-1.{side}')]
    )
    curl = rng.choice([rng.uniform(-10, 25), rng.uniform(25, 80)], p=[0.7, 0.3]) * outside
    for finger in range(2, 6):
        for joint in (1, 2, 3):
            more = curl + rng.normal(0, 6)
            turns[f'finger{finger}-{joint}.{side}'] = turn(across, more)
    return turns
