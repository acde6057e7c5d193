"""Which backend runs a network, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vitpose_ros.core.backends import onnx, openvino
from vitpose_ros.core.backends.base import Backend, BackendError, DeviceError, read_precision
from vitpose_ros.core.backends.cuda import CudaBackend, Tuning
from vitpose_ros.core.backends.torch import TorchBackend
from vitpose_ros.core.checkpoints import CheckpointError, models_command
from vitpose_ros.core.export import Say, silent
from vitpose_ros.core.vit import ViTPose

BACKENDS = ('auto', 'torch', 'onnx', 'openvino')
CUDA_GRAPHS = ('auto', 'off')


@dataclass(frozen=True)
class Choice:
    """A backend and a device, both there, and the reason for them."""

    backend: str
    device: str
    reason: str


def choose_device(device: str) -> torch.device:
    """Turn 'auto', 'cpu', 'cuda' or 'cuda:N' into a device of PyTorch that is there.

    Raises DeviceError, which names the remedy, when it is not, and BackendError for another word.
    """
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise BackendError(
            f"device '{device}' is not known; give auto, cpu, cuda or cuda:N, or intel_gpu "
            '(through OpenVINO)'
        ) from error
    if chosen.type not in ('cpu', 'cuda'):
        raise BackendError(f"device '{device}' is not supported; give auto, cpu, cuda or cuda:N")
    if chosen.type == 'cuda' and (chosen.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"device '{device}' is not there: PyTorch {torch.__version__} sees "
            f'{torch.cuda.device_count()} CUDA devices; give cpu, or install a CUDA build'
        )
    return chosen


def choose(backend: str, device: str) -> Choice:
    """Choose backend and device, where 'auto' leaves that open.

    Raises DeviceError for a device that is not there, BackendError for an unknown word.
    """
    if backend not in BACKENDS:
        raise BackendError(f"backend '{backend}' is not known; give {', '.join(BACKENDS)}")
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
        return Choice(backend, onnx.choose_device(device), 'asked for')
    if backend == 'auto' and device != 'cpu' and not torch.cuda.is_available() and onnx.has_cuda():
        found = onnx.choose_device(device)
        return Choice('onnx', found, 'ONNX Runtime can use the GPU, PyTorch cannot')
    chosen = choose_device(device)
    if backend == 'torch':
        return Choice(backend, str(chosen), 'asked for')
    if chosen.type == 'cuda':
        return Choice('torch', str(chosen), 'PyTorch can use the GPU')
    if openvino.is_installed():
        return Choice('openvino', 'cpu', 'the fastest on a processor, and it is installed')
    return Choice('torch', 'cpu', 'OpenVINO, faster on a processor, is not installed')


def open_backend(
    network: ViTPose,
    backend: str = 'auto',
    *,
    device: str = 'auto',
    precision: str = 'auto',
    threads: int = 0,
    max_batch: int = 16,
    cuda_graphs: str = 'auto',
    say: Say = silent,
) -> Backend:
    """Prepare a network to run; it is changed.

    backend: one of BACKENDS. device: 'auto', 'cpu', 'cuda', 'cuda:N' or 'intel_gpu'.
    precision: 'auto' (what is fastest there at the same keypoints), 'float32', 'bfloat16' or
    'float16'. threads: of the processor; 0 leaves one core free. max_batch: most crops that will
    come at once. cuda_graphs: one of CUDA_GRAPHS. say: gets a line about what takes long.
    Raises DeviceError for a device that is not there, BackendError for what does not fit
    together or is not installed; both name the remedy.
    """
    if cuda_graphs not in CUDA_GRAPHS:
        raise BackendError(f"cuda_graphs is '{cuda_graphs}'; give {' or '.join(CUDA_GRAPHS)}")
    choice = choose(backend, device)
    opened: Backend
    if choice.backend == 'openvino':
        opened = openvino.OpenVinoBackend(
            network, device=choice.device, precision=precision, threads=threads, say=say
        )
    elif choice.backend == 'onnx':
        opened = onnx.OnnxBackend.of_network(
            network,
            device=choice.device,
            precision=precision,
            threads=threads,
            max_batch=max_batch,
            say=say,
        )
    elif choice.device == 'cpu':
        opened = TorchBackend(network, precision=precision, threads=threads)
    else:
        tuning = Tuning(graphs=cuda_graphs != 'off')
        opened = CudaBackend(network, device=choice.device, precision=precision, tuning=tuning)
    opened.reason = choice.reason
    return opened


def open_onnx(
    file: Path,
    backend: str = 'auto',
    *,
    device: str = 'auto',
    precision: str = 'auto',
    threads: int = 0,
    keypoint_sets: str | Sequence[str] | None = None,
    max_batch: int = 16,
    say: Say = silent,
) -> Backend:
    """Prepare an ONNX file that models export wrote; arguments and errors as open_backend.

    keypoint_sets: what is asked of it. Raises CheckpointError where the file has another.
    """
    if backend not in ('auto', 'onnx'):
        raise BackendError(f"'{file}' is for backend onnx, not {backend}; give auto or onnx")
    opened = onnx.OnnxBackend.of_file(
        file,
        device=onnx.choose_device(device),
        threads=threads,
        max_batch=max_batch,
        say=say,
    )
    read_precision(precision, [opened.precision], f"'{file}'")
    wanted = [keypoint_sets] if isinstance(keypoint_sets, str) else list(keypoint_sets or [])
    for name in wanted:
        if name not in opened.config.keypoint_sets:
            raise CheckpointError(
                f"'{file}' gives {', '.join(opened.config.keypoint_sets)}, not '{name}': an ONNX "
                'file has one keypoint set; to write another: '
                f'{models_command("export", "IN", "OUT")}'
            )
    opened.reason = 'the model is an ONNX file'
    return opened
