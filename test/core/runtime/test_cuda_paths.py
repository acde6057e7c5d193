"""The backend for GPUs, on a processor, where graphs and streams are stand-ins.

What it computes, and what it does where memory or a part of it is missing, is the same code as on
a GPU. What needs a GPU to be seen is in test_cuda.py.
"""

import contextlib
import dataclasses
import itertools
import logging
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gpu import GREY_LEVELS
from random_weights import SeveralHeads

from vitpose_ros.core import SKELETONS, Frame, Options, PoseEstimator
from vitpose_ros.core.geometry.crops import Cuts, HostCrops, crop_regions
from vitpose_ros.core.model.windows import Windows
from vitpose_ros.core.runtime import DeviceError
from vitpose_ros.core.runtime import choice as choice_module
from vitpose_ros.core.runtime.base import Backend, Decoding
from vitpose_ros.core.runtime.cuda import CudaBackend, CudaCrops, Tuning, buckets
from vitpose_ros.core.runtime.cuda import backend as backend_module
from vitpose_ros.core.runtime.cuda import device as device_module
from vitpose_ros.core.runtime.cuda import measure as measure_module
from vitpose_ros.core.runtime.cuda import passes as passes_module
from vitpose_ros.core.runtime.cuda.crops import Costs
from vitpose_ros.core.runtime.cuda.device import Recorder, event
from vitpose_ros.core.runtime.cuda.measure import Trials
from vitpose_ros.core.runtime.cuda.network import GatheredExperts, GpuNetwork
from vitpose_ros.core.runtime.torch import TorchBackend
from vitpose_ros.core.weights import load_network

CPU = torch.device('cpu')
SIZE = (64, 48)
WAYS = [field.name for field in dataclasses.fields(Tuning)]
PLAIN = Tuning(**dict.fromkeys(WAYS, False))
OUT_OF_MEMORY = torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 MiB')


def nano():
    return load_network('nano', image_size=SIZE)


@pytest.fixture(scope='module')
def six_sets(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'six.pth'
    torch.save(SeveralHeads(384, 2, 12).original(), path)
    return lambda: load_network(path, list(SKELETONS), image_size=SIZE)


def crops(count, seed=0):
    """Coarse noise, which gives distinct peaks."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 8, 6, 3), dtype=np.uint8)
    return torch.from_numpy(coarse.repeat(8, axis=1).repeat(8, axis=2))


def plain(network, given, counts, decoding=None):
    """What the plain network finds, in float32, without anything of the backend's."""
    backend = TorchBackend(network, Options(precision='float32'))
    return backend.keypoints(given, counts, decoding or Decoding())[0]


def assert_alike(found, expected):
    """Assert that peaks lie within 1e-3 cells; those of flat maps, which rounding moves, 0.05."""
    for own, other in zip(found, expected, strict=True):
        assert own.points.shape == other.points.shape
        assert np.allclose(own.scores, other.scores, atol=1e-5)
        flat = other.scores < 0.05
        assert np.allclose(own.points, other.points, atol=0.05, rtol=0, equal_nan=True)
        assert np.allclose(own.points[~flat], other.points[~flat], atol=1e-3, rtol=0)
        assert (own.heatmap_spread is None) == (other.heatmap_spread is None)
        if own.heatmap_spread is not None:
            assert np.allclose(
                own.heatmap_spread, other.heatmap_spread, rtol=1e-3, atol=1e-3, equal_nan=True
            )


# What it computes


@pytest.mark.parametrize(
    'tuning', [Tuning(), Tuning(one_graph=False), Tuning(graphs=False), PLAIN]
)
def test_batches_of_all_sizes_give_what_the_plain_network_gives(tuning):
    backend = CudaBackend(nano(), device='cpu', precision='float32', tuning=tuning)
    assert backend.prepare(Decoding(), 6) == 6
    for count in (1, 5, 6, 14, 2):  # exact, padded, the largest, in parts, again
        given = crops(count, count)
        found, _ = backend.keypoints(given, [count], Decoding())
        assert_alike(found, plain(nano(), given, [count]))


@pytest.mark.parametrize('tuning', [Tuning(), PLAIN])
@pytest.mark.parametrize(
    'decoding', [Decoding(), Decoding(flip_test=True, hybrid=True, heatmap_spread=True)]
)
def test_mixed_sets_give_what_the_plain_network_gives(tuning, decoding, six_sets):
    backend = CudaBackend(six_sets(), device='cpu', precision='float32', tuning=tuning)
    backend.prepare(decoding, 7)
    for counts in ([0, 0, 0, 0, 0, 1], [0, 4, 0, 2, 0, 1], [2, 1, 4, 1, 1, 0]):
        given = crops(sum(counts), seed=counts[1])
        found, _ = backend.keypoints(given, counts, decoding)
        assert_alike(found, plain(six_sets(), given, counts, decoding))


def test_gathered_experts_equal_experts_that_take_slices(six_sets):
    experts = six_sets().backbone.blocks[0].mlp.experts
    hidden, counts = torch.randn(7, 12, 1536), [2, 0, 1, 1, 0, 3]
    index = torch.repeat_interleave(torch.arange(6), torch.tensor(counts))
    gathered = GatheredExperts(experts)
    expected = experts(hidden, counts)
    assert torch.allclose(gathered(hidden, index), expected, atol=1e-5)
    order = torch.randperm(7)
    assert torch.allclose(gathered(hidden[order], index[order]), expected[order], atol=1e-5)


@pytest.mark.parametrize('way', WAYS)
def test_each_way_alone_gives_the_same(way, six_sets):
    tuning = dataclasses.replace(PLAIN, **{way: True})
    backend = CudaBackend(six_sets(), device='cpu', precision='float32', tuning=tuning)
    counts, given = [1, 0, 1, 1, 0, 1], crops(4)
    found, _ = backend.keypoints(given, counts, Decoding())
    assert_alike(found, plain(six_sets(), given, counts))
    assert set(backend.ways) == set(WAYS)
    assert all(text == 'off' for other, text in backend.ways.items() if other != way)
    assert backend.ways[way] != 'off'


@pytest.mark.parametrize('precision', ['float16', 'bfloat16'])
def test_sixteen_bits_give_heatmaps_within_their_rounding(precision):
    backend = CudaBackend(nano(), device='cpu', precision=precision)
    exact = nano()
    given = crops(2)
    [found] = backend.heatmaps(given, [2])
    [expected] = TorchBackend(exact, Options(precision='float32')).heatmaps(given, [2])
    assert backend.ways['fused_gelu'].startswith('taken')
    error = (found - expected).norm() / expected.norm()
    assert error < {'float16': 0.005, 'bfloat16': 0.04}[precision]


def test_windows_and_the_simple_decoder_are_computed_too():
    torch.manual_seed(0)
    config = dataclasses.replace(
        nano().config,
        depth=4,
        attention=('window', 'shifted_window', 'pooled_window', 'full'),
        window_size=(2, 2),
        decoder='simple',
    )
    network = type(nano())(config).eval().requires_grad_(False)
    backend = CudaBackend(network, device='cpu', precision='float32')
    given = crops(3)
    assert_alike(backend.keypoints(given, [3], Decoding())[0], plain(network, given, [3]))


def test_the_network_that_was_given_stays_as_it_is():
    network = nano()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    CudaBackend(network, device='cpu', precision='float16')
    after = network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_calls_inside_and_outside_of_inference_mode():
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    with torch.inference_mode():
        first, _ = backend.keypoints(crops(2), [2], Decoding())
        cutter = backend.crops()
    second, _ = backend.keypoints(crops(2), [2], Decoding())
    assert np.array_equal(first[0].points, second[0].points)
    cutter.begin(1)
    image = Frame(np.zeros((90, 90, 3), np.uint8), np.empty((0, 4)))
    for cut in (cutter.cut_here, cutter.cut_there):
        cut(image, Cuts(np.array([[0.0, 0.0, 48.0, 64.0]]), np.array([True]), np.array([0])))


def test_buckets_pad_little():
    assert buckets(16) == [1, 2, 3, 4, 6, 8, 10, 12, 14, 16]
    assert buckets(64)[10:] == [20, 24, 28, 32, 40, 48, 56, 64]
    assert buckets(13) == [1, 2, 3, 4, 6, 8, 10, 12, 13]
    assert buckets(1) == [1]
    for count in range(1, 65):
        bucket = next(size for size in buckets(64) if size >= count)
        assert bucket <= max(count + 1, 1.25 * count)
    padded = [next(s for s in buckets(16) if s >= count) / count - 1 for count in range(1, 17)]
    assert np.mean(padded) < 0.05


# Crops


def noise(width=160, height=120):
    random = np.random.default_rng(0)
    return Frame(random.integers(0, 256, (height, width, 3), np.uint8), np.empty((0, 4)), 'bgr')


@pytest.mark.parametrize('way', ['cut_here', 'cut_there'])
@pytest.mark.parametrize('bounding_area', [True, False])
def test_both_ways_cut_the_same_crops(way, bounding_area):
    random = np.random.default_rng(1)
    crops, host = CudaCrops(SIZE, CPU, bounding_area=bounding_area), HostCrops(SIZE)
    for number in range(6):
        low = random.uniform(-30, 130, (7, 2))
        regions = np.column_stack((low, random.uniform(10, 90, (7, 2))))
        udp, places = random.random(7) < 0.5, random.permutation(7)
        if number % 2:
            places = np.arange(7)
        for cutter, cut in ((crops, getattr(crops, way)), (host, host.cut)):
            cutter.begin(7)
            for part in (slice(0, 3), slice(3, 7)):  # of two frames
                cut(noise(160 + number, 120), Cuts(regions[part], udp[part], places[part]))
        difference = crops.batch().int() - host.batch().int()
        assert difference.abs().max() <= GREY_LEVELS
        assert (difference.abs() > GREY_LEVELS - 1).float().mean() < 1e-3


def test_only_what_the_boxes_cover_is_sent(monkeypatch):
    sent = []
    crops = CudaCrops(SIZE, CPU)
    for upload in crops._uploads:
        room = upload.room
        monkeypatch.setattr(
            upload, 'room', lambda size, room=room: sent.append(size) or room(size)
        )
    frame = noise(1920, 1080)
    regions = crop_regions(np.array([[100, 100, 160, 180], [300, 120, 340, 200]]), SIZE)
    crops.begin(2)
    crops.cut_there(frame, Cuts(regions, np.ones(2, bool), np.arange(2)))
    [size] = sent
    assert 3 * 240 * 80 < size < 3 * 300 * 130


def test_uploads_take_turns():
    crops = CudaCrops(SIZE, CPU)
    first = crops._uploads[0]
    one = Cuts(np.array([[0.0, 0.0, 48.0, 64.0]]), np.ones(1, bool), np.array([0]))
    crops.begin(1)
    crops.cut_there(noise(), one)
    assert crops._uploads[0] is not first
    crops.cut_there(noise(), one)
    assert crops._uploads[0] is first


def test_where_memory_for_a_frame_runs_out_crops_are_cut_on_the_processor(monkeypatch):
    crops, host = CudaCrops(SIZE, CPU, costs=Costs(1, 1, 0, 0)), HostCrops(SIZE)
    regions, udp, places = np.array([[5.0, 5.0, 48.0, 64.0]]), np.ones(1, bool), np.array([0])
    tried = []

    def fail(size):
        tried.append(size)
        raise OUT_OF_MEMORY

    for upload in crops._uploads:
        monkeypatch.setattr(upload, 'room', fail)
    for _ in range(3):
        for cutter in (crops, host):
            cutter.begin(1)
            cutter.cut(noise(), Cuts(regions, udp, places))
        assert (crops.batch().int() - host.batch().int()).abs().max() <= GREY_LEVELS
    assert len(tried) == 1


def test_what_a_backend_loses_while_frames_come_is_in_its_warning(monkeypatch):
    def fail(size):
        raise OUT_OF_MEMORY

    backend = CudaBackend(nano(), device='cpu', precision='float32')
    backend.prepare(Decoding(), 2)
    before = backend.ways.copy()
    for _ in range(2):  # of two estimators
        crops = backend.crops()
        crops._costs = Costs(1, 1, 0, 0)
        for upload in crops._uploads:
            monkeypatch.setattr(upload, 'room', fail)
        crops.begin(1)
        crops.cut(noise(), Cuts(np.array([[5.0, 5, 48, 64]]), np.ones(1, bool), np.array([0])))
    assert backend.warning.count('the memory of cpu does not suffice for frames') == 1
    lost = {way for way, text in backend.ways.items() if text.startswith('lost: the memory of')}
    assert lost == {'bounding_area'}, 'the others were not taken before'
    assert all(before[way] == text for way, text in backend.ways.items() if way not in lost)


def test_other_errors_of_a_frame_are_not_hidden(monkeypatch):
    crops = CudaCrops(SIZE, CPU, costs=Costs(1, 1, 0, 0))
    for upload in crops._uploads:
        monkeypatch.setattr(upload, 'room', lambda _: 1 / 0)
    crops.begin(1)
    with pytest.raises(ZeroDivisionError):
        crops.cut(
            noise(), Cuts(np.array([[5.0, 5.0, 48.0, 64.0]]), np.ones(1, bool), np.array([0]))
        )


def test_the_cheaper_way_is_taken(monkeypatch):
    crops = CudaCrops(SIZE, CPU, costs=Costs(0, 1, 0, 1e-4))  # a crop costs 10 kB of a frame
    taken = []
    for way in ('cut_here', 'cut_there'):
        monkeypatch.setattr(crops, way, lambda *_, way=way: taken.append(way))
    for count, width in ((1, 160), (8, 160), (8, 800)):
        regions = np.tile([0.0, 0.0, width, 120], (count, 1))
        crops.begin(count)
        crops.cut(noise(width), Cuts(regions, np.ones(count, bool), np.arange(count)))
    assert taken == ['cut_here', 'cut_there', 'cut_here']


def test_crops_go_straight_into_the_memory_that_a_pass_reads():
    estimator = PoseEstimator(CudaBackend(nano(), device='cpu', precision='float32'), max_batch=3)
    backend = estimator.backend
    cutter = backend.crops()
    cutter.begin(2)
    assert cutter.batch().data_ptr() == backend._passes.given.data_ptr()


def people(count):
    """A frame with so many subjects, each elsewhere."""
    corners = np.array([[5.0 + 7 * i, 5, 45 + 7 * i, 90] for i in range(count)])
    return Frame(noise().image, corners, 'bgr')


def assert_near(poses, expected):
    """Assert that each subject's keypoints are its own, whatever way its crop was cut."""
    apart = np.linalg.norm(poses.keypoints - expected.keypoints, axis=2)
    assert (np.median(apart, axis=1) < 0.5).all()


@pytest.mark.parametrize('graphs', [True, False])
def test_more_crops_in_a_pass_get_memory_of_their_own(graphs):
    tuning = Tuning(graphs=graphs)
    backend = CudaBackend(nano(), device='cpu', precision='float32', tuning=tuning)
    estimator = PoseEstimator(backend, max_batch=2)
    [expected] = estimator.predict([people(5)])
    for most in (8, 1, 5):
        estimator.max_batch = most
        assert estimator.max_batch == most
        [poses] = estimator.predict([people(5)])
        assert_near(poses, expected)
    assert backend._passes.max_batch == 8, 'it is there for what was asked first'


def test_no_more_crops_in_a_pass_than_memory_suffices_for(script):
    def act(size):
        if size > 4:
            raise OUT_OF_MEMORY

    script(act)
    estimator = PoseEstimator(CudaBackend(nano(), device='cpu', precision='float32'), max_batch=2)
    estimator.max_batch = 16
    assert estimator.max_batch == 4
    assert len(estimator.predict([people(6)])[0]) == 6


def test_where_it_cannot_get_ready_for_more_all_stays_as_it_was(script):
    backend = CudaBackend(nano(), device='cpu', precision='float32', tuning=Tuning(graphs=False))
    estimator = PoseEstimator(backend, max_batch=2)
    [expected] = estimator.predict([people(3)])
    make = backend._make
    backend._make = lambda *_, **__: 1 / 0
    with pytest.raises(DeviceError, match='cannot run this network: ZeroDivisionError'):
        estimator.max_batch = 8
    backend._make = make
    assert estimator.max_batch == 2
    assert_near(estimator.predict([people(3)])[0], expected)


@pytest.mark.parametrize('way', ['cut_here', 'cut_there'])
def test_crops_never_go_beyond_their_memory(way):
    memory = torch.zeros(6, *SIZE, 3, dtype=torch.uint8)
    cutter = CudaCrops(SIZE, CPU, out=memory[:2], fault='no kernel', costs=Costs(0, 0, 0, 0))
    with pytest.raises(ValueError, match='5 crops do not fit into memory for 2; let the backend'):
        cutter.begin(5)
    regions, udp = np.tile([5.0, 5.0, 48.0, 64.0], (2, 1)), np.ones(2, bool)
    cutter.begin(1)
    for places in ((0, 1), (-1, 0)):
        with pytest.raises(ValueError, match='not in a batch of 1 crops'):
            getattr(cutter, way)(noise(), Cuts(regions, udp, np.array(places)))
    assert not memory.any()


def test_estimators_of_one_backend_get_ready_once_each(monkeypatch):
    prepare, prepared = CudaBackend.prepare, []

    def watched(self, decoding, max_batch):
        prepared.append((decoding.flip_test, max_batch))
        return prepare(self, decoding, max_batch)

    monkeypatch.setattr(CudaBackend, 'prepare', watched)
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    both = [
        PoseEstimator(backend, max_batch=4, decoding=Decoding(flip_test=flip))
        for flip in (False, True)
    ]
    for count in (1, 3):
        for estimator in both:
            [poses] = estimator.predict([people(count)])
            alone = CudaBackend(nano(), device='cpu', precision='float32')
            [expected] = PoseEstimator(alone, decoding=estimator.decoding).predict([people(count)])
            assert_near(poses, expected)
    assert [entry for entry in prepared if entry[1] == 4] == [(False, 4), (True, 4)]
    assert {entry[1] for entry in prepared} == {4, 16}


def test_where_memory_suffices_for_one_estimator_they_take_turns():
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    one = PoseEstimator(backend, max_batch=4)
    make = backend._make

    def scarce(*given, **options):
        if backend._prepared:
            raise OUT_OF_MEMORY
        return make(*given, **options)

    backend._make = scarce
    other = PoseEstimator(backend, max_batch=3, decoding=Decoding(flip_test=True))
    for estimator, most in ((one, 4), (other, 3), (one, 4)):
        assert len(estimator.predict([people(1)])[0]) == 1
        assert backend._passes.max_batch == estimator.max_batch == most


def test_memory_that_does_not_suffice_to_get_ready_again_costs_the_frame():
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    estimator = PoseEstimator(backend, max_batch=4)
    PoseEstimator(backend, max_batch=4, decoding=Decoding(flip_test=True))
    backend._prepared.clear()

    def fail(*_, **__):
        raise OUT_OF_MEMORY

    backend._make = fail
    [outcome] = estimator.predict_each([people(3)])
    assert isinstance(outcome.error, DeviceError) and estimator.max_batch == 4


# Ways out


class Scripted(Recorder):
    """Records what a script lets it."""

    script = None

    def record(self, function):
        self.script(function)
        return super().record(function)


@pytest.fixture
def script(monkeypatch):
    """Set what happens when a graph of so many crops is recorded."""
    monkeypatch.setattr(passes_module, 'Recorder', Scripted)

    def set_script(act):
        def on_record(function):
            act(function.args[1])

        monkeypatch.setattr(Scripted, 'script', staticmethod(on_record))

    return set_script


def test_where_memory_runs_out_there_are_graphs_for_fewer_crops(script):
    def act(size):
        if size > 4:
            raise OUT_OF_MEMORY

    script(act)
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    assert backend.prepare(Decoding(), 16) == 4
    assert backend.description.endswith('CUDA graphs') and not backend.warning
    assert backend.ways['graphs'] == 'taken: for up to 4 crops'
    given = crops(9)
    assert_alike(backend.keypoints(given, [9], Decoding())[0], plain(nano(), given, [9]))


def test_memory_that_ran_out_behind_another_error_is_seen(script):
    """A capture that memory ends raises, when it is left, that it was invalidated."""

    def act(size):
        if size > 2:
            try:
                raise OUT_OF_MEMORY
            finally:
                raise RuntimeError(
                    'CUDA error: operation failed due to a previous error during capture'
                )

    script(act)
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    assert backend.prepare(Decoding(), 6) == 2


def test_where_graphs_cannot_be_recorded_kernels_are_launched_one_by_one(script):
    def act(size):
        raise RuntimeError('CUDA error: operation not permitted when stream is capturing')

    script(act)
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    assert backend.prepare(Decoding(), 6) == 6
    assert backend.description.endswith('without CUDA graphs')
    assert 'CUDA graphs cannot be recorded (RuntimeError: CUDA error: operation not permi' in (
        backend.warning
    )
    assert backend.ways['graphs'].startswith('not taken: RuntimeError')
    given = crops(8)
    assert_alike(backend.keypoints(given, [8], Decoding())[0], plain(nano(), given, [8]))


def test_without_memory_for_graphs_it_goes_on_eagerly_and_with_fewer_crops(script, monkeypatch):
    def act(size):
        raise OUT_OF_MEMORY

    script(act)
    compute = passes_module.Passes._compute

    def scarce(self, name, size):
        if size > 3:
            raise OUT_OF_MEMORY
        compute(self, name, size)

    monkeypatch.setattr(passes_module.Passes, '_compute', scarce)
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    assert backend.prepare(Decoding(), 16) == 3
    assert backend.description.endswith('without CUDA graphs') and backend.warning


def test_without_memory_for_anything_the_device_is_named(script, monkeypatch):
    def fail(self, name, size):
        raise OUT_OF_MEMORY

    script(lambda size: fail(None, '', size))
    monkeypatch.setattr(passes_module.Passes, '_compute', fail)
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    with pytest.raises(DeviceError, match="device 'cpu' has too little free memory for this net"):
        backend.prepare(Decoding(), 4)


def test_graphs_can_be_switched_off():
    backend = CudaBackend(nano(), device='cpu', precision='float32', tuning=Tuning(graphs=False))
    backend.prepare(Decoding(), 4)
    assert backend.ways['graphs'] == 'off' and not backend.warning
    assert backend.description.endswith('without CUDA graphs')


def test_what_was_asked_of_graphs_reaches_the_backend(monkeypatch):
    asked = []

    def on_gpu(network, **options):
        asked.append(options['tuning'].graphs)
        return CudaBackend(network, device='cpu', precision='float32', tuning=options['tuning'])

    monkeypatch.setattr(choice_module, 'CudaBackend', on_gpu)
    found = choice_module.Choice('torch', 'cuda:0', 'asked for')
    monkeypatch.setattr(choice_module, 'choose', lambda *_: found)
    for word in ('auto', 'off'):
        estimator = PoseEstimator.load('nano', cuda_graphs=word, image_size=SIZE)
        assert estimator.backend.ways['graphs'].startswith('off' if word == 'off' else 'taken')
    assert asked == [True, False]


@pytest.mark.parametrize('graphs', [True, False])
def test_where_nothing_can_be_captured_ways_are_timed_without(graphs, monkeypatch):
    tried = []

    def record(self, function):
        tried.append(function)
        raise RuntimeError('CUDA error: operation not permitted when stream is capturing')

    monkeypatch.setattr(Recorder, 'record', record)
    for module in (measure_module, backend_module):
        monkeypatch.setattr(module, 'is_timed', lambda _: True)
    backend = CudaBackend(nano(), device='cpu', precision='float32', tuning=Tuning(graphs=graphs))
    assert len(tried) == graphs, 'the first failure is enough'
    assert ' ms, plain ' in backend.ways['patch_product']
    assert backend.prepare(Decoding(), 2) == 2
    assert backend.description.endswith('without CUDA graphs')
    given = crops(3)
    assert_alike(backend.keypoints(given, [3], Decoding())[0], plain(nano(), given, [3]))


def test_where_memory_suffices_for_small_trials_alone_ways_are_chosen_by_these(monkeypatch):
    sample = Trials._sample

    def scarce(self, batch, *, patches):
        if batch > 1:
            raise OUT_OF_MEMORY
        return sample(self, batch, patches=patches)

    monkeypatch.setattr(Trials, '_sample', scarce)
    monkeypatch.setattr(backend_module, 'is_timed', lambda _: True)
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    assert backend.ways['patch_product'].startswith('taken')


def test_values_that_float16_does_not_hold_are_computed_in_bfloat16():
    network = nano()
    for block in network.backbone.blocks:  # what passes on is the same, but in between
        block.mlp.fc2.weight *= 1e6
        block.mlp.fc2.bias *= 1e6
    backend = CudaBackend(network, device='cpu')
    assert backend.precision == 'bfloat16'
    assert 'has values that float16 does not hold' in backend.warning
    assert backend.heatmaps(crops(1), [1])[0].isfinite().all()
    chosen = CudaBackend(network, device='cpu', precision='float16')
    assert chosen.precision == 'float16' and 'give float32' in chosen.warning


def test_a_way_that_fails_or_differs_is_not_taken(monkeypatch):
    def broken(self, layer, maps):
        raise RuntimeError('no kernel\n image is available')

    monkeypatch.setattr(GpuNetwork, 'last_layer', broken)
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    assert backend.ways['head_product'] == (
        'not taken: RuntimeError: no kernel image is available'
    )
    given = crops(2)
    assert_alike(backend.keypoints(given, [2], Decoding())[0], plain(nano(), given, [2]))
    monkeypatch.setattr(GpuNetwork, 'last_layer', lambda _, layer, maps: 1.01 * layer(maps))
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    assert backend.ways['head_product'] == 'not taken: its relative error is 0.01'


def sums(tokens, added):
    return (tokens.view(-1, *added.shape) + added).view_as(tokens)


@pytest.mark.parametrize('wrong', ['sum', 'norm', 'what is added again', 'a number that is none'])
def test_a_kernel_of_which_one_result_is_wrong_is_not_taken(wrong, monkeypatch):
    def add_norm(tokens, added, weight, bias, eps):
        total = sums(tokens, added)
        if wrong == 'what is added again' and len(added) < len(tokens):
            total = tokens + added.repeat_interleave(len(tokens) // len(added), 0)
        normed = torch.nn.functional.layer_norm(total, (total.shape[1],), weight, bias, eps)
        if wrong == 'sum':
            total = tokens.clone()  # as one that does not store it
        elif wrong == 'norm':
            normed = normed * 1.01
        elif wrong == 'a number that is none':
            total[-1, -1] = torch.nan
        return total, normed

    monkeypatch.setattr(measure_module.kernels, 'fault', lambda _: '')
    monkeypatch.setattr(measure_module.kernels, 'add_norm', add_norm)
    backend = CudaBackend(
        nano(), device='cpu', precision='float32', tuning=Tuning(kernel_crops=False)
    )
    assert backend.ways['fused_norms'].startswith('not taken: its relative error is ')
    given = crops(2)
    assert_alike(backend.keypoints(given, [2], Decoding())[0], plain(nano(), given, [2]))


def test_ways_that_are_right_alone_and_not_together_are_not_taken(monkeypatch):
    hidden = GpuNetwork.hidden

    def overflowing(self, block, normed):
        """Right for the first block alone, which is what is tried."""
        found = hidden(self, block, normed)
        return found * (torch.inf if self.chosen.head_product and block is self.blocks[1] else 1)

    monkeypatch.setattr(GpuNetwork, 'hidden', overflowing)
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    assert backend.ways['head_product'] == 'not taken: with it heatmaps are not finite'
    assert backend.ways['fused_gelu'].startswith('not taken: its approximation')
    assert not backend.warning
    given = crops(2)
    assert_alike(backend.keypoints(given, [2], Decoding())[0], plain(nano(), given, [2]))


def test_auto_goes_on_to_the_processor_where_the_gpu_has_too_little_memory(monkeypatch, caplog):
    def on_gpu(network, **_):
        raise DeviceError("device 'cuda:0' has too little free memory for this network")

    choose = choice_module.choose
    monkeypatch.setattr(choice_module, 'CudaBackend', on_gpu)
    monkeypatch.setattr(
        choice_module,
        'choose',
        lambda backend, device: (
            choose(backend, device)
            if device == 'cpu'
            else choice_module.Choice('torch', 'cuda:0', 'PyTorch can use the GPU')
        ),
    )
    caplog.set_level(logging.INFO, 'vitpose_ros')
    estimator = PoseEstimator.load('nano', image_size=SIZE)
    assert estimator.backend.device == CPU
    assert estimator.backend.warning.endswith('the network runs on the CPU instead')
    assert any('too little free memory' in line for line in caplog.messages)
    with pytest.raises(DeviceError, match='too little'):
        PoseEstimator.load('nano', 'cuda')


def test_memory_that_ran_out_beside_a_graph_costs_no_crops_of_a_batch():
    """A pass by a graph takes no memory: it is tried again, with as many."""
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    estimator = PoseEstimator(backend, max_batch=8)
    fails = [OUT_OF_MEMORY]
    keypoints = backend.keypoints

    def failing(*arguments):
        if fails:
            raise fails.pop()
        return keypoints(*arguments)

    backend.keypoints = failing
    frame = Frame(noise().image, np.tile([10.0, 10, 60, 90], (3, 1)), 'bgr')
    [outcome] = estimator.predict_each([frame])
    assert outcome.error is None and len(outcome.poses) == 3 and estimator.max_batch == 8
    fails += [OUT_OF_MEMORY, OUT_OF_MEMORY]
    [outcome] = estimator.predict_each([frame])
    assert isinstance(outcome.error, torch.cuda.OutOfMemoryError) and estimator.max_batch == 8
    [outcome] = estimator.predict_each([frame])
    assert outcome.error is None


def test_without_graphs_a_batch_is_halved():
    backend = CudaBackend(nano(), device='cpu', precision='float32', tuning=Tuning(graphs=False))
    backend.prepare(Decoding(), 8)
    assert [backend.relieve(count) for count in (8, 3, 2)] == [4, 2, 1]
    assert Backend.relieve(backend, 1) == 1


def test_any_error_of_the_device_at_configure_is_one_of_the_device(script, monkeypatch):
    def broken(self, name, size):
        raise RuntimeError('CUDA error: CUBLAS_STATUS_EXECUTION_FAILED')

    script(lambda size: broken(None, '', size))
    monkeypatch.setattr(passes_module.Passes, '_compute', broken)
    backend = CudaBackend(nano(), device='cpu', precision='float32')
    with pytest.raises(
        DeviceError, match='cannot run this network: RuntimeError: CUDA error: CUB'
    ):
        backend.prepare(Decoding(), 2)


def test_what_could_not_be_had_is_all_told(script):
    def act(size):
        raise RuntimeError('no graphs')

    script(act)
    network = nano()
    network.backbone.last_norm.weight *= 1e30
    backend = CudaBackend(network, device='cpu')
    backend.prepare(Decoding(), 1)
    assert 'float16 does not hold' in backend.warning and 'no graphs' in backend.warning


def rounds_to_tf32():
    cudnn = torch.backends.cudnn
    return cudnn.conv.fp32_precision != 'ieee' if hasattr(cudnn, 'conv') else cudnn.allow_tf32


@pytest.mark.parametrize('graphs', [True, False])
def test_passes_in_float32_do_not_round_to_tf32_in_convolutions(graphs, monkeypatch):
    before, seen = rounds_to_tf32(), []
    assert before, 'as PyTorch has it'
    heatmaps = GpuNetwork.heatmaps

    def watched(*arguments):
        seen.append(rounds_to_tf32())
        return heatmaps(*arguments)

    def record(self, function):
        function()
        return lambda: None  # a graph keeps what was chosen when it was recorded

    tuning = Tuning(graphs=graphs)
    backend = CudaBackend(nano(), device='cpu', precision='float32', tuning=tuning)
    monkeypatch.setattr(GpuNetwork, 'heatmaps', watched)
    monkeypatch.setattr(Recorder, 'record', record)
    backend.keypoints(crops(2), [2], Decoding())
    assert seen and not any(seen)
    assert rounds_to_tf32() == before and not torch.backends.cudnn.benchmark


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, 'conv'), reason='a PyTorch before 2.9')
def test_a_program_may_use_pytorchs_newer_settings_of_tf32():
    code = (
        'import torch\n'
        "torch.backends.cudnn.conv.fp32_precision = 'ieee'\n"
        "torch.backends.fp32_precision = 'tf32'\n"
        'from vitpose_ros.core.runtime.cuda.device import exact_convolutions\n'
        "for precision in ('float32', 'float16'):\n"
        '    with exact_convolutions(precision, by_measurement=True):\n'
        "        assert torch.backends.cudnn.conv.fp32_precision == 'ieee'\n"
        '        assert torch.backends.cudnn.benchmark\n'
        'assert not torch.backends.cudnn.benchmark\n'
    )
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr


def test_waiting_for_the_device_leaves_the_core_to_others(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'Event', lambda **options: options)
    assert event(torch.device('cuda')) == {'blocking': True}


def test_streams_of_graphs_are_their_own_and_used_again(monkeypatch):
    """A graph that is destroyed may take along what others of its stream use."""
    monkeypatch.setattr(device_module, 'stream', lambda _: object())
    monkeypatch.setattr(device_module, '_streams', device_module._Streams())
    one, other = Recorder(CPU), Recorder(CPU)
    assert one._stream is not other._stream
    first = one._stream
    del one
    assert Recorder(CPU)._stream is first


def test_a_stream_that_is_handed_out_again_goes_to_no_second_recorder(monkeypatch):
    pool = [object() for _ in range(4)]
    handed = itertools.cycle(pool)
    monkeypatch.setattr(device_module, 'stream', lambda _: next(handed))
    monkeypatch.setattr(device_module, '_streams', device_module._Streams())
    trials = device_module.trial_stream(torch.device('cuda', 99))
    one = Recorder(CPU)
    for _ in range(2):  # of crops
        device_module.stream(CPU)
    other, third = Recorder(CPU), Recorder(CPU)
    assert [trials, one._stream, other._stream, third._stream] == pool
    assert Recorder(CPU)._stream in pool, 'where all are taken'


class Driver:
    """Takes the place of torch.cuda, and keeps what a recorder asks of it."""

    OutOfMemoryError = torch.cuda.OutOfMemoryError

    def __init__(self):
        self.captures, self.left = [], []
        self.failing = ()  # the numbers of the captures that fail, from 1
        self.reason = 'no capture'
        self.Stream = self.CUDAGraph = lambda *_: SimpleNamespace(
            wait_stream=lambda _: None, replay=lambda: None
        )
        self.stream = self.device = lambda _: contextlib.nullcontext()
        self.current_stream = self.Stream
        self.graph_pool_handle = object

    @contextlib.contextmanager
    def graph(self, graph, *, pool, stream, capture_error_mode):
        self.captures.append((graph, pool, stream, capture_error_mode))
        if len(self.captures) in self.failing:
            raise RuntimeError(self.reason)
        yield


@pytest.fixture
def driver(monkeypatch):
    found = Driver()
    monkeypatch.setattr(torch, 'cuda', found)
    monkeypatch.setattr(device_module, '_streams', device_module._Streams())
    for name in ('_cuda_endAllocateToPool', '_cuda_releasePool'):
        leave = lambda device, pool, name=name: found.left.append((name, device, pool))  # noqa: E731
        monkeypatch.setattr(torch._C, name, leave, raising=False)
    return found


def test_graphs_of_a_recorder_share_stream_and_pool_and_let_other_threads_work(driver):
    recorder, runs = Recorder(torch.device('cuda', 0)), []
    for number in (1, 2):
        recorder.record(lambda number=number: runs.append(number))
    assert runs.count(1) == runs.count(2) == device_module.WARM_UP + 1
    (one, pool, stream, mode), (two, *others) = driver.captures
    assert one is not two and others == [pool, stream, mode]
    assert mode == 'thread_local'
    assert recorder._graphs == [one, two], 'they live as long as the recorder'
    Recorder(torch.device('cuda', 0)).record(list)
    _, other_pool, other_stream, _ = driver.captures[-1]
    assert other_pool is not pool and other_stream is not stream


def test_threads_capture_one_after_the_other(driver):
    inside, most = [], []

    def function():
        inside.append(None)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()

    recorders = [Recorder(torch.device('cuda', 0)) for _ in range(3)]
    threads = [threading.Thread(target=r.record, args=(function,)) for r in recorders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(driver.captures) == 3 and set(most) == {1}


def test_networks_are_opened_one_after_the_other(monkeypatch):
    """All are tried on one stream, which a capture must have for itself."""
    inside, most = [], []

    def choose(self):
        inside.append(None)
        time.sleep(0.05)
        most.append(len(inside))
        inside.pop()

    monkeypatch.setattr(CudaBackend, '_choose', choose)
    network = nano()
    threads = [
        threading.Thread(target=CudaBackend, args=(network,), kwargs={'device': 'cpu'})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


@pytest.mark.parametrize('failing', [(1,), (1, 2)])
def test_a_capture_that_fails_leaves_its_pool_and_random_numbers(
    failing, driver, monkeypatch, caplog
):
    """Up to PyTorch 2.11 only the end of a good capture lets the generator draw again."""
    driver.failing, driver.reason = failing, 'out of memory'
    number = torch.zeros(1)
    monkeypatch.setattr(torch, 'zeros', lambda *_, **__: number)
    recorder = Recorder(torch.device('cuda', 3))
    with pytest.raises(RuntimeError, match='out of memory'):
        recorder.record(list)
    (graph, pool, stream, _), (good, *others) = driver.captures
    assert driver.left == [('_cuda_endAllocateToPool', 3, pool), ('_cuda_releasePool', 3, pool)]
    assert others == [None, stream, 'thread_local']
    assert recorder._graphs == [graph, good]
    assert number == (2 not in failing), 'what is captured is an addition'
    told = 'random numbers on cuda:3 may fail, too: out of memory'
    assert (told in caplog.text) == (2 in failing)


def test_a_capture_that_somebody_else_breaks_is_tried_once_more(driver, monkeypatch, caplog):
    caplog.set_level('INFO')
    number = torch.zeros(1)
    monkeypatch.setattr(torch, 'zeros', lambda *_, **__: number)
    recorder = Recorder(torch.device('cuda', 0))
    driver.failing, driver.reason = (1,), 'operation failed due to a previous error'
    recorder.record(list)
    broken, addition, good = driver.captures
    assert good[1:] == broken[1:] and addition[1] is None, 'the same pool and stream'
    assert (
        'once more, after: RuntimeError: operation failed due to a previous error' in caplog.text
    )
    driver.failing = (4, 6)
    with pytest.raises(RuntimeError, match='previous error'):
        recorder.record(list)
    assert len(driver.captures) == 7


def test_windows_attend_in_the_four_dimensions_that_fast_kernels_take(monkeypatch):
    attend, seen = torch.nn.functional.scaled_dot_product_attention, []

    def watched(query, key, value, attn_mask=None):
        seen.append((query.dim(), attn_mask is None))
        return attend(query, key, value, attn_mask=attn_mask)

    monkeypatch.setattr(torch.nn.functional, 'scaled_dot_product_attention', watched)
    for shifted, full in ((False, True), (True, False)):
        windows = Windows((16, 12), (8, 6), shifted=shifted)
        windows(*(torch.randn(2, 3, 192, 8) for _ in range(3)))
        assert seen.pop() == (4, full)
