"""Every backend gives the keypoints of the plain network, and says what it cannot do."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from random_weights import SeveralHeads
from tiny_weights import tiny_state, write

from vitpose_ros.core import SKELETONS, CheckpointError, Frame, PoseEstimator
from vitpose_ros.core.geometry.crops import (
    Cuts,
    HostCrops,
    crop_regions,
    heatmap_to_image,
    normalise,
)
from vitpose_ros.core.geometry.heatmaps import decode
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime import (
    BACKENDS,
    BackendError,
    DeviceError,
    OptionError,
    Options,
    choose,
    open_backend,
    packed,
    processor,
)
from vitpose_ros.core.runtime.base import chunks
from vitpose_ros.core.runtime.export import fingerprint, graph, write_onnx
from vitpose_ros.core.runtime.torch import TorchBackend, bfloat16_gain
from vitpose_ros.core.weights import load_network

NAMES = [name for name in BACKENDS if name != 'auto']
SIZE = (256, 192)
SMALL = (64, 48)


@pytest.fixture(scope='module')
def expected(frames):
    """Return keypoints and scores by the plain network, in float32, a person at a time."""
    network = load_network('nano')
    points, scores = [], []
    for frame in frames:
        for box in frame.boxes:
            region, udp = crop_regions(box[None], SIZE), np.array([True])
            crops = HostCrops(SIZE)
            crops.begin(1)
            crops.cut(frame, Cuts(region, udp, np.array([0])))
            with torch.inference_mode():
                [maps] = network(normalise(crops.batch()).contiguous())
            cells, heights = decode(maps, udp=True)
            points.append(heatmap_to_image(cells.numpy(), region, (64, 48), udp)[0])
            scores.append(heights[0].numpy())
    return np.array(points), np.array(scores)


def found_by(estimator, frames):
    poses = [pose for of_frame in estimator.predict(frames) for pose in of_frame]
    return np.array([p.keypoints for p in poses]), np.array([p.scores for p in poses])


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('max_batch', [1, 7, 64])
def test_float32_gives_the_keypoints_of_the_plain_network(name, max_batch, frames, expected):
    estimator = PoseEstimator.load(
        'nano', 'cpu', backend=name, precision='float32', max_batch=max_batch
    )
    assert estimator.backend.description.startswith(f'{name} on cpu, float32')
    points, scores = found_by(estimator, frames)
    assert np.abs(points - expected[0]).max() < 1e-3
    assert np.abs(scores - expected[1]).max() < 1e-5


needs_bfloat16 = pytest.mark.skipif(not processor.has_bfloat16(), reason='no bfloat16 here')


@pytest.mark.parametrize(
    ('name', 'precision'),
    [
        ('torch', 'bfloat16'),
        pytest.param('openvino', 'bfloat16', marks=needs_bfloat16),
        ('auto', 'auto'),
    ],
)
def test_sixteen_bits_give_nearly_the_keypoints(name, precision, frames, expected):
    estimator = PoseEstimator.load('nano', 'cpu', backend=name, precision=precision)
    points, _ = found_by(estimator, frames[:2])
    errors = np.linalg.norm(points - expected[0][: len(points)], axis=2)
    assert np.percentile(errors, 95) < 0.5


def test_a_float16_file_gives_nearly_the_keypoints(frames, expected, tmp_path):
    write_onnx(load_network('nano'), tmp_path / 'half.onnx', 'coco', dtype=torch.float16)
    estimator = PoseEstimator.load(tmp_path / 'half.onnx', 'cpu')
    assert estimator.backend.precision == 'float16'
    points, _ = found_by(estimator, frames[:1])  # processors are slow with it
    errors = np.linalg.norm(points - expected[0][: len(points)], axis=2)
    assert np.percentile(errors, 95) < 0.5


@pytest.mark.parametrize('name', NAMES)
def test_nobody_there_is_no_work(name, frames):
    estimator = PoseEstimator.load('nano', 'cpu', backend=name)
    assert [
        len(p) for p in estimator.predict([Frame(frames[0].image, np.empty((0, 4)), 'bgr')])
    ] == [0]


@pytest.mark.parametrize('name', NAMES)
def test_options_of_decoding_work_with_every_backend(name, frames):
    options = {'flip_test': True, 'heatmap_spread': True, 'decode': 'hybrid'}
    reference = PoseEstimator.load('nano', 'cpu', backend='torch', precision='float32', **options)
    estimator = PoseEstimator.load('nano', 'cpu', backend=name, precision='float32', **options)
    for poses, others in zip(reference.predict(frames), estimator.predict(frames), strict=True):
        for pose, other in zip(poses, others, strict=True):
            assert np.abs(pose.keypoints - other.keypoints).max() < 1e-3
            assert np.allclose(pose.heatmap_spread, other.heatmap_spread, rtol=1e-3, atol=1e-3)


# Several keypoint sets


@pytest.fixture(scope='module')
def six_sets(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'six.pth'
    torch.save(SeveralHeads(384, 1, 12).original(), path)
    return path


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('counts', [(1, 2, 0, 3, 2, 1), (0, 0, 0, 0, 1, 0), (9, 0, 3, 0, 0, 0)])
def test_mixed_sets_equal_the_plain_network(name, counts, six_sets):
    sets = list(SKELETONS)
    if name != 'torch':  # whose graphs take seconds each
        sets, counts = sets[::2], counts[::2]
    crops = torch.randint(0, 256, (sum(counts), *SMALL, 3), dtype=torch.uint8)
    with torch.inference_mode():
        plain = load_network(six_sets, sets, image_size=SMALL)
        expected = plain(normalise(crops), counts)
    network = load_network(six_sets, sets, image_size=SMALL)
    backend = open_backend(network, Options(backend=name, device='cpu', precision='float32'))
    for maps, others in zip(backend.heatmaps(crops, counts), expected, strict=True):
        assert maps.shape == others.shape
        assert not len(maps) or (maps - others).abs().max() < 1e-4 * max(1, others.abs().max())


def test_chunks_cut_a_sorted_batch():
    random = np.random.default_rng(0)
    for _ in range(50):
        counts, size = random.integers(0, 6, 4).tolist(), int(random.integers(1, 9))
        sets = [number for number, count in enumerate(counts) for _ in range(count)]
        seen = []
        for part, own in chunks(counts, size):
            assert sets[part] == [number for number, c in enumerate(own) for _ in range(c)]
            assert 0 < len(sets[part]) <= size
            seen += sets[part]
        assert seen == sets


# Layers


@pytest.mark.parametrize('decoder', ['classic', 'simple'])
def test_packed_layers_equal_plain_ones(decoder):
    torch.manual_seed(0)
    config = ViTPoseConfig(96, 2, 3, {'coco': 17}, decoder=decoder, folded=True)
    network = ViTPose(config).eval().requires_grad_(False)
    pixels = torch.randn(3, 3, *SIZE).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        [expected] = network(pixels)
        packed.pack(network)
        assert (network(pixels)[0] - expected).abs().max() < 1e-5
    plain = [m for m in network.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
    assert not plain


@pytest.mark.skipif(not packed.can_pack(torch.bfloat16), reason='no bfloat16 layers here')
def test_packed_bfloat16_layers_are_near_float32():
    torch.manual_seed(0)
    network = ViTPose(ViTPoseConfig(96, 2, 3, {'coco': 17}, folded=True)).eval()
    pixels = torch.randn(3, 3, *SIZE)
    with torch.inference_mode():
        [expected] = network(pixels)
        network.to(torch.bfloat16)
        packed.pack(network)
        assert not [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
        found = network(pixels.bfloat16())[0].float()
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()


def test_bfloat16_is_chosen_only_where_it_is_measured_to_be_faster(monkeypatch):
    assert bfloat16_gain(load_network('nano')) >= 0
    module = 'vitpose_ros.core.runtime.torch'
    monkeypatch.setattr(f'{module}.processor.has_bfloat16', lambda: True)
    for gain, precision in ((0.9, 'float32'), (1.1, 'bfloat16')):
        monkeypatch.setattr(f'{module}.bfloat16_gain', lambda _, gain=gain: gain)
        assert TorchBackend(load_network('nano')).precision == precision
    monkeypatch.setattr(f'{module}.processor.has_bfloat16', lambda: False)
    assert TorchBackend(load_network('nano')).precision == 'float32'


# Which backend


def test_threads_leave_a_core(monkeypatch):
    monkeypatch.setattr(processor.os, 'sched_getaffinity', lambda _: set(range(6)))
    assert processor.default_threads() == 5
    monkeypatch.setattr(processor.os, 'sched_getaffinity', lambda _: {3})
    assert processor.default_threads() == 1


@pytest.mark.parametrize(
    ('backend', 'device', 'error', 'text'),
    [
        ('tpu', 'auto', OptionError, "backend is 'tpu'; give auto, torch, onnx or openvino"),
        ('auto', 'gpu', OptionError, "device is 'gpu'; give auto, cpu, cuda, cuda:N or intel_gpu"),
        ('torch', 'cuda:99', DeviceError, "device 'cuda:99' is not there: PyTorch"),
        ('onnx', 'intel_gpu', BackendError, "device 'intel_gpu' is for backend openvino"),
        ('openvino', 'cuda', BackendError, "device 'cuda' is not for backend openvino; give cpu"),
    ],
)
def test_what_cannot_be_is_named(backend, device, error, text):
    with pytest.raises(error, match=text):
        choose(backend, device)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(DeviceError, match="'cuda' is not there for ONNX Runtime"):
        choose('onnx', 'cuda')
    with pytest.raises(DeviceError, match='which sees CPU'):
        choose('auto', 'intel_gpu')


@pytest.mark.parametrize('name', ['openvino', 'onnx'])
def test_a_backend_that_is_not_installed_is_named(name, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, name.replace('onnx', 'onnxruntime'), None)
    with pytest.raises(BackendError, match=f"backend '{name}' is not installed: pip install"):
        open_backend(load_network('nano'), Options(backend=name, device='cpu'))


@pytest.mark.parametrize('name', NAMES)
def test_a_precision_that_does_not_fit_is_named(name):
    with pytest.raises(BackendError, match="precision 'float16' is not for"):
        open_backend(
            load_network('nano'), Options(backend=name, device='cpu', precision='float16')
        )


# What is kept between starts


@pytest.mark.parametrize('name', ['openvino', 'onnx'])
def test_graphs_are_kept_and_damaged_ones_made_anew(name, tmp_path, monkeypatch, frames, caplog):
    weights = write(tmp_path / 'tiny.safetensors', tiny_state())
    cache = tmp_path / 'cache'
    monkeypatch.setenv('VITPOSE_ROS_CACHE', str(cache))
    caplog.set_level(logging.INFO, 'vitpose_ros')

    def start():
        caplog.clear()
        return PoseEstimator.load(weights, 'cpu', backend=name)

    expected = found_by(start(), frames)[0]
    assert len(caplog.messages) == 1 and 'once' in caplog.messages[0]
    start()
    assert caplog.messages == []
    [folder] = cache.iterdir()
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:1000])
    assert np.array_equal(found_by(start(), frames)[0], expected)
    assert 'cannot be read and is made anew' in caplog.messages[0]
    start()
    assert caplog.messages == []
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_fingerprints_tell_networks_apart():
    network = load_network('nano')
    assert fingerprint(network) == fingerprint(load_network('nano'))
    assert fingerprint(network) != fingerprint(load_network('nano', image_size=(320, 240)))
    network.backbone.last_norm.bias += 1e-3
    assert fingerprint(network) != fingerprint(load_network('nano'))


class OnGpu(torch.Tensor):
    """Stands in for a tensor on a GPU, which numpy and graphs on a processor do not take."""

    def numpy(self):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def cpu(self):
        return self.as_subclass(torch.Tensor)

    def to(self, *given):
        found = super().to(*given)
        return found.as_subclass(torch.Tensor) if 'cpu' in given else found


def test_a_network_on_a_gpu_is_told_apart_and_converted_as_on_the_processor():
    network = load_network('nano')
    there = {name: tensor.as_subclass(OnGpu) for name, tensor in network.state_dict().items()}
    on_gpu = SimpleNamespace(config=network.config, state_dict=lambda: there)
    assert fingerprint(on_gpu) == fingerprint(network)
    state = graph(on_gpu, 'coco', torch.float16).state_dict()
    assert not [name for name, tensor in state.items() if isinstance(tensor, OnGpu)]


# ONNX files


def test_a_file_has_its_configuration_in_it(tmp_path, six_sets):
    network = load_network(six_sets, ['mpii', 'wholebody'], image_size=(128, 96))
    write_onnx(network, tmp_path / 'body.onnx', 'wholebody')
    estimator = PoseEstimator.load(tmp_path / 'body.onnx', 'cpu')
    assert [skeleton.name for skeleton in estimator.skeletons] == ['wholebody']
    assert estimator.backend.config.image_size == (128, 96)
    for batch in (1, 2, 5):  # any number of crops
        crops = np.random.default_rng(0).integers(0, 256, (batch, 128, 96, 3), dtype=np.uint8)
        with torch.inference_mode():
            expected = network(normalise(torch.from_numpy(crops)), [0, batch])[1]
        assert (
            estimator.backend.heatmaps(torch.from_numpy(crops), [batch])[0] - expected
        ).abs().max() < 1e-4


def test_what_a_file_does_not_have_is_refused(small_onnx):
    with pytest.raises(CheckpointError, match="gives coco, not 'ap10k': an ONNX file has one"):
        PoseEstimator.load(small_onnx, 'cpu', keypoint_sets=['coco', 'ap10k'])
    with pytest.raises(BackendError, match='is for backend onnx, not torch'):
        PoseEstimator.load(small_onnx, 'cpu', backend='torch')
    with pytest.raises(
        BackendError, match=r"precision 'float16' is not for .* give auto or float32"
    ):
        PoseEstimator.load(small_onnx, 'cpu', precision='float16')
    assert PoseEstimator.load(small_onnx, 'cpu', keypoint_sets='coco', precision='float32')


def test_files_of_other_programs_are_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in 'xy']
    graph = helper.make_graph([helper.make_node('Relu', ['x'], ['y'])], 'g', value[:1], value[1:])
    opset = helper.make_opsetid('', 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), tmp_path / 'x.onnx')
    with pytest.raises(CheckpointError, match='ONNX file of another program'):
        PoseEstimator.load(tmp_path / 'x.onnx', 'cpu')
    (tmp_path / 'y.onnx').write_bytes(b'nonsense')
    with pytest.raises(CheckpointError, match='not a readable ONNX file'):
        PoseEstimator.load(tmp_path / 'y.onnx', 'cpu')
    with pytest.raises(CheckpointError, match='absent'):
        PoseEstimator.load(tmp_path / 'z.onnx', 'cpu')


def with_field(name, value):
    """Return what sets a field of the metadata."""
    return lambda text: json.dumps({**json.loads(text), name: value})


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda _: '{"embed_dim": ', 'damaged, or of another version'),
        (lambda _: '[' * 10**5, 'damaged, or of another version'),
        (lambda _: '[1, 2]', 'damaged, or of another version'),
        (lambda text: text.replace('"precision"', '"accuracy"'), 'precision is missing'),
        (
            lambda text: text.replace('float32', 'float8'),
            "precision is 'float8', expected float32 or",
        ),
        (lambda text: text.replace('"depth": 2', '"depth": "x"'), 'damaged'),
        (
            lambda text: text.replace('"depth": 2', '"depth": 2, "colour": 1'),
            'colour is not known',
        ),
        (
            lambda text: text.replace('{"coco": 17}', '{"hands": 17}'),
            "num_keypoints is {'hands': 17}",
        ),
        (lambda text: text.replace('{"coco": 17}', '{"coco": 17.0}'), 'num_keypoints is'),
        (with_field('embed_dim', None), 'embed_dim is None, expected a whole number, 1 to'),
        (with_field('num_heads', 0), 'num_heads is 0, expected a whole number'),
        (with_field('num_heads', True), 'num_heads is True'),
        (with_field('num_heads', 7), 'width 192 does not divide by 7 heads'),
        (with_field('depth', 10**12), 'depth is 1000000000000, expected a whole number, 1 to'),
        (with_field('image_size', [256]), 'image_size is [256], expected height and width'),
        (with_field('image_size', [10]), 'image_size is [10], expected height and width'),
        (with_field('image_size', [64, 47]), 'image size 64 x 47: give multiples'),
        (with_field('decoder', 'x'), "decoder is 'x', expected classic or simple"),
        (with_field('deconv_channels', 'x'), "deconv_channels is 'x', expected a whole number"),
        (with_field('mlp_ratio', 1e999), 'mlp_ratio is inf, expected a whole number'),
        (with_field('part_features', -1), 'part_features is -1'),
        (with_field('attention', 3), 'attention is 3, expected full or'),
        (with_field('attention', [3] * 2), 'attention is [3, 3'),
        (with_field('attention', ['full']), 'attention for 1 blocks'),
        (with_field('window_size', [8, 0]), 'window_size is [8, 0]'),
        (with_field('udp', [{}]), 'udp is [{}], expected a list of keypoint sets'),
        (with_field('folded', 3), 'folded is 3, expected true or false'),
        (lambda text: text.replace('{"coco": 17}', '{"mpii": 16}'), 'its output is'),
        (lambda text: text.replace('[64, 48]', '[48, 64]'), 'its input is'),
    ],
)
def test_files_whose_metadata_is_not_of_their_graph_are_refused(
    small_onnx, change, words, tmp_path
):
    import onnx

    model = onnx.load(small_onnx)
    [entry] = [entry for entry in model.metadata_props if entry.key == 'vitpose_ros']
    assert entry.value != change(entry.value)
    entry.value = change(entry.value)
    onnx.save(model, tmp_path / 'x.onnx')
    with pytest.raises(CheckpointError) as error:
        PoseEstimator.load(tmp_path / 'x.onnx', 'cpu')
    assert words in str(error.value) and 'export the network anew' in str(error.value)
    assert len(str(error.value)) < 900


@pytest.fixture(scope='module')
def small_onnx(tmp_path_factory):
    """An ONNX file of ours for small crops."""
    path = tmp_path_factory.mktemp('onnx') / 'small.onnx'
    config = ViTPoseConfig(
        embed_dim=192, depth=2, num_heads=3, num_keypoints={'coco': 17}, image_size=SMALL
    )
    write_onnx(ViTPose(config).eval().requires_grad_(False), path, 'coco')
    return path
