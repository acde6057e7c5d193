"""Detectors find what the pipeline of their library finds."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from vitpose_ros.core import Frame
from vitpose_ros.core.boxes.detector import Detector, DetectorError

transformers = pytest.importorskip('transformers')

NAMES = {0: 'person', 1: 'bicycle', 2: 'dog'}
SIZE = {'height': 64, 'width': 64}


def small(kind):
    """Return a detector with random weights, small enough for tests."""
    torch.manual_seed(0)
    common = {
        'd_model': 32,
        'encoder_hidden_dim': 32,
        'encoder_in_channels': [32, 64, 128],
        'encoder_ffn_dim': 64,
        'decoder_in_channels': [32, 32, 32],
        'decoder_ffn_dim': 64,
        'decoder_layers': 2,
        'decoder_attention_heads': 4,
        'encoder_attention_heads': 4,
        'num_queries': 20,
        'id2label': NAMES,
        'label2id': {name: number for number, name in NAMES.items()},
    }
    if kind == 'd_fine':
        backbone = transformers.HGNetV2Config(
            stem_channels=[3, 8, 16],
            hidden_sizes=[16, 32, 64, 128],
            stage_in_channels=[16, 16, 32, 64],
            stage_mid_channels=[8, 8, 16, 32],
            stage_out_channels=[16, 32, 64, 128],
            stage_num_blocks=[1, 1, 1, 1],
            stage_numb_of_layers=[1, 1, 1, 1],
            out_features=['stage2', 'stage3', 'stage4'],
            return_idx=[1, 2, 3],
        )
        config = transformers.DFineConfig(backbone_config=backbone, hidden_size=32, **common)
        network = transformers.DFineForObjectDetection(config)
    else:
        backbone = transformers.RTDetrResNetConfig(
            embedding_size=16,
            hidden_sizes=[16, 32, 64, 128],
            depths=[2, 2, 2, 2],
            layer_type='basic',
            out_features=['stage2', 'stage3', 'stage4'],
        )
        config = transformers.RTDetrV2Config(backbone_config=backbone, **common)
        network = transformers.RTDetrV2ForObjectDetection(config)
    for parameter in network.parameters():  # so that scores differ
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return network.eval()


@pytest.fixture(scope='module', params=['d_fine', 'rt_detr_v2'])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    small(request.param).save_pretrained(path)
    transformers.RTDetrImageProcessor(size=SIZE).save_pretrained(path)
    return path


def images():
    random = np.random.default_rng(0)
    sizes = ((48, 64), (90, 70), (33, 120))
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def expected(folder, threshold):
    """What the library's own pipeline finds."""
    pipeline = transformers.pipeline('object-detection', model=str(folder), device='cpu')
    return [pipeline(Image.fromarray(image), threshold=threshold) for image in images()]


@pytest.mark.parametrize('batched', [True, False])
def test_boxes_are_those_of_the_pipeline(folder, batched):
    detector = Detector.load(folder)
    frames = [Frame(image, np.empty((0, 4))) for image in images()]
    found = detector.find(frames, 0.3)
    if not batched:
        found = [detector.find([frame], 0.3)[0] for frame in frames]
    for own, other in zip(found, expected(folder, 0.3), strict=True):
        assert len(own.scores) == len(other) > 0
        other = sorted(other, key=lambda entry: -entry['score'])
        assert np.allclose(own.scores, [entry['score'] for entry in other], atol=1e-3)
        assert list(own.class_names) == [entry['label'] for entry in other]
        boxes = [[entry['box'][k] for k in ('xmin', 'ymin', 'xmax', 'ymax')] for entry in other]
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
