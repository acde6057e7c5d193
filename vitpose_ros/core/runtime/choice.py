"""Which backend runs a network, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime import nvidia, onnx, openvino, providers
from vitpose_ros.core.runtime.base import Backend, BackendError, DeviceError, read_precision
from vitpose_ros.core.runtime.cuda import CudaBackend, Tuning
from vitpose_ros.core.runtime.export import ExportError, Say, silent
from vitpose_ros.core.runtime.torch import TorchBackend
from vitpose_ros.core.weights import CheckpointError, models_command

BACKENDS = ('auto', 'torch', 'onnx', 'openvino')
CUDA_GRAPHS = ('auto', 'off')
UNUSED_GPU = 'this machine has an NVIDIA GPU that is not used'
INSTEAD = 'the network runs on the CPU instead'


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

    Raises DeviceError, which names the remedy, when it does not, and BackendError for another
    word.
    """
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise BackendError(
            f"device '{device}' is not known; give auto, cpu, cuda or cuda:N, or intel_gpu "
            '(through OpenVINO)'
        ) from error
    if chosen.type not in ('cpu', 'cuda'):
        raise BackendError(f"device '{device}' is not supported; give auto, cpu, cuda or cuda:N")
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
    warning = f'{why}; {INSTEAD}' if why else ''
    if backend != 'auto':
        return Choice(backend, 'cpu', 'asked for', warning)
    if openvino.is_installed():
        reason = 'the fastest on a processor, and it is installed'
        return Choice('openvino', 'cpu', reason, warning)
    return Choice('torch', 'cpu', 'OpenVINO, faster on a processor, is not installed', warning)


def open_backend(
    network: ViTPose,
    backend: str = 'auto',
    *,
    device: str = 'auto',
    precision: str = 'auto',
    threads: int = 0,
    max_batch: int = 16,
    cuda_graphs: str = 'auto',
    calibration: Path | None = None,
    say: Say = silent,
) -> Backend:
    """Prepare a network to run; it is changed.

    backend: one of BACKENDS. device: 'auto', 'cpu', 'cuda', 'cuda:N' or 'intel_gpu'.
    precision: 'auto' (what is fastest there at the same keypoints), 'float32', 'bfloat16',
    'float16' or 'int8'. threads: of the processor; 0 leaves one core free. max_batch: most crops
    that will come at once. cuda_graphs: one of CUDA_GRAPHS. calibration: the file for int8; see
    int8. say: gets a line about what takes long.
    Raises DeviceError for a device that is not there, BackendError for what does not fit
    together or is not installed; both name the remedy.
    """
    if cuda_graphs not in CUDA_GRAPHS:
        raise BackendError(f"cuda_graphs is '{cuda_graphs}'; give {' or '.join(CUDA_GRAPHS)}")
    choice = choose(backend, device)

    if precision == 'int8' and choice.backend == 'torch':
        choice = _without_torch(backend, choice)

    def opened(choice: Choice, precision: str) -> Backend:
        if choice.backend == 'openvino':
            return openvino.OpenVinoBackend(
                network,
                device=choice.device,
                precision=precision,
                threads=threads,
                calibration=calibration,
                say=say,
            )
        if choice.backend == 'onnx':
            return onnx.OnnxBackend.of_network(
                network,
                device=choice.device,
                precision=precision,
                threads=threads,
                max_batch=max_batch,
                calibration=calibration,
                say=say,
            )
        if choice.device == 'cpu':
            return TorchBackend(network, precision=precision, threads=threads)
        tuning = Tuning(graphs=cuda_graphs != 'off')
        return CudaBackend(network, device=choice.device, precision=precision, tuning=tuning)

    try:
        found = opened(choice, precision)
    except (DeviceError, ExportError) as error:
        if choice.backend != 'onnx' or choice.device == 'cpu':
            raise
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
        'openvino) or onnx (pip install onnxruntime onnx onnxscript)'
    )


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
    choice = _choose_onnx(device)

    def opened_on(device: str) -> Backend:
        return onnx.OnnxBackend.of_file(
            file, device=device, threads=threads, max_batch=max_batch, say=say
        )

    try:
        opened = opened_on(choice.device)
    except DeviceError as error:
        choice = _on_processor('onnx', str(error))
        opened = opened_on('cpu')
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
    opened.warning = '; '.join(filter(None, (choice.warning, opened.warning)))
    return opened
