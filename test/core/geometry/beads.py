"""Depth images in closed form: people of spheres, planes, cylinders."""

import numpy as np

from vitpose_ros.core.geometry.anatomy import body_of
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.skeletons import SKELETONS

CAMERA = PinholeCamera(554.0, 554.0, 319.5, 239.5)
SIZE = (640, 480)  # width, height

# Somebody who stands upright, as large as anatomy.py has people: metres from the middle of the
# hips to the person's left, down, and ahead.
STANDING = {
    'hip': (0.0985, 0.0, 0.0), 'knee': (0.11, 0.42, 0.02), 'ankle': (0.11, 0.842, 0.0),
    'shoulder': (0.1665, -0.52, 0.0), 'elbow': (0.25, -0.25, 0.0), 'wrist': (0.27, -0.01, 0.07),
    'ear': (0.077, -0.73, 0.0), 'eye': (0.031, -0.76, 0.08), 'nose': (0.0, -0.72, 0.11),
    'neck': (0.0, -0.58, 0.0), 'upper_neck': (0.0, -0.67, 0.01), 'head_top': (0.0, -0.85, 0.02),
    'pelvis': (0.0, 0.0, 0.0), 'toe': (0.12, 0.88, 0.18), 'heel': (0.11, 0.88, -0.05),
}  # fmt: skip


def joints_of(keypoint_set='coco', *, at=(0.0, 0.2, 2.5), degrees=0.0, size=1.0):
    """Return the joints (k, 3) metres; degrees: 0 faces the camera, 90 the image's left."""
    body = body_of(keypoint_set)
    own = np.array(
        [
            STANDING.get(kind, (0, 0, 0)) * np.array([side or 1, 1, 1])
            for kind, side in zip(body.kinds, body.sides, strict=True)
        ]
    )
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, z = own[:, 0] * c - own[:, 2] * s, -own[:, 0] * s - own[:, 2] * c
    return size * np.stack((x, own[:, 1], z), axis=1) + at


def rays_of(camera, size):
    width, height = size
    x = (np.arange(width) - camera.centre_x) / camera.focal_x
    y = (np.arange(height) - camera.centre_y) / camera.focal_y
    return np.stack((*np.meshgrid(x, y), np.ones((height, width))), axis=-1)


def plane(z, camera=CAMERA, size=SIZE, slope=(0.0, 0.0)):
    """Return the depth (h, w) of a plane z + slope * (x, y)."""
    rays = rays_of(camera, size)
    return (z / (1 - rays[..., :2] @ slope)).astype(np.float32)


def sphere(centre, radius, camera=CAMERA, size=SIZE):
    """Return the depth (h, w) of a sphere, infinite beside it."""
    depth = np.full(size[::-1], np.inf, np.float32)
    add_sphere(depth, centre, radius, rays_of(camera, size), camera)
    return depth


def add_sphere(depth, centre, radius, rays, camera):
    """Put a sphere into an image (h, w)."""
    x, y = camera.project(np.asarray(centre)[None])[0]
    reach = 2 * radius * camera.focal_x / (centre[2] - radius) + 2
    rows = slice(max(0, int(y - reach)), max(0, int(y + reach)))
    columns = slice(max(0, int(x - reach)), max(0, int(x + reach)))
    rays = rays[rows, columns]
    square, along = (rays * rays).sum(axis=-1), rays @ centre
    inside = along**2 - square * (np.dot(centre, centre) - radius**2)
    near = (along - np.sqrt(np.maximum(inside, 0))) / square
    part = depth[rows, columns]
    part[...] = np.where(inside >= 0, np.minimum(part, near), part)


def person(joints, keypoint_set='coco', size=1.0, camera=CAMERA, image=SIZE):
    """Return the depth (h, w) of beads on the joints, and on the limbs; infinite beside them.

    On the ray to a joint the skin is as far before it as anatomy.py says.
    """
    body = body_of(keypoint_set)
    depth, rays = np.full(image[::-1], np.inf, np.float32), rays_of(camera, image)
    for joint, radius in zip(joints, size * body.behind, strict=True):
        add_sphere(depth, joint, radius, rays, camera)
    for one, other in body.limbs:
        for share in np.arange(0.1, 0.95, 0.1):
            centre = joints[one] * (1 - share) + joints[other] * share
            add_sphere(depth, centre, 0.03 * size, rays, camera)
    return depth


def poses_of(*people, keypoint_sets=('coco',), camera=CAMERA, size=SIZE, scores=1.0, spread=None):
    """Return the poses of people's joints (k, 3) as a camera sees them."""
    k = max(len(joints) for joints in people)
    points, all_scores = np.full((len(people), k, 2), np.nan), np.full((len(people), k), np.nan)
    for row, joints in enumerate(people):
        points[row, : len(joints)] = camera.project(np.asarray(joints))
        all_scores[row, : len(joints)] = scores
    boxes = np.concatenate((np.nanmin(points, axis=1), np.nanmax(points, axis=1)), axis=1)
    keypoint_sets = tuple(keypoint_sets) * (1 if len(keypoint_sets) > 1 else len(people))
    assert all(name in SKELETONS for name in keypoint_sets)
    return Poses(
        *size,
        boxes.astype(np.float32),
        keypoint_sets,
        points.astype(np.float32),
        all_scores.astype(np.float32),
        spread,
    )
