"""How people are turned, and what that says of what is hidden."""

import numpy as np
import pytest
from beads import CAMERA, joints_of, person, plane, poses_of

from vitpose_ros.core.geometry.anatomy import body_of
from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import sighted
from vitpose_ros.core.geometry.visibility import EVIDENCE, chance_of

pytestmark = pytest.mark.filterwarnings('error')


def look_at(joints, keypoint_set='coco'):
    values = np.minimum(plane(6.0), person(joints, keypoint_set))
    poses = poses_of(joints, keypoint_sets=(keypoint_set,))
    return sighted(poses, body_of(keypoint_set), Depth(values, CAMERA), CAMERA)


@pytest.mark.parametrize('keypoint_set', ['coco', 'wholebody', 'mpii', 'aic'])
@pytest.mark.parametrize('degrees', range(-150, 181, 30))
def test_the_way_across_a_body_is_that_of_its_shoulders(keypoint_set, degrees):
    joints = joints_of(keypoint_set, at=(0.0, 0.1, 2.8), degrees=degrees)
    body = body_of(keypoint_set)
    left, right = body.of('shoulder', 1), body.of('shoulder', -1)
    across = (joints[left] - joints[right]) / np.linalg.norm(joints[left] - joints[right])
    found = look_at(joints, keypoint_set).facing
    assert np.abs(found.across[0, :2] - across[:2]).max() < 0.15
    if abs(across[2]) > 0.4 and body.of('nose') >= 0:  # else the sides look much alike
        assert np.sign(found.across[0, 2]) == np.sign(across[2])
        assert abs(found.across[0, 2] - across[2]) < 0.45
    assert found.frontal[0] == pytest.approx(np.cos(np.radians(degrees)), abs=0.15)


def test_evidence_has_its_names():
    seen = look_at(joints_of(degrees=90))  # faces the image's left: the left side is near
    known = dict(zip(EVIDENCE, seen.evidence[:, 0], strict=True))
    assert (known['one'] == 1).all()
    left, right = 5, 6
    assert known['near side'][left] > 0.5 and known['far side'][left] == 0
    assert known['far side'][right] > 0.5 and known['near side'][right] == 0
    assert known['together'][left] > 0.8
    assert abs(known['frontal'][0]) < 0.2 and abs(known['face'][0]) < 0.2
    front = dict(zip(EVIDENCE, look_at(joints_of()).evidence[:, 0], strict=True))
    assert front['frontal'][0] > 0.9 and front['face'][0] > 0.9
    assert front['together'][left] < 0.1
    assert (front['parent short'][5:] < 0.15).all() and (front['parent long'][5:] < 0.15).all()


def test_chances_are_between_none_and_all():
    seen = look_at(joints_of(degrees=90))
    chance = chance_of(seen.evidence, seen.body)
    assert ((chance > 0) & (chance < 1)).all()
    assert chance[0, 5] > 0.8 > 0.3 > chance[0, 6]
    far_off = chance_of(seen.evidence * 1e6, seen.body)
    assert np.isfinite(far_off).all()
