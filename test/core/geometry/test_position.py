"""Where bodies are, from more or less of them."""

import numpy as np
import pytest
from beads import joints_of

from vitpose_ros.core.geometry import position
from vitpose_ros.core.geometry.anatomy import body_of
from vitpose_ros.core.geometry.position import position_of
from vitpose_ros.core.geometry.visibility import Facing

pytestmark = pytest.mark.filterwarnings('error')
COCO = body_of('coco')
HIPS, SHOULDERS, HEAD = [11, 12], [5, 6], [0, 1, 2, 3, 4]


def placed(chosen, *, degrees=30.0, size=1.0, body=COCO):
    """Return the position and its covariance of whom those joints (indices) are known."""
    joints = joints_of(degrees=degrees, size=size)
    points = np.full((1, 17, 3), np.nan)
    points[0, chosen] = joints[chosen]
    covariances = np.full((1, 17, 3, 3), np.nan)
    covariances[0, chosen] = np.eye(3) * 0.02**2
    across = (joints[5] - joints[6]) / np.linalg.norm(joints[5] - joints[6])
    facing = Facing(across[None], np.zeros(1), np.zeros(1), np.zeros((1, 9)))
    place, covariance = position_of(points, covariances, np.array([size]), facing, body)
    return place[0] - joints[HIPS].mean(axis=0), covariance[0]


@pytest.mark.parametrize('size', [1.0, 0.6])
@pytest.mark.parametrize('degrees', [0.0, 60.0, 180.0])
@pytest.mark.parametrize(
    ('chosen', 'doubt'),
    [
        (HIPS, 0.0),
        (HIPS[:1], position.FROM_ONE),
        (HIPS[1:], position.FROM_ONE),
        (SHOULDERS + HEAD, position.FROM_SHOULDERS),
        (SHOULDERS, position.FROM_HEADLESS),
    ],
)
def test_the_middle_of_the_hips_is_found(chosen, doubt, degrees, size):
    off, covariance = placed(chosen, degrees=degrees, size=size)
    assert np.linalg.norm(off) < max(0.02, 1.5 * doubt)
    assert np.allclose(covariance, np.eye(3) * (doubt or 0.02) ** 2)


def test_of_anything_the_middle_counts():
    off, covariance = placed([13, 15])  # left knee and ankle
    assert np.linalg.norm(off) < 3 * position.FROM_ANYTHING
    assert covariance[0, 0] == pytest.approx(position.FROM_ANYTHING**2)


def test_of_nothing_nothing_follows():
    off, covariance = placed([])
    assert np.isnan(off).all() and np.isnan(covariance).all()


def test_of_animals_it_is_the_middle_of_what_is_known():
    joints = joints_of(degrees=30.0)
    off, _ = placed([3, 8, 15], body=body_of('ap10k'))
    assert off == pytest.approx(joints[[3, 8, 15]].mean(axis=0) - joints[HIPS].mean(axis=0))
