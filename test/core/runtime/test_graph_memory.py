"""The memory of graphs, by a model of the allocator on traced allocations: no GPU is needed.

Tensors are PyTorch's meta tensors, which have a size and no content.
"""

import pytest
import torch
from allocator import MB, Pool, TracingRecorder

from vitpose_ros.core.model.config import SIZES, ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime.base import Decoding
from vitpose_ros.core.runtime.cuda import buckets
from vitpose_ros.core.runtime.cuda.network import Chosen, GpuNetwork
from vitpose_ros.core.runtime.cuda.passes import Passes
from vitpose_ros.core.skeletons import SKELETONS

DEVICE = torch.device('meta')


def traced(size, sets, max_batch, *, one_pool=True, depth=2, decoding=None, ways=True):
    """Passes of a network, and the recorder that traced them. Blocks repeat: two do for many."""
    shape = {**SIZES[size], 'depth': depth}
    config = ViTPoseConfig(
        **shape,
        num_keypoints={name: len(SKELETONS[name]) for name in sets},
        part_features=shape['embed_dim'] // 4 if len(sets) > 1 else 0,
        folded=True,
    )
    recorder = TracingRecorder(one_pool=one_pool)
    with DEVICE:  # not around the rest, which has to choose the device itself
        plain = ViTPose(config).eval()
    network = GpuNetwork(plain, DEVICE, torch.float16)
    network.chosen = Chosen(patch_product=ways, fused_gelu=ways, head_product=ways)
    passes = Passes(network, decoding or Decoding(), max_batch, recorder=recorder)
    memory = (passes.given, passes._features, passes._own, *passes._found.values())
    static = sum(tensor.nbytes for tensor in memory)
    return recorder, static


@pytest.mark.parametrize('size', ['small', 'base', 'large', 'huge'])
def test_nothing_that_outlives_a_replay_lies_in_memory_that_another_graph_writes(size):
    recorder, _ = traced(size, list(SKELETONS), 64, depth=1)
    assert len(recorder.left) == 7 * len(buckets(64))
    assert not any(recorder.left)


@pytest.mark.parametrize('sets', [['coco'], list(SKELETONS)])
def test_that_holds_for_the_flip_test_and_heatmap_spread(sets):
    decoding = Decoding(flip_test=True, heatmap_spread=True, hybrid=True)
    recorder, _ = traced('small', sets, 6, decoding=decoding, ways=False)
    assert recorder.left and not any(recorder.left)


def test_the_model_sees_what_stays_in_use():
    recorder, kept = TracingRecorder(), []
    recorder.record(lambda: kept.append(torch.zeros(1000, device=DEVICE)))
    recorder.record(lambda: torch.zeros(1000, device=DEVICE))
    assert recorder.left == [4096, 0]


def test_smaller_graphs_take_no_further_memory():
    largest, _ = traced('base', ['coco'], 16)
    pool = largest.reserved
    apart, _ = traced('base', ['coco'], 16, one_pool=False)
    assert apart.reserved > 3 * pool
    # What the largest alone takes.
    assert pool < 1.1 * max(p.reserved for p in apart._pools)


@pytest.mark.parametrize('sets', [['coco'], list(SKELETONS)])
def test_graphs_of_the_base_network_take_at_most_250_mb(sets):
    recorder, static = traced('base', sets, 16)
    workspace = 32 * MB  # of cuBLAS on an H100
    assert recorder.reserved + static + workspace < 250e6


def test_the_model_of_the_allocator_splits_and_joins_blocks():
    pool = Pool()
    a, b, c = (pool.allocate(600_000) for _ in range(3))
    assert pool.reserved == 2 * MB
    d = pool.allocate(600_000)  # a segment of 2 MB holds three
    assert pool.reserved == 4 * MB
    for block in (a, c, b, d):
        pool.release(block)
    assert [len(segment.blocks) for segment in pool.segments] == [1, 1]
    large = pool.allocate(5 * MB)
    pool.allocate(15 * MB)
    assert pool.reserved == (4 + 20) * MB
    pool.release(large)
    pool.allocate(5 * MB)
    assert pool.reserved == 24 * MB
    pool.allocate(31 * MB)
    assert pool.reserved == (24 + 32) * MB
