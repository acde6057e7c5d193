"""ONNX Runtime for GPUs, where its logic runs on a processor."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as state

from vitpose_ros.core import PoseEstimator
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime import Decoding, DeviceError, Options, open_backend, open_onnx
from vitpose_ros.core.runtime.cuda import buckets
from vitpose_ros.core.runtime.export import ExportError
from vitpose_ros.core.runtime.nvidia import Driver
from vitpose_ros.core.runtime.onnx import OnnxBackend
from vitpose_ros.core.runtime.providers import CPU, CUDA, TENSORRT, library
from vitpose_ros.core.runtime.tensorrt import digest, external_files, load

CONFIG = ViTPoseConfig(96, 1, 3, {'coco': 17}, folded=True, image_size=(64, 48))
SIZE = (64, 48)
NO_KERNEL = 'CUDA error cudaErrorNoKernelImageForDevice:no kernel image is available'


def tiny_network():
    torch.manual_seed(0)
    return ViTPose(CONFIG).eval().requires_grad_(False)


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    """Return a folder for all files that these tests write."""
    return tmp_path_factory.mktemp('cache')


@pytest.fixture(scope='module')
def file(cache):
    """Return the float32 file of the tiny network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('VITPOSE_ROS_CACHE', str(cache))
        OnnxBackend.of_network(tiny_network(), Options(device='cpu'))
    [path] = cache.glob('onnx-float32-*/coco.onnx')
    return path


class Session:
    """A session on the processor that says it is on a GPU, and keeps the sizes of its runs."""

    opened = []  # by all: the providers of each, with their options
    # Providers that raise, those that give the processor, and those that fail in a run.
    broken, silent, failing = (), (), ()

    def __init__(self, file, options, providers, enable_fallback):
        assert enable_fallback == 0
        self.real = real_session(file, options, providers=[CPU])
        self.name = providers[0][0]
        self.sizes = []
        Session.opened.append(dict(providers))
        if self.name in Session.broken:
            raise RuntimeError(f'no {self.name}')

    def get_providers(self):
        return [CPU] if self.name in Session.silent else [self.name, CPU]

    def disable_fallback(self):
        self.real.disable_fallback()

    def io_binding(self):
        return self.real.io_binding()

    def run_with_iobinding(self, binding):
        if self.name in Session.failing:
            raise state.Fail(f'[ONNXRuntimeError] : 1 : FAIL : {NO_KERNEL}')
        self.real.run_with_iobinding(binding)
        self.sizes.append(binding.get_outputs()[0].shape()[0])


real_session = onnxruntime.InferenceSession


def open_session(file, options, providers, **rest):
    """Stand in for InferenceSession, which is left for the processor."""
    names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
    kind = real_session if names == [CPU] else Session
    return kind(file, options, providers=providers, **rest)


@pytest.fixture
def gpu(monkeypatch, cache):
    """Pretend two GPUs, a runtime that is built for them, and what of it breaks."""
    monkeypatch.setenv('VITPOSE_ROS_CACHE', str(cache))
    module = 'vitpose_ros.core.runtime'
    monkeypatch.setattr(f'{module}.nvidia.ask_driver', lambda: Driver(('RTX 0', 'RTX 1')))
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(onnxruntime, 'InferenceSession', open_session)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)

    def pretend(*, tensorrt='', broken=(), silent=(), failing=()):
        Session.opened = []
        Session.broken, Session.silent, Session.failing = broken, silent, failing
        found = load(library(TENSORRT))
        if tensorrt:
            found = type(found)(version=tensorrt)
        monkeypatch.setattr(f'{module}.tensorrt.load', lambda _: found)

    return pretend


def on_gpu(file, **options):
    return OnnxBackend([file], CONFIG, 'float32', Options(device='cuda:1', threads=1, **options))


# Providers


def test_cuda_gets_its_device_and_the_quick_search_of_algorithms(gpu, file, monkeypatch):
    gpu()
    preloaded = []
    monkeypatch.setattr(onnxruntime, 'preload_dlls', lambda: preloaded.append(len(Session.opened)))
    backend = on_gpu(file)
    assert preloaded == [0], (
        'the libraries that pip installed are loaded before a session needs them'
    )
    options = {'device_id': '1', 'cudnn_conv_algo_search': 'HEURISTIC'}
    assert Session.opened == [{CUDA: options}]
    assert backend.description == 'onnx on cuda:1 with CUDA, float32'
    assert backend.place == 'cuda:1', 'for a network beside it; PyTorch may not have that'
    assert 'TensorRT, which is faster, is not installed; pip install' in backend.warning


def test_tensorrt_comes_first_and_what_it_leaves_gets_the_options_too(gpu, file):
    gpu(tensorrt='101601')
    backend = on_gpu(file, max_batch=12)
    [opened] = Session.opened
    assert list(opened) == [TENSORRT, CUDA]
    assert opened[TENSORRT]['device_id'] == opened[CUDA]['device_id'] == '1'
    assert opened[TENSORRT]['trt_fp16_enable'] == 'False'
    assert opened[TENSORRT]['trt_profile_max_shapes'] == 'crops:12x64x48x3'
    assert backend.description.endswith('with TensorRT, float32') and not backend.warning


@pytest.mark.parametrize('how', ['broken', 'silent', 'failing'])
def test_without_tensorrt_cuda_runs_on_the_same_device(how, gpu, file):
    gpu(tensorrt='101601', **{how: [TENSORRT]})
    backend = on_gpu(file)
    assert Session.opened[1:] == [
        {CUDA: {'device_id': '1', 'cudnn_conv_algo_search': 'HEURISTIC'}}
    ]
    assert backend.description.endswith('with CUDA, float32')
    assert 'TensorRT, which is faster, does not start: Tensorrt' in backend.warning


def test_where_no_engine_can_be_kept_cuda_runs(gpu, file, tmp_path, monkeypatch):
    gpu(tensorrt='101601')
    (tmp_path / 'file').touch()
    monkeypatch.setenv('VITPOSE_ROS_CACHE', str(tmp_path / 'file' / 'cache'))
    backend = on_gpu(file)
    assert backend.description.endswith('with CUDA, float32')
    assert 'does not start: TensorrtExecutionProvider: nothing can be kept in' in backend.warning


@pytest.mark.parametrize('how', ['broken', 'silent', 'failing'])
def test_where_no_provider_starts_it_is_named(how, gpu, file):
    gpu(tensorrt='101601', **{how: [TENSORRT, CUDA]})
    with pytest.raises(DeviceError, match=r'cannot use cuda:1: TensorrtExec.*; CUDAExecutionPr'):
        on_gpu(file)


def test_a_file_that_is_damaged_is_not_the_fault_of_the_gpu(gpu, tmp_path):
    gpu()
    (tmp_path / 'x.onnx').write_bytes(b'nonsense')
    with pytest.raises(Exception, match='INVALID_PROTOBUF'):
        on_gpu(tmp_path / 'x.onnx')


@pytest.mark.parametrize('how', ['silent', 'failing'])
@pytest.mark.parametrize(('name', 'found'), [('auto', 'openvino'), ('onnx', 'onnx')])
def test_where_no_provider_starts_the_processor_runs_in_float32(
    name, found, how, gpu, cache, caplog
):
    gpu(**{how: [CUDA]})
    caplog.set_level(logging.INFO, 'vitpose_ros')
    network = tiny_network()
    backend = open_backend(network, Options(backend=name, precision='float16', threads=1))
    assert backend.description == f'{found} on cpu, float32, 1 thread'
    assert backend.precision == 'float32'
    assert 'ONNX Runtime cannot use cuda:0: CUDAExecutionProvider: ' in backend.warning
    assert 'the network runs on the CPU instead' in backend.warning
    crops = torch.randint(0, 256, (3, *SIZE, 3), dtype=torch.uint8)
    plain = open_backend(
        tiny_network(), Options(backend='torch', device='cpu', precision='float32')
    )
    [maps], [expected] = backend.heatmaps(crops, [3]), plain.heatmaps(crops, [3])
    assert (maps - expected).abs().max() < 1e-4
    assert len(list(cache.glob('onnx-float16-*'))) == 1, 'the file for the GPU is kept'
    assert not [line for line in caplog.messages if 'made anew' in line]


def test_a_file_runs_on_the_processor_where_no_provider_starts(gpu, file):
    gpu(silent=[CUDA])
    backend = open_onnx(file, Options(threads=1))
    assert backend.description == 'onnx on cpu, float32, 1 thread'
    assert 'the network runs on the CPU instead' in backend.warning


def test_a_gpu_that_was_asked_for_is_replaced_only_where_that_was_asked_for_too(gpu, file):
    gpu(silent=[CUDA])
    wanted = Options(device='cuda:1', backend='onnx', precision='float32', threads=1)
    with pytest.raises(DeviceError, match='cannot use cuda:1: CUDAExecutionProvider'):
        open_backend(tiny_network(), wanted)
    with pytest.raises(DeviceError, match='cannot use cuda:1: CUDAExecutionProvider'):
        open_onnx(file, wanted)
    backend = PoseEstimator.with_options(file, wanted, cpu_instead=True).backend
    assert backend.description == 'onnx on cpu, float32, 1 thread'
    assert 'cannot use cuda:1' in backend.warning


def test_a_gpu_for_which_no_file_can_be_written_cannot_be_used(gpu, monkeypatch):
    def refuse(*_, **__):
        raise ExportError('cannot write ONNX: the GPU is busy')

    gpu()
    monkeypatch.setattr('vitpose_ros.core.runtime.onnx.convert', refuse)
    wanted = Options(device='cuda:1', backend='onnx', precision='float16')
    network = tiny_network()
    network.backbone.last_norm.bias += 1  # of which there is no file yet
    with pytest.raises(DeviceError, match=r"'cuda:1' cannot be used: .* ONNX: the GPU is busy"):
        open_backend(network, wanted)


@pytest.mark.filterwarnings('ignore:Specified provider')
@pytest.mark.skipif(library(CUDA).exists(), reason='this runtime is built for CUDA')
def test_the_runtime_itself_does_not_fall_back_unseen(gpu, file, monkeypatch):
    gpu()
    monkeypatch.setattr(onnxruntime, 'InferenceSession', real_session)
    with pytest.raises(DeviceError, match='cannot use cuda:1: CUDAExecutionProvider: '):
        on_gpu(file)


# Batches


def test_batches_are_padded_to_buckets_and_give_the_same(gpu, file):
    gpu()
    backend, plain = (
        on_gpu(file, max_batch=12),
        OnnxBackend([file], CONFIG, 'float32', Options(device='cpu')),
    )
    assert backend.bucket_sizes == buckets(12) and plain.bucket_sizes == []
    backend.bucket_sizes = [1, 3, 4, 12]
    assert backend.prepare(Decoding(), 12) == 12
    [session] = backend._graphs
    assert session.sizes == [1, 1, 3, 4, 12], 'each is run once before the first frame'
    for count, sizes in ((1, [1]), (2, [3]), (4, [4]), (5, [12]), (14, [12, 3]), (0, [])):
        session.sizes.clear()
        crops = torch.randint(0, 256, (count, *SIZE, 3), dtype=torch.uint8)
        [maps], [expected] = backend.heatmaps(crops, [count]), plain.heatmaps(crops, [count])
        assert session.sizes == sizes
        assert maps.shape == expected.shape
        assert not count or (maps - expected).abs().max() < 1e-5


def test_buckets_that_memory_does_not_suffice_for_are_left_out(gpu, file, monkeypatch):
    gpu()
    text = 'Failed to allocate memory for requested buffer of size 13111296'
    run = Session.run_with_iobinding
    limit = 3

    def scarce(session, binding):
        run(session, binding)
        if session.sizes[-1] > limit:
            raise state.RuntimeException(text)

    monkeypatch.setattr(Session, 'run_with_iobinding', scarce)
    backend = on_gpu(file, max_batch=8)
    backend.bucket_sizes = [1, 2, 4, 8]
    assert backend.prepare(Decoding(), 8) == 2 and backend.bucket_sizes == [1, 2]
    assert len(backend.heatmaps(torch.zeros(7, *SIZE, 3, dtype=torch.uint8), [7])[0]) == 7
    limit = 0
    with pytest.raises(DeviceError, match=r"'cuda:1' has too little free memory.* Failed to al"):
        backend.prepare(Decoding(), 8)


def test_a_gpu_that_fails_in_a_later_run_is_told(gpu, file):
    gpu()
    backend = on_gpu(file)
    Session.failing = [CUDA]
    with pytest.raises(DeviceError, match=r"'cuda:1' cannot run this network: Fail:.*no kernel"):
        backend.prepare(Decoding(), 8)


def test_memory_that_crops_do_not_get_is_an_error_of_the_device(gpu, file, monkeypatch):
    def fail(*_, **__):
        raise torch.cuda.OutOfMemoryError('CUDA out of memory')

    gpu()
    backend = on_gpu(file)
    backend.device = torch.device('cuda', 1)
    monkeypatch.setattr('vitpose_ros.core.runtime.onnx.CudaCrops', fail)
    with pytest.raises(DeviceError, match="'cuda:1' has too little free memory"):
        backend.crops()


# Engines


def test_weights_beside_a_file_count(tmp_path):
    import onnx
    from onnx import numpy_helper

    weights = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    folders = []
    for change in (0.0, 1.0):
        folders.append(tmp_path / f'{change}')
        folders[-1].mkdir()
        tensor = numpy_helper.from_array(weights + np.float32(change), 'w')
        value = onnx.helper.make_tensor_value_info('x', onnx.TensorProto.FLOAT, [64, 64])
        node = onnx.helper.make_node('MatMul', ['x', 'w'], ['y'])
        out = onnx.helper.make_tensor_value_info('y', onnx.TensorProto.FLOAT, [64, 64])
        graph = onnx.helper.make_graph([node], 'g', [value], [out], [tensor])
        onnx.save(
            onnx.helper.make_model(graph),
            folders[-1] / 'net.onnx',
            save_as_external_data=True,
            location='other name.bin',
        )
    first, second = (folder / 'net.onnx' for folder in folders)
    assert first.read_bytes() == second.read_bytes()
    assert external_files(first) == [folders[0] / 'other name.bin']
    assert digest(first) != digest(second)
    (folders[1] / 'other name.bin').write_bytes((folders[0] / 'other name.bin').read_bytes())
    assert digest(first) == digest(second)


def test_a_file_is_read_once_per_start_and_in_pieces(gpu, file, monkeypatch):
    gpu(tensorrt='101601')
    taken = []
    module = 'vitpose_ros.core.runtime.tensorrt'
    monkeypatch.setattr(f'{module}.digest', lambda path: taken.append(path) or digest(path))
    on_gpu(file)
    assert taken == [file]
    whole = digest(file)
    monkeypatch.setattr(f'{module}.PIECE', 1000)
    assert digest(file) == whole


def test_building_is_said_until_an_engine_is_there(gpu, file, caplog):
    gpu(tensorrt='101601', broken=[TENSORRT])
    caplog.set_level(logging.INFO, 'vitpose_ros')

    def start():
        caplog.clear()
        on_gpu(file, max_batch=5)

    start()  # a build that fails leaves the folder
    gpu(tensorrt='101601')
    start()
    assert caplog.messages == ['building the TensorRT engine of coco; once for this GPU, minutes']
    [opened] = Session.opened
    folder = Path(opened[TENSORRT]['trt_engine_cache_path'])
    assert folder.name.startswith('tensorrt-101601-RTX-1-') and folder.name.endswith('-5')
    (folder / 'TensorrtExecutionProvider_graph_0_sm90.engine').write_bytes(b'engine')
    start()
    assert caplog.messages == []


@pytest.mark.skipif(shutil.which('cc') is None, reason='no compiler')
def test_the_tensorrt_that_the_provider_links_is_found_where_pip_puts_it(tmp_path, monkeypatch):
    provider = tmp_path / 'libonnxruntime_providers_tensorrt.so'
    provider.write_bytes(
        b'\x7fELF\0libcudart.so.98\0libnvinfer.so.97\0libnvonnxparser.so.97\0libc.so.6\0'
    )
    assert load(provider).version == ''
    assert load(provider).remedy == 'pip install "tensorrt-cu98==97.*"'
    folder = tmp_path / 'site' / 'tensorrt_libs'
    folder.mkdir(parents=True)
    (folder / '__init__.py').write_text('')
    (tmp_path / 'lib.c').write_text('int getInferLibVersion(void) { return 970102; }')
    for name in ('libnvinfer.so.97', 'libnvonnxparser.so.97'):
        command = ['cc', '-shared', '-fPIC', f'-Wl,-soname,{name}', '-o', folder / name]
        subprocess.run([*command, tmp_path / 'lib.c'], check=True)
    monkeypatch.syspath_prepend(tmp_path / 'site')
    sys.modules.pop('tensorrt_libs', None)
    assert load(provider).version == '970102'


def test_a_runtime_without_the_provider_of_tensorrt_is_named(tmp_path):
    assert 'pip install onnxruntime-gpu' in load(tmp_path / 'absent.so').remedy
