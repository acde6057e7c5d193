"""The pinhole camera."""

import numpy as np
import pytest

from vitpose_ros.core.geometry.pinhole import PinholeCamera


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


def test_a_projection_matrix_gives_its_camera():
    projection = [800, 0, 310, -40, 0, 820, 250, 16, 0, 0, 1, 0]
    camera = PinholeCamera.from_projection(projection, 0.5, 0.25)
    points = np.array([[0, 0], [100.5, 20.25], [639, 479]], np.float32)
    for (u, v), (x, y, z) in zip(points, camera.at_depth(points, 4.0), strict=True):
        # By the matrix, in the large image; its pixels cover several of the small one.
        homogeneous = np.reshape(projection, (3, 4)) @ (x, y, z, 1)
        large = homogeneous[:2] / homogeneous[2]
        assert ((large[0] + 0.5) * 0.5 - 0.5, (large[1] + 0.5) * 0.25 - 0.5) == pytest.approx(
            (u, v), abs=1e-4
        )
        assert z == 4.0


@pytest.mark.parametrize(
    'projection', [[0.0] * 12, [np.nan] * 12, [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]]
)
def test_a_matrix_that_is_not_of_a_camera_is_refused(projection):
    assert PinholeCamera.from_projection(projection) is None
