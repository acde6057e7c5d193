"""Detectors find what the pipeline of their library finds."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vitpose_ros.core import Frame
from vitpose_ros.core.boxes.detector import Detector, DetectorError
from vitpose_ros.core.boxes.known import load_detector

transformers = pytest.importorskip('transformers')
from boxes.small_detectors import write  # noqa: E402


@pytest.fixture(scope='module', params=['d_fine', 'rt_detr_v2'])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    write(request.param, path)
    return path


SIDES = 48, 64, 90, 70, 33, 120  # pixels


def images():
    random = np.random.default_rng(0)
    sizes = zip(SIDES[::2], SIDES[1::2], strict=True)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def expected(folder, threshold):
    """What the library's own pipeline finds, and its boxes before they become whole pixels."""
    pipeline = transformers.pipeline('object-detection', model=str(folder), device='cpu')
    found = []
    for image in images():
        entries = pipeline(Image.fromarray(image), threshold=threshold)
        inputs = pipeline.image_processor(images=[image], return_tensors='pt')
        with torch.inference_mode():
            outputs = pipeline.model(**inputs)
        [exact] = pipeline.image_processor.post_process_object_detection(
            outputs, threshold=threshold, target_sizes=[image.shape[:2]]
        )
        height, width = image.shape[:2]
        exact['boxes'] = exact['boxes'].clamp(
            torch.zeros(4), torch.tensor([width, height, width, height])
        )
        found.append((entries, exact))
    return found


@pytest.mark.parametrize('runtime', ['torch', 'openvino', 'onnx'])
def test_boxes_are_those_of_the_pipeline(folder, runtime, tmp_path, monkeypatch):
    monkeypatch.setenv('VITPOSE_ROS_CACHE', str(tmp_path))
    detector = Detector.load(folder, runtime=runtime)
    frames = [Frame(image, np.empty((0, 4))) for image in images()]
    batched = detector.find(frames, 0.3)
    alone = [detector.find([frame], 0.3)[0] for frame in frames]
    for *ours, (other, exact) in zip(batched, alone, expected(folder, 0.3), strict=True):
        order = exact['scores'].argsort(descending=True, stable=True)
        entries = sorted(other, key=lambda entry: -entry['score'])
        boxes = [[entry['box'][k] for k in ('xmin', 'ymin', 'xmax', 'ymax')] for entry in entries]
        for own in ours:
            assert len(own.scores) == len(entries) > 0
            assert np.allclose(own.scores, [entry['score'] for entry in entries], atol=1e-3)
            assert list(own.class_names) == [entry['label'] for entry in entries]
            assert np.abs(own.boxes - exact['boxes'][order].numpy()).max() < 1e-3 * max(SIDES)
            assert np.abs(own.boxes - np.array(boxes)).max() <= 1.001, 'whole pixels there'


def test_what_is_no_directory_is_named(tmp_path):
    with pytest.raises(DetectorError, match='is no directory'):
        Detector.load(tmp_path / 'absent')


def test_files_that_lack_are_named(tmp_path):
    (tmp_path / 'config.json').write_text('{}')
    with pytest.raises(DetectorError, match=r'lacks preprocessor_config.json, model.safetensors'):
        Detector.load(tmp_path)


def test_another_kind_of_network_is_named(tmp_path):
    for name in ('preprocessor_config.json', 'model.safetensors'):
        (tmp_path / name).write_bytes(b'{}')
    (tmp_path / 'config.json').write_text(json.dumps({'model_type': 'bert'}))
    with pytest.raises(DetectorError, match='says bert, which is no object detector'):
        Detector.load(tmp_path)


def test_without_the_library_the_remedy_is_told(folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(DetectorError, match=r"pip install 'transformers"):
        Detector.load(folder)


@pytest.mark.parametrize(
    ('runtime', 'device', 'place', 'expected'),
    [
        ('onnx', 'cpu', 'cuda:1', ('cpu', 'onnx')),  # of ONNX Runtime alone
        ('onnx', 'cuda:1', 'cuda:1', ('cuda:1', 'torch')),
        ('openvino', 'cpu', 'intel_gpu', ('intel_gpu', 'openvino')),
    ],
)
def test_a_detector_runs_where_it_can_beside_a_network(
    runtime, device, place, expected, tmp_path, monkeypatch
):
    def load(folder, where, *, runtime, **_):
        return where, runtime

    monkeypatch.setattr(Detector, 'load', load)
    backend = SimpleNamespace(
        runtime=runtime, device=torch.device(device), place=place, precision='float32', threads=1
    )
    assert load_detector(tmp_path, backend) == expected
