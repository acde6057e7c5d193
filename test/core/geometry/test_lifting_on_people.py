"""Lifting on rendered people, whose joints are known: how wrong it is, and if it knows that.

`python -m pytest -s test/core/geometry/test_lifting_on_people.py` prints the table. The seeds are
not those that anatomy.py and visibility_weights.py are measured on.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from vitpose_ros.core import Frame, PoseEstimator
from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import (
    INFERRED,
    MEASURED,
    SPREAD_POWER,
    SPREAD_SHARE,
    lift,
)
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.skeletons import SKELETONS

pytest.importorskip('moderngl')  # world's requirements
pytest.importorskip('anny')

SEEDS = (40, 41)
SCENARIOS = (
    'standing', 'waving', 'walking', 'crossing', 'occlusion', 'sitting', 'leaving', 'furniture',
    'crowd', 'close', 'driving', 'pillar',
)  # fmt: skip
FARTHEST = 4.0  # metres
LEAST_SHARE = 0.15  # of a person that is visible
CHI2_3, CHI2_3_MEDIAN = 7.815, 2.366  # 95 % and 50 % quantile


@dataclass
class Result:
    """Joints (m) of all people up to FARTHEST."""

    errors: np.ndarray  # metres; NaN: unknown
    states: np.ndarray  # of Joints
    truth: np.ndarray  # states of the world: 2 seen, 1 behind the own body, 0 hidden
    squared: np.ndarray  # errors, normalised by the covariances
    one_pixel: np.ndarray  # metres, errors of one pixel's depth; NaN: a hole

    @property
    def measured(self):
        return self.states == MEASURED

    @property
    def coverage(self):
        seen = self.truth == 2
        return (self.measured & seen).sum() / seen.sum()

    def row(self, name):
        own = self.errors[self.measured]
        one = self.one_pixel[np.isfinite(self.one_pixel) & (self.truth > 0)]
        inferred = self.errors[self.states == INFERRED]
        squared = self.squared[self.measured]
        numbers = (
            100 * self.coverage,
            *(100 * np.percentile(own, q) for q in (50, 95)),
            100 * (own > 0.5).mean(),
            100 * np.percentile(one, 95),
            100 * np.percentile(inferred, 50) if len(inferred) else np.nan,
            np.median(squared),
            100 * (squared < CHI2_3).mean(),
        )
        return f'{name:44s}' + ''.join(f'{number:9.1f}' for number in numbers)


HEAD = f'{"":44s}' + ''.join(
    f'{name:>9s}'
    for name in ('seen %', 'median', '95 %', '>0.5m %', '1 pixel', 'inferred', 'd2', '<7.8 %')
)


def people_of(sight):
    return [p for p in sight.people if p.share > LEAST_SHARE and np.isfinite(p.box).all()]


def true_poses(sight, keypoint_set='coco', *, hidden_score=0.1, score=1.0, jitter_px=0.0, seed=0):
    from world.bodies import indices_of

    people, index = people_of(sight), indices_of(keypoint_set)
    points = np.stack([p.points[index] for p in people])
    states = np.stack([p.states[index] for p in people])
    points = points + np.random.default_rng(seed).normal(0, jitter_px, points.shape)
    scores = np.where(states == 0, hidden_score, score)
    scores[:, index < 0] = 0
    spread = None
    if jitter_px:
        spread = np.zeros((*scores.shape, 2, 2), np.float32)
        spread[:] = np.eye(2) * jitter_px**2 / (SPREAD_SHARE * score**SPREAD_POWER)
    return Poses(
        sight.size[1],
        sight.size[0],
        np.stack([p.box for p in people]).astype(np.float32),
        (keypoint_set,) * len(people),
        points.astype(np.float32),
        scores.astype(np.float32),
        spread,
    )


def result_of(sights, poses_of, keypoint_set='coco', **options):
    from world.bodies import indices_of

    index = indices_of(keypoint_set)
    columns = []
    for number, sight in enumerate(sights):
        people = people_of(sight)
        if not people:
            continue
        poses = poses_of(sight, number)
        found = lift(poses, Depth(sight.depth, sight.camera), sight.camera, **options)
        true = np.stack([p.joints[index] for p in people])
        off = (found.points - true).astype(float)
        known = found.states > 0
        covariances = np.where(known[..., None, None], found.covariances, np.eye(3))
        off_known = np.where(known[..., None], off, 0)
        solved = np.linalg.solve(covariances + 1e-8 * np.eye(3), off_known[..., None])[..., 0]
        height, width = sight.size
        x, y = (np.rint(poses.keypoints[..., axis]).astype(int) for axis in (0, 1))
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        z = np.where(inside, sight.depth[np.where(inside, y, 0), np.where(inside, x, 0)], np.nan)
        one = sight.camera.at_depth(poses.keypoints, 1.0) * z[..., None] - true
        use = (true[..., 2] <= FARTHEST) & (index >= 0)
        columns.append(
            tuple(
                values[use]
                for values in (
                    np.linalg.norm(off, axis=-1),
                    found.states,
                    np.stack([p.states[index] for p in people]),
                    (off_known * solved).sum(axis=-1),
                    np.linalg.norm(one, axis=-1),
                )
            )
        )
    return Result(*(np.concatenate(column) for column in zip(*columns, strict=True)))


@pytest.fixture(scope='module')
def scenes(people):
    from world.scene import Scene

    return [Scene(seed, name, people=people) for seed in SEEDS for name in SCENARIOS]


@pytest.fixture(scope='module')
def sights(scenes):
    drawn = []
    for number, scene in enumerate(scenes):
        seconds = np.random.default_rng(number).uniform(0.5, scene.seconds - 0.5, 2)
        drawn += [scene.sights(float(second), depth=True)[0] for second in seconds]
    return drawn


@pytest.fixture(scope='module')
def table():
    rows = []
    yield rows
    print('\n' + '\n'.join((HEAD, *rows)) + '\nerrors in cm; d2: median, 2.4 is right')


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('true keypoints', {}),
        ('true keypoints, scores of 0.4', {'score': 0.4}),
        ('true keypoints, sure of hidden ones', {'hidden_score': 1.0}),
    ],
)
def test_joints_are_measured_to_centimetres(sights, table, name, options):
    found = result_of(sights, lambda sight, _: true_poses(sight, **options))
    table.append(found.row(name))
    errors = found.errors[found.measured]
    assert found.coverage >= 0.85
    assert np.median(errors) <= 0.03
    assert np.percentile(errors, 95) <= 0.10
    assert (errors > 0.5).mean() <= 0.005
    one = found.one_pixel[np.isfinite(found.one_pixel) & (found.truth > 0)]
    assert np.percentile(one, 95) >= 3 * np.percentile(errors, 95)
    assert (found.squared[found.measured] < CHI2_3).mean() >= 0.9
    inferred = found.errors[found.states == INFERRED]
    assert len(inferred) > 50 and np.median(inferred) <= 0.15


def test_covariances_are_those_of_the_errors(sights, table):
    """With keypoints that err as their spread says, errors are as large as covariances say."""
    found = result_of(sights, lambda sight, n: true_poses(sight, jitter_px=4.0, seed=n))
    table.append(found.row('4 pixels of noise'))
    squared = found.squared[found.measured]
    assert (squared < CHI2_3).mean() >= 0.9
    assert 0.6 * CHI2_3_MEDIAN < np.median(squared) < 1.4 * CHI2_3_MEDIAN


@pytest.mark.parametrize('keypoint_set', ['aic', 'mpii', 'wholebody'])
def test_other_keypoint_sets_are_lifted_as_well(sights, table, keypoint_set):
    found = result_of(sights, lambda sight, _: true_poses(sight, keypoint_set), keypoint_set)
    table.append(found.row(f'true keypoints, {keypoint_set}'))
    errors = found.errors[found.measured]
    assert found.coverage >= 0.85
    assert np.median(errors) <= 0.03 and np.percentile(errors, 95) <= 0.12
    assert (errors > 0.5).mean() <= 0.005


def test_the_embedded_network_is_lifted(scenes, table):
    estimator = PoseEstimator.load('nano', 'cpu', heatmap_spread=True)
    some = [scene.sights(2.0, pictures=True)[0] for scene in scenes[::2]]
    some = [sight for sight in some if people_of(sight)]
    boxes = [np.stack([p.box for p in people_of(s)]).astype(np.float32) for s in some]
    poses = estimator.predict([Frame(s.image, b) for s, b in zip(some, boxes, strict=True)])
    found = result_of(some, lambda _, number: poses[number])
    table.append(found.row("the embedded network's keypoints"))
    assert np.median(found.errors[found.measured]) <= 0.06
    assert (found.squared[found.measured] < CHI2_3).mean() >= 0.9


@pytest.mark.parametrize('keypoint_set', list(SKELETONS))
def test_whoever_is_seen_has_a_position(sights, keypoint_set):
    """The middle of the hips, within 0.3 m, of all of whom half is seen."""
    if SKELETONS[keypoint_set].classes[0] != 'person':
        pytest.skip('animals are not in this world')
    from world.bodies import NAMES

    off, squared = [], []
    for sight in sights:
        if not people_of(sight):
            continue
        poses = true_poses(sight, keypoint_set)
        found = lift(poses, Depth(sight.depth, sight.camera), sight.camera)
        for row, person in enumerate(people_of(sight)):
            if person.share > 0.5 and person.joints[0, 2] < FARTHEST:
                error = found.position[row] - person.joints[NAMES.index('pelvis')]
                off.append(np.linalg.norm(error))
                squared.append(error @ np.linalg.solve(found.position_covariance[row], error))
    assert np.isfinite(off).all()
    assert np.median(off) < 0.05 and np.percentile(off, 95) < 0.3
    assert (np.array(squared) < CHI2_3).mean() >= 0.9
