"""What runs where: by what the driver says, what kernels do, and what is installed."""

import ctypes

import pytest
import torch

from vitpose_ros.core.runtime import DeviceError, OptionError, Options, choose, open_backend
from vitpose_ros.core.runtime import onnx as onnx_module
from vitpose_ros.core.runtime import openvino as openvino_module
from vitpose_ros.core.runtime.export import ExportError
from vitpose_ros.core.runtime.nvidia import Driver, ask_driver, why_unusable
from vitpose_ros.core.weights import load_network

NO_KERNEL = (
    'CUDA error: no kernel image is available for execution on the device\n'
    'CUDA kernel errors might be asynchronously reported at some other API call'
)


class Library:
    """A driver's library that answers as a script says."""

    def __init__(self, *, init=0, devices=1):
        self.init, self.devices = init, devices

    def cuInit(self, flags):  # noqa: N802 - the driver's name
        assert flags == 0
        return self.init

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = self.devices
        return 0

    def cuGetErrorString(self, code, text):  # noqa: N802
        texts = {100: b'no CUDA-capable device is detected', 999: b'unknown error'}
        text._obj.value = texts.get(code)
        return 0 if code in texts else 1

    def cuDeviceGet(self, device, index):  # noqa: N802
        device._obj.value = index + 40
        return 0

    def cuDeviceGetName(self, name, size, device):  # noqa: N802
        assert size == len(name) and isinstance(device, ctypes.c_int)
        name.value = f'NVIDIA RTX {device.value}'.encode()
        return 0


class Stub:
    """A library of that name without what the driver's has."""


def absent(name):
    raise OSError(f'{name}: cannot open shared object file: No such file or directory')


@pytest.mark.parametrize(
    ('library', 'devices', 'reason'),
    [
        (absent, 0, 'there is no NVIDIA driver here (libcuda.so.1)'),
        (lambda _: Library(init=100), 0, 'no CUDA-capable device is detected (error 100)'),
        (lambda _: Library(init=999), 0, 'unknown error (error 999)'),
        (lambda _: Library(init=803), 0, 'an unknown error (error 803)'),
        (lambda _: Stub(), 0, "libcuda.so.1 is no driver that this version knows: 'Stub' object"),
        (lambda _: Library(devices=0), 0, 'the NVIDIA driver sees no GPU'),
        (lambda _: Library(devices=2), 2, ''),
    ],
)
def test_the_driver_says_how_many_devices_there_are_or_why_none(library, devices, reason):
    driver = ask_driver(library)
    assert driver.names == tuple(f'NVIDIA RTX {40 + index}' for index in range(devices))
    assert reason in driver.reason and bool(driver.reason) == bool(reason)
    assert not reason or '; see that nvidia-smi lists a GPU' in driver.reason


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_build_without_cuda_does_not_run_kernels():
    assert why_unusable(torch.device('cuda')).startswith('Torch not compiled with CUDA enabled;')


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_kernels_run_on_a_gpu_that_the_driver_sees():
    assert why_unusable(torch.device('cuda')) == ''
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    assert list(ask_driver().names) == names


@pytest.mark.parametrize(
    ('error', 'remedy'),
    [
        (RuntimeError(NO_KERNEL), 'on the device; install a build of PyTorch for this GPU'),
        (
            RuntimeError('The NVIDIA driver on your system is too old (found version 11040). Get'),
            'update the NVIDIA driver, or install a build of PyTorch for an older CUDA',
        ),
        (
            RuntimeError('CUDA error: CUDA-capable device(s) is/are busy or unavailable\nCompile'),
            'busy or unavailable; end the program that holds the GPU, see nvidia-smi',
        ),
        (torch.cuda.OutOfMemoryError('CUDA out of memory.'), '; end other programs on it'),
        (RuntimeError('CUDA error: unspecified launch failure'), 'see nvidia-smi, and Xid in'),
    ],
)
def test_why_kernels_do_not_run_comes_with_what_helps(error, remedy, monkeypatch):
    def ones(*shape, dtype, device):
        assert dtype == torch.float16 and device.type == 'cuda'
        raise error

    monkeypatch.setattr(torch, 'ones', ones)
    said = why_unusable(torch.device('cuda'))
    assert remedy in said and '\n' not in said


# The choice


@pytest.fixture
def machine(monkeypatch):
    """Pretend what the driver, PyTorch and ONNX Runtime say."""

    def pretend(*, devices, in_torch=None, unusable='', onnx=False, openvino=True):
        in_torch = devices if in_torch is None else in_torch
        names = tuple(f'RTX {index}' for index in range(devices))
        driver = Driver(names, '' if devices else 'there is no NVIDIA driver here')
        built = ['CUDAExecutionProvider'] if onnx else []
        module = 'vitpose_ros.core.runtime'
        monkeypatch.setattr(f'{module}.nvidia.ask_driver', lambda: driver)
        monkeypatch.setattr(f'{module}.nvidia.why_unusable', lambda _: unusable)
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: in_torch > 0)
        monkeypatch.setattr(torch.cuda, 'device_count', lambda: in_torch)
        monkeypatch.setattr(torch.version, 'cuda', '13.0' if in_torch else None)
        monkeypatch.setattr(openvino_module, 'is_installed', lambda: openvino)
        runtime = onnx_module.providers.runtime()
        monkeypatch.setattr(
            runtime, 'get_available_providers', lambda: [*built, 'CPUExecutionProvider']
        )

    return pretend


def test_without_a_gpu_the_processor_runs_although_onnx_runtime_is_built_for_cuda(machine):
    machine(devices=0, onnx=True)
    choice = choose('auto', 'auto')
    assert (choice.backend, choice.device, choice.warning) == ('openvino', 'cpu', '')
    assert 'fastest' in choice.reason
    assert (choose('onnx', 'auto').device, choose('onnx', 'auto').warning) == ('cpu', '')
    for backend in ('onnx', 'auto', 'torch'):
        with pytest.raises(DeviceError, match='there is no NVIDIA driver here'):
            choose(backend, 'cuda')
    machine(devices=0, onnx=True, openvino=False)
    choice = choose('auto', 'auto')
    assert (choice.backend, choice.device) == ('torch', 'cpu')
    assert 'OpenVINO' in choice.reason and 'not installed' in choice.reason


def test_onnx_runtime_takes_the_gpu_that_pytorch_is_not_built_for(machine):
    machine(devices=2, in_torch=0, onnx=True)
    for backend, device, found in (
        ('auto', 'auto', 'cuda:0'),
        ('auto', 'cuda:1', 'cuda:1'),
        ('onnx', 'auto', 'cuda:0'),
    ):
        choice = choose(backend, device)
        assert (choice.backend, choice.device, choice.warning) == ('onnx', found, '')
    assert choose('auto', 'cpu').backend == 'openvino'
    with pytest.raises(
        DeviceError, match=r"'cuda:2' is not there for ONNX Runtime.* sees only RTX 0, RTX 1; give"
    ):
        choose('onnx', 'cuda:2')


def test_pytorch_takes_a_gpu_on_which_its_kernels_run(machine):
    machine(devices=1, onnx=True)
    for device in ('auto', 'cuda', 'cuda:0'):
        for backend in ('auto', 'torch'):
            choice = choose(backend, device)
            assert choice.backend == 'torch' and choice.device.startswith('cuda')
            assert not choice.warning


def test_a_gpu_on_which_kernels_do_not_run_is_left_with_the_reason(machine):
    machine(devices=1, unusable='no kernel image; install a build for this GPU')
    for backend, found in (('auto', 'openvino'), ('torch', 'torch')):
        choice = choose(backend, 'auto')
        assert (choice.backend, choice.device) == (found, 'cpu')
        assert 'no kernel image; install a build for this GPU' in choice.warning
        assert 'the network runs on the CPU instead' in choice.warning
        with pytest.raises(DeviceError, match='does not run PyTorch: no kernel image; install a'):
            choose(backend, 'cuda:0')
    machine(devices=1, unusable='no kernel image', onnx=True)
    choice = choose('auto', 'cuda')
    assert (choice.backend, choice.device) == ('onnx', 'cuda')
    assert 'no kernel image' in choice.warning
    machine(devices=1)  # nothing of that is kept
    assert choose('auto', 'auto').device == 'cuda'


def test_a_gpu_that_nothing_is_built_for_is_named(machine):
    machine(devices=1, in_torch=0)
    for backend, words in (
        ('auto', f'PyTorch {torch.__version__}'),
        ('torch', f'PyTorch {torch.__version__}'),
        ('onnx', 'pip install onnxruntime-gpu'),
    ):
        choice = choose(backend, 'auto')
        assert choice.device == 'cpu'
        assert 'this machine has an NVIDIA GPU that is not used' in choice.warning
        assert words in choice.warning
    assert choose('auto', 'cpu').warning == ''
    with pytest.raises(DeviceError, match=r"'cuda' is not there: PyTorch .* is built without"):
        choose('auto', 'cuda')
    machine(devices=1)
    with pytest.raises(DeviceError, match=r"'cuda:1' is not there: PyTorch .* sees 1 CUDA"):
        choose('auto', 'cuda:1')


def test_a_gpu_that_a_build_for_cuda_does_not_see_is_named(machine, monkeypatch):
    machine(devices=1, in_torch=0)
    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    assert (
        ', for CUDA 13.0, does not see it; update the NVIDIA driver'
        in choose('torch', 'auto').warning
    )


def test_the_warning_of_a_choice_is_that_of_the_backend(machine):
    machine(devices=1, unusable='no kernel image')
    backend = open_backend(load_network('nano'))
    assert backend.description.startswith('openvino on cpu')
    assert 'no kernel image' in backend.warning


def test_where_files_for_a_busy_gpu_cannot_be_written_the_processor_runs(
    machine, monkeypatch, tmp_path
):
    machine(devices=1, unusable='it is busy', onnx=True)
    monkeypatch.setenv('VITPOSE_ROS_CACHE', str(tmp_path))

    class ConversionError(Exception):
        pass

    def export(*_, **__):
        """As PyTorch does, which reads the state of the GPU's random numbers meanwhile."""
        try:
            raise RuntimeError('CUDA error: CUDA-capable device(s) is/are busy or unavailable')
        except RuntimeError as error:
            raise ConversionError('Failed to export the model.\n# Summary') from error

    monkeypatch.setattr(torch.onnx, 'export', export)
    backend = open_backend(load_network('nano', image_size=(64, 48)))
    assert backend.description.startswith('openvino on cpu')
    said = 'cannot write ONNX: RuntimeError: CUDA error: CUDA-capable device(s) is/are busy'
    assert said in backend.warning and 'the network runs on the CPU instead' in backend.warning
    with pytest.raises(ExportError, match='or set backend to another'):
        open_backend(load_network('nano', image_size=(64, 48)), Options(backend='onnx'))


@pytest.mark.parametrize('device', ['cuda:x', 'cuda:-1', 'tpu'])
def test_a_word_that_is_no_device_is_named(device, machine):
    machine(devices=1, onnx=True)
    for backend in ('onnx', 'torch'):
        with pytest.raises(OptionError, match=f"device is '{device}'; give auto, cpu"):
            choose(backend, device)


@pytest.mark.skipif(bool(ask_driver().names), reason='there is a GPU')
def test_this_machine_has_no_gpu_and_nothing_breaks():
    assert ask_driver().reason
    assert choose('auto', 'auto').device == 'cpu'
