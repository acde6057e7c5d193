"""Skeletons in images."""

import numpy as np

from vitpose_ros.core import SKELETONS, Pose, draw_poses
from vitpose_ros.core.drawing import LEFT, RIGHT, side_colour

COCO = SKELETONS['coco']
IMAGE = np.zeros((240, 320, 3), np.uint8)


def pose_at(places, scores):
    return Pose('coco', np.array(places, np.float32), np.array(scores, np.float32))


def spread_pose(scores):
    return pose_at([[10 + 18 * index, 20 + 12 * (index % 5)] for index in range(17)], scores)


def test_joints_are_drawn_where_they_are_in_the_colour_of_their_side():
    pose = spread_pose([1] * 17)
    for channels, order in (('rgb', 1), ('bgr', -1)):
        image = draw_poses(IMAGE, [pose], channels=channels)
        for name, colour in (('left_wrist', LEFT), ('right_ankle', RIGHT)):
            x, y = pose.keypoints[COCO.keypoint_names.index(name)].astype(int)
            assert tuple(image[y, x]) == colour[::order]
    assert not IMAGE.any(), 'the image itself stays as it is'


def test_sides_are_told_in_every_set():
    for skeleton in SKELETONS.values():
        colours = [side_colour(name) for name in skeleton.keypoint_names]
        for left, right in skeleton.flip_pairs:
            if not skeleton.keypoint_names[left].startswith('face-'):
                assert {colours[left], colours[right]} == {LEFT, RIGHT}


def test_uncertain_keypoints_and_their_limbs_are_left_out():
    assert not draw_poses(IMAGE, [spread_pose([0.2] * 17)]).any()
    wrists = [0.1] * 9 + [0.9, 0.9] + [0.1] * 6
    drawn = draw_poses(IMAGE, [spread_pose(wrists)]).any(axis=2)
    assert 0 < drawn.sum() < 60, 'two joints and no limb'


def test_keypoints_far_outside_or_not_known_do_no_harm():
    pose = spread_pose([1] * 17)
    pose.keypoints[3] = (1e9, -1e9)
    pose.keypoints[4] = (float('nan'), 5)
    pose.keypoints[5] = (-40, 500)
    assert draw_poses(IMAGE, [pose]).any()


def test_a_view_that_is_not_contiguous_can_be_drawn_on():
    assert draw_poses(IMAGE[:, ::-1], [spread_pose([1] * 17)]).any()
