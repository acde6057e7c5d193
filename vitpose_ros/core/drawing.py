"""Skeletons drawn into images."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.skeletons import SKELETONS, Skeleton
from vitpose_ros.core.types import Channels, Pose

# RGB. Left and right are the subject's own.
LEFT = (0, 200, 255)
RIGHT = (255, 140, 0)
CENTRE = (110, 235, 90)

MIN_SCORE = 0.25  # keypoints below it are not drawn
SUBPIXEL_BITS = 4  # OpenCV draws at 1/16 pixel


def side_colour(name: str) -> tuple[int, int, int]:
    """Return the RGB colour for a keypoint, by the side that its name tells."""
    if name.startswith(('left', 'L_')):
        return LEFT
    return RIGHT if name.startswith(('right', 'R_')) else CENTRE


def edge_colour(skeleton: Skeleton, edge: tuple[int, int]) -> tuple[int, int, int]:
    """Return the RGB colour of a limb: that of its side, or the centre's across the body."""
    start, end = (side_colour(skeleton.keypoint_names[index]) for index in edge)
    return start if start == end else CENTRE


def draw_poses(
    image: NDArray[np.uint8],
    poses: Iterable[Pose],
    *,
    min_score: float = MIN_SCORE,
    channels: Channels = 'rgb',
) -> NDArray[np.uint8]:
    """Return a copy of an image with the skeletons drawn into it.

    image: (h, w, 3) uint8; channels: its order, 'rgb', or 'bgr' as OpenCV reads files.
    Keypoints with a score below min_score, and limbs that end in one, are left out.
    """
    canvas: NDArray[np.uint8] = np.ascontiguousarray(image).copy()
    order = 1 if channels == 'rgb' else -1
    thickness = max(1, round(min(image.shape[:2]) / 240))
    limit = 4 * max(image.shape[:2])  # far outside; OpenCV overflows beyond 2^15 pixels
    for pose in poses:
        skeleton = SKELETONS[pose.skeleton]
        drawn = (pose.scores >= min_score) & (np.abs(pose.keypoints) <= limit).all(axis=1)
        points = np.where(drawn[:, None], pose.keypoints, 0) * (1 << SUBPIXEL_BITS)
        points = points.round().astype(int).tolist()
        for edge in skeleton.edges:
            if drawn[list(edge)].all():
                colour = edge_colour(skeleton, edge)[::order]
                start, end = (points[index] for index in edge)
                cv2.line(canvas, start, end, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
        for index in np.flatnonzero(drawn):
            colour = side_colour(skeleton.keypoint_names[index])[::order]
            radius = (thickness + 1) << SUBPIXEL_BITS
            cv2.circle(canvas, points[index], radius, colour, -1, cv2.LINE_AA, SUBPIXEL_BITS)
    return canvas
