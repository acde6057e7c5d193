"""Measure how wrong keypoints of the embedded network are, by what it says of them.

    python -m world.keypoint_errors 100 104

renders pictures of scenes of those seeds, estimates poses in the people's own boxes, and prints
for ranges of scores how the squared errors compare with the heatmaps' spread: the factor for
which their median, and their 90 % quantile, are those of a chi-square distribution. Above it
stands what vitpose_ros/core/geometry/lifting.py takes.
"""

import sys
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core import Frame, PoseEstimator
from vitpose_ros.core.geometry.lifting import SPREAD_POWER, SPREAD_SHARE
from world.anatomy import LEAST_SHARE, SCENARIOS
from world.bodies import indices_of
from world.scene import Scene
from world.sequence import SEEN

Array = NDArray[Any]

LIMITS = (0.25, 0.4, 0.5, 0.6, 0.7, 0.8)  # of scores
CHI2_2 = {50: 1.386, 90: 4.605}  # quantiles, per cent, with two degrees of freedom


def errors(seeds: range) -> tuple[Array, Array]:
    """Return scores (m,) of joints that are seen, and their errors squared, by the spread."""
    estimator = PoseEstimator.load('nano', 'cpu', heatmap_spread=True)
    index = indices_of('coco')
    scores, squares = [], []
    for seed in seeds:
        for number, scenario in enumerate(SCENARIOS):
            scene = Scene(seed, scenario)
            for second in np.random.default_rng([seed, number]).uniform(
                0.5, scene.seconds - 0.5, 2
            ):
                sight = scene.sights(float(second), pictures=True)[0]
                people = [p for p in sight.people if p.share > LEAST_SHARE]
                people = [p for p in people if np.isfinite(p.box).all()]
                if not people or sight.image is None:
                    continue
                boxes = np.stack([p.box for p in people]).astype(np.float32)
                poses = estimator.predict([Frame(sight.image, boxes)])[0]
                off = poses.keypoints - np.stack([p.points[index] for p in people])
                assert poses.heatmap_spread is not None
                solved = np.linalg.solve(poses.heatmap_spread, off[..., None])[..., 0]
                seen = np.stack([p.states[index] for p in people]) == SEEN
                scores.append(poses.scores[seen])
                squares.append((off * solved).sum(axis=2)[seen])
    return np.concatenate(scores), np.concatenate(squares)


def main() -> None:
    """Measure, and print."""
    scores, squares = errors(range(int(sys.argv[1]), int(sys.argv[2])))
    print(f'{"scores":>12s}{"joints":>8s}{"taken":>8s}{"50 %":>8s}{"90 %":>8s}')
    for low, high in pairwise(LIMITS):
        use = (scores >= low) & (scores < high)
        if not use.any():
            continue
        taken = SPREAD_SHARE * scores[use].mean() ** SPREAD_POWER
        factors = [np.percentile(squares[use], q) / limit for q, limit in CHI2_2.items()]
        numbers = ''.join(f'{number:8.3f}' for number in (taken, *factors))
        print(f'{low:6.2f}-{high:5.2f}{use.sum():8d}{numbers}')


if __name__ == '__main__':
    main()
