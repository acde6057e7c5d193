"""Graphs for other runtimes, converted where nobody waits for it.

Converters keep Python's lock for seconds, so that all threads of their process stand still. In a
program's main thread they run here. In any other, as that of a node which answers meanwhile, they
run in a process of their own, which ends with this one.
"""

import logging
import os
import subprocess
import sys
import threading
import warnings
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime import export, processor
from vitpose_ros.core.runtime.export import ExportError
from vitpose_ros.core.runtime.int8 import Calibration, read_calibration
from vitpose_ros.core.types import Precision

LOG = logging.getLogger(__name__)

NETWORK, CALIBRATION = 'network.pt', 'calibration.json'  # what the process is given
PROGRAM = (
    'import importlib, sys; sys.exit(importlib.import_module(sys.argv[1]).main(*sys.argv[2:]))'
)
REFUSED = 3  # its exit code after an ExportError, which it printed


def convert(
    network: ViTPose,
    folder: Path,
    kind: str,
    *,
    precision: Precision = 'float32',
    calibration: Calibration | None = None,
) -> None:
    """Write the graph of each keypoint set of a network into a folder.

    kind: 'onnx' for SET.onnx, 'openvino' for SET.xml and SET.bin. precision: of an ONNX file's
    weights. calibration: with products in integers of 8 bits. Raises ExportError.
    """
    LOG.info('converting the network for %s, once; it takes some seconds, or half a minute', kind)
    if threading.current_thread() is threading.main_thread():
        _convert(network, folder, kind, precision, calibration)
        return
    with TemporaryDirectory(dir=folder) as given:
        state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
        torch.save((asdict(network.config), state), Path(given, NETWORK))
        if calibration is not None:
            calibration.write(Path(given, CALIBRATION))
        run_process(__name__, given, str(folder), kind, precision)


def _convert(
    network: ViTPose,
    folder: Path,
    kind: str,
    precision: Precision,
    calibration: Calibration | None,
) -> None:
    for name in network.config.keypoint_sets:
        if kind == 'onnx':
            dtype = torch.float16 if precision == 'float16' else torch.float32
            path = folder / f'{name}.onnx'
            export.write_onnx(network, path, name, dtype=dtype, calibration=calibration)
        else:
            _write_openvino(network, folder / f'{name}.xml', name, calibration)


def _write_openvino(
    network: ViTPose, path: Path, name: str, calibration: Calibration | None
) -> None:
    import openvino

    single = export.graph(network, name, calibration=calibration)
    crops = export.example(network.config)
    model = openvino_graph(single, crops, in_integers=calibration is not None)
    model.output(0).get_tensor().set_names({export.OUTPUT})
    model.reshape([-1, *network.config.image_size, 3])
    openvino.save_model(model, path, compress_to_fp16=False)


def openvino_graph(module: nn.Module, example: Tensor, *, in_integers: bool) -> Any:
    """Return a module as an openvino.Model; example: what it takes, of any first size.

    in_integers: its products are of rounded values and weights. openvino.convert_model would run
    the module six times, and report its use to a server.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # tracing says that sizes become constants
        traced = torch.jit.trace(module, (example,), check_trace=False)
    decoder = TorchScriptPythonDecoder(traced, example_input=example)  # must outlive what follows
    frontend = FrontEndManager().load_by_framework('pytorch')
    model = frontend.convert(frontend.load(decoder))
    if in_integers:  # else rounded floats would be multiplied; nothing public does that alone
        from openvino import _offline_transformations as transformations

        transformations.apply_moc_transformations(model, cf=False)
        transformations.compress_quantize_weights_transformation(model)
    return model


def run_process(module: str, *arguments: str) -> None:
    """Run main of a module in a process of its own. Raises ExportError.

    main is to begin with end_with_parent, and to return REFUSED after it printed an ExportError.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    process = subprocess.Popen(
        [sys.executable, '-c', PROGRAM, module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # It needs no GPU, which may be busy.
        env={**os.environ, 'PYTHONPATH': path, 'CUDA_VISIBLE_DEVICES': ''},
    )
    assert process.stdin is not None and process.stderr is not None
    try:
        said = process.stderr.read().decode(errors='replace').strip()
        code = process.wait()
    finally:
        process.kill()
        process.stdin.close()
        process.stderr.close()
    if code == REFUSED:
        raise ExportError(said.splitlines()[-1])
    if code:
        raise ExportError(f'the process that converts ended with {code}: {said[-1000:]}')


def _read(given: str) -> tuple[ViTPose, Calibration | None]:
    """Read what the process is given."""
    config, state = torch.load(Path(given, NETWORK), mmap=True, weights_only=True)
    with torch.device('meta'):
        network = ViTPose(ViTPoseConfig(**config))
    network.load_state_dict(state, assign=True)
    calibration = Path(given, CALIBRATION)
    found = read_calibration(calibration) if calibration.exists() else None
    return network.eval().requires_grad_(False), found


def end_with_parent() -> None:
    """End this process when its input ends, as it does when the one that waits for it dies."""

    def wait() -> None:
        os.read(0, 1)  # sys.stdin would be locked when the process ends
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(given: str, folder: str, kind: str, precision: Precision) -> int:
    """Convert, in a process of its own; return the exit code."""
    end_with_parent()
    network, calibration = _read(given)
    torch.set_num_threads(processor.default_threads())
    try:
        _convert(network, Path(folder), kind, precision, calibration)
    except ExportError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0
