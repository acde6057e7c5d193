"""Bottom-up networks on whole images, in every runtime."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from boxes.small_bottom_up import SIZE, write

from vitpose_ros.core import (
    Capture,
    CheckpointError,
    Frame,
    Options,
    PoseEstimator,
    PosePipeline,
    TrackOptions,
)
from vitpose_ros.core.boxes.bottom_up import BottomUp, options_beside
from vitpose_ros.core.geometry import grouping
from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.runtime.cuda import CudaBackend
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import NO_BOXES
from vitpose_ros.core.weights import load_network


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp('bottom_up') / 'small.safetensors'
    write(path)
    return path


def frames():
    random = np.random.default_rng(0)
    sizes = (SIZE, (2 * SIZE[0], 2 * SIZE[1]))
    images = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    images[1] = np.kron(images[0], np.ones((2, 2, 1), np.uint8))  # the same, twice as large
    return [Frame(image, NO_BOXES) for image in images]


@pytest.mark.parametrize(
    ('device', 'asked', 'got', 'expected'),
    [
        ('cuda:77', 'float16', 'float32', 'auto'),  # which the processor does not have
        ('cpu', 'float32', 'float32', 'float32'),
        ('cpu', 'int8', 'int8', 'auto'),
        ('auto', 'auto', 'float32', 'auto'),
    ],
)
def test_it_runs_where_the_network_beside_it_does(device, asked, got, expected, model, caplog):
    options = Options(device=device, precision=asked, backend='torch', keypoint_sets='coco,aic')
    other = SimpleNamespace(place='cpu', precision=got)
    found = options_beside(options, other)
    assert (found.device, found.precision, found.keypoint_sets) == ('cpu', expected, None)
    assert BottomUp.load(model, found).backend.place == 'cpu'
    assert ('precision int8 is not for bottom-up' in caplog.text) == (asked == 'int8')


def finder_of(backend, model, most=1):
    """A finder; 'cuda': what a GPU does, on the processor."""
    if backend == 'cuda':
        network = load_network(model)
        return BottomUp(CudaBackend(network, device='cpu', precision='float32'), most)
    options = Options(device='cpu', backend=backend, precision='float32')
    return BottomUp.load(model, options, most=most)


@pytest.mark.parametrize('most', [1, 4])
@pytest.mark.parametrize('backend', ['torch', 'openvino', 'onnx', 'cuda'])
def test_all_backends_find_what_the_network_says(backend, most, model):
    finder = finder_of(backend, model, most)
    found, large = finder.find(frames(), 0.1)
    assert finder.class_names == {0: 'person'}
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(frames()[0].pixels)[None])
        [maps] = load_network(model)(pixels)
        own = grouping.find(maps, SKELETONS['coco'])
    count = int((own.box_scores[0] >= 0.1).sum())
    assert 0 < len(found) <= count
    assert found.scores == pytest.approx(own.box_scores[0, : len(found)].numpy(), abs=1e-3)
    there = own.keypoints[0, : len(found)].numpy()
    apart = np.linalg.norm(found.poses.keypoints - there, axis=2)
    assert np.quantile(apart, 0.95) < 0.1, 'where two peaks are as good, either'
    assert found.poses.class_names == ('person',) * len(found)
    # Pixels are counted from their centres.
    apart = np.linalg.norm((found.poses.keypoints + 0.5) * 2 - 0.5 - large.poses.keypoints, axis=2)
    assert np.quantile(apart, 0.95) < 0.2
    assert large.boxes == pytest.approx(2 * found.boxes, abs=0.2)


def test_images_of_another_shape_are_fitted_into_the_picture(model):
    """Their people lie where those of the picture lie, in whose rest is black."""
    finder = finder_of('torch', model)
    random = np.random.default_rng(1)
    for height, width in ((SIZE[0] // 2, SIZE[1]), (SIZE[0], SIZE[1] // 2)):
        image = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        padded = np.zeros((*SIZE, 3), np.uint8)
        padded[:height, :width] = image
        [own], [whole] = (finder.find([Frame(i, NO_BOXES)], 0.01) for i in (image, padded))
        inside = (whole.boxes[:, 0] < width) & (whole.boxes[:, 1] < height)
        assert len(own) == inside.sum() > 0
        assert own.scores == pytest.approx(whole.scores[inside], abs=1e-6)
        assert np.allclose(own.poses.keypoints, whole.poses.keypoints[inside], atol=1e-3)


def test_a_top_down_network_is_refused():
    with pytest.raises(CheckpointError, match='top-down network, which needs boxes'):
        BottomUp.load('nano')


def test_no_frames_have_nobody(model):
    finder = BottomUp.load(model, Options(device='cpu', backend='torch', precision='float32'))
    assert finder.find([]) == []


@pytest.mark.parametrize('refine', [True, False])
def test_a_pipeline_takes_its_poses_or_refines_them(refine, model):
    options = Options(device='cpu', backend='torch', precision='float32')
    finder = BottomUp.load(model, options)
    estimator = PoseEstimator.with_options('nano', options)
    pipeline = PosePipeline(
        estimator, TrackOptions(tracking='off'), detector=finder, least_score=0.1, refine=refine
    )
    [frame, _] = frames()
    [sighting] = pipeline.process([Capture(frame, 0)])
    [found] = finder.find([frame], 0.1)
    assert np.array_equal(sighting.poses.boxes, found.boxes) and len(found)
    wanted = found.poses
    if refine:
        [wanted] = estimator.predict([Frame(frame.image, found.boxes)])
    assert np.array_equal(sighting.poses.keypoints, wanted.keypoints)
