"""OpenVINO, on the processor or an Intel GPU.

Its own threads suffer least where other programs use the same cores. One graph a keypoint set.
"""

import warnings
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from vitpose_ros.core import export
from vitpose_ros.core.backends import processor
from vitpose_ros.core.backends.base import BackendError, DeviceError, GraphBackend, read_precision
from vitpose_ros.core.export import Say, silent
from vitpose_ros.core.types import Precision
from vitpose_ros.core.vit import ViTPose

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

    def __init__(
        self,
        network: ViTPose,
        *,
        device: str = 'cpu',
        precision: str = 'auto',
        threads: int = 0,
        say: Say = silent,
    ) -> None:
        """Take the network, and what to compute with.

        device: 'cpu' or 'intel_gpu'. precision: 'float32'; 'bfloat16' (cpu); 'float16'
        (intel_gpu); 'auto': what is faster here. threads: of the cpu; 0 leaves one core free.
        say: gets a line about what takes long.
        """
        check_device(device)
        import openvino

        self._core = openvino.Core()
        self._where = DEVICES[device]
        super().__init__(network.config)
        self._threads = processor.use_threads(threads)

        def load(folder: Path) -> list[Any]:
            names = self.config.keypoint_sets
            return [self._core.read_model(folder / f'{name}.xml') for name in names]

        models = export.cached(
            f'openvino-{openvino.__version__.split("-")[0]}-{export.fingerprint(network)}',
            lambda folder: _write(network, folder, say),
            load,
            say,
        )
        self.precision = self._choose(precision, device, models[0])
        self._graphs = [self._compile(model, self.precision) for model in models]
        where = f'{device}, {self.precision}'
        if device == 'cpu':
            where = processor.description(self.precision, self._threads)
        self.description = f'openvino on {where}'

    def _choose(self, precision: str, device: str, model: Any) -> Precision:
        choices: tuple[Precision, ...] = ('float32', 'bfloat16')
        if self._where == 'GPU':
            choices = ('float16', 'float32')
        elif not processor.has_bfloat16():
            choices = ('float32',)
        chosen = read_precision(precision, choices, f'OpenVINO on this {device}')
        if chosen is not None:
            return chosen
        if self._where == 'GPU' or len(choices) == 1:
            return choices[0]
        requests = [self._compile(model, choice) for choice in choices]
        crops = export.example(self.config).numpy()
        gains = []
        for _ in range(ROUNDS + 1):  # the first warms up
            times = [perf_counter()]
            for request in requests:
                request.infer([crops])
                times.append(perf_counter())
            gains.append((times[1] - times[0]) / (times[2] - times[1]))
        return choices[1] if median(gains[1:]) > 1 else choices[0]

    def _compile(self, model: Any, precision: Precision) -> Any:
        options = {'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_PRECISION_HINT': HINTS[precision]}
        if self._where == 'CPU':
            options['INFERENCE_NUM_THREADS'] = str(self._threads)
            # Threads bound to a core stay there when another program takes it.
            options['ENABLE_CPU_PINNING'] = 'NO'
        return self._core.compile_model(model, self._where, options).create_infer_request()

    def _run(self, graph: Any, crops: torch.Tensor, heatmaps: torch.Tensor) -> None:
        found = graph.infer([crops.numpy()], share_inputs=True, share_outputs=True)
        heatmaps.copy_(torch.from_numpy(found[0]))


def _write(network: ViTPose, folder: Path, say: Say) -> None:
    """Convert the graphs of a network, and write them."""
    import openvino

    say('converting the network for OpenVINO; once, some seconds')

    for name in network.config.keypoint_sets:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # tracing says that sizes become constants
            model = openvino.convert_model(
                export.graph(network, name), example_input=export.example(network.config)
            )
        model.reshape([-1, *network.config.image_size, 3])
        openvino.save_model(model, folder / f'{name}.xml', compress_to_fp16=False)
