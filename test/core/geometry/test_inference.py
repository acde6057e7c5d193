"""Inferred joints lie on their rays, a bone's length from what they hang on."""

import numpy as np
import pytest

from vitpose_ros.core.geometry.anatomy import body_of
from vitpose_ros.core.geometry.inference import DEEP_M, UNSURE, infer
from vitpose_ros.core.geometry.visibility import Facing

pytestmark = pytest.mark.filterwarnings('error')
COCO = body_of('coco')
L_SHOULDER, R_SHOULDER, L_ELBOW, L_WRIST, L_EAR, L_EYE = 5, 6, 7, 9, 3, 1


def infer_one(joints, wanted, *, surface=None, scale=1.0, left_is_far=0.5):
    """Infer joints from those of a dict of index → (3,) metres; returns points (17, 3), sigmas."""
    points = np.full((17, 3), np.nan)
    rays = np.zeros((1, 17, 2))
    for index, point in joints.items():
        rays[0, index] = np.array(point[:2]) / point[2]
        if index not in wanted:
            points[index] = point
    seen = np.full((1, 17), np.nan)
    for index, z in (surface or {}).items():
        seen[0, index] = z
    flags = np.zeros((1, 17), bool)
    flags[0, list(wanted)] = True
    across = np.array([[0.8, 0.0, left_is_far]])
    facing = Facing(across, np.array([0.8]), np.zeros(1), np.zeros((1, 9)))
    with np.errstate(invalid='ignore'):  # as lift has it
        z, variance = infer(points[None, :, 2], flags, rays, seen, np.array([scale]), facing, COCO)
    return np.append(rays[0], np.ones((17, 1)), axis=1) * z[0, :, None], np.sqrt(variance[0])


def bone(joint):
    return COCO.parent_lengths[joint]


def test_a_limb_goes_to_the_farther_place_at_its_length():
    shoulder = np.array([0.2, -0.3, 2.5])
    towards = np.array([0.3, 0.6, 0.4]) / np.linalg.norm([0.3, 0.6, 0.4])
    for scale in (1.0, 0.7):
        elbow = shoulder + scale * bone(L_ELBOW) * towards
        found, sigma = infer_one({L_SHOULDER: shoulder, L_ELBOW: elbow}, {L_ELBOW}, scale=scale)
        assert found[L_ELBOW] == pytest.approx(elbow, abs=1e-9)
        assert sigma[L_ELBOW] == pytest.approx(UNSURE * scale * bone(L_ELBOW))


def test_chains_go_outwards():
    shoulder = np.array([0.2, -0.3, 2.5])
    elbow = shoulder + bone(L_ELBOW) * np.array([0.6, 0.0, 0.8])
    wrist = elbow + bone(L_WRIST) * np.array([0.0, 0.6, 0.8])
    joints = {L_SHOULDER: shoulder, L_ELBOW: elbow, L_WRIST: wrist}
    found, _ = infer_one(joints, {L_ELBOW, L_WRIST})
    assert found[L_WRIST] == pytest.approx(wrist, abs=1e-9)


def test_a_ray_that_misses_gives_its_closest_place():
    shoulder = np.array([0.0, 0.0, 2.0])
    found, _ = infer_one({L_SHOULDER: shoulder, L_ELBOW: (1.0, 0.0, 2.0)}, {L_ELBOW})
    ray = np.array([1.0, 0.0, 2.0]) / np.sqrt(5)
    assert found[L_ELBOW] == pytest.approx(ray * (ray @ shoulder), abs=1e-9)


def test_the_other_shoulder_is_on_the_side_that_is_turned_away():
    left = np.array([0.1, -0.3, 2.5])
    right = left + COCO.widths[R_SHOULDER] * np.array([-0.6, 0.0, 0.8])
    found, _ = infer_one({L_SHOULDER: left, R_SHOULDER: right}, {R_SHOULDER}, left_is_far=-0.5)
    assert found[R_SHOULDER] == pytest.approx(right, abs=1e-9)
    near = left + COCO.widths[R_SHOULDER] * np.array([-0.6, 0.0, -0.8])
    found, _ = infer_one({L_SHOULDER: left, R_SHOULDER: near}, {R_SHOULDER}, left_is_far=0.5)
    assert found[R_SHOULDER] == pytest.approx(near, abs=1e-9)


def test_nothing_hidden_lies_before_what_hides_it():
    shoulder = np.array([0.2, -0.3, 2.5])
    elbow = shoulder + bone(L_ELBOW) * np.array([0.6, 0.0, 0.8])
    surface = {L_ELBOW: 3.1}
    found, _ = infer_one({L_SHOULDER: shoulder, L_ELBOW: elbow}, {L_ELBOW}, surface=surface)
    assert found[L_ELBOW, 2] == pytest.approx(3.1 + DEEP_M)


def test_in_heads_the_first_place_behind_the_surface_counts():
    ear = np.array([0.05, -0.5, 2.0])
    eye = ear + bone(L_EYE) * np.array([0.6, 0.0, -0.8])
    far = ear + bone(L_EYE) * np.array([0.6, 0.0, 0.8])
    for z, expected in ((1.8, eye), (1.99, None)):
        found, _ = infer_one({L_EAR: ear, L_EYE: eye}, {L_EYE}, surface={L_EYE: z})
        if expected is not None:
            assert found[L_EYE] == pytest.approx(expected, abs=1e-9)
        else:
            assert found[L_EYE, 2] > z and found[L_EYE, 2] < far[2] + 0.02


def test_without_what_it_hangs_on_a_joint_stays_unknown():
    found, _ = infer_one({L_WRIST: (0.0, 0.0, 2.0)}, {L_WRIST})
    assert np.isnan(found).all()
