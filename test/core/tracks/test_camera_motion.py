"""What a moving camera does to its image, against projected points."""

import numpy as np
import pytest

from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.tracks.motion import CameraMotion, inverse_of, rotated, transformed

CAMERA = PinholeCamera(500, 520, 310, 250)


def pose(yaw, pitch, roll, place):
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in (yaw, pitch, roll))
    result = np.eye(4)
    result[:3, :3] = (
        np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    )
    result[:3, 3] = place
    return result


def pixels(points):
    return points[:, :2] / points[:, 2:] * (500, 520) + (310, 250)


OLD, NEW = pose(0.1, 0.0, 0.0, (1, 2, 3)), pose(0.35, -0.1, 0.2, (1.2, 2, 3.4))
STEP = inverse_of(NEW) @ OLD
POINTS = np.array([[0.5, -0.3, 2.0], [-1.0, 0.4, 4.0], [0.2, 0.2, 8.0]])


def test_points_of_known_depth_are_found_where_the_new_image_has_them():
    world = transformed(OLD, POINTS)
    expected = pixels(transformed(inverse_of(NEW), world))
    places, _ = CameraMotion(CAMERA, STEP).move(pixels(POINTS), POINTS[:, 2])
    assert np.allclose(places, expected)


def test_without_depth_the_rotation_alone_counts():
    turned = NEW.copy()
    turned[:3, 3] = OLD[:3, 3]
    expected = pixels(transformed(inverse_of(turned), transformed(OLD, POINTS)))
    places, _ = CameraMotion(CAMERA, STEP).move(pixels(POINTS), np.full(3, np.inf))
    assert np.allclose(places, expected)
    # The same by the homography.
    k = np.array([[500, 0, 310], [0, 520, 250], [0, 0, 1]])
    by_matrix = (
        np.column_stack((pixels(POINTS), np.ones(3))) @ (k @ STEP[:3, :3] @ np.linalg.inv(k)).T
    )
    assert np.allclose(places, by_matrix[:, :2] / by_matrix[:, 2:])


@pytest.mark.parametrize('depths', [POINTS[:, 2], np.full(3, np.inf)])
def test_derivatives_are_those_of_differences(depths):
    motion, at, tiny = CameraMotion(CAMERA, STEP), pixels(POINTS), 1e-4
    _, derivatives = motion.move(at, depths)
    for axis in (0, 1):
        step = np.zeros(2)
        step[axis] = tiny
        difference = motion.move(at + step, depths)[0] - motion.move(at - step, depths)[0]
        assert np.allclose(derivatives[:, :, axis], difference / (2 * tiny), atol=1e-5)


def test_what_comes_behind_the_camera_stays_finite():
    turn = np.eye(4)
    turn[0, 0] = turn[2, 2] = -1.0  # half a turn
    places, derivatives = CameraMotion(CAMERA, turn).move(pixels(POINTS), np.full(3, np.inf))
    assert np.isfinite(places).all() and np.isfinite(derivatives).all()


def test_covariances_turn_with_their_frame():
    rng = np.random.default_rng(0)
    covariance = np.diag([1.0, 4.0, 9.0])
    samples = rng.multivariate_normal(np.zeros(3), covariance, 40000)
    expected = np.cov(transformed(NEW, samples).T)
    assert np.allclose(rotated(NEW, covariance[None])[0], expected, atol=0.2)
    assert np.allclose(inverse_of(NEW) @ NEW, np.eye(4))
