"""Shapes laid on poses, against a solver, and what they tell of boxes."""

import numpy as np
import pytest

from vitpose_ros.core import SKELETONS
from vitpose_ros.core.tracks.shapes import NOISE, STEADINESS, completed, fit


def fitted(shape, points, weight, *, height=200.0, held=0.1, steady=None):
    k = len(shape)
    return fit(
        shape[None],
        points[None],
        weight[None],
        np.ones((1, k)) if steady is None else steady[None],
        np.array([height]),
        np.array([held]),
        np.full((1, k), 0.01),
    )


def test_a_shape_moved_and_grown_is_found_where_it_is():
    rng = np.random.default_rng(0)
    shape = rng.uniform(-0.4, 0.4, (17, 2))
    found = fitted(shape, np.array([310.0, 120.0]) + 180.0 * shape, np.ones(17), held=100.0)
    assert found.numbers[0] == pytest.approx([310, 120, np.log(180)], abs=1e-3)
    assert found.alike[0] == pytest.approx(1)


def test_the_fit_is_that_of_weighted_least_squares_with_the_height_held():
    rng = np.random.default_rng(1)
    shape, weight = rng.uniform(-0.4, 0.4, (17, 2)), rng.uniform(0, 1, 17)
    points = np.array([310.0, 120.0]) + 150.0 * shape + rng.normal(0, 9, (17, 2))
    found = fitted(shape, points, weight, height=200.0, held=0.02)
    # Unknown: y of the centre, and the height. Rows: one per keypoint, and the prediction.
    root = np.sqrt(weight)
    left = np.stack((root, root * shape[:, 1]), axis=1)
    left = np.vstack((left, [0, NOISE / np.sqrt(0.02)]))
    right = np.append(root * points[:, 1], NOISE / np.sqrt(0.02) * 200.0)
    (y, height), *_ = np.linalg.lstsq(left, right, rcond=None)
    assert np.exp(found.numbers[0, 2]) == pytest.approx(height)
    assert found.numbers[0, 1] == pytest.approx(y)
    x = np.average(points[:, 0] - height * shape[:, 0], weights=weight)
    assert found.numbers[0, 0] == pytest.approx(x)
    covariance = np.linalg.inv(left.T @ left) * NOISE**2 * height**2
    assert found.variances[0, 1] == pytest.approx(covariance[0, 0])
    assert found.variances[0, 2] == pytest.approx(covariance[1, 1] / height**2)


def test_without_keypoints_in_common_the_fit_is_finite_and_unsure():
    found = fitted(np.ones((17, 2)), np.ones((17, 2)), np.zeros(17), height=200.0)
    assert np.isfinite(found.numbers).all() and found.told[0] == 0 and found.alike[0] == 0
    assert found.variances[0, 0] > 1e6


def test_errors_of_keypoints_make_errors_as_large_as_the_fit_says():
    rng = np.random.default_rng(2)
    shape = rng.uniform(-0.4, 0.4, (17, 2))
    off = []
    for _ in range(600):
        points = 200.0 * (shape + rng.normal(0, NOISE, (17, 2)))
        found = fitted(shape, points, np.ones(17), held=100.0)
        off.append((found.numbers[0] - (0, 0, np.log(200))) / np.sqrt(found.variances[0]))
    assert np.std(off, axis=0) == pytest.approx([1, 1, 1], abs=0.12)


def test_sides_behind_which_something_is_hidden_are_those_of_the_whole():
    whole = np.array([[100.0, 100, 200, 300]] * 3)
    boxes = np.array([[150.0, 101, 199, 300], [90, 90, 230, 260], [98, 100, 200, 300]])
    got = completed(boxes, whole, slack=np.full(3, 10.0))
    assert got.tolist() == [[100, 101, 199, 300], [90, 90, 230, 300], [98, 100, 200, 300]]


def test_limbs_count_less_and_many_points_of_a_face_or_hand_like_few():
    steady = dict(zip(SKELETONS, STEADINESS, strict=True))
    coco = dict(zip(SKELETONS['coco'].keypoint_names, steady['coco'], strict=False))
    assert coco['left_wrist'] < coco['left_shoulder'] == coco['nose'] == 1
    body, rest = steady['wholebody'][:17].sum(), steady['wholebody'][17:].sum()
    assert rest < body / 4
    assert (steady['coco'][17:] == 0).all()
