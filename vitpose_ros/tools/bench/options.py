"""What all sections go by: which backends, in which precisions, on which device."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vitpose_ros.core import runtime
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime import Backend, BackendError, DeviceError, choose, open_backend
from vitpose_ros.core.runtime.calibration import calibrate
from vitpose_ros.core.runtime.cuda import CudaBackend
from vitpose_ros.core.runtime.int8 import calibration_path
from vitpose_ros.core.runtime.onnx import is_installed as has_onnx
from vitpose_ros.core.runtime.openvino import INTEL_GPU
from vitpose_ros.core.runtime.openvino import is_installed as has_openvino
from vitpose_ros.core.runtime.options import DEFAULTS
from vitpose_ros.core.weights import load_network, read_checkpoint
from vitpose_ros.tools.bench.results import Results
from vitpose_ros.tools.bench.subjects import Model, crops

PEER = 'transformers'
DRY = 'dry'  # the device that is none: what is for CUDA runs on the processor
SIZE = (256, 192)  # of a crop


@dataclass(frozen=True)
class BenchOptions:
    """What all sections go by."""

    results: Results
    device: str = 'auto'  # as for open_backend, or DRY
    threads: int = 0
    rounds: int = 11
    backends: Sequence[str] = ('torch',)
    precisions: Sequence[str] = ('float32', 'auto')
    batches: Sequence[int] = (1, 4, 8)
    people: Sequence[int] = (1, 2, 4, 8, 16, 32)
    peer: Any = None  # module transformers_peer, or None

    @property
    def cuda(self) -> torch.device | None:
        """The device of what is for CUDA, a processor's when dry; None: none is measured."""
        return cuda_device(self.device)

    @property
    def where(self) -> torch.device:
        """The device that crops and heatmaps are on: of CUDA, or the processor."""
        return self.cuda or torch.device('cpu')

    @property
    def dry(self) -> bool:
        """Whether it counts only that all runs: networks are toys."""
        return self.device == DRY

    @property
    def ready(self) -> int:
        """How many crops backends get ready for, where their memory is looked at."""
        return max(self.batches) if self.dry else DEFAULTS.max_batch

    def contenders(self) -> list[tuple[str, str]]:
        """Return backends and precisions to compare."""
        return [
            (name, precision)
            for name in self.backends
            for precision in self.precisions
            if (name, precision) != ('torch', 'int8')  # which PyTorch does not run
        ]

    def open(
        self, model: Model, backend: str, precision: str, keypoint_sets: Sequence[str] = ()
    ) -> Backend:
        """Open a backend on a network; keypoint_sets: by default its first."""
        if precision == 'int8':
            return self._open_int8(model, backend)
        network = model.load(keypoint_sets, self.where)
        if self.dry:
            return CudaBackend(network, device='cpu', precision='float32')
        return self._open(network, backend, precision)

    def _open_int8(self, model: Model, backend: str) -> Backend:
        """Open a backend in int8."""
        with calibrated(model) as (weights, calibration):
            return self._open(load_network(weights), backend, 'int8', calibration)

    def _open(
        self, network: ViTPose, backend: str, precision: str, calibration: Path | None = None
    ) -> Backend:
        return open_backend(
            network,
            runtime.Options(
                backend=backend,
                device=self.device,
                precision=precision,
                threads=self.threads,
                max_batch=max(*self.batches, *self.people),
            ),
            calibration=calibration,
            at_any_speed=True,  # which is what is measured
        )


@contextmanager
def calibrated(model: Model) -> Iterator[tuple[Path | str, Path]]:
    """Yield weights and a calibration for int8; where there is none, one on noise, as fast."""
    with model.file() as weights, tempfile.TemporaryDirectory() as folder:
        calibration = calibration_path(weights)
        if not calibration.is_file():
            calibration = Path(folder) / 'noise.json'
            checkpoint = read_checkpoint(weights)
            noise = crops(8, checkpoint.config.image_size).numpy()
            first = checkpoint.config.keypoint_sets[0]
            calibrate(checkpoint, {first: noise}, 'noise').write(calibration)
        yield weights, calibration


def cuda_device(device: str) -> torch.device | None:
    """Return the device of what is for PyTorch on CUDA; None where PyTorch has none there."""
    if device == DRY:
        return torch.device('cpu')
    if device == INTEL_GPU:
        return None
    try:
        found = torch.device(choose('torch', device).device)
    except DeviceError:
        return None
    return found if found.type == 'cuda' else None


def installed(device: str) -> tuple[list[str], list[str]]:
    """Return the backends that can be had on a device, and why not the others."""
    if device == DRY:
        return ['torch'], []
    found, missing = [], []
    for name in ['torch'] + ['openvino'] * has_openvino() + ['onnx'] * has_onnx():
        try:
            choose(name, device)
        except BackendError as error:
            missing.append(f'{name}: {error}')
        else:
            found.append(name)
    if not found:  # what was asked for is not there for anybody
        choose('auto', device)
    return found, missing
