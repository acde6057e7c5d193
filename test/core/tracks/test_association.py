"""Likeness and pairing against loops, pycocotools and all permutations."""

import itertools

import numpy as np
import pytest

from vitpose_ros.core import SKELETONS
from vitpose_ros.core.tracks.association import (
    KINDS,
    VARIANCES,
    Stage,
    duplicates,
    keypoint_similarity,
    overlaps,
    pair,
    pair_in_stages,
)


def test_overlaps_are_those_of_counted_pixels():
    rng = np.random.default_rng(0)
    low = rng.integers(0, 20, (6, 2))
    boxes = np.concatenate((low, low + rng.integers(1, 15, (6, 2))), axis=1)
    iou, inside = overlaps(boxes[:4].astype(float), boxes.astype(float))

    def mask(box):
        picture = np.zeros((40, 40), bool)
        picture[box[1] : box[3], box[0] : box[2]] = True
        return picture

    for i, j in itertools.product(range(4), range(6)):
        a, b = mask(boxes[i]), mask(boxes[j])
        assert iou[i, j] == pytest.approx((a & b).sum() / (a | b).sum())
        assert inside[i, j] == pytest.approx((a & b).sum() / min(a.sum(), b.sum()))


def test_keypoint_similarity_is_that_of_coco():
    cocoeval = pytest.importorskip('pycocotools.cocoeval')
    rng = np.random.default_rng(1)
    truth = rng.uniform(50, 200, (17, 2))
    found = truth + rng.normal(0, 6, (17, 2))
    visible = rng.random(17) < 0.7
    area = 90.0 * 200.0
    evaluation = cocoeval.COCOeval(iouType='keypoints')
    evaluation.params.maxDets = [20]
    key = (1, 1)
    flat = np.concatenate((truth, visible[:, None]), axis=1).ravel().tolist()
    evaluation._gts[key] = [
        {'keypoints': flat, 'bbox': [50, 50, 150, 150], 'area': area, 'ignore': 0}
    ]
    flat = np.concatenate((found, np.ones((17, 1))), axis=1).ravel().tolist()
    evaluation._dts[key] = [{'keypoints': flat, 'score': 1.0}]
    expected = evaluation.computeOks(*key)[0, 0]
    variances = VARIANCES[0, :17] * area
    similarity = keypoint_similarity(
        truth[None], found[None], visible[None].astype(float), variances[None]
    )
    assert similarity[0] == pytest.approx(expected, rel=1e-6)


def test_poses_with_too_little_in_common_are_not_compared():
    keypoints, weight = np.zeros((1, 17, 2)), np.zeros((1, 17))
    weight[..., 0] = 1.0
    assert np.isnan(keypoint_similarity(keypoints, keypoints, weight, np.ones((1, 17)))).all()
    weight[..., :2] = 1.0
    assert keypoint_similarity(keypoints, keypoints, weight, np.ones((1, 17)))[0] == 1


def test_the_pairing_is_the_best_of_all():
    rng = np.random.default_rng(2)
    for _ in range(200):
        similarity = rng.uniform(-1, 1, (3, 4))
        similarity[rng.random((3, 4)) < 0.2] = np.nan
        rows, columns = pair(similarity, 0.1)
        got = (similarity[rows, columns] - 0.1).sum()
        best = max(
            sum(max(np.nan_to_num(similarity[i, c] - 0.1), 0) for i, c in enumerate(chosen))
            for chosen in itertools.permutations(range(4), 3)
        )
        assert got == pytest.approx(best)
        assert (similarity[rows, columns] >= 0.1).all()
        assert len(set(rows)) == len(rows) and len(set(columns)) == len(columns)


def test_a_good_pair_does_not_give_way_to_two_poor_ones():
    similarity = np.array([[0.9, 0.15], [0.15, np.nan]])
    rows, columns = pair(similarity, 0.1)
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


def test_who_has_a_low_score_gets_the_tracks_that_are_left():
    similarity = np.array([[0.5, 0.9], [0.4, 0.8]])
    every, high = np.ones(2, dtype=bool), np.array([True, False])
    pose_of = pair_in_stages(similarity, (Stage(every, high, 0.0), Stage(every, ~high, 0.0)))
    assert pose_of.tolist() == [0, 1]
    pose_of = pair_in_stages(similarity, (Stage(every, high, 0.0), Stage(every, ~high, 0.85)))
    assert pose_of.tolist() == [0, -1]
    assert pair_in_stages(np.zeros((2, 0)), (Stage(every, every[:0], 0.0),)).tolist() == [-1, -1]


def test_of_those_who_are_the_same_the_best_stays():
    # 1 is the same as 0 and as 2; without 1 there is nothing between 0 and 2.
    i, j = np.array([0, 1]), np.array([1, 2])
    assert duplicates(i, j, np.array([0.9, 0.5, 0.8, 0.1])).nonzero()[0].tolist() == [1]
    assert duplicates(j, i, np.array([0.9, 0.5, 0.8, 0.1])).nonzero()[0].tolist() == [1]
    assert duplicates(i, j, np.array([0.5, 0.9, 0.8, 0.1])).nonzero()[0].tolist() == [0, 2]
    assert duplicates(i, j, np.array([0.9, 0.8, 0.7, 0.1])).nonzero()[0].tolist() == [1]
    assert duplicates(i, j, np.ones(4)).nonzero()[0].tolist() == [1]
    assert not duplicates(i[:0], j[:0], np.ones(3)).any()


def test_people_and_animals_are_of_two_kinds():
    kind = dict(zip(SKELETONS, KINDS, strict=True))
    assert kind['coco'] == kind['mpii'] == kind['wholebody'] != kind['ap10k'] == kind['apt36k']
    assert VARIANCES.shape == (6, 133) and VARIANCES[0, 0] == pytest.approx((2 * 0.026) ** 2)
