"""Two subjects in one place: the keypoints of one are those of the other."""

import numpy as np

from vitpose_ros.core.geometry.doubles import SAME_M, doubles

BODY = np.stack((np.linspace(-0.2, 0.2, 17), np.linspace(-0.8, 0.8, 17)), axis=1)  # metres


def found(*subjects, trusted=None):
    """Return who is a double of subjects (x in metres, depth, score)."""
    rays = np.stack([(BODY + np.array((x, 0))) / depth for x, depth, _ in subjects])
    trunk = np.array([depth for _, depth, _ in subjects])
    scores = np.stack([np.full(17, score) for _, _, score in subjects])
    if trusted is None:
        trusted = np.ones(scores.shape, dtype=bool)
    return doubles(rays, trusted, trunk, scores).tolist()


def test_of_two_in_one_place_the_one_with_lower_scores_is_a_double():
    assert found((0.0, 3.0, 0.7), (0.05, 3.1, 0.5)) == [False, True]
    assert found((0.0, 3.0, 0.5), (0.05, 3.1, 0.7)) == [True, False]
    assert found((0.0, 3.0, 0.5), (5.0, 3.0, 0.9), (0.0, 3.0, 0.4)) == [False, False, True]


def test_who_stands_close_or_behind_is_none():
    assert found((0.0, 3.0, 0.7), (2 * SAME_M, 3.0, 0.5)) == [False, False]
    assert found((0.0, 3.0, 0.7), (0.0, 3.8, 0.5)) == [False, False]


def test_who_is_not_known_well_is_none():
    assert found((0.0, 3.0, 0.7), (0.0, float('nan'), 0.5)) == [False, False]
    few = np.zeros((2, 17), dtype=bool)
    few[:, :2] = True
    assert found((0.0, 3.0, 0.7), (0.0, 3.0, 0.5), trusted=few) == [False, False]
    nobody = np.empty((0, 17))
    assert len(doubles(np.empty((0, 17, 2)), nobody > 0, np.empty(0), nobody)) == 0
