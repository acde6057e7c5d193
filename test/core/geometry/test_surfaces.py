"""Surfaces at keypoints, against planes, cylinders and people of spheres."""

import numpy as np
import pytest
from beads import CAMERA, joints_of, person, plane, poses_of, rays_of

from vitpose_ros.core.geometry.anatomy import body_of
from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.surfaces import STEREO, DepthError, surfaces_of

pytestmark = pytest.mark.filterwarnings('error')
COCO = body_of('coco')
SIZE = (640, 480)


def looked(values, joints, *, error=STEREO, expected=None):
    keypoints = poses_of(joints).keypoints.astype(float)
    rays = (keypoints - (CAMERA.centre_x, CAMERA.centre_y)) / CAMERA.focal_x
    none = np.full(1, np.nan) if expected is None else np.array([expected])
    with np.errstate(invalid='ignore'):  # as lift has it
        return surfaces_of(
            rays, np.ones((1, len(joints)), bool), COCO, Depth(values, CAMERA), error, none
        )


def cylinder(x, z, radius):
    """Return the depth (h, w) of an upright cylinder around (x, z), infinite beside it."""
    rays = rays_of(CAMERA, SIZE)
    a, b = rays[..., 0] ** 2 + 1, rays[..., 0] * x + z
    inside = b * b - a * (x * x + z * z - radius * radius)
    near = (b - np.sqrt(np.maximum(inside, 0))) / a
    return np.where(inside >= 0, near, np.inf).astype(np.float32)


def test_a_plane_is_where_it_is():
    error = DepthError(0.01, 0.002, alike=9.0)
    joints = joints_of(at=(0.0, 0.0, 2.6))
    found = looked(plane(2.0), joints, error=error)
    inside = np.isfinite(found.z[0])
    assert found.trunk[0] == pytest.approx(2.0, abs=1e-6)
    assert inside.sum() >= 15 and np.allclose(found.z[0, inside], 2.0, atol=1e-6)
    # A patch averages over as many errors as fit into it, and one.
    radius = COCO.radius * CAMERA.focal_x / 2.0
    sigma = (0.01 + 0.002 * 4) / np.sqrt(1 + np.pi * (radius / 9) ** 2)
    assert np.allclose(found.sigma[0, inside], sigma[inside])


def test_a_limb_is_seen_on_its_front_before_a_wall():
    """The mean of a cylinder's front lies between its nearest line and its middle."""
    joints = joints_of(at=(0.0, 0.0, 2.5))
    elbow = COCO.kinds.index('elbow')
    x, z = joints[elbow, 0], joints[elbow, 2]
    values = np.minimum(plane(2.9), cylinder(x, z, 0.045))
    found = looked(values, joints).z[0, elbow]
    assert z - 0.045 - 0.002 < found < z - 0.02


def test_of_a_patch_the_nearest_surface_counts_and_specks_do_not():
    joints = joints_of(at=(0.0, 0.0, 2.5))
    values = plane(2.5)
    elbow = COCO.kinds.index('elbow')
    x, y = np.rint(poses_of(joints).keypoints[0, elbow]).astype(int)
    values[y - 20 : y + 20, x : x + 20] = 2.3  # half of the patch
    values[y : y + 2, x - 3 : x - 1] = 2.0  # flying pixels
    assert looked(values, joints).z[0, elbow] == pytest.approx(2.3, abs=1e-3)


def test_what_is_far_before_or_behind_the_body_does_not_count():
    joints = joints_of(at=(0.0, 0.0, 2.5))
    shoulder = COCO.kinds.index('shoulder')
    x, y = np.rint(poses_of(joints).keypoints[0, shoulder]).astype(int)
    for z in (1.2, 3.5):
        values = plane(2.5)
        values[y - 20 : y + 20, x - 20 : x + 20] = z
        assert np.isnan(looked(values, joints).z[0, shoulder])


def test_a_body_is_found_before_a_wall_and_behind_a_bar():
    joints = joints_of(at=(0.0, 0.2, 2.5))
    values = np.minimum(plane(3.2), person(joints))
    values[200:240] = 1.0
    assert looked(values, joints).trunk[0] == pytest.approx(2.4, abs=0.1)


def test_how_large_people_are_decides_between_depths():
    """Half of the keypoints are on something at 1.3 m: a person of that size would be a dwarf."""
    joints = joints_of(at=(0.0, 0.2, 3.0))
    values = np.minimum(plane(5.0), person(joints))
    values[:, 318:] = 1.3
    assert looked(values, joints).trunk[0] == pytest.approx(2.9, abs=0.15)
    assert looked(values, joints, expected=1.3).trunk[0] == pytest.approx(1.3, abs=0.15)


def test_how_much_lies_deeper_is_counted():
    joints = joints_of(at=(0.0, 0.2, 2.5))
    values = plane(2.0)
    assert looked(values, joints).deeper[0] == 0
    values[:150] = 3.0  # the head
    assert 0.1 < looked(values, joints).deeper[0] < 0.5
