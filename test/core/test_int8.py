"""Precision int8: calibration, both runtimes, the file for TensorRT, and when it is refused."""

import json
import shutil
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vitpose_ros.core import CheckpointError, Frame, PoseEstimator
from vitpose_ros.core.backends import BackendError, integers, open_backend, processor
from vitpose_ros.core.backends import onnx as onnx_module
from vitpose_ros.core.backends import openvino as openvino_module
from vitpose_ros.core.checkpoints import load_network, path_of, read_checkpoint
from vitpose_ros.core.checkpoints.known import KNOWN_MODELS
from vitpose_ros.core.crops import normalise
from vitpose_ros.core.export import write_onnx
from vitpose_ros.core.int8 import (
    Rounded,
    calibration_of,
    calibration_path,
    read_calibration,
    round_products,
)

CLIP = Path(__file__).parents[2] / 'vitpose_ros' / 'demo' / 'data' / 'demo_clip.mp4'
RUNTIMES = ['openvino', 'onnx']
LAYERS = 4 * 8  # of nano's blocks


@pytest.fixture(scope='module')
def frames():
    """Frames of the demo clip with the boxes of their people."""
    video, people = cv2.VideoCapture(str(CLIP)), json.loads(CLIP.with_suffix('.json').read_text())
    found = []
    for number, in_frame in enumerate(people['frames'][:40]):
        image = video.read()[1]
        if number % 10 == 0:
            boxes = np.array([person['bbox'] for person in in_frame], np.float32)
            boxes[:, 2:] += boxes[:, :2]
            found.append(Frame(image, boxes, 'bgr'))
    return found


@pytest.fixture
def fast(monkeypatch):
    """A processor on which int8 is measured to be faster."""
    monkeypatch.setattr(integers, 'gain', lambda *_: 3.0)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of this test alone."""
    monkeypatch.setenv('VITPOSE_ROS_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def found_by(estimator, frames):
    poses = [pose for of_frame in estimator.predict(frames) for pose in of_frame]
    return np.array([p.keypoints for p in poses]), np.array([p.scores for p in poses])


def model_with(folder, **changes):
    """Copy the embedded network, and its calibration with changes."""
    weights = path_of(KNOWN_MODELS['nano'])
    model = Path(shutil.copy(weights, folder))
    content = json.loads(calibration_path('nano').read_text())
    calibration_path(model).write_text(json.dumps(content | changes))
    return model


# Layers


@pytest.mark.parametrize(
    'layer', [torch.nn.Linear(6, 4), torch.nn.ConvTranspose2d(6, 4, 4, 2, 1)], ids=['linear', 'up']
)
def test_a_rounded_layer_is_a_product_of_integers(layer):
    layer.requires_grad_(False)
    axis = 0 if isinstance(layer, torch.nn.Linear) else 1
    values = torch.randn((3, 6) if axis == 0 else (3, 6, 2, 2)) * 2
    weight = layer.weight.double()
    steps = weight.abs().amax(dim=[d for d in range(weight.dim()) if d != axis]) / 127
    shape = [-1 if d == axis else 1 for d in range(weight.dim())]
    layer.weight.data = (weight / steps.view(shape)).round()  # integers in -127 to 127
    whole = (values / (3.0 / 127)).round().clamp(-128, 127)
    bias, layer.bias.data = layer.bias.clone(), torch.zeros(4)
    scaled = layer(whole) * (steps * 3.0 / 127).view([1, 4] + [1] * (values.dim() - 2))
    expected = scaled.float() + bias.view([1, 4] + [1] * (values.dim() - 2))
    layer.weight.data, layer.bias.data = weight.float(), bias
    assert torch.allclose(Rounded(layer, 3.0)(values), expected, atol=1e-4)


# The calibration


def test_the_embedded_network_is_calibrated_for_all_its_sets():
    checkpoint = read_checkpoint('nano')
    calibration = read_calibration(calibration_path('nano'))
    for name in checkpoint.config.keypoint_sets:
        own = calibration.ranges[name]
        kinds = Counter(layer.split('.', 3)[-1] for layer in own if layer.startswith('backbone'))
        assert set(kinds.values()) == {8} and len(kinds) == 4
        assert [layer for layer in own if not layer.startswith('backbone')] == [
            f'heads.{name}.deconv_layers.{number}' for number in (0, 3)
        ]
        assert min(own.values()) > 0.5 and max(own.values()) < 100
        calibration_of(load_network('nano', name), calibration_path('nano'))
    assert 'onnxruntime' in calibration.made['tool'] and 'seed' in calibration.made['of']
    assert min(calibration.made['crops'].values()) >= 100
    assert calibration_path('nano').stat().st_size < 20_000


def test_a_calibration_serves_all_sizes_and_sets_of_a_network():
    path = calibration_path('nano')
    network = load_network('nano', ['mpii', 'coco'], image_size=(128, 96))
    assert list(calibration_of(network, path).ranges) == ['mpii', 'coco']


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (None, 'is absent, which precision int8 needs'),
        ('{"vitpose', 'not readable'),
        ('[]', 'not one that this version reads'),
        ('{"vitpose_ros_int8": 2}', 'of another format'),
        ({'backbone': '0' * 16}, 'was made for other weights'),
        ({'ranges': {'coco': {}}}, "lacks ranges of keypoint set 'coco'"),
        ({'ranges': {'coco': {'a': -1.0}}}, 'a has the range -1.0'),
    ],
)
def test_a_calibration_that_does_not_serve_is_named_with_the_remedy(content, words, tmp_path):
    model = model_with(tmp_path, **(content if isinstance(content, dict) else {}))
    if content is None:
        calibration_path(model).unlink()
    elif isinstance(content, str):
        calibration_path(model).write_text(content)
    with pytest.raises(CheckpointError, match=words) as refused:
        PoseEstimator.load(model, 'cpu', precision='int8')
    assert str(calibration_path(model)) in str(refused.value)
    assert 'models quantize MODEL IMAGES' in str(refused.value)
    PoseEstimator.load(model, 'cpu', precision='float32')


# Both runtimes


@pytest.mark.parametrize('name', RUNTIMES)
def test_int8_finds_the_keypoints_of_float32(name, frames, fast, cache):
    exact = PoseEstimator.load('nano', 'cpu', backend='torch', precision='float32')
    said = []
    estimator = PoseEstimator.load(
        'nano', 'cpu', backend=name, precision='int8', say=said.append, max_batch=4
    )
    assert estimator.backend.description.startswith(f'{name} on cpu, int8')
    (points, scores), (expected, heights) = (found_by(e, frames) for e in (estimator, exact))
    errors = np.linalg.norm(points - expected, axis=2)[heights > 0.25]
    assert 0.01 < np.median(errors) < 0.5 and np.percentile(errors, 95) < 3  # image pixels
    assert np.abs(scores - heights)[heights > 0.25].mean() < 0.03
    assert said
    said.clear()
    begin = time.perf_counter()
    PoseEstimator.load('nano', 'cpu', backend=name, precision='int8', say=said.append)
    assert said == [] and time.perf_counter() - begin < 3


def test_openvino_computes_with_integers(fast):
    network = load_network('nano')
    backend = open_backend(
        network, 'openvino', precision='int8', calibration=calibration_path('nano')
    )
    running = backend._graphs[0].get_compiled_model().get_runtime_model()
    numbers = Counter()
    for node in running.get_ops():
        about = node.get_rt_info()
        numbers[about['layerType'].astype(str), about['runtimePrecision'].astype(str)] += 1
    assert numbers['FullyConnected', 'i8'] == LAYERS
    assert numbers['Deconvolution', 'i8'] == 2
    assert not numbers['FullyConnected', 'f32']


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    """An ONNX file in int8, of small crops."""
    path = tmp_path_factory.mktemp('int8') / 'nano.onnx'
    network = load_network('nano', image_size=(64, 48))
    calibration = calibration_of(network, calibration_path('nano'))
    write_onnx(network, path, 'coco', calibration=calibration)
    return path


def test_onnx_runtime_computes_with_integers(file, tmp_path):
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / 'optimised.onnx')
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(file), options, providers=['CPUExecutionProvider'])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / 'optimised.onnx').graph.node)
    assert kinds['MatMulIntegerToFloat'] == LAYERS and not kinds['DequantizeLinear']


def test_the_file_is_what_tensorrt_takes(file):
    import onnx
    from onnx import numpy_helper

    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    made_by = {node.output[0]: node for node in model.graph.node}
    pairs = [n for n in model.graph.node if n.op_type in ('QuantizeLinear', 'DequantizeLinear')]
    for node in pairs:
        zero, steps = values[node.input[2]], values[node.input[1]]
        assert zero.dtype == np.int8 and not zero.any() and zero.shape == steps.shape
        assert steps.dtype == np.float32 and (steps > 0).all()
    assert Counter(node.op_type for node in pairs) == {
        'QuantizeLinear': LAYERS,
        'DequantizeLinear': 2 * LAYERS,
    }
    products_found = 0
    for node in model.graph.node:
        sources = [made_by[name].op_type for name in node.input if name in made_by]
        if node.op_type != 'MatMul' or 'DequantizeLinear' not in sources:
            assert 'QuantizeLinear' not in sources or node.op_type == 'DequantizeLinear'
            continue
        left, right = (made_by[name] for name in node.input)
        assert values[left.input[1]].shape == ()  # one step for the input
        assert made_by[left.input[0]].op_type == 'QuantizeLinear'
        weight = values[right.input[0]]
        assert weight.dtype == np.int8 and weight.min() >= -127
        assert values[right.input[1]].shape == weight.shape[1:]  # one an output channel
        assert [a.i for a in right.attribute if a.name == 'axis'] == [1]
        products_found += 1
    assert products_found == LAYERS
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert 'percentile' in json.loads(about['vitpose_ros_int8'])['method']


def test_a_file_in_int8_runs_and_gives_what_the_rounded_network_gives(file, monkeypatch):
    network = load_network('nano', image_size=(64, 48))
    round_products(network, calibration_of(network, calibration_path('nano')))
    estimator = PoseEstimator.load(file, 'cpu')
    assert estimator.backend.precision == 'int8'
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 3), dtype=np.uint8)
    exact = load_network('nano', image_size=(64, 48))
    with torch.inference_mode():
        expected, plain = (
            n(normalise(torch.from_numpy(crops)).contiguous())[0] for n in (network, exact)
        )
    found = estimator.heatmaps(crops)[0]
    print((found - expected).norm() / expected.norm(), (found - plain).norm() / plain.norm())
    assert (found - expected).norm() < 0.1 * expected.norm()
    for there, words in ((False, 'no instructions'), (True, '')):
        monkeypatch.setattr(processor, 'has_int8', lambda there=there: there)
        assert words in PoseEstimator.load(file, 'cpu').backend.warning
        assert bool(PoseEstimator.load(file, 'cpu').backend.warning) != there


# When it is taken


def test_the_gain_is_how_many_times_as_fast_the_second_is():
    gain = integers.gain(lambda: time.sleep(0.02), lambda: time.sleep(0.01), 3)
    assert gain == pytest.approx(2, rel=0.3)


@pytest.mark.parametrize('name', RUNTIMES)
@pytest.mark.parametrize('has', [False, True])
def test_where_int8_is_slower_it_is_refused_or_warned_of(name, has, cache, monkeypatch):
    measured = []
    monkeypatch.setattr(integers, 'gain', lambda *_: measured.append(1) or 0.83)
    monkeypatch.setattr(processor, 'has_int8', lambda: has)
    options = {'backend': name, 'precision': 'int8', 'image_size': (64, 48)}
    for _ in range(2):
        if has:
            backend = PoseEstimator.load('nano', 'cpu', **options).backend
            assert '0.83 times as fast as float32; set precision to auto' in backend.warning
            continue
        with pytest.raises(BackendError, match=r'0\.83 times as fast as float32') as refused:
            PoseEstimator.load('nano', 'cpu', **options)
        for word in ('avx512_vnni', 'avx_vnni', 'amx_int8', 'set precision to auto or float32'):
            assert word in str(refused.value)
    assert measured == [1]  # and kept


def test_a_measurement_allows_int8_without_the_flags(monkeypatch):
    monkeypatch.setattr(processor, 'has_int8', lambda: False)
    assert integers.judge(1.2, 'here') == ''
    with pytest.raises(BackendError, match=r'here: 0\.99 times'):
        integers.judge(0.99, 'here')


def test_what_this_processor_has_is_read_from_its_flags(monkeypatch):
    for flags, has in (('avx2 avx512_vnni', True), ('avx2 fma', False), ('asimd asimddp', True)):
        monkeypatch.setattr(processor, '_cpuinfo', lambda flags=flags: f'flags\t: {flags}\n')
        assert processor.has_int8() == has


@pytest.mark.parametrize('name', ['auto', 'torch', *RUNTIMES])
def test_auto_never_takes_int8(name, monkeypatch):
    monkeypatch.setattr(integers, 'gain', lambda *_: 100.0)
    monkeypatch.setattr(processor, 'has_int8', lambda: True)
    estimator = PoseEstimator.load('nano', 'cpu', backend=name, image_size=(64, 48))
    assert estimator.backend.precision in ('float32', 'bfloat16')


def test_int8_goes_where_it_can_run(monkeypatch, fast):
    def load(**options):
        return PoseEstimator.load('nano', precision='int8', image_size=(64, 48), **options)

    with pytest.raises(BackendError, match=r'not for PyTorch on cpu; .* backend to openvino'):
        load(device='cpu', backend='torch')
    monkeypatch.setattr(openvino_module, 'is_installed', lambda: False)
    assert load(device='cpu').backend.description.startswith('onnx on cpu, int8')
    monkeypatch.setattr(onnx_module, 'is_installed', lambda: False)
    with pytest.raises(BackendError, match='pip install openvino'):
        load(device='cpu')
    calibration = calibration_path('nano')
    with pytest.raises(BackendError, match='needs TensorRT'):
        onnx_module.OnnxBackend.of_network(
            load_network('nano'), device='cuda:0', precision='int8', calibration=calibration
        )


def test_another_calibration_is_another_graph(cache, fast, tmp_path):
    content = json.loads(calibration_path('nano').read_text())
    cut = {name: value / 4 for name, value in content['ranges']['coco'].items()}
    other = model_with(tmp_path, ranges={'coco': cut})
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 48, 3), dtype=np.uint8)
    heatmaps = [
        PoseEstimator.load(
            model, 'cpu', backend='openvino', precision='int8', image_size=(64, 48)
        ).heatmaps(crops)[0]
        for model in ('nano', other)
    ]
    assert (heatmaps[0] - heatmaps[1]).abs().max() > 0.01
