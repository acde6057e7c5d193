"""How wrong joints are that are lifted, on rendered people, and whether the lifting knows that.

    PYTHONPATH=. python test/core/geometry/lifting_on_people.py                    # minutes
    PYTHONPATH=. python test/core/geometry/lifting_on_people.py --noise 'time of flight'
    PYTHONPATH=. python test/core/geometry/lifting_on_people.py --network          # its keypoints

prints a table over all scenes, scenario by scenario, and the worst and best seed of each column.
Counted are joints up to 4 m of people of whom a share of 0.15 at least is visible. The seeds are
not those that anatomy.py and visibility_weights.py are measured on (100 and more).
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import (
    INFERRED,
    MEASURED,
    SPREAD_POWER,
    SPREAD_SHARE,
    lift,
)
from vitpose_ros.core.geometry.surfaces import STEREO, DepthError
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.skeletons import SKELETONS
from world.bodies import indices_of
from world.depth_noise import NOISES
from world.scenarios import SCENARIOS
from world.scene import Scene
from world.sequence import HIDDEN, SEEN

FARTHEST = 4.0  # metres
LEAST_SHARE = 0.15  # of a person that is visible
CHI2_3, CHI2_3_MEDIAN = 7.815, 2.366  # 95 % and 50 % quantile
SEEDS = range(20)
# What the noises of world/depth_noise.py are for whoever knows the camera.
ERRORS = {
    'stereo': STEREO,
    'coarse stereo': DepthError(0.001, 0.0052),
    'structured light': DepthError(0.001, 0.003, alike=9.0),  # with the steps
    'time of flight': DepthError(0.01, 0.0, alike=1.0),
    'none': DepthError(0.001, 0.0),
}


@dataclass(frozen=True)
class View:
    """What one camera saw at one time, and what its depth camera made of it."""

    scenario: str
    seed: int
    sight: object  # world.sequence.Sight, with true depth
    people: list  # who counts


def views_of(
    seeds: Iterable[int],
    scenarios: Iterable[str] = SCENARIOS,
    *,
    times: int = 2,
    lens: str | None = None,
    pictures: bool = False,
    people=None,
):
    """Yield what all cameras of scenes see at times that are drawn for the seed."""
    for seed in seeds:
        for scenario in scenarios:
            scene = Scene(seed, scenario, lens=lens, noise='none', people=people)
            rng = np.random.default_rng([seed, *scenario.encode()])
            for second in rng.uniform(0.5, scene.seconds - 0.5, times):
                for sight in scene.sights(float(second), pictures=pictures, depth=True):
                    own = [p for p in sight.people if p.share > LEAST_SHARE]
                    own = [p for p in own if np.isfinite(p.box).all()]
                    if own:
                        yield View(scenario, seed, sight, own)


def measured_by(view, noise='stereo'):
    """Return the depth (h, w) that a camera gives."""
    if NOISES[noise] is None:
        return view.sight.true_depth
    rng = np.random.default_rng([view.seed, round(view.sight.stamp_s * 1e6)])
    return NOISES[noise].measure(view.sight.true_depth, view.sight.camera.focal_x, rng)


@dataclass(frozen=True)
class Keypoints:
    """How keypoints are made of the true ones."""

    keypoint_set: str = 'coco'
    hidden_score: float = 0.1  # of what others hide
    score: float = 1.0  # of all else
    jitter_px: float = 0.0  # standard deviation, which the spread tells

    def of(self, view):
        """Return poses."""
        index = indices_of(self.keypoint_set)
        points = np.stack([p.points[index] for p in view.people])
        states = np.stack([p.states[index] for p in view.people])
        rng = np.random.default_rng([view.seed, round(view.sight.stamp_s * 1e6), 1])
        points = points + rng.normal(0, self.jitter_px, points.shape)
        scores = np.where(states == HIDDEN, self.hidden_score, self.score)
        scores[:, index < 0] = 0
        spread = None
        if self.jitter_px:
            spread = np.zeros((*scores.shape, 2, 2), np.float32)
            share = SPREAD_SHARE * self.score**SPREAD_POWER
            spread[:] = np.eye(2) * self.jitter_px**2 / share
        height, width = view.sight.size
        return Poses(
            width,
            height,
            np.stack([p.box for p in view.people]).astype(np.float32),
            (self.keypoint_set,) * len(view.people),
            points.astype(np.float32),
            scores.astype(np.float32),
            spread,
        )


@dataclass(frozen=True)
class Result:
    """Joints (m,) of all people up to FARTHEST."""

    errors: np.ndarray  # metres; NaN: unknown
    states: np.ndarray  # of vitpose_ros.core.geometry.lifting
    truth: np.ndarray  # of world.sequence
    squared: np.ndarray  # errors, normalised by the covariances
    one_pixel: np.ndarray  # metres, errors of one pixel's depth; NaN: a hole
    seeds: np.ndarray
    scenarios: np.ndarray
    kinds: np.ndarray  # names of joints

    def __getitem__(self, chosen):
        """Return some."""
        return Result(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def measured(self):
        """Return which joints claim to be measured."""
        return self.states == MEASURED

    @property
    def inferred(self):
        """Return the errors of joints that are inferred, metres."""
        return self.errors[self.states == INFERRED]

    def figures(self):
        """Return what is asked, by name; errors in centimetres, shares in per cent."""
        own, seen = self.errors[self.measured], self.truth == SEEN
        one = self.one_pixel[np.isfinite(self.one_pixel)]
        one_seen = self.one_pixel[np.isfinite(self.one_pixel) & seen]
        squared = self.squared[self.measured]
        return {
            'seen %': 100 * (self.measured & seen).sum() / seen.sum(),
            'median': 100 * np.median(own),
            '95 %': 100 * np.percentile(own, 95),
            '>0.5m %': 100 * (own > 0.5).mean(),
            '1 pixel': 100 * np.percentile(one, 95),
            'of seen': 100 * np.percentile(one_seen, 95),
            'inferred': 100 * np.median(self.inferred) if len(self.inferred) else np.nan,
            'd2': np.median(squared),
            '<7.8 %': 100 * (squared < CHI2_3).mean(),
        }


def result_of(views, poses_of=None, *, keypoints=None, noise='stereo', **options):
    """Lift what is seen, and compare.

    poses_of: from a view to poses, keypoints.of if not given; options: of lift.
    """
    keypoints = keypoints or Keypoints()
    poses_of = poses_of or keypoints.of
    options.setdefault('error', ERRORS[noise])
    index = indices_of(keypoints.keypoint_set)
    kinds = np.array(SKELETONS[keypoints.keypoint_set].keypoint_names)
    columns = []
    for view in views:
        sight, poses, depth = view.sight, poses_of(view), measured_by(view, noise)
        found = lift(poses, Depth(depth, sight.camera), sight.camera, **options)
        true = np.stack([p.joints[index] for p in view.people])
        off = (found.points - true).astype(float)
        known = found.states > 0
        covariances = np.where(known[..., None, None], found.covariances, np.eye(3))
        off_known = np.where(known[..., None], off, 0)
        solved = np.linalg.solve(covariances + 1e-9 * np.eye(3), off_known[..., None])[..., 0]
        use = (true[..., 2] <= FARTHEST) & (index >= 0)
        columns.append(
            tuple(
                values[use]
                for values in (
                    np.linalg.norm(off, axis=-1),
                    found.states,
                    np.stack([p.states[index] for p in view.people]),
                    (off_known * solved).sum(axis=-1),
                    np.linalg.norm(one_pixel(poses, depth, sight.camera) - true, axis=-1),
                    np.full(use.shape, view.seed),
                    np.full(use.shape, view.scenario),
                    np.broadcast_to(kinds, use.shape),
                )
            )
        )
    return Result(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def one_pixel(poses, depth, camera):
    """Return joints (n, k, 3) at the depth of their pixel, as most nodes have them."""
    height, width = depth.shape
    column, row = np.moveaxis(np.rint(poses.keypoints), 2, 0)
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    inside &= poses.scores >= 0.25
    column, row = (np.where(inside, places, 0).astype(int) for places in (column, row))
    z = np.where(inside, depth[row, column], np.nan)
    return camera.at_depth(poses.keypoints, 1.0) * z[..., None]


HEAD = f'{"keypoints, noise of depth":40s}' + ''.join(f'{name:>9s}' for name in (
    'joints', 'seen %', 'median', '95 %', '>0.5m %', '1 pixel', 'of seen', 'inferred', 'd2',
    '<7.8 %',
))  # fmt: skip
LEGEND = (
    'seen %: of the joints that the camera sees, those that claim to be measured; median, 95 %,\n'
    '>0.5m %: of the errors of all that claim so, cm; 1 pixel: the 95 % of one pixel of depth,\n'
    'and of seen joints alone; d2 (2.4 is right), <7.8 %: normalised squared errors'
)


def row_of(name, result):
    """Return a row of the table."""
    figures = ''.join(f'{number:9.2f}' for number in result.figures().values())
    return f'{name:40s}{len(result.errors):9d}{figures}'


def spread_rows(result):
    """Return rows with the lowest, the middle and the highest value of each column over seeds."""
    every = np.array(
        [list(result[result.seeds == s].figures().values()) for s in np.unique(result.seeds)]
    )
    for name, values in (
        ('seeds: lowest of each', np.nanmin(every, axis=0)),
        ('seeds: median of each', np.nanmedian(every, axis=0)),
        ('seeds: highest of each', np.nanmax(every, axis=0)),
    ):
        yield f'{name:40s}{len(every):9d}' + ''.join(f'{number:9.2f}' for number in values)


def network_poses(model='nano'):
    """Return a function from views with pictures to the poses that a network estimates."""
    from vitpose_ros.core import Frame, PoseEstimator

    estimator = PoseEstimator.load(model, 'cpu', heatmap_spread=True)

    def poses_of(view):
        boxes = np.stack([p.box for p in view.people]).astype(np.float32)
        return estimator.predict([Frame(view.sight.image, boxes)])[0]

    return poses_of


VARIANTS = {
    'true': Keypoints(),
    'true, sure of hidden': Keypoints(hidden_score=1.0),
    '4 pixels off': Keypoints(jitter_px=4.0),
}


def main():
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', nargs=2, type=int, default=(SEEDS.start, SEEDS.stop))
    parser.add_argument('--scenarios', nargs='+', default=list(SCENARIOS))
    parser.add_argument('--times', type=int, default=2, help='per scene')
    parser.add_argument(
        '--noise', nargs='+', default=['stereo', 'coarse stereo'], choices=list(NOISES)
    )
    parser.add_argument('--lens', default=None)
    parser.add_argument('--network', action='store_true', help='keypoints of the embedded one')
    given = parser.parse_args()
    views = views_of(
        range(*given.seeds),
        given.scenarios,
        times=given.times,
        lens=given.lens,
        pictures=given.network,
    )
    if given.network:
        results = {'of the network, stereo': result_of(views, network_poses())}
    else:
        views = list(views)
        results = {
            f'{name}, {noise}': result_of(views, keypoints=keypoints, noise=noise)
            for noise in given.noise
            for name, keypoints in VARIANTS.items()
        }
    print(HEAD)
    for name, result in results.items():
        print(row_of(name, result))
        for row in spread_rows(result):
            print(row)
    first = next(iter(results.values()))
    for title, what in (('scenario', first.scenarios), ('joint', first.kinds)):
        print(f'\nby {title}, {next(iter(results))}')
        for name in dict.fromkeys(what.tolist()):
            print(row_of(name, first[what == name]))
    print('\n' + LEGEND)


if __name__ == '__main__':
    main()
