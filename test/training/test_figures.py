"""Figures of rendered people, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from training.compose import SIZE, Sample
from training.evaluate import AREA_OF_BOX, measure
from vitpose_ros.core import SKELETONS


@pytest.fixture
def samples():
    rng = np.random.default_rng(2)
    states = np.full(17, 2, np.uint8)
    states[:4], states[4] = 1, 0  # hidden by the own body, outside
    return [
        Sample(
            np.zeros((*SIZE, 3), np.uint8),
            rng.uniform(10, 180, (17, 2)).astype(np.float32),
            states,
            scale=1.0,
            area=150.0 * 200.0,
            side=200.0,
        )
        for _ in range(5)
    ]


def test_perfect_keypoints_are_perfect(samples):
    figures = measure(np.stack([s.points for s in samples]), samples, 'coco')
    assert set(figures.values()) == {1.0}


def test_keypoints_outside_do_not_count_and_hidden_ones_count_once(samples):
    points = np.stack([s.points for s in samples])
    points[:, 4] += 999
    assert measure(points, samples, 'coco')['OKS'] == 1
    points[:, :4] += 999
    figures = measure(points, samples, 'coco')
    assert figures['OKS'] == figures['PCK.1'] == pytest.approx(12 / 16)
    assert figures['AP'] == 0.6  # of the thresholds 0.5 to 0.95 those up to 0.75
    assert figures['OKS seen'] == figures['AP seen'] == 1


def test_similarity_and_distance_are_those_of_coco_and_of_the_box(samples):
    points = np.stack([s.points for s in samples])
    points[:, :, 0] += 15  # of a box 200 high
    sigmas = np.array(SKELETONS['coco'].sigmas)
    each = np.exp(-(15**2) / (2 * AREA_OF_BOX * 150 * 200 * (2 * sigmas) ** 2))
    figures = measure(points, samples, 'coco')
    assert figures['OKS'] == pytest.approx(np.delete(each, 4).mean(), abs=1e-4)
    assert (figures['PCK.05'], figures['PCK.1']) == (0, 1)


def test_feet_and_hands_are_told_apart(samples):
    states = np.full(133, 255, np.uint8)
    states[:23] = states[91:] = 2
    whole = [replace(s, points=np.full((133, 2), 90.0), states=states) for s in samples]
    points = np.stack([s.points for s in whole])
    points[:, 91:112] += 999  # one of both hands
    figures = measure(points, whole, 'wholebody')
    assert figures['feet PCK.05'] == 1
    assert figures['hands PCK.05'] == 0.5
