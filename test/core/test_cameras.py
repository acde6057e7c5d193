"""The pinhole camera."""

import numpy as np
import pytest

from vitpose_ros.core.cameras import PinholeCamera


def test_points_project_back_to_their_pixels():
    camera = PinholeCamera(500, 520, 310, 250)
    pixels = np.array([[0, 0], [310, 250], [639.5, 479.5]], dtype=np.float32)
    points = camera.at_depth(pixels, 2.5)
    assert points.shape == (3, 3) and (points[:, 2] == 2.5).all()
    back = points[:, :2] / points[:, 2:] * (500, 520) + (310, 250)
    assert np.allclose(back, pixels, atol=1e-4)


def test_the_nominal_camera_sees_53_degrees():
    camera = PinholeCamera.nominal(640, 480)
    left, right = camera.at_depth(np.array([[-0.5, 0], [639.5, 0]]), 1.0)
    angle = np.degrees(np.arctan(right[0]) - np.arctan(left[0]))
    assert angle == pytest.approx(53.13, abs=0.01)
    assert left[0] < 0 and camera.at_depth(np.array([[0, 0]]), 1.0)[0, 1] < 0  # x right, y down
