"""What is known of bodies."""

import numpy as np
import pytest

from vitpose_ros.core.geometry.anatomy import LEFT, MIDDLE, NONE, RIGHT, body_of
from vitpose_ros.core.geometry.visibility import CUES, EVIDENCE
from vitpose_ros.core.geometry.visibility_weights import FACING, WEIGHTS
from vitpose_ros.core.skeletons import SKELETONS

PEOPLE_SETS = [name for name, own in SKELETONS.items() if 'person' in own.classes]


@pytest.mark.parametrize('keypoint_set', list(SKELETONS))
def test_bodies_have_the_keypoints_of_their_set(keypoint_set):
    body, own = body_of(keypoint_set), SKELETONS[keypoint_set]
    k = len(own)
    for values in (body.kinds, body.sides, body.behind, body.spread, body.radius, body.reach):
        assert len(values) == k
    assert body.bones.shape == body.bone_lengths.shape == (2, k)
    assert (body.behind > 0).all() and (body.radius > 0).all() and (body.bone_lengths > 0).all()
    assert body.is_person == ('person' in own.classes)
    paired = np.flatnonzero(body.counterparts != NONE)
    assert (body.counterparts[body.counterparts[paired]] == paired).all()
    assert body_of(keypoint_set) is body


@pytest.mark.parametrize('keypoint_set', PEOPLE_SETS)
def test_people_hang_together(keypoint_set):
    """Outwards from the trunk each keypoint hangs on one of its side or of the middle."""
    body = body_of(keypoint_set)
    for i, (kind, side, parent) in enumerate(
        zip(body.kinds, body.sides, body.parents, strict=True)
    ):
        assert parent not in (NONE, i), kind
        if side != MIDDLE and body.sides[parent] != MIDDLE:
            assert side == body.sides[parent], kind
        steps, at = 0, i
        while body.kinds[at] not in ('shoulder', 'hip'):
            at, steps = body.parents[at], steps + 1
            assert steps < 6, kind
    for side in (LEFT, RIGHT):
        wrist = body.of('wrist', side)
        assert body.kinds[body.parents[wrist]] == 'elbow' and body.sides[wrist] == side


def test_hands_and_faces_are_not_limbs():
    body = body_of('wholebody')
    assert body.fine.sum() == 110
    assert {body.kinds[i] for i in np.flatnonzero(body.fine)} == {'hand', 'face'}
    assert not body.fine[body.limbs].any()


def test_animals_are_of_one_kind_each():
    body = body_of('ap10k')
    assert (body.parents == NONE).all() and len(body.measures) == 0
    assert len(set(body.behind)) == 1


def test_there_is_a_weight_for_each_piece_of_evidence():
    assert len(FACING) == len(CUES)
    assert {len(row) for row in WEIGHTS.values()} == {len(EVIDENCE)}
    fine = {'face', 'hand'}  # they follow what they hang on
    for name in PEOPLE_SETS:
        assert set(body_of(name).kinds) - fine <= set(WEIGHTS), name
