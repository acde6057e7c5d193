"""What is taken of poses."""

import numpy as np
import pytest
from figures import poses

from vitpose_ros.core import SKELETONS
from vitpose_ros.core.tracks.seen import Seen, boxes_of, numbers_of


def test_boxes_become_numbers_and_boxes_again():
    boxes = np.array([[10.0, 20, 60, 220], [-5, -7, 300, 12]])
    numbers = numbers_of(boxes)
    assert numbers[0] == pytest.approx([35, 120, np.log(200), np.log(50 / 200)])
    assert np.allclose(boxes_of(numbers), boxes)


def test_what_is_not_there_counts_nothing():
    seen = poses((300, 300, 200), (600, 300, 100), skeletons=['coco', 'wholebody'])
    seen.keypoints[0, 3, 1] = np.nan
    seen.scores[0, 4], seen.scores[0, 5], seen.scores[0, 6] = 0.0, np.nan, 1.7
    got = Seen.of(0, seen)
    assert got.weights[0, 3:6].tolist() == [0, 0, 0] and (got.weights[0, 17:] == 0).all()
    assert (got.keypoints[0, 3:6] == 0).all() and got.weights[0, 6] == 1
    assert got.weights[1] == pytest.approx(np.full(133, 0.9))
    assert [list(SKELETONS)[i] for i in got.skeletons] == ['coco', 'wholebody']


def test_scores_make_boxes_surer_in_proportion_to_their_size():
    people = (300, 300, 200), (600, 300, 100), (900, 300, 200)
    got = Seen.of(0, poses(*people, scores=[1.0, 1.0, 0.5]))
    assert got.variances[0, 0] == pytest.approx(4 * got.variances[1, 0])
    assert got.variances[2] == pytest.approx(4 * got.variances[0])
    assert Seen.of(0, poses(*people, scores=[np.nan, 0.5, np.inf])).scores.tolist() == [1, 0.5, 1]
    assert Seen.of(0, poses()).boxes.shape == (0, 4) and len(Seen.of(0, poses())) == 0
