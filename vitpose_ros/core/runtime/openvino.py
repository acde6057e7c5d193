"""OpenVINO, on the processor or an Intel GPU.

Its own threads suffer least where other programs use the same cores. One graph per keypoint set.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime import cache, export, integers, processor
from vitpose_ros.core.runtime.base import BackendError, DeviceError, GraphBackend, read_precision
from vitpose_ros.core.runtime.conversion import convert
from vitpose_ros.core.runtime.int8 import Calibration, calibration_of
from vitpose_ros.core.runtime.options import Options
from vitpose_ros.core.types import Precision

INTEL_GPU = 'intel_gpu'
DEVICES = {'cpu': 'CPU', INTEL_GPU: 'GPU'}  # what OpenVINO calls them
ROUNDS = 3  # of the comparison of number types
HINTS: dict[Precision, str] = {'float32': 'f32', 'bfloat16': 'bf16', 'float16': 'f16'}


def is_installed() -> bool:
    """Tell whether OpenVINO can be imported."""
    try:
        import openvino  # noqa: F401
    except ImportError:
        return False
    return True


def check_device(device: str) -> None:
    """Raise BackendError where OpenVINO is not installed, DeviceError where it has no such device.

    device: 'cpu' or 'intel_gpu'.
    """
    try:
        import openvino
    except ImportError as error:
        raise BackendError(
            "backend 'openvino' is not installed: pip install openvino, or set backend to torch"
        ) from error
    devices = openvino.Core().available_devices
    if not any(name.split('.')[0] == DEVICES[device] for name in devices):
        raise DeviceError(
            f"device '{device}' is not there for OpenVINO, which sees {', '.join(devices)}; for "
            'an Intel GPU install its driver (intel-opencl-icd)'
        )


class OpenVinoBackend(GraphBackend):
    """Runs the graphs of a network in OpenVINO."""

    runtime = 'openvino'

    def __init__(
        self,
        network: ViTPose,
        options: Options,
        *,
        calibration: Path | None = None,
        at_any_speed: bool = False,
    ) -> None:
        """Take the network, and what to compute with: device, precision and threads.

        The device is 'cpu' or 'intel_gpu'. precision: 'float32'; 'bfloat16' and 'int8' (cpu);
        'float16' (intel_gpu); 'auto': what is faster here, without int8. calibration: the file
        for int8. at_any_speed: int8 is not compared with float32, and never refused.
        """
        device, precision = options.device, options.precision
        check_device(device)
        import openvino

        self._core = openvino.Core()
        self._where = DEVICES[device]
        super().__init__(network.config)
        self.threads = options.threads or processor.default_threads()
        self._digest = export.fingerprint(network)
        rounded = None
        if precision == 'int8' and device == 'cpu':
            rounded = calibration_of(network, calibration)
        models = self._models(network, rounded)
        with processor.torch_threads(self.threads):
            self.precision = self._choose(precision, device, models[0])
        self._graphs = [self._compile(model, self.precision) for model in models]
        where = f'{device}, {self.precision}'
        if device == 'cpu':
            where = processor.description(self.precision, self.threads)
        self.description = f'openvino on {where}'
        if rounded and not at_any_speed:
            self.warning = integers.compare(
                self,
                partial(OpenVinoBackend, network, replace(options, precision='float32')),
                f'openvino-{self._digest}',
            )

    @property
    def place(self) -> str:
        """The device as the options name it; see Backend."""
        return next(name for name, own in DEVICES.items() if own == self._where)

    def _models(self, network: ViTPose, calibration: Calibration | None) -> list[Any]:
        """Return the graphs of a network, from the cache if they are there."""
        import openvino

        def load(folder: Path) -> list[Any]:
            names = self.config.keypoint_sets
            return [self._core.read_model(folder / f'{name}.xml') for name in names]

        digests = [self._digest]
        if calibration is not None:
            digests.append(f'int8-{calibration.digest()}')
        return cache.cached(
            '-'.join(('openvino', openvino.__version__.split('-')[0], *digests)),
            lambda folder: convert(network, folder, 'openvino', calibration=calibration),
            load,
        )

    def _choose(self, precision: str, device: str, model: Any) -> Precision:
        choices: tuple[Precision, ...] = ('float32', 'bfloat16')
        if self._where == 'GPU':
            choices = ('float16', 'float32')
        elif not processor.has_bfloat16():
            choices = ('float32',)
        given: tuple[Precision, ...] = (*choices, 'int8') if device == 'cpu' else choices
        chosen = read_precision(precision, given, f'OpenVINO on this {device}')
        if chosen is not None:
            return chosen
        if self._where == 'GPU' or len(choices) == 1:
            return choices[0]
        crops = export.example(self.config).numpy()
        plain, short = (partial(self._compile(model, c).infer, [crops]) for c in choices)
        return choices[1] if integers.gain(plain, short, ROUNDS, 1) > 1 else choices[0]

    def _compile(self, model: Any, precision: Precision) -> Any:
        return compiled(self._core, model, self._where, precision, self.threads)

    def _run(self, graph: Any, crops: torch.Tensor, heatmaps: torch.Tensor) -> None:
        found = graph.infer([crops.numpy()], share_inputs=True, share_outputs=True)
        heatmaps.copy_(torch.from_numpy(found[0]))


def compiled(core: Any, model: Any, where: str, precision: Precision, threads: int) -> Any:
    """Return an infer request for a model; where: one of DEVICES' values."""
    rest = precision  # of what is not quantised
    if precision == 'int8':
        rest = 'bfloat16' if processor.has_bfloat16() else 'float32'
    options = {'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_PRECISION_HINT': HINTS[rest]}
    if where == 'CPU':
        options['INFERENCE_NUM_THREADS'] = str(threads)
        # Threads bound to a core stay there when another program takes it.
        options['ENABLE_CPU_PINNING'] = 'NO'
    return core.compile_model(model, where, options).create_infer_request()
