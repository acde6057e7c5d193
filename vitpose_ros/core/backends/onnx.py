"""ONNX Runtime: TensorRT, CUDA, or the processor.

One graph a keypoint set, written by the package itself: by vitpose_ros models export, or on the
first use into the cache, where TensorRT's engines lie, too.
"""

import ctypes
import ctypes.util
import hashlib
import re
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitpose_ros.core import export
from vitpose_ros.core.backends import integers, processor
from vitpose_ros.core.backends.base import (
    BackendError,
    DeviceError,
    GraphBackend,
    read_precision,
)
from vitpose_ros.core.backends.cuda import CudaCrops
from vitpose_ros.core.checkpoints import CheckpointError, models_command
from vitpose_ros.core.crops import Crops
from vitpose_ros.core.export import INPUT, OUTPUT, Say, silent
from vitpose_ros.core.int8 import calibration_of
from vitpose_ros.core.types import Precision
from vitpose_ros.core.vit import ViTPose, ViTPoseConfig

TENSORRT, CUDA, CPU = (f'{name}ExecutionProvider' for name in ('Tensorrt', 'CUDA', 'CPU'))
INSTALL = 'pip install onnxruntime (with an NVIDIA GPU onnxruntime-gpu)'


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f"backend 'onnx' is not installed: {INSTALL}, or set backend to torch"
        ) from error
    return onnxruntime


def is_installed() -> bool:
    """Tell whether ONNX Runtime can be imported."""
    try:
        _runtime()
    except BackendError:
        return False
    return True


def has_cuda() -> bool:
    """Tell whether ONNX Runtime is installed and was built for CUDA."""
    return is_installed() and CUDA in _runtime().get_available_providers()


def choose_device(device: str) -> str:
    """Turn 'auto', 'cpu', 'cuda' or 'cuda:N' into a device that ONNX Runtime was built for."""
    if device == 'auto':
        return 'cuda:0' if has_cuda() else 'cpu'
    if device.partition(':')[0] not in ('cpu', 'cuda'):
        raise BackendError(f"device '{device}' is not supported; give auto, cpu, cuda or cuda:N")
    if device != 'cpu' and not has_cuda():
        raise DeviceError(
            f"device '{device}' is not there for ONNX Runtime: it has only "
            f'{", ".join(_runtime().get_available_providers())}; pip install onnxruntime-gpu'
        )
    return device


class OnnxBackend(GraphBackend):
    """Runs ONNX files, one a keypoint set, on the best provider that is there."""

    def __init__(
        self,
        files: Sequence[Path],
        config: ViTPoseConfig,
        precision: Precision,
        *,
        device: str = 'cpu',
        threads: int = 0,
        max_batch: int = 16,
        say: Say = silent,
    ) -> None:
        """Take files that export.write_onnx made, what is in them, and where to run them.

        files: in the order of config.keypoint_sets. device: 'cpu', 'cuda' or 'cuda:N'. threads:
        of the processor; 0 leaves one core free. max_batch: most crops of one run on a GPU. say:
        gets a line about what takes long.
        """
        self._runtime = _runtime()
        self._index = int(device.partition(':')[2] or 0)
        self._threads = processor.use_threads(threads)
        super().__init__(config)
        if device != 'cpu':
            self._most = max_batch
        self.precision = precision
        wanted = self._providers(files, say) if device != 'cpu' else [CPU]
        self._graphs = [self._session(file, wanted) for file in files]
        provider = self._graphs[0].get_providers()[0]
        if provider != wanted[0]:
            self.warning = (
                f'ONNX Runtime could not start {wanted[0]} and runs on {provider}; its own log '
                'says why: most often a library of another version than it was built for'
            )
        # With a PyTorch for CUDA, crops and heatmaps stay on the GPU.
        stays = provider != CPU and torch.cuda.is_available()
        self.device = torch.device(f'cuda:{self._index}' if stays else 'cpu')
        where = processor.description(self.precision, self._threads)
        if provider != CPU:
            with_what = 'TensorRT' if provider == TENSORRT else 'CUDA'
            where = f'cuda:{self._index} with {with_what}, {self.precision}'
        self.description = f'onnx on {where}'

    @classmethod
    def of_network(
        cls,
        network: ViTPose,
        *,
        device: str = 'cpu',
        precision: str = 'auto',
        threads: int = 0,
        max_batch: int = 16,
        calibration: Path | None = None,
        say: Say = silent,
    ) -> 'OnnxBackend':
        """Write the files of a network to the cache, if they are not there yet, and take them.

        precision: 'float32'; 'float16' on a GPU only; 'int8' on a processor, or with TensorRT;
        'auto' is float16 on a GPU, else float32. calibration: the file for int8.
        """
        choices: tuple[Precision, ...] = ('float16', 'float32', 'int8')
        if device == 'cpu':
            choices = ('float32', 'int8')
        chosen = read_precision(precision, choices, f'ONNX Runtime on {device}') or choices[0]
        quantised = calibration_of(network, calibration) if chosen == 'int8' else None
        if quantised and device != 'cpu' and tensorrt_version() is None:
            raise BackendError(
                'precision int8 on a GPU needs TensorRT (libnvinfer), which is not installed; '
                'set precision to float16'
            )

        def write(folder: Path) -> None:
            for name in network.config.keypoint_sets:
                say(f'writing the ONNX file of {name} to {folder.parent}; once, half a minute')
                path = folder / f'{name}.onnx'
                dtype = torch.float16 if chosen == 'float16' else torch.float32
                export.write_onnx(network, path, name, dtype=dtype, calibration=quantised)

        def load(folder: Path) -> OnnxBackend:
            return cls(
                [folder / f'{name}.onnx' for name in network.config.keypoint_sets],
                network.config,
                chosen,
                device=device,
                threads=threads,
                max_batch=max_batch,
                say=say,
            )

        digest = export.fingerprint(network)
        detail = f'-{quantised.digest()}' if quantised else ''
        opened = export.cached(f'onnx-{chosen}-{digest}{detail}', write, load, say)
        if quantised and device == 'cpu':
            plain = partial(cls.of_network, network, precision='float32', threads=threads, say=say)
            opened.warning = integers.compare(opened, plain, f'onnx-{digest}', say)
        return opened

    @classmethod
    def of_file(
        cls,
        file: Path,
        *,
        device: str = 'cpu',
        threads: int = 0,
        max_batch: int = 16,
        say: Say = silent,
    ) -> 'OnnxBackend':
        """Take a single file, with the configuration in it."""
        if not file.is_file():
            raise CheckpointError(f"'{file}' is absent; models export writes such files")
        options = _runtime().SessionOptions()
        options.graph_optimization_level = _runtime().GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = _runtime().InferenceSession(str(file), options, providers=[CPU])
        except Exception as error:
            raise CheckpointError(f"'{file}' is not a readable ONNX file: {error}") from error
        values = session.get_modelmeta().custom_metadata_map
        if export.CONFIG_KEY not in values:
            raise CheckpointError(
                f"'{file}' is an ONNX file of another program; export the network anew: "
                f'{models_command("export", "IN", "OUT")}'
            )
        config, precision = export.read_metadata(values[export.CONFIG_KEY])
        opened = cls(
            [file],
            config,
            precision,
            device=device,
            threads=threads,
            max_batch=max_batch,
            say=say,
        )
        if precision == 'int8' and device == 'cpu' and not processor.has_int8():
            opened.warning = f"'{file}' is in int8, which {integers.WITHOUT}"
        return opened

    def crops(self) -> Crops:
        """Return what cuts crops out of frames, where the first run reads them."""
        if self.device.type == 'cuda':
            return CudaCrops(self.config.image_size, self.device)
        return super().crops()

    def _run(self, graph: Any, crops: torch.Tensor, heatmaps: torch.Tensor) -> None:
        crops = crops.to(self.device).contiguous()
        if self.device.type == 'cuda':
            torch.cuda.current_stream(self.device).synchronize()  # the runtime has its own stream
        binding = graph.io_binding()
        place = (self.device.type, self._index if self.device.type == 'cuda' else 0)
        binding.bind_input(INPUT, *place, np.uint8, tuple(crops.shape), crops.data_ptr())
        shape = tuple(heatmaps.shape)
        binding.bind_output(OUTPUT, *place, np.float32, shape, heatmaps.data_ptr())
        graph.run_with_iobinding(binding)  # returns when it is done

    def _session(self, file: Path, providers: Sequence[str]) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        with_options = [(provider, self._options(provider, file)) for provider in providers]
        return self._runtime.InferenceSession(str(file), options, providers=with_options)

    def _providers(self, files: Sequence[Path], say: Say) -> list[str]:
        """Return the providers for a GPU, the first that is there first."""
        found = [CUDA, CPU]
        version = tensorrt_version()
        if version is None:
            self.warning = (
                'ONNX Runtime runs with CUDA alone: TensorRT (libnvinfer), which is faster, is '
                'not installed'
            )
        elif TENSORRT in self._runtime.get_available_providers():
            found.insert(0, TENSORRT)
            if not all(self._engines(file).is_dir() for file in files):
                say('building TensorRT engines; once for this GPU and network, minutes each')
        return found

    def _options(self, provider: str, file: Path) -> dict[str, str]:
        """Return the options of a provider, for a file."""
        if provider == CPU:
            return {}
        if provider == CUDA:
            return {'device_id': str(self._index)}
        folder = self._engines(file)
        folder.mkdir(parents=True, exist_ok=True)

        height, width = self.config.image_size

        def shape(count: int) -> str:
            return f'{INPUT}:{count}x{height}x{width}x3'

        return {
            'device_id': str(self._index),
            'trt_fp16_enable': str(self.precision != 'float32'),
            'trt_int8_enable': str(self.precision == 'int8'),
            'trt_engine_cache_enable': 'True',
            'trt_engine_cache_path': str(folder),
            'trt_timing_cache_enable': 'True',
            'trt_timing_cache_path': str(folder),
            'trt_profile_min_shapes': shape(1),
            'trt_profile_opt_shapes': shape(min(8, self._most)),
            'trt_profile_max_shapes': shape(self._most),
        }

    def _engines(self, file: Path) -> Path:
        """Return where the engines of a file lie: by GPU, TensorRT, file and batch."""
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        gpu = re.sub(r'\W+', '-', gpu_name(self._index))
        name = f'tensorrt-{tensorrt_version()}-{gpu}-{digest}-{self._most}'
        return export.cache_directory() / name


def gpu_name(index: int) -> str:
    """Return the name of an NVIDIA GPU, 'gpu' where nobody tells."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(index)
    command = ['nvidia-smi', '--query-gpu=name', '--format=csv,noheader', f'--id={index}']
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return 'gpu'


def tensorrt_version() -> str | None:
    """Return the version of TensorRT's library, None where there is none."""
    name = ctypes.util.find_library('nvinfer')
    for library in filter(None, (name, 'libnvinfer.so.11', 'libnvinfer.so.10', 'libnvinfer.so.8')):
        try:
            return str(ctypes.CDLL(library).getInferLibVersion())
        except (OSError, AttributeError):
            continue
    return None
