"""Lifting of what is merely poor: it says what is not known, and raises nothing."""

import numpy as np
import pytest
from beads import CAMERA, SIZE, joints_of, person, plane, poses_of

from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import INFERRED, MEASURED, UNKNOWN, Joints, lift
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.skeletons import SKELETONS

pytestmark = pytest.mark.filterwarnings('error')
HIPS = [11, 12]


def before_a_wall(*people, keypoint_set='coco', camera=CAMERA, size=SIZE):
    images = [person(joints, keypoint_set, 1.0, camera, size) for joints in people]
    return Depth(np.minimum.reduce([plane(5.0, camera, size), *images]), camera)


def assert_sound(found):
    """What is known is finite, with a covariance that is one; what is unknown is NaN."""
    known = found.states != UNKNOWN
    assert np.isfinite(found.points[known]).all() and np.isnan(found.points[~known]).all()
    assert np.isnan(found.covariances[~known]).all()
    covariances = found.covariances[known]
    assert np.isfinite(covariances).all() and (np.linalg.eigvalsh(covariances) > 0).all()
    placed = np.isfinite(found.position).all(axis=1)
    assert (placed == known.any(axis=1)).all()
    assert (np.linalg.eigvalsh(found.position_covariance[placed]) > 0).all()


def assert_unknown(found):
    assert (found.states == UNKNOWN).all() and np.isnan(found.position).all()
    assert_sound(found)


@pytest.mark.parametrize('value', [np.nan, 0.0, np.inf, -1.0, 1e6])
@pytest.mark.parametrize('keypoint_set', ['coco', 'wholebody', 'ap10k'])
def test_an_image_of_one_value_that_is_no_depth_measures_nothing(value, keypoint_set):
    joints = np.resize(joints_of(), (len(SKELETONS[keypoint_set]), 3))
    poses = poses_of(joints, keypoint_sets=(keypoint_set,))
    found = lift(poses, Depth(np.full((480, 640), value, np.float32), CAMERA), CAMERA)
    assert_unknown(found)


@pytest.mark.parametrize('shape', [(0, 0), (0, 640), (1, 1)])
def test_an_image_of_no_size_measures_nothing(shape):
    assert_unknown(
        lift(poses_of(joints_of()), Depth(np.full(shape, 2.5, np.float32), CAMERA), CAMERA)
    )


@pytest.mark.parametrize('noise', ['uniform', 'half holes'])
def test_depths_at_random_give_joints_that_are_sound(noise):
    rng = np.random.default_rng(0)
    values = rng.uniform(0.1, 8.0, SIZE[::-1]).astype(np.float32)
    if noise == 'half holes':
        values[rng.random(values.shape) < 0.5] = 0
    people = [joints_of(at=(x, 0.2, 3.0), degrees=90 * x) for x in (-1.0, 0.0, 1.0)]
    assert_sound(lift(poses_of(*people), Depth(values, CAMERA), CAMERA))


def test_other_intrinsics_and_half_the_size_give_the_same_joints():
    joints = joints_of()
    camera = PinholeCamera(240.0, 250.0, 150.0, 130.0)  # wider, and not in the middle
    whole = lift(poses_of(joints), before_a_wall(joints), CAMERA)
    found = lift(poses_of(joints), before_a_wall(joints, camera=camera, size=(320, 240)), CAMERA)
    both = (found.states == MEASURED) & (whole.states == MEASURED)
    assert both.sum() >= 12 and np.abs(found.points - whole.points)[both].max() < 0.03
    assert_sound(found)


def test_a_depth_image_that_sees_less_measures_what_it_sees():
    joints = joints_of()
    depth = before_a_wall(joints)
    rows = 200  # of 480, from the top
    found = lift(poses_of(joints), Depth(depth.values[:rows], CAMERA), CAMERA)
    below = poses_of(joints).keypoints[0, :, 1] > rows
    assert (found.states[0, below] != MEASURED).all() and found.states[0, ~below].any()
    assert_sound(found)


@pytest.mark.parametrize('k', [0, 17])
def test_no_people_give_no_joints(k):
    nobody = Poses(
        *SIZE, np.zeros((0, 4), np.float32), (), np.zeros((0, k, 2), np.float32),
        np.zeros((0, k), np.float32),
    )  # fmt: skip
    found = lift(nobody, before_a_wall(joints_of()), CAMERA)
    assert found.points.shape == (0, k, 3) and found.position_covariance.shape == (0, 3, 3)
    spread = np.ones((1, 17, 2, 2), np.float32)
    none = poses_of(joints_of(), spread=spread)[[]]
    assert len(lift(none, before_a_wall(joints_of()), CAMERA).points) == 0


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e30])
def test_keypoints_that_are_nowhere_are_unknown_and_harm_no_others(value):
    joints = joints_of()
    poses, rows = poses_of(joints, joints_of(at=(0.9, 0.2, 3.0))), [3, 7, 15]
    poses.keypoints[0, rows] = value
    depth = before_a_wall(joints, joints_of(at=(0.9, 0.2, 3.0)))
    found = lift(poses, depth, CAMERA)
    assert (found.states[0, rows] != MEASURED).all()
    assert (found.states[0] == MEASURED).sum() >= 10
    assert_sound(found)
    poses.keypoints[0] = value
    gone = lift(poses, depth, CAMERA)
    assert (gone.states[0] == UNKNOWN).all() and np.isnan(gone.position[0]).all()
    assert np.array_equal(gone.points[1], found.points[1], equal_nan=True)


def test_scores_that_are_nan_are_not_trusted():
    joints = joints_of()
    poses = poses_of(joints, scores=np.where(np.arange(17) < 5, np.nan, 1.0))
    found = lift(poses, before_a_wall(joints), CAMERA)
    assert (found.states[0, :5] == UNKNOWN).all() and (found.states[0, HIPS] == MEASURED).all()


def test_spreads_that_are_not_known_leave_covariances_that_are_ones():
    joints = joints_of()
    for value in (np.nan, 0.0, np.inf):
        spread = np.full((1, 17, 2, 2), value, np.float32)
        found = lift(poses_of(joints, spread=spread), before_a_wall(joints), CAMERA)
        assert (found.states == MEASURED).sum() >= 12
        assert_sound(found)


@pytest.mark.parametrize('x', [-3.0, 3.0, 40.0])
def test_boxes_and_keypoints_outside_the_image_are_not_measured(x):
    joints = joints_of(at=(x, 0.2, 2.5))
    assert (np.abs(poses_of(joints).boxes[0, ::2] - 320) > 321).all()
    assert_unknown(lift(poses_of(joints), before_a_wall(joints_of()), CAMERA))


def test_mixed_keypoint_sets_are_measured_animals_too():
    """Of animals no anatomy is known: what the camera sees is measured, nothing is inferred."""
    sets = list(SKELETONS)
    rng = np.random.default_rng(1)
    people, images = [], []
    for i, name in enumerate(sets):
        at = (1.1 * i - 0.55 * (len(sets) - 1), 0.1, 5.0)
        if 'person' in SKELETONS[name].classes:
            joints = joints_of(name, at=at)
        else:
            joints = at + rng.uniform(
                (-0.4, -0.3, -0.1), (0.4, 0.3, 0.1), (len(SKELETONS[name]), 3)
            )
        people.append(joints)
        images.append(person(joints, name))
    depth = Depth(np.minimum.reduce([plane(8.0), *images]), CAMERA)
    found = lift(poses_of(*people, keypoint_sets=sets), depth, CAMERA)
    assert_sound(found)
    for row, name in enumerate(sets):
        k = len(SKELETONS[name])
        seen_rows = poses_of(people[row], keypoint_sets=(name,)).keypoints[0]
        inside = ((seen_rows > 0) & (seen_rows < (639, 479))).all(axis=1)
        inside[list(SKELETONS[name].fine)] = False  # these people have no hands and faces
        assert (found.states[row, k:] == UNKNOWN).all()
        assert (found.states[row, :k] == MEASURED)[inside].mean() > 0.6, name
        if 'person' not in SKELETONS[name].classes:
            assert (found.states[row] != INFERRED).all()


def test_expected_depths_that_are_nonsense_harm_little():
    joints = joints_of()
    for value in (np.nan, np.inf, -5.0, 1e9):
        found = lift(poses_of(joints), before_a_wall(joints), CAMERA, expected=np.array([value]))
        assert (found.states == MEASURED).sum() >= 12
        assert_sound(found)


def test_joints_move_with_their_covariances():
    """Against samples: the mean and the covariance of points that are moved one by one."""
    found = lift(poses_of(joints_of()), before_a_wall(joints_of()), CAMERA)
    angle = np.radians(30)
    transform = np.eye(4)
    transform[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)],
    ]  # fmt: skip
    transform[:3, :3] = transform[:3, :3] @ [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    transform[:3, 3] = 1.0, -2.0, 0.5
    moved = found.moved(transform)
    assert moved.states is found.states
    assert moved.points.dtype == moved.covariances.dtype == moved.position.dtype == np.float32
    rng = np.random.default_rng(0)
    for mean, covariance, new_mean, new_covariance in (
        (found.points[0, 5], found.covariances[0, 5], moved.points[0, 5], moved.covariances[0, 5]),
        *zip(
            *(found.position, found.position_covariance),
            *(moved.position, moved.position_covariance),
            strict=True,
        ),
    ):
        drawn = rng.multivariate_normal(mean, covariance, 100_000)
        drawn = np.column_stack((drawn, np.ones(len(drawn)))) @ transform.T
        assert new_mean == pytest.approx(drawn[:, :3].mean(axis=0), abs=2e-3)
        assert new_covariance == pytest.approx(np.cov(drawn[:, :3].T), rel=0.05, abs=3e-5)
    back = moved.moved(np.linalg.inv(transform))
    assert np.allclose(back.points, found.points, atol=1e-5, equal_nan=True)
    assert np.allclose(back.covariances, found.covariances, atol=1e-7, equal_nan=True)


def test_unknown_joints_stay_unknown_when_they_move():
    moved = Joints.unknown(2, 17).moved(np.eye(4))
    assert_unknown(moved)
