"""What only a GPU has, against the results of the processor."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from weights import SeveralHeads

from vitpose_ros.core import SKELETONS, Frame, PoseEstimator
from vitpose_ros.core.backends import cuda as cuda_module
from vitpose_ros.core.backends import open_backend
from vitpose_ros.core.backends.base import Decoding
from vitpose_ros.core.backends.cuda import CudaCrops, Graph
from vitpose_ros.core.checkpoints import load_network
from vitpose_ros.core.crops import HostCrops, crop_regions

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device'),
]

CLIP = Path(__file__).parents[2] / 'vitpose_ros' / 'demo' / 'data' / 'demo_clip.mp4'
SIZE = (256, 192)


@pytest.fixture(scope='module')
def frame():
    """The first frame of the demo clip with its people, many times over."""
    image = cv2.VideoCapture(str(CLIP)).read()[1]
    people = json.loads(CLIP.with_suffix('.json').read_text())['frames'][0]
    boxes = np.array([person['bbox'] for person in people], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    shifts = np.random.default_rng(0).uniform(-6, 6, (7, *boxes.shape))
    return Frame(image, (boxes + shifts).reshape(-1, 4), 'bgr')


def first(frame, count):
    return Frame(frame.image, frame.boxes[:count], frame.channels)


def found_by(estimator, frame):
    [poses] = estimator.predict([frame])
    return np.array([p.keypoints for p in poses]), np.array([p.scores for p in poses])


@pytest.fixture(scope='module')
def on_cpu():
    return PoseEstimator.load('nano', 'cpu', backend='torch', precision='float32')


@pytest.mark.parametrize(
    ('precision', 'tolerance'), [('float32', 1e-2), ('float16', 0.5), ('bfloat16', 0.5)]
)
def test_all_buckets_give_the_keypoints_of_the_cpu(precision, tolerance, frame, on_cpu):
    estimator = PoseEstimator.load('nano', 'cuda', precision=precision, max_batch=12)
    assert estimator.backend.precision == precision
    errors = []
    for count in (1, 2, 3, 5, 8, 9, 12, 21, 4, 1):  # exact, padded, the largest, in parts, again
        points, scores = found_by(estimator, first(frame, count))
        expected = found_by(on_cpu, first(frame, count))
        errors.append(np.linalg.norm(points - expected[0], axis=2))
        assert np.median(errors[-1]) < 0.2 and np.abs(scores - expected[1]).max() < 0.02
    assert np.percentile(np.concatenate(errors), 95) < tolerance


def test_graphs_give_the_keypoints_of_eager_mode(frame):
    backend = open_backend(load_network('nano'), device='cuda', precision='float32')
    crops = torch.randint(0, 256, (5, *SIZE, 3), dtype=torch.uint8, device='cuda')
    for decoding in (Decoding(), Decoding(flip_test=True, covariances=True, hybrid=True)):
        assert backend.prepare(decoding, 8) == 8
        [graphed], _ = backend.keypoints(crops, [5], decoding)
        [eager], _ = super(type(backend), backend).keypoints(crops, [5], decoding)
        assert np.allclose(graphed.points, eager.points, atol=1e-3)
        assert np.allclose(graphed.scores, eager.scores, atol=1e-5)
        if decoding.covariances:
            assert np.allclose(graphed.covariances, eager.covariances, rtol=1e-2, atol=1e-3)


def test_mixed_sets_go_through_one_graph(tmp_path, frame):
    torch.manual_seed(0)
    torch.save(SeveralHeads(384, 2, 12).original(), tmp_path / 'six.pth')
    sets = list(SKELETONS)
    on_cpu, on_gpu = (
        PoseEstimator.load(
            tmp_path / 'six.pth',
            device,
            backend='torch',
            precision='float32',
            keypoint_sets=sets,
            max_batch=8,
        )
        for device in ('cpu', 'cuda')
    )
    random = np.random.default_rng(0)
    for _ in range(5):
        names = random.choice(sets, len(frame.boxes)).tolist()
        mixed = Frame(frame.image, frame.boxes, 'bgr', names)
        for pose, other in zip(*(e.predict([mixed])[0] for e in (on_cpu, on_gpu)), strict=True):
            assert pose.skeleton == other.skeleton
            assert np.abs(pose.scores - other.scores).max() < 1e-3
            # Random weights give flat maps, whose highest cell may be another one.
            assert np.median(np.abs(pose.keypoints - other.keypoints)) < 0.05


@pytest.mark.parametrize('way', ['cut_here', 'cut_there'])
def test_both_ways_of_cropping_give_the_crops_of_the_cpu(way, frame):
    regions, udp = crop_regions(frame.boxes, SIZE), np.arange(len(frame.boxes)) % 2 == 0
    expected, crops = HostCrops(SIZE), CudaCrops(SIZE, torch.device('cuda'))
    places = np.random.default_rng(0).permutation(len(regions))
    for count in (3, len(regions), 5):
        for cutter in (expected, crops):
            cutter.begin(len(regions))
        expected.cut(frame, regions[:count], udp[:count], places[:count])
        getattr(crops, way)(frame, regions[:count], udp[:count], places[:count])
        difference = crops.batch().cpu().int() - expected.batch().int()
        assert (difference[places[:count]].abs() <= 1).float().mean() > 0.999


def test_crops_of_the_next_pass_do_not_disturb_those_on_their_way(frame):
    """Copies run on a stream of their own, out of memory that is used again."""
    crops, host = CudaCrops(SIZE, torch.device('cuda')), HostCrops(SIZE)
    regions, udp = crop_regions(frame.boxes, SIZE), np.ones(len(frame.boxes), bool)
    everywhere = np.arange(len(regions))
    for number in range(50):
        shifted = regions + (number % 7)
        for cutter in (crops, host):
            cutter.begin(len(regions))
            cutter.cut(frame, shifted, udp, everywhere)
        difference = crops.batch().cpu().int() - host.batch().int()
        assert (difference.abs() <= 1).float().mean() > 0.999


def test_buckets_that_memory_does_not_suffice_for_are_left_out(monkeypatch, frame, on_cpu):
    class Scarce(Graph):
        def __init__(self, function, device, pool):
            super().__init__(function, device, pool)
            first = self.out[0] if isinstance(self.out, list) else self.out
            if len(first) > 4:
                raise torch.cuda.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr(cuda_module, 'Graph', Scarce)
    estimator = PoseEstimator.load('nano', 'cuda', precision='float32', max_batch=16)
    assert estimator.max_batch == 4
    points, _ = found_by(estimator, frame)
    expected, _ = found_by(on_cpu, frame)
    assert np.percentile(np.linalg.norm(points - expected, axis=2), 95) < 1e-2


def test_memory_of_the_gpu_stays_level(frame):
    estimator = PoseEstimator.load('nano', 'cuda')
    found_by(estimator, frame)
    before = torch.cuda.memory_reserved()
    for count in [1, 21, 3, 8, 16] * 20:
        found_by(estimator, first(frame, count))
    assert torch.cuda.memory_reserved() == before


def test_onnx_runtime_on_the_gpu_gives_the_keypoints_of_the_cpu(frame, on_cpu):
    runtime = pytest.importorskip('onnxruntime')
    if 'CUDAExecutionProvider' not in runtime.get_available_providers():
        pytest.skip('onnxruntime is not built for CUDA')
    estimator = PoseEstimator.load('nano', 'cuda', backend='onnx')
    points, _ = found_by(estimator, frame)
    expected, _ = found_by(on_cpu, frame)
    assert np.percentile(np.linalg.norm(points - expected, axis=2), 95) < 0.5
