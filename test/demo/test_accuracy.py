"""The measure of accuracy against closed forms."""

from types import SimpleNamespace

import numpy as np
import pytest

from vitpose_ros.core import SKELETONS
from vitpose_ros.demo.accuracy import (
    Person,
    iou,
    load_truth,
    match_poses,
    match_subjects,
    object_keypoint_similarity,
)
from vitpose_ros.demo.sources import DEMO_CLIP

COCO = SKELETONS['coco']


def subject(box, points):
    return SimpleNamespace(
        skeleton='coco',
        box_center_x=(box[0] + box[2]) / 2,
        box_center_y=(box[1] + box[3]) / 2,
        box_width=box[2] - box[0],
        box_height=box[3] - box[1],
        x=points[:, 0],
        y=points[:, 1],
    )


def person(box, visibility=2.0):
    points = np.random.default_rng(0).uniform(0, 100, (17, 2))
    return Person(np.array(box, float), np.column_stack((points, np.full(17, visibility))))


def test_perfect_keypoints_have_a_similarity_of_one():
    true = person([0, 0, 100, 200])
    assert object_keypoint_similarity(true, subject(true.box, true.keypoints), COCO) == 1


def test_similarity_falls_with_the_distance_as_coco_defines_it():
    true = person([0, 0, 100, 200])
    area = 0.53 * 100 * 200
    moved = true.keypoints[:, :2] + (5.0, 0)
    expected = np.mean([np.exp(-25 / (2 * area * (2 * sigma) ** 2)) for sigma in COCO.sigmas])
    found = object_keypoint_similarity(true, subject(true.box, moved), COCO)
    assert found == pytest.approx(expected)


def test_hidden_keypoints_do_not_count():
    true = person([0, 0, 100, 200])
    moved = true.keypoints.copy()
    moved[3] += 1000
    true.keypoints[3, 2] = 1
    assert object_keypoint_similarity(true, subject(true.box, moved), COCO) == 1


def test_people_are_matched_once_and_by_overlap():
    people = [person([0, 0, 100, 200]), person([50, 0, 150, 200])]
    points = np.zeros((17, 2))
    near_second = subject([55, 0, 155, 200], points)
    far = subject([400, 0, 500, 200], points)
    [(matched, other)] = match_subjects(people, [far, near_second])
    assert matched is people[1] and other is near_second


def test_people_who_hide_each_other_are_matched_by_their_keypoints():
    box = [0, 0, 100, 200]
    front, behind = person(box), person(box)
    behind.keypoints[:, 0] += 15
    found = subject(box, behind.keypoints[:, :2] + (1, 0))
    strange = subject(box, front.keypoints[:, :2] + (200, 0))
    [(matched, other)] = match_poses([front, behind], [strange, found], SKELETONS)
    assert matched is behind and other is found


def test_iou_of_known_boxes():
    assert iou(np.array([0, 0, 2, 2]), np.array([1, 1, 3, 3])) == pytest.approx(1 / 7)
    assert iou(np.array([0, 0, 2, 2]), np.array([5, 5, 6, 6])) == 0


def test_the_truth_of_the_demo_clip_is_read():
    frames = load_truth(DEMO_CLIP.with_suffix('.json'))
    assert len(frames) == 90 and all(len(frame) == 3 for frame in frames)
    first = frames[0][0]
    assert first.keypoints.shape == (17, 3)
    assert (first.box[2:] > first.box[:2]).all()
    assert all({person.id for person in frame} == {0, 1, 2} for frame in frames)
