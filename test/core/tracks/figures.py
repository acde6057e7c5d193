"""Poses of people who stand where they are put."""

import numpy as np

from vitpose_ros.core import SKELETONS, Poses

# COCO's keypoints of somebody who faces the camera, in heights, from the centre of the box.
SHAPE = np.array(
    [
        *([0, -0.42], [0.02, -0.44], [-0.02, -0.44], [0.04, -0.43], [-0.04, -0.43]),
        *([0.11, -0.3], [-0.11, -0.3], [0.14, -0.12], [-0.14, -0.12], [0.15, 0.03]),
        *([-0.15, 0.03], [0.07, 0.02], [-0.07, 0.02], [0.07, 0.24], [-0.07, 0.24]),
        *([0.07, 0.46], [-0.07, 0.46]),
    ]
)
WIDTH, HEIGHT = 1280, 720
SECOND = 1_000_000_000


def ns(seconds):
    """Return a stamp in nanoseconds, of a clock that began long ago."""
    return 1_700_000_000 * SECOND + round(seconds * SECOND)


def poses(*people, scores=None, skeletons=None, ids=(), keypoints=True, classes=()):
    """Return poses of people, each (x, y, height) or (x, y, height, mirrored): pixels."""
    names = tuple(skeletons or ('coco',) * len(people))
    k = max((len(SKELETONS[name]) for name in names), default=0)
    points = np.full((len(people), k, 2), np.nan, dtype=np.float32)
    boxes = np.zeros((len(people), 4), dtype=np.float32)
    for row, (x, y, height, *mirrored) in enumerate(people):
        shape = SHAPE * (-1, 1) if mirrored and mirrored[0] else SHAPE
        own = len(SKELETONS[names[row]])
        points[row, :own] = (x, y) + height * np.resize(shape, (own, 2))
        half = height * np.array([0.18, 0.5])
        boxes[row] = (x - half[0], y - half[1], x + half[0], y + half[1])
    if not keypoints:
        points[:] = np.nan
    return Poses(
        WIDTH,
        HEIGHT,
        boxes,
        names,
        points,
        np.where(np.isfinite(points[..., 0]), 0.9, np.nan).astype(np.float32),
        track_ids=list(ids),
        class_names=list(classes),
        box_scores=[] if scores is None else list(scores),
    )
