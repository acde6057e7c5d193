"""Precision int8: calibration, both runtimes, the file for TensorRT, and when it is refused."""

import json
import logging
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from vitpose_ros.core import CheckpointError, Options, PoseEstimator
from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime import (
    BackendError,
    integers,
    open_backend,
    processor,
    tensorrt,
)
from vitpose_ros.core.runtime import onnx as onnx_module
from vitpose_ros.core.runtime import openvino as openvino_module
from vitpose_ros.core.runtime.calibration import calibrate
from vitpose_ros.core.runtime.export import write_onnx
from vitpose_ros.core.runtime.int8 import (
    LEAST_RANGE,
    Rounded,
    calibration_of,
    calibration_path,
    read_calibration,
    round_products,
)
from vitpose_ros.core.runtime.tensorrt import TensorRt
from vitpose_ros.core.weights import load_network, read_checkpoint, write_checkpoint

RUNTIMES = ['openvino', 'onnx']
NOISE = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """The weights of a network of one block, of two sets, calibrated on noise.

    Without biases, as transformers begins: in an ONNX file those that are the same are one.
    """
    torch.manual_seed(0)
    config = ViTPoseConfig(
        48, 1, 3, {'coco': 17, 'aic': 14}, 12, image_size=(64, 48), deconv_channels=16
    )
    path = tmp_path_factory.mktemp('tiny') / 'tiny.safetensors'
    state = ViTPose(config).state_dict()
    for name in state:
        if '.blocks.' in name and name.endswith('.bias'):
            state[name].zero_()
    write_checkpoint(path, config, state)
    crops = dict.fromkeys(config.keypoint_sets, NOISE)
    calibrate(read_checkpoint(path), crops, 'noise').write(calibration_path(path))
    return path


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


def changed(model, folder, **changes):
    """Copy a model, and its calibration with changes."""
    copy = Path(shutil.copy(model, folder))
    content = json.loads(calibration_path(model).read_text())
    calibration_path(copy).write_text(json.dumps(content | changes))
    return copy


# Layers


@pytest.mark.parametrize('kind', ['linear', 'deconvolution'])
def test_a_rounded_layer_is_a_product_of_integers(kind):
    random = np.random.default_rng(0)
    values = (random.standard_normal((3, 6)) * 2).astype(np.float32)
    weight = random.standard_normal((4, 6)).astype(np.float32)
    bias = random.standard_normal(4).astype(np.float32)
    steps = np.abs(weight).max(axis=1) / 127
    integers_in = np.clip(np.rint(values / (3.0 / 127)), -128, 127).astype(np.int64)
    integers_of = np.rint(weight / steps[:, None]).astype(np.int64)
    assert integers_in.min() == -128 and np.abs(integers_of).max() == 127
    expected = (integers_in @ integers_of.T) * steps * (3.0 / 127) + bias
    if kind == 'linear':
        layer = torch.nn.Linear(6, 4).requires_grad_(False)
        layer.weight.copy_(torch.from_numpy(weight))
    else:  # of a single cell: the inner four of the sixteen outputs are products with a tap each
        layer = torch.nn.ConvTranspose2d(6, 4, 4, 2, 1).requires_grad_(False)
        layer.weight.copy_(torch.from_numpy(weight.T)[:, :, None, None].expand(6, 4, 4, 4))
        values = values[:, :, None, None]
    layer.bias.copy_(torch.from_numpy(bias))
    found = Rounded(layer, 3.0)(torch.from_numpy(values)).numpy()
    if kind == 'deconvolution':
        assert found.shape == (3, 4, 2, 2)
        expected = np.broadcast_to(expected[:, :, None, None], found.shape)
    assert np.allclose(found, expected, atol=1e-4)


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


def bent(folder, layer, value):
    """Return a network of one block, with something else in the bias of a layer."""
    torch.manual_seed(0)
    config = ViTPoseConfig(48, 1, 3, {'coco': 17}, 12, image_size=(64, 48), deconv_channels=16)
    state = ViTPose(config).state_dict()
    state[layer].fill_(value)
    path = folder / 'bent.safetensors'
    write_checkpoint(path, config, state)
    return path


def test_layers_that_get_zeros_alone_are_calibrated_too(tmp_path, fast):
    path = bent(tmp_path, 'heads.coco.deconv_layers.1.bias', -1e4)
    calibration = calibrate(read_checkpoint(path), {'coco': NOISE}, 'noise')
    assert calibration.ranges['coco']['heads.coco.deconv_layers.3'] == LEAST_RANGE
    calibration.write(calibration_path(path))
    assert read_calibration(calibration_path(path)) == calibration
    estimator = PoseEstimator.load(path, 'cpu', backend='openvino', precision='int8')
    assert estimator.backend.heatmaps(torch.from_numpy(NOISE), [3])[0].isfinite().all()


@pytest.mark.parametrize(
    ('kind', 'words'),
    [
        ('weight', r'blocks\.0\.mlp\.fc1 gets values of .*e\+12 on these crops: this network can'),
        ('bias', 'cannot be calibrated on these crops .*; see that its weights are right'),
    ],
)
def test_values_that_integers_cannot_stand_for_are_not_calibrated(kind, words, tmp_path):
    path = bent(tmp_path, f'backbone.blocks.0.norm2.{kind}', 1e12)
    with pytest.raises(CheckpointError, match=words):
        calibrate(read_checkpoint(path), {'coco': NOISE}, 'noise')


def test_a_calibration_serves_all_sizes_and_sets_of_a_network():
    path = calibration_path('nano')
    network = load_network('nano', ['mpii', 'coco'], image_size=(128, 96))
    assert list(calibration_of(network, path).ranges) == ['mpii', 'coco']


def test_a_calibration_does_not_serve_a_network_of_which_one_weight_moved():
    network = load_network('nano')
    with torch.no_grad():
        network.backbone.blocks[3].attn.qkv.weight[5, 7] += 1e-3
    with pytest.raises(CheckpointError, match='was made for other weights'):
        calibration_of(network, calibration_path('nano'))


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
        ({'ranges': {'coco': {'a': 1e300}}}, r'a has the range 1e\+300, not one from 1e-06 to'),
        ({'ranges': {'coco': {'a': 1e-12}}}, 'a has the range 1e-12, not one from 1e-06 to 1e'),
        ('[' * 100_000, 'not readable'),
        ({'made': {}}, 'made lacks crops'),
        ({'made': dict.fromkeys(('tool', 'method', 'crops', 'of'), 5)}, 'made has crops 5'),
    ],
)
def test_a_calibration_that_does_not_serve_is_named_with_the_remedy(
    content, words, tiny, tmp_path
):
    model = changed(tiny, tmp_path, **(content if isinstance(content, dict) else {}))
    if content is None:
        calibration_path(model).unlink()
    elif isinstance(content, str):
        calibration_path(model).write_text(content)
    with pytest.raises(CheckpointError, match=words) as refused:
        PoseEstimator.load(model, 'cpu', precision='int8')
    assert str(calibration_path(model)) in str(refused.value)
    assert 'models quantize MODEL IMAGES' in str(refused.value)
    PoseEstimator.load(model, 'cpu', backend='torch', precision='float32')


# Both runtimes


@pytest.mark.parametrize('name', RUNTIMES)
def test_int8_finds_the_keypoints_of_float32(name, frames, fast):
    exact = PoseEstimator.load('nano', 'cpu', backend='torch', precision='float32')
    estimator = PoseEstimator.load('nano', 'cpu', backend=name, precision='int8', max_batch=4)
    assert estimator.backend.description.startswith(f'{name} on cpu, int8')
    (points, scores), (expected, heights) = (found_by(e, frames) for e in (estimator, exact))
    errors = np.linalg.norm(points - expected, axis=2)[heights > 0.25]
    assert 0.01 < np.median(errors) < 0.5 and np.percentile(errors, 95) < 3  # image pixels
    assert np.abs(scores - heights)[heights > 0.25].mean() < 0.03


@pytest.mark.parametrize(('name', 'sets'), [('openvino', ['coco', 'aic']), ('onnx', ['aic'])])
def test_int8_starts_from_the_cache(name, sets, tiny, fast, cache, tmp_path, caplog):
    caplog.set_level(logging.INFO, 'vitpose_ros')

    def start(model):
        caplog.clear()
        estimator = PoseEstimator.load(
            model, 'cpu', backend=name, precision='int8', keypoint_sets=sets
        )
        return torch.cat(
            [
                maps.flatten()
                for maps in estimator.backend.heatmaps(torch.from_numpy(NOISE), counts)
            ]
        )

    counts = [1, 2] if len(sets) == 2 else [3]
    expected = start(tiny)
    assert any('comparing int8 with float32 on' in line for line in caplog.messages)
    assert torch.equal(start(tiny), expected) and caplog.messages == []
    ranges = json.loads(calibration_path(tiny).read_text())['ranges']
    cut = {own: {layer: largest / 4 for layer, largest in ranges[own].items()} for own in ranges}
    other = start(changed(tiny, tmp_path, ranges=cut))
    assert len(caplog.messages) == 1
    assert not torch.allclose(other, expected, rtol=0.01)  # another graph


def test_openvino_computes_with_integers(fast):
    network = load_network('nano')
    backend = open_backend(
        network,
        Options(backend='openvino', precision='int8'),
        calibration=calibration_path('nano'),
    )
    running = backend._graphs[0].get_compiled_model().get_runtime_model()
    numbers = Counter()
    for node in running.get_ops():
        about = node.get_rt_info()
        numbers[about['layerType'].astype(str), about['runtimePrecision'].astype(str)] += 1
    assert numbers['FullyConnected', 'i8'] == 4 * 8
    assert numbers['Deconvolution', 'i8'] == 2
    assert not numbers['FullyConnected', 'f32']


@pytest.fixture(scope='module')
def file(tiny, tmp_path_factory):
    """An ONNX file in int8."""
    path = tmp_path_factory.mktemp('int8') / 'tiny.onnx'
    network = load_network(tiny)
    calibration = calibration_of(network, calibration_path(tiny))
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
    assert kinds['MatMulIntegerToFloat'] == 4 and not kinds['DequantizeLinear']


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
        'QuantizeLinear': 4,
        'DequantizeLinear': 2 * 4,
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
    assert products_found == 4
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert 'percentile' in json.loads(about['vitpose_ros_int8'])['method']


def test_a_file_in_int8_gives_what_the_rounded_network_gives(file, tiny, monkeypatch):
    network = load_network(tiny)
    round_products(network, calibration_of(network, calibration_path(tiny)))
    estimator = PoseEstimator.load(file, 'cpu')
    assert estimator.backend.precision == 'int8'
    crops = normalise(torch.from_numpy(NOISE)).contiguous()
    with torch.inference_mode():
        [expected] = network(crops)
    [found] = estimator.backend.heatmaps(torch.from_numpy(NOISE), [3])
    assert (found - expected).norm() < 0.02 * expected.norm()
    for there, words in ((False, 'no instructions'), (True, '')):
        monkeypatch.setattr(processor, 'has_int8', lambda there=there: there)
        assert words in PoseEstimator.load(file, 'cpu').backend.warning
        assert bool(PoseEstimator.load(file, 'cpu').backend.warning) != there


# When it is taken


@pytest.mark.parametrize('seed', range(20))
def test_the_gain_is_the_same_beside_other_programs(seed, monkeypatch):
    """They take the processor for a while, and so make most runs longer, by up to three times."""
    random, now = np.random.default_rng(seed), [0.0]
    monkeypatch.setattr(integers, 'perf_counter', lambda: now[0])

    def run(seconds):
        now[0] += seconds * (1 if random.random() < 0.3 else random.uniform(1, 3))

    gain = integers.gain(lambda: run(0.12), lambda: run(0.1))
    assert gain == pytest.approx(1.2, rel=0.05)
    assert now[0] < 2 * 0.12 * 3 * (integers.MOST_TRIALS * integers.ROUNDS + 1)


def test_a_large_network_is_measured_for_a_while_only(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(integers, 'perf_counter', lambda: now[0])

    def run(seconds):
        now[0] += seconds

    assert integers.gain(lambda: run(12), lambda: run(10)) == pytest.approx(1.2)
    assert now[0] < 2 * integers.BUDGET_S


@pytest.mark.parametrize('name', RUNTIMES)
def test_where_int8_is_slower_it_is_refused_or_warned_of(name, tiny, cache, monkeypatch):
    measured = []
    monkeypatch.setattr(integers, 'gain', lambda *_: measured.append(0.83) or measured[-1])

    def load():
        return PoseEstimator.load(tiny, 'cpu', backend=name, precision='int8', threads=1)

    monkeypatch.setattr(processor, 'has_int8', lambda: False)
    for _ in range(2):  # a refusal is not kept: it may be due to what else runs
        with pytest.raises(BackendError, match=r'0\.830 times as fast as float32') as refused:
            load()
    assert len(measured) == 2 and 'start anew when nothing else runs' in str(refused.value)
    assert f'{name} on cpu, int8, 1 thread' in str(refused.value)
    for words in ('avx512_vnni', 'avx_vnni', 'amx_int8', 'set precision to auto or float32'):
        assert words in str(refused.value)
    monkeypatch.setattr(processor, 'has_int8', lambda: True)
    assert '0.830 times as fast as float32; set precision to auto' in load().backend.warning
    [kept] = cache.glob('int8-gain-*')
    assert f"as measured before (remove '{kept}' to measure again); set" in load().backend.warning
    assert len(measured) == 3
    monkeypatch.setattr(processor, 'has_int8', lambda: False)
    with pytest.raises(BackendError, match='Int8 is what this processor'):
        load()
    assert len(measured) == 4  # what is kept does not refuse


def test_a_clear_gain_allows_int8_without_the_flags(monkeypatch):
    monkeypatch.setattr(processor, 'has_int8', lambda: False)
    assert 'here: 1.200 times as fast as float32. Int8 is what this' in (
        integers.judge(1.2, 'here')
    )
    assert 'it costs accuracy' in integers.judge(1.2, 'here')
    for gain, text in ((0.99, '0.990'), (1.0964, '1.096'), (1.09999, '1.099')):
        with pytest.raises(BackendError, match=f'here: {text} times .* from 1.1 times up'):
            integers.judge(gain, 'here')
    assert '1.100' in integers.judge(1.1, 'here')
    monkeypatch.setattr(processor, 'has_int8', lambda: True)
    assert integers.judge(1.05, 'here') == ''


def test_what_this_processor_has_is_read_from_its_flags(monkeypatch):
    for flags, has in (('avx2 avx512_vnni', True), ('avx2 fma', False), ('asimd asimddp', True)):
        monkeypatch.setattr(processor, '_cpuinfo', lambda flags=flags: f'flags\t: {flags}\n')
        assert processor.has_int8() == has


@pytest.mark.parametrize('name', ['auto', 'torch', *RUNTIMES])
def test_auto_never_takes_int8(name, tiny, monkeypatch):
    monkeypatch.setattr(integers, 'gain', lambda *_: 100.0)
    monkeypatch.setattr(processor, 'has_int8', lambda: True)
    estimator = PoseEstimator.load(tiny, 'cpu', backend=name)
    assert estimator.backend.precision in ('float32', 'bfloat16')


def test_int8_goes_where_it_can_run(tiny, monkeypatch, fast):
    def load(**options):
        return PoseEstimator.load(tiny, precision='int8', **options)

    with pytest.raises(
        BackendError, match=r'not for PyTorch on cpu; .* backend to openvino .* TensorRT'
    ):
        load(device='cpu', backend='torch')
    monkeypatch.setattr(openvino_module, 'is_installed', lambda: False)
    assert load(device='cpu').backend.description.startswith('onnx on cpu, int8')
    monkeypatch.setattr(onnx_module, 'is_installed', lambda: False)
    with pytest.raises(BackendError, match='pip install openvino'):
        load(device='cpu')
    calibration = calibration_path(tiny)
    absent = TensorRt(remedy='pip install tensorrt')
    monkeypatch.setattr(tensorrt, 'load', lambda _: absent)
    with pytest.raises(BackendError, match='needs TensorRT'):
        onnx_module.OnnxBackend.of_network(
            load_network(tiny),
            Options(device='cuda:0', precision='int8'),
            calibration=calibration,
        )
