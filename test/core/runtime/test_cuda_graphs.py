"""Graphs that share memory give what eager mode gives, whatever ran before."""

import gpu
import numpy as np
import pytest
from gpu import ROUNDS, SIZE, random_backend

from vitpose_ros.core import SKELETONS
from vitpose_ros.core.runtime import Backend, Decoding
from vitpose_ros.tools.bench import subjects

pytestmark = gpu.MARKS

# Size, precision, largest batch, largest relative difference.
CASES = [
    ('small', 'float32', 16, 0.01),
    ('huge', 'float16', 32, 0.05),
    ('huge', 'float16', 48, 0.05),
]
if gpu.DRY:
    CASES = [('nano', 'float32', 8, 0.01)]


def mixtures(most, sets):
    """Random counts of each set; every third is large, with few of the first sets."""
    random = np.random.default_rng(0)
    for number in range(ROUNDS):
        total, shares = random.integers(1, most + 1), random.dirichlet(np.full(sets, 0.7))
        counts = random.multinomial(total, shares)
        if number % 3 == 0:
            counts = np.array([most // 8, 1, 1, 1, most - most // 8 - 3, 0]).clip(0)
        yield counts.tolist()


@pytest.mark.parametrize(('size', 'precision', 'most', 'limit'), CASES)
@pytest.mark.parametrize('heatmap_spread', [False, True], ids=['points', 'heatmap_spread'])
def test_graphs_of_six_sets_give_the_scores_of_eager_mode(
    size, precision, most, limit, heatmap_spread, record_property
):
    backend = random_backend(size, list(SKELETONS), precision=precision, depth=2)
    decoding = Decoding(heatmap_spread=heatmap_spread)
    assert backend.prepare(decoding, most) == most
    worst = 0.0
    for number, counts in enumerate(mixtures(most, len(SKELETONS))):
        crops = subjects.crops(sum(counts), SIZE, gpu.DEVICE, seed=number)
        graphed, _ = backend.keypoints(crops, counts, decoding)
        eager, _ = Backend.keypoints(backend, crops, counts, decoding)
        for ours, plain, count in zip(graphed, eager, counts, strict=True):
            assert len(ours.scores) == count
            if count:
                difference = np.abs(ours.scores - plain.scores).max() / np.abs(plain.scores).max()
                worst = max(worst, float(difference))
                assert difference <= limit, counts  # not so for NaN
    record_property('largest difference', worst)
