"""Joints in metres, against people of spheres whose joints are known."""

import dataclasses

import numpy as np
import pytest
from beads import CAMERA, SIZE, joints_of, person, plane, poses_of

from vitpose_ros.core.geometry.anatomy import body_of
from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import (
    INFERRED,
    MEASURED,
    PIXELS,
    SPREAD_POWER,
    SPREAD_SHARE,
    UNKNOWN,
    DepthError,
    lift,
)
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.skeletons import SKELETONS

pytestmark = pytest.mark.filterwarnings('error')
PEOPLE_SETS = [name for name, own in SKELETONS.items() if 'person' in own.classes]
SHOULDERS, HIPS, ELBOWS, WRISTS = [5, 6], [11, 12], [7, 8], [9, 10]


def seen(*people, sets=('coco',), wall=5.0, camera=CAMERA, size=SIZE):
    """Return the depth of people (joints) before a wall."""
    sets = sets if len(sets) == len(people) else sets * len(people)
    images = [
        person(joints, name, 1.0, camera, size) for joints, name in zip(people, sets, strict=True)
    ]
    return Depth(np.minimum.reduce([plane(wall, camera, size), *images]), camera)


def errors(found, joints, row=0):
    return np.linalg.norm(found.points[row, : len(joints)] - joints, axis=1)


@pytest.mark.parametrize('degrees', [0, 30, -30, 180])
@pytest.mark.parametrize('distance', [1.5, 2.5, 4.0])
def test_a_standing_person_is_measured(degrees, distance):
    joints = joints_of(at=(0.1, 0.0, distance), degrees=degrees)
    found = lift(poses_of(joints), seen(joints), CAMERA)
    in_view = (poses_of(joints).keypoints[0, :, 1] < 479) & (np.arange(17) > 4)
    assert (found.states[0, in_view] == MEASURED).mean() > (0.85 if abs(degrees) < 90 else 0.7)
    off = errors(found, joints)[(found.states[0] == MEASURED) & in_view]
    assert np.median(off) < 0.02 and off.max() < 0.09
    assert found.points.dtype == np.float32 and found.states.dtype == np.uint8
    assert np.linalg.norm(found.position[0] - joints[HIPS].mean(axis=0)) < 0.05


def test_joints_behind_the_body_are_not_measured():
    """From the side, the far shoulder, arm and hip; they are inferred, behind the near ones."""
    joints = joints_of(at=(0.0, 0.2, 2.5), degrees=90)  # the right side is far
    found = lift(poses_of(joints), seen(joints), CAMERA)
    far = [SHOULDERS[1], ELBOWS[1], HIPS[1]]
    near = [SHOULDERS[0], ELBOWS[0], HIPS[0]]
    assert (found.states[0, far] == INFERRED).all()
    assert (found.states[0, near] == MEASURED).all()
    assert (found.points[0, far, 2] > found.points[0, near, 2] + 0.1).all()
    assert errors(found, joints)[far].max() < 0.12


@pytest.mark.parametrize('keypoint_set', PEOPLE_SETS)
def test_all_keypoint_sets_of_people_are_lifted(keypoint_set):
    joints = joints_of(keypoint_set)
    found = lift(
        poses_of(joints, keypoint_sets=(keypoint_set,)), seen(joints, sets=(keypoint_set,)), CAMERA
    )
    own = SKELETONS[keypoint_set]
    body = np.array([i not in own.fine for i in range(len(own))])
    body &= np.array(body_of(keypoint_set).kinds) != 'heel'  # the feet hide them from the front
    assert (found.states[0, body] == MEASURED).mean() > 0.8
    measured = body & (found.states[0] == MEASURED)
    assert np.median(errors(found, joints)[measured]) < 0.03


def test_animals_are_measured_and_nothing_is_inferred():
    rng = np.random.default_rng(0)
    joints = rng.uniform((-0.4, -0.3, 2.4), (0.4, 0.3, 2.6), (17, 3))
    depth = seen(joints, sets=('ap10k',))
    scores = np.where(np.arange(17) == 3, 0.1, 1.0)
    found = lift(poses_of(joints, keypoint_sets=('ap10k',), scores=scores), depth, CAMERA)
    assert found.states[0, 3] == UNKNOWN
    assert set(found.states[0].tolist()) <= {UNKNOWN, MEASURED}
    assert (found.states[0] == MEASURED).mean() > 0.7  # some hide others
    assert np.linalg.norm(found.position[0] - joints.mean(axis=0)) < 0.2


def test_several_keypoint_sets_share_a_frame():
    sets = ('wholebody', 'coco', 'ap10k', 'aic', 'mpii')
    people = [joints_of(name, at=(0.9 * i - 1.8, 0.1, 4.0)) for i, name in enumerate(sets)]
    people[2] = people[2] + np.random.default_rng(0).uniform(-0.2, 0.2, people[2].shape)
    depth = seen(*people, sets=sets, wall=7.0)
    found = lift(poses_of(*people, keypoint_sets=sets), depth, CAMERA)
    assert found.points.shape == (5, 133, 3) and found.covariances.shape == (5, 133, 3, 3)
    for row, (name, joints) in enumerate(zip(sets, people, strict=True)):
        alone = lift(poses_of(joints, keypoint_sets=(name,)), depth, CAMERA)
        k = len(joints)
        assert np.array_equal(found.points[row, :k], alone.points[0], equal_nan=True)
        assert (found.states[row, :k] == alone.states[0]).all()
        assert (found.states[row, k:] == UNKNOWN).all()
        assert np.isnan(found.points[row, k:]).all()
        assert np.array_equal(found.position[row], alone.position[0])


def test_depth_of_half_the_size_gives_the_same_joints():
    joints = joints_of()
    half = CAMERA.scaled(0.5, 0.5)
    full = lift(poses_of(joints), seen(joints), CAMERA)
    found = lift(poses_of(joints), seen(joints, camera=half, size=(320, 240)), CAMERA)
    assert (found.states == full.states).mean() > 0.9
    both = (found.states == MEASURED) & (full.states == MEASURED)
    assert np.abs(found.points - full.points)[both].max() < 0.03


def test_a_crop_of_the_colour_image_gives_the_same_joints():
    """Its principal point is elsewhere; the depth image is the whole one."""
    joints = joints_of(at=(0.3, 0.0, 2.5))
    crop = PinholeCamera(CAMERA.focal_x, CAMERA.focal_y, CAMERA.centre_x - 150, 199.5)
    whole = lift(poses_of(joints), seen(joints), CAMERA)
    found = lift(poses_of(joints, camera=crop, size=(400, 400)), seen(joints), crop)
    assert (found.states == whole.states).all()
    assert np.allclose(found.points, whole.points, atol=1e-4, equal_nan=True)


def test_an_image_that_lies_on_its_side_gives_the_same_joints():
    """Somebody who lies is somebody who stands, for a camera that is turned."""
    joints = joints_of(at=(0.0, 0.0, 3.2), degrees=40)
    depth = seen(joints)
    upright = lift(poses_of(joints), depth, CAMERA)
    turned = joints[:, (1, 0, 2)] * (-1, 1, 1)  # up is to the right
    camera = PinholeCamera(554.0, 554.0, 479 - CAMERA.centre_y, CAMERA.centre_x)
    values = np.ascontiguousarray(depth.values.T[:, ::-1])
    poses = poses_of(turned, camera=camera, size=(480, 640))
    found = lift(poses, Depth(values, camera), camera)
    same = (found.states == upright.states)[0]  # pixels are rounded to other sides
    assert same.sum() >= 16
    expected = upright.points[0][:, (1, 0, 2)] * (-1, 1, 1)
    assert np.allclose(found.points[0, same], expected[same], atol=0.01)
    assert found.position[0] == pytest.approx(
        upright.position[0][[1, 0, 2]] * (-1, 1, 1), abs=0.01
    )


@pytest.mark.parametrize('hole', [np.nan, 0.0, np.inf])
def test_holes_do_not_count(hole):
    joints = joints_of()
    depth = seen(joints)
    whole = lift(poses_of(joints), depth, CAMERA)
    torn = depth.values.copy()
    torn[np.random.default_rng(0).random(torn.shape) < 0.4] = hole
    found = lift(poses_of(joints), Depth(torn, CAMERA), CAMERA)
    assert (found.states == whole.states).mean() > 0.9
    both = (found.states == MEASURED) & (whole.states == MEASURED)
    assert np.abs(found.points - whole.points)[both].max() < 0.03


@pytest.mark.parametrize('hole', [np.nan, 0.0, np.inf])
def test_without_depth_nothing_is_known(hole):
    joints = joints_of()
    found = lift(poses_of(joints), Depth(np.full((480, 640), hole, np.float32), CAMERA), CAMERA)
    assert (found.states == UNKNOWN).all()
    for values in (found.points, found.covariances, found.position, found.position_covariance):
        assert np.isnan(values).all()


def test_depth_without_subjects_gives_none():
    poses = poses_of(joints_of())[[]]
    found = lift(poses, seen(joints_of()), CAMERA)
    assert found.points.shape == (0, 17, 3) and found.position.shape == (0, 3)


def test_keypoints_that_are_not_sure_are_not_looked_at():
    joints = joints_of()
    scores = np.where(np.arange(17) == WRISTS[0], 0.3, 0.9)
    sure = lift(poses_of(joints, scores=scores), seen(joints), CAMERA)
    assert sure.states[0, WRISTS[0]] == INFERRED, 'the network is not sure where it is'
    told = lift(poses_of(joints, scores=scores), seen(joints), CAMERA, sure_score=0.2)
    assert told.states[0, WRISTS[0]] == MEASURED
    np.testing.assert_array_equal(told.points, sure.points)
    unsure = lift(poses_of(joints, scores=scores), seen(joints), CAMERA, min_score=0.5)
    assert unsure.states[0, WRISTS[0]] == UNKNOWN
    others = np.arange(17) != WRISTS[0]
    assert (unsure.states[0, others] == sure.states[0, others]).all()
    nobody = lift(poses_of(joints, scores=0.1), seen(joints), CAMERA)
    assert (nobody.states == UNKNOWN).all() and np.isnan(nobody.position).all()
    broken = poses_of(joints)
    broken.keypoints[0, WRISTS[0]] = np.nan
    assert lift(broken, seen(joints), CAMERA).states[0, WRISTS[0]] == UNKNOWN


def test_who_stands_at_the_border_is_measured_where_the_image_goes():
    joints = joints_of(at=(1.45, 0.2, 2.5))  # the left half is beyond
    poses = poses_of(joints)
    outside = poses.keypoints[0, :, 0] > 639.5
    assert 3 < outside.sum() < 14
    found = lift(poses, seen(joints), CAMERA)
    assert (found.states[0, outside] != MEASURED).all()
    assert (found.states[0, ~outside & (np.arange(17) > 4)] == MEASURED).mean() > 0.8
    assert np.linalg.norm(found.position[0] - joints[HIPS].mean(axis=0)) < 0.12


def test_of_two_depths_the_expected_one_counts():
    """Behind a board that hides half: where the track was, the person is."""
    joints = joints_of(at=(0.0, 0.2, 3.0))
    depth = seen(joints)
    values = depth.values.copy()
    values[:, 320:] = 2.2  # and all of the left side
    for z in (2.2, 3.0):
        found = lift(poses_of(joints), Depth(values, CAMERA), CAMERA, expected=np.array([z]))
        assert found.position[0, 2] == pytest.approx(z, abs=0.3)
    without = lift(poses_of(joints), Depth(values, CAMERA), CAMERA, expected=np.array([np.nan]))
    default = lift(poses_of(joints), Depth(values, CAMERA), CAMERA)
    assert np.array_equal(without.points, default.points, equal_nan=True)


def test_who_is_hidden_by_somebody_is_not_at_that_place():
    """Most keypoints of the one behind are on the one in front, who looks larger."""
    front = joints_of(at=(0.0, 0.2, 2.0))
    back = joints_of(at=(0.15, 0.2, 3.6))
    found = lift(poses_of(front, back), seen(front, back), CAMERA)
    assert np.linalg.norm(found.position[0] - front[HIPS].mean(axis=0)) < 0.1
    measured = found.states[1] == MEASURED
    assert measured.any() and errors(found, back, 1)[measured].max() < 0.15


def test_children_are_small_not_far():
    joints = joints_of(at=(0.0, 0.2, 2.0), size=0.65)
    depth = Depth(np.minimum(plane(5.0), person(joints, size=0.65)), CAMERA)
    found = lift(poses_of(joints), depth, CAMERA)
    body = np.arange(17) > 4
    assert (found.states[0, body] == MEASURED).mean() > 0.8
    assert np.nanmedian(errors(found, joints)[body]) < 0.02


def test_covariances_follow_from_pixels_and_depths():
    """Across the ray the pixels' error at the joint's depth, along it that of the depth."""
    joints = joints_of()
    poses = poses_of(joints)
    found = lift(poses, seen(joints), CAMERA, error=DepthError(0.0, 0.0))
    row = SHOULDERS[0]
    z = found.points[0, row, 2]
    ray = np.append((poses.keypoints[0, row] - (319.5, 239.5)) / 554.0, 1.0)
    covariance = found.covariances[0, row].astype(float)
    across = np.cross(ray, (0.0, 1.0, 0.0))  # at a right angle to the ray: no depth in it
    across /= np.linalg.norm(across)
    expected = (PIXELS * z / 554.0) ** 2 * across[0] ** 2
    assert across @ covariance @ across == pytest.approx(expected, rel=1e-3)
    wider = lift(poses, seen(joints), CAMERA, error=DepthError(0.1, 0.0, alike=1000.0))
    more = wider.covariances[0, row, 2, 2] - covariance[2, 2]
    assert more == pytest.approx(0.1**2, rel=0.05)
    assert np.linalg.eigvalsh(found.covariances[found.states > 0]).min() > 0


def test_spread_of_heatmaps_is_taken_as_wide_as_it_proved_to_be():
    joints = joints_of()
    spread = np.broadcast_to(np.diag([400.0, 100.0]), (1, 17, 2, 2)).astype(np.float32)
    poses = poses_of(joints, spread=spread, scores=0.5)
    found = lift(poses, seen(joints), CAMERA)
    row = HIPS[0]
    z = found.points[0, row, 2]
    share = SPREAD_SHARE * 0.5**SPREAD_POWER
    ray = (poses.keypoints[0, row] - (319.5, 239.5)) / 554.0
    own = (
        found.covariances[0, row]
        - np.outer(ray_of(ray), ray_of(ray)) * (found.covariances[0, row, 2, 2])
    )
    assert own[0, 0] == pytest.approx(400 * share * (z / 554) ** 2, rel=1e-3)
    assert own[1, 1] == pytest.approx(100 * share * (z / 554) ** 2, rel=1e-3)


def ray_of(xy):
    return np.append(xy, 1.0)


def test_the_frame_is_that_of_the_first_camera_of_a_pair():
    """With an offset in the projection matrix, the points move by the base, and nothing else."""
    joints = joints_of()
    second = dataclasses.replace(CAMERA, offset_x=-55.4)
    plain = lift(poses_of(joints), seen(joints), CAMERA)
    found = lift(poses_of(joints), Depth(seen(joints).values, second), second)
    known = found.states > 0
    assert np.allclose((found.points - plain.points)[known], (0.1, 0, 0), atol=1e-5)
    assert np.allclose(found.position - plain.position, (0.1, 0, 0), atol=1e-5)
    back = second.project(found.points[known])
    assert np.abs(back - poses_of(joints).keypoints[known]).max() < 1e-3


def test_the_same_gives_the_same():
    people = [joints_of(at=(x, 0.2, 3.0 + x), degrees=50 * x) for x in (-0.8, 0.1, 0.9)]
    depth, poses = seen(*people), poses_of(*people)
    first, second = lift(poses, depth, CAMERA), lift(poses, depth, CAMERA)
    for name in ('points', 'states', 'covariances', 'position', 'position_covariance'):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
    backwards = lift(poses[::-1], depth, CAMERA)
    assert np.array_equal(backwards.points[::-1], first.points, equal_nan=True)
