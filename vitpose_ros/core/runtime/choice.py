"""Which backend runs a network, and why."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.option import OptionError
from vitpose_ros.core.runtime import nvidia, onnx, openvino, providers
from vitpose_ros.core.runtime.base import Backend, BackendError, DeviceError, read_precision
from vitpose_ros.core.runtime.cuda import CudaBackend, Tuning
from vitpose_ros.core.runtime.export import ExportError
from vitpose_ros.core.runtime.options import DEFAULTS, Options
from vitpose_ros.core.runtime.torch import TorchBackend
from vitpose_ros.core.weights import CheckpointError, models_command

UNUSED_GPU = 'this machine has an NVIDIA GPU that is not used'
ON_CPU_INSTEAD = 'the network runs on the CPU instead'


@dataclass(frozen=True)
class Choice:
    """A backend and a device, both there, and the reason for them."""

    backend: str
    device: str
    reason: str
    warning: str = ''  # what could not be had, and the remedy


def why_no_cuda() -> str:
    """Return why PyTorch does not run on the CUDA device that is there; '' where there is none."""
    if not nvidia.ask_driver().names:
        return ''
    if torch.version.cuda is None:
        return f'PyTorch {torch.__version__} is built without CUDA; install a CUDA build'
    return (
        f'PyTorch {torch.__version__}, for CUDA {torch.version.cuda}, does not see it; update the '
        'NVIDIA driver, or install a build for an older CUDA'
    )


def choose_device(device: str) -> torch.device:
    """Turn 'cpu', 'cuda' or 'cuda:N' into a device of PyTorch that is there and runs kernels.

    Raises DeviceError, which names the remedy, when it does not.
    """
    chosen = torch.device(device)
    if chosen.type == 'cpu':
        return chosen
    if (chosen.index or 0) >= torch.cuda.device_count():
        unseen = '' if torch.cuda.is_available() else why_no_cuda()
        seen = (
            f'PyTorch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices; '
            f'{nvidia.ask_driver().reason or "give cuda:0"}'
        )
        raise DeviceError(f"device '{device}' is not there: {unseen or seen}")
    if reason := nvidia.why_unusable(chosen):
        raise DeviceError(f"device '{device}' is there, but does not run PyTorch: {reason}")
    return chosen


def choose(backend: str, device: str) -> Choice:
    """Choose backend and device, where 'auto' leaves that open.

    Raises DeviceError for a device that is not there, BackendError where backend and device do
    not go together, OptionError for an unknown word.
    """
    Options(backend=backend, device=device)
    if device == openvino.INTEL_GPU:
        if backend not in ('auto', 'openvino'):
            raise BackendError(f"device '{device}' is for backend openvino, not {backend}")
        openvino.check_device(device)
        return Choice('openvino', device, 'an Intel GPU was asked for')
    if backend == 'openvino':
        if device not in ('auto', 'cpu'):
            raise BackendError(
                f"device '{device}' is not for backend openvino; give cpu or intel_gpu"
            )
        openvino.check_device('cpu')
        return Choice(backend, 'cpu', 'asked for')
    if backend == 'onnx':
        return _choose_onnx(device)
    if device == 'cpu':
        return _on_processor(backend)
    return _choose_cuda(backend, device)


def _choose_onnx(device: str) -> Choice:
    found = onnx.choose_device(device)
    missed = device == 'auto' and found == 'cpu' and nvidia.ask_driver().names != ()
    why = f'{UNUSED_GPU}: ONNX Runtime: {providers.why_no_cuda()}' if missed else ''
    return Choice('onnx', found, 'asked for', why)


def _choose_cuda(backend: str, device: str) -> Choice:
    """Choose what runs on a CUDA device; for 'auto' the processor where nothing does."""
    warning = ''
    if device != 'auto' or torch.cuda.is_available():
        try:
            chosen = choose_device('cuda' if device == 'auto' else device)
        except DeviceError as error:
            if device != 'auto' and not (backend == 'auto' and onnx.has_cuda()):
                raise
            warning = str(error) if torch.cuda.is_available() else ''
        else:
            reason = 'asked for' if backend == 'torch' else 'PyTorch can use the GPU'
            return Choice('torch', str(chosen), reason)
    if backend == 'auto' and onnx.has_cuda():
        return Choice(
            'onnx',
            onnx.choose_device(device),
            'ONNX Runtime can use the GPU, PyTorch cannot',
            warning,
        )
    if not warning and (reason := why_no_cuda()):
        warning = f'{UNUSED_GPU}: {reason}'
    return _on_processor(backend, warning)


def _on_processor(backend: str, why: str = '') -> Choice:
    """Choose what runs on the processor; why: what keeps it from a GPU."""
    warning = f'{why}; {ON_CPU_INSTEAD}' if why else ''
    if backend != 'auto':
        return Choice(backend, 'cpu', 'asked for', warning)
    if openvino.is_installed():
        reason = 'the fastest on a processor, and it is installed'
        return Choice('openvino', 'cpu', reason, warning)
    return Choice('torch', 'cpu', 'OpenVINO, faster on a processor, is not installed', warning)


def open_backend(
    network: ViTPose,
    options: Options = DEFAULTS,
    *,
    calibration: Path | None = None,
    at_any_speed: bool = False,
) -> Backend:
    """Prepare a network to run; it is changed.

    options: all but keypoint_sets and image_size, which are the network's. calibration: the file
    for int8; see int8. at_any_speed: int8 is not compared with float32, and never refused.
    Raises DeviceError for a device that is not there, or that was asked for and cannot be used,
    BackendError for what does not fit together or is not installed, ExportError where graphs for
    a backend cannot be written; all name the remedy.
    """
    backend = options.backend
    choice = choose(backend, options.device)
    if options.precision == 'int8' and choice.backend == 'torch':
        choice = _without_torch(backend, choice)

    def opened(choice: Choice, precision: str) -> Backend:
        own = replace(options, device=choice.device, precision=precision)
        if choice.backend == 'openvino':
            return openvino.OpenVinoBackend(
                network, own, calibration=calibration, at_any_speed=at_any_speed
            )
        if choice.backend == 'onnx':
            return onnx.OnnxBackend.of_network(
                network, own, calibration=calibration, at_any_speed=at_any_speed
            )
        if choice.device == 'cpu':
            return TorchBackend(network, own)
        tuning = Tuning(graphs=options.cuda_graphs != 'off')
        return CudaBackend(network, device=choice.device, precision=precision, tuning=tuning)

    try:
        found = opened(choice, options.precision)
    except (DeviceError, ExportError) as error:
        if choice.backend != 'onnx' or choice.device == 'cpu':
            raise
        if options.device != 'auto':
            if isinstance(error, DeviceError):
                raise
            raise DeviceError(f"device '{choice.device}' cannot be used: {error}") from error
        # The driver has a GPU, and ONNX Runtime cannot use it. What was asked for of the
        # precision may be for a GPU alone.
        choice = _on_processor(backend, '; '.join(filter(None, (choice.warning, str(error)))))
        found = opened(choice, 'auto')
    found.reason = choice.reason
    found.warning = '; '.join(filter(None, (choice.warning, found.warning)))
    return found


def _without_torch(backend: str, choice: Choice) -> Choice:
    """Return what runs int8 where PyTorch was chosen, which does not; only 'auto' is changed."""
    if backend == 'auto' and choice.device == 'cpu' and onnx.is_installed():
        return Choice('onnx', 'cpu', 'int8 was asked for, and OpenVINO is not installed')
    raise BackendError(
        f"precision 'int8' is not for PyTorch on {choice.device}; it runs on a processor in "
        'OpenVINO or ONNX Runtime: set device to cpu and backend to openvino (pip install '
        'openvino) or onnx (pip install onnxruntime onnx onnxscript); or on an NVIDIA GPU in ONNX '
        'Runtime with TensorRT: set backend to onnx (pip install onnxruntime-gpu tensorrt)'
    )


def open_onnx(file: Path, options: Options = DEFAULTS) -> Backend:
    """Prepare an ONNX file that models export wrote, which has its precision and size in it.

    Raises what open_backend does, and CheckpointError where the file has another keypoint set.
    """
    if options.backend not in ('auto', 'onnx'):
        raise BackendError(
            f"'{file}' is for backend onnx, not {options.backend}; give auto or onnx"
        )
    if options.image_size is not None:
        raise OptionError(
            f"image_size is {options.image_size}, but '{file}' is of one size; leave it out, or "
            f'write a file of another: {models_command("export", "IN", "OUT")}'
        )
    choice = _choose_onnx(options.device)
    try:
        opened = onnx.OnnxBackend.of_file(file, replace(options, device=choice.device))
    except DeviceError as error:
        if options.device != 'auto':
            raise
        choice = _on_processor('onnx', str(error))
        opened = onnx.OnnxBackend.of_file(file, replace(options, device='cpu'))
    read_precision(options.precision, [opened.precision], f"'{file}'")
    for name in options.keypoint_sets or ():
        if name not in opened.config.keypoint_sets:
            raise CheckpointError(
                f"'{file}' gives {', '.join(opened.config.keypoint_sets)}, not '{name}': an ONNX "
                'file has one keypoint set; to write another: '
                f'{models_command("export", "IN", "OUT")}'
            )
    opened.reason = 'the model is an ONNX file'
    opened.warning = '; '.join(filter(None, (choice.warning, opened.warning)))
    return opened
