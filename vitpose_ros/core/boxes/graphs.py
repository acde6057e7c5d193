"""What runs detectors: PyTorch, and on processors graphs of OpenVINO and ONNX Runtime.

A graph takes one image, as images of a batch would only wait for each other there.
"""

import hashlib
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from vitpose_ros.core.runtime import cache, conversion, openvino, providers
from vitpose_ros.core.runtime.export import ExportError
from vitpose_ros.core.runtime.faults import brief
from vitpose_ros.core.types import Precision

# Of pixels (n, 3, h, w): logits (n, q, classes) and boxes (n, q, 4), parts of the image.
Run = Callable[[Tensor], tuple[Tensor, Tensor]]
FILES = {'openvino': 'detector.xml', 'onnx': 'detector.onnx'}
OUTPUTS = ['logits', 'boxes']
OPSET = 17


class Outputs(nn.Module):
    """A network of the library, of whose outputs two are wanted."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map pixels (n, 3, h, w) to logits (n, q, classes) and boxes (n, q, 4)."""
        found = self.network(pixel_values=pixels)
        return found.logits.float(), found.pred_boxes.float()


def in_torch(network: nn.Module, device: torch.device, dtype: torch.dtype) -> Run:
    """Return what runs a detector in PyTorch."""
    outputs = Outputs(network).eval().requires_grad_(False).to(device, dtype)
    return lambda pixels: outputs(pixels.to(dtype))


def opened(
    folder: Path,
    size: tuple[int, int],
    runtime: str,
    *,
    where: str = 'cpu',
    precision: Precision = 'float32',
    threads: int = 0,
) -> Run:
    """Return what runs a detector; its graph comes from the cache, if it is there.

    runtime: 'openvino' or 'onnx'. size: height and width of what the network sees. where: 'cpu',
    or 'intel_gpu' with OpenVINO. Raises ExportError, and BackendError where the runtime is not
    installed.
    """
    name = f'detector-{runtime}-{size[0]}x{size[1]}-{_digest(folder)}'

    def make(unfinished: Path) -> None:
        arguments = str(folder), str(unfinished), runtime, f'{size[0]}x{size[1]}'
        if threading.current_thread() is threading.main_thread():
            _write(*arguments)
        else:
            conversion.run_process(__name__, *arguments)

    if runtime == 'openvino':
        return _in_openvino(name, make, where, precision, threads)
    return _in_onnx(name, make, threads)


def _in_openvino(
    name: str, make: Callable[[Path], None], where: str, precision: Precision, threads: int
) -> Run:
    openvino.check_device(where)
    import openvino as library

    core = library.Core()
    file = FILES['openvino']
    model = cache.cached(name, make, lambda made: core.read_model(made / file))
    rest: Precision = 'float32' if precision == 'int8' else precision
    request = openvino.compiled(core, model, openvino.DEVICES[where], rest, threads)

    def run(pixels: Tensor) -> tuple[Tensor, Tensor]:
        found = request.infer([pixels.numpy()], share_inputs=True)
        logits, boxes = (torch.from_numpy(found[index].copy()) for index in range(2))
        return logits, boxes

    return _one_by_one(run)


def _in_onnx(name: str, make: Callable[[Path], None], threads: int) -> Run:
    provider = providers.Provider(providers.CPU, {})
    file = FILES['onnx']
    session = cache.cached(
        name,
        make,
        lambda made: providers.open_session(made / file, provider, threads=threads),
    )

    def run(pixels: Tensor) -> tuple[Tensor, Tensor]:
        logits, boxes = map(torch.from_numpy, session.run(OUTPUTS, {'pixels': pixels.numpy()}))
        return logits, boxes

    return _one_by_one(run)


def _one_by_one(run: Run) -> Run:
    def of_all(pixels: Tensor) -> tuple[Tensor, Tensor]:
        logits, boxes = zip(*(run(one[None]) for one in pixels), strict=True)
        return torch.cat(logits), torch.cat(boxes)

    return of_all


def _digest(folder: Path) -> str:
    digest = hashlib.sha256(torch.__version__.encode())
    for name in ('config.json', 'model.safetensors'):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def _write(folder: str, out: str, runtime: str, size: str) -> None:
    """Write the graph of a detector. Raises ExportError."""
    import transformers

    network = transformers.AutoModelForObjectDetection.from_pretrained(
        folder, local_files_only=True, use_safetensors=True
    )
    outputs = Outputs(network).eval().requires_grad_(False)
    height, width = map(int, size.split('x'))
    pixels = torch.zeros(1, 3, height, width)
    path = Path(out, FILES[runtime])
    try:
        if runtime == 'openvino':
            _write_openvino(outputs, pixels, path)
        else:
            _write_onnx(outputs, pixels, path)
    except Exception as error:
        raise ExportError(
            f"detector '{folder}' cannot be written for {runtime}: {brief(error)}; set backend "
            'to torch'
        ) from error


def _write_openvino(outputs: Outputs, pixels: Tensor, path: Path) -> None:
    import openvino as library

    model = conversion.openvino_graph(outputs, pixels, in_integers=False)
    model.reshape(list(pixels.shape))
    library.save_model(model, path, compress_to_fp16=False)


def _write_onnx(outputs: Outputs, pixels: Tensor, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        # The other exporter lacks an operator of these networks, and takes six times as long.
        torch.onnx.export(
            outputs,
            (pixels,),
            str(path),
            input_names=['pixels'],
            output_names=OUTPUTS,
            opset_version=OPSET,
            dynamo=False,
        )


def main(folder: str, out: str, runtime: str, size: str) -> int:
    """Write a graph, in a process of its own; return the exit code."""
    conversion.end_with_parent()
    try:
        _write(folder, out, runtime, size)
    except ExportError as error:
        print(error, file=sys.stderr)
        return conversion.REFUSED
    return 0
