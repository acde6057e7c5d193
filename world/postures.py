"""Postures: the turns of bones that bring hips, feet and hands where a moment has them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world import poses
from world.bodies import BodyModel, Person
from world.directions import BACK, LEFT, UP, turn, unit
from world.limbs import REACH, Limbs
from world.motion import Moment

Array = NDArray[Any]

# Directions of the left upper and lower arm, in the trunk's axes: see poses.assemble.
HANG = np.array([(0.17, 0.0, -1), (0.1, -0.25, -1)])
LAP = np.array([(0.22, -0.42, -0.95), (-0.18, -1, -0.2)])
UPRIGHT = np.array([(0.9, -0.2, -0.25), (0.45, -0.25, 1.0)])  # waving; mirrored for the right
TO_AND_FRO = np.array([(0, 0, 0), (0.6, 0, 0)])
SPINE, NECK = [f'spine0{i}' for i in range(1, 6)], ('neck01', 'neck02', 'neck03', 'head')


@dataclass(frozen=True)
class Posture:
    """A body that is posed: what its bones do, and where it is."""

    transforms: Array  # (b, 12): see BodyModel.transforms; in the world
    heads: Array  # (b, 3) float32 metres in the world
    joints: Array  # (n, 3) of bodies.NAMES


class Poser:
    """Poses one person."""

    def __init__(self, model: BodyModel, person: Person, seed: int, shoe: float = 0.0) -> None:
        """Take the body; the seed says how its hands are held; shoe: its soles, metres."""
        self.limbs = Limbs.of(model, person, shoe)
        self.person = person
        self._model = model
        rng = np.random.default_rng(seed)
        self._hands = {
            bone: matrix
            for side in 'LR'
            for bone, matrix in poses.hand_turns(rng, model, person, side).items()
        }
        self._anchors = model.anchors(person)

    def pose(self, moment: Moment) -> Posture:
        """Return the posture at a moment."""
        model = self._model
        transforms, heads = model.transforms(self.person, self.turns(moment))
        facing = turn(UP, np.degrees(moment.heading) + 90)  # bodies face -y
        hips = (heads[model.bone('upperleg01.L')] + heads[model.bone('upperleg01.R')]) / 2
        shift = np.append(moment.place, moment.height) - facing @ hips
        moved = facing @ transforms.reshape(-1, 3, 4)
        moved[:, :, 3] += shift
        transforms = moved.reshape(-1, 12).astype(np.float32)
        heads = (heads @ facing.T + shift).astype(np.float32)
        joints = model.keypoints_of(self._anchors, transforms, heads)
        return Posture(transforms, heads, joints)

    def turns(self, moment: Moment) -> dict[str, Array]:
        """Return the turns of the bones, see BodyModel.bend."""
        limbs = self.limbs
        root = (
            turn(UP, float(moment.twist))
            @ turn(LEFT, float(moment.lean) * 0.5)
            @ turn(BACK, float(moment.roll))
        )
        turns: dict[str, Array] = {'root': root}
        # The trunk turns back what the hips did to the sides, and the shoulders turn against them.
        step = (
            turn(LEFT, float(moment.lean) * 0.1)
            @ turn(BACK, -float(moment.roll) * 0.2)
            @ turn(UP, -float(moment.twist) * 0.4)
        )
        turns.update(dict.fromkeys(SPINE, step))
        left, down = (float(a) for a in moment.glance)
        look = turn(UP, left / 4) @ turn(LEFT, (down - 0.6 * float(moment.lean)) / 4)
        turns.update(dict.fromkeys(NECK, look))

        ankles = limbs.ankles(moment.feet, moment.yaws, moment.pitches, moment.lifts)
        centre = np.append(moment.place, moment.height)
        facing = turn(UP, np.degrees(moment.heading) + 90)
        for i, side in enumerate('LR'):
            outside = 1 if i == 0 else -1
            hip = root @ np.array([outside * limbs.hips, 0, 0])
            ankle = facing.T @ (ankles[i] - centre)
            yaw = np.degrees(moment.yaws[i] - moment.heading)
            thigh, shin = _leg(limbs, ankle - hip, turn(UP, yaw / 2) @ -BACK)
            bones = ('upperleg01', 'lowerleg01', 'foot')
            upper, lower = poses.limb(self._model, self.person, bones, side, thigh, shin)
            turns[f'upperleg01.{side}'] = root.T @ upper
            turns[f'lowerleg01.{side}'] = lower
            pitch = float(np.degrees(moment.pitches[i]))
            splay = outside * 6.0
            turns[f'foot.{side}'] = (upper @ lower).T @ turn(UP, yaw + splay) @ turn(LEFT, pitch)
            toes = turn(LEFT, -max(0.0, pitch))
            turns.update({f'toe{n}-1.{side}': toes for n in range(1, 6)})

        turns.update(self._hands)
        for side, (upper, lower) in zip('LR', self._arms(moment), strict=True):
            turns.update(poses.arm_turns(self._model, self.person, side, upper, lower))
        return turns

    def _arms(self, moment: Moment) -> list[Array]:
        """Return of both arms the directions (2, 3) of upper and lower arm, as if left."""
        lap = float(moment.seated)
        arms = []
        for swing, waving in ((-moment.swing, 0.0), (moment.swing, moment.waving)):
            forward = max(0.0, float(swing))
            upper = turn(LEFT, -np.degrees(swing)) @ HANG[0]
            lower = turn(LEFT, -np.degrees(swing + 0.6 * forward)) @ HANG[1]
            arm = np.stack((upper, lower)) * (1 - lap) + LAP * lap
            raised = UPRIGHT + moment.wave * TO_AND_FRO
            arms.append(arm * (1 - waving) + raised * waving)
        return arms


def _leg(limbs: Limbs, way: Array, front: Array) -> tuple[Array, Array]:
    """Return the directions of thigh and shin that bring the ankle the way (3,) from the hip.

    front: where the knee bends to.
    """
    a, b = limbs.thigh, limbs.shin
    far = float(np.clip(np.linalg.norm(way), abs(a - b) * 1.05, REACH * limbs.leg))
    along = unit(way)
    aside = unit(front - along * (front @ along))
    cosine = (a * a + far * far - b * b) / (2 * a * far)
    knee = a * (cosine * along + np.sqrt(max(0.0, 1 - cosine**2)) * aside)
    return unit(knee), unit(far * along - knee)
