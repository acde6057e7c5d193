"""Depth images, and their registration, against closed forms."""

import numpy as np
import pytest
from beads import CAMERA, SIZE, plane, rays_of, sphere

from vitpose_ros.core import VitposeError
from vitpose_ros.core.geometry.depth import Depth, registered
from vitpose_ros.core.geometry.pinhole import PinholeCamera


def moved(x=0.0, y=0.0, z=0.0, degrees=0.0):
    """Return (4, 4): the depth camera's frame to the colour camera's."""
    transform = np.eye(4)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    transform[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    transform[:3, 3] = x, y, z
    return transform


def test_a_ray_meets_the_depth_of_its_pixel():
    values = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    depth = Depth(values, PinholeCamera(100, 100, 1, 1))
    places = depth.places(np.array([[0.0, 0.0], [0.01, -0.01], [0.024, 0.0]]))
    assert np.allclose(places, [[1, 2, 3.4], [1, 0, 1]])
    assert depth.at(places).tolist() == [6, 3, 8]
    corners = np.array([[-0.5, 3.4, 3.6, 1.0], [0.0, 0.0, 0.0, 2.7]])
    assert depth.shows(corners).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ('values', 'camera', 'words'),
    [
        (np.zeros((4, 5), np.uint16), CAMERA, 'depth is of uint16; give metres in float32'),
        (np.zeros((4, 5, 1), np.float32), CAMERA, r'depth is \(4, 5, 1\); give an array'),
        (None, CAMERA, 'depth is NoneType'),
        (np.zeros((4, 5), np.float32), None, 'camera of depth is None; give a PinholeCamera'),
    ],
)
def test_what_is_no_depth_image_is_named(values, camera, words):
    with pytest.raises(VitposeError, match=words):
        Depth(values, camera)


def test_holes_are_nan_whatever_they_are_in_the_image():
    depth = Depth(np.array([[0, np.nan, -1, 2]], np.float32), CAMERA)
    found = depth.at(np.array([np.arange(4.0), np.zeros(4)]))
    assert np.isnan(found[:3]).all() and found[3] == 2


def test_what_stands_in_the_same_place_is_the_same():
    values = plane(3.0, slope=(0.3, -0.2))
    values[100:110, 200:220] = np.nan
    values[300:310, 200:220] = 0
    found = registered(values, CAMERA, np.eye(4), CAMERA, SIZE)
    assert found.camera == CAMERA
    values[300:310, 200:220] = np.nan
    assert np.allclose(found.values, values, rtol=1e-6, equal_nan=True)


@pytest.mark.parametrize('size', [(640, 480), (320, 240)])
def test_a_plane_is_seen_from_where_the_colour_camera_is(size):
    """A plane stays one: its depth at each pixel follows from its equation in the new frame."""
    camera = PinholeCamera(400, 400, 310, 250).scaled(size[0] / 640, size[1] / 480)
    transform = moved(x=-0.05, y=0.02, z=0.1, degrees=5)
    values = plane(2.0, camera, size, slope=(0.2, 0.1))
    found = registered(values, camera, transform, CAMERA, SIZE)
    # n p = 2 with n = (-0.2, -0.1, 1) in the depth camera's frame.
    normal = transform[:3, :3] @ (-0.2, -0.1, 1)
    height, width = found.values.shape
    expected = (2 + normal @ transform[:3, 3]) / (rays_of(found.camera, (width, height)) @ normal)
    known = np.isfinite(found.values)
    assert known.mean() > 0.7
    # Half a pixel of the slope.
    assert np.abs(found.values - expected)[known].max() < 0.6 / found.camera.focal_x * 4
    assert found.camera.focal_x == pytest.approx(camera.focal_x)


def test_of_two_surfaces_the_nearer_one_hides_the_other():
    """A sphere before a wall, seen from beside: it moves by its parallax, and hides the wall."""
    centre = np.array([0.0, 0.0, 1.0])
    values = np.minimum(plane(3.0), sphere(centre, 0.1))
    found = registered(values, CAMERA, moved(x=-0.2), CAMERA, SIZE)
    true = np.minimum(plane(3.0), sphere(centre - (0.2, 0, 0), 0.1))
    row, column = 239, round(319.5 - 0.2 * 554)
    assert found.values[row, column] == pytest.approx(0.9, abs=0.005)
    known = np.isfinite(found.values)
    right = np.abs(found.values - true) < 0.03
    assert right[known].mean() > 0.995
    # What only the colour camera sees, to the right of the sphere, is a hole.
    assert not known[row, round(column + 0.15 * 554) : round(column + 0.17 * 554)].any()


def test_another_lens_and_a_crop_have_their_own_principal_point():
    crop = PinholeCamera(554.0, 554.0, 319.5 - 100, 239.5 - 60)  # of columns 100.., rows 60..
    values = plane(2.0, slope=(0.4, 0.0))
    found = registered(values, CAMERA, np.eye(4), crop, (300, 200))
    assert found.values.shape == (200, 300)
    assert np.allclose(found.values, values[60:260, 100:400], rtol=1e-5)


def test_the_second_camera_of_a_pair_has_an_offset():
    """P[3] is minus focal length times base: points are where the first camera sees them."""
    second = PinholeCamera(554.0, 554.0, 319.5, 239.5, offset_x=-554.0 * 0.1)
    values = sphere(np.array([0.1, 0.0, 2.0]), 0.3)  # in the frame of the first camera: at 0.2
    first = registered(values, second, np.eye(4), CAMERA, SIZE)
    true = sphere(np.array([0.2, 0.0, 2.0]), 0.3)
    known = np.isfinite(first.values)
    assert known[239, round(319.5 + 0.1 * 554)]
    assert np.abs(first.values - true)[known & np.isfinite(true)].max() < 0.05


def test_boxes_say_where_to_look():
    values = plane(3.0)
    boxes = np.array([[200, 100, 260, 300]], np.float32)
    found = registered(values, CAMERA, moved(x=-0.05), CAMERA, SIZE, boxes)
    known = np.isfinite(found.values)
    assert known[100:301, 200:261].all()
    assert known.mean() < 0.5
    none = registered(values, CAMERA, np.eye(4), CAMERA, SIZE, np.empty((0, 4), np.float32))
    assert np.isnan(none.values).all()
    behind = registered(values, CAMERA, moved(z=-30), CAMERA, SIZE, boxes)
    assert np.isnan(behind.values).all()


@pytest.mark.parametrize('value', [0, np.nan, np.inf])
def test_an_image_of_holes_stays_one(value):
    values = np.full((48, 64), value, np.float32)
    camera = CAMERA.scaled(0.1, 0.1)
    assert np.isnan(registered(values, camera, moved(x=0.1), CAMERA, SIZE).values).all()
