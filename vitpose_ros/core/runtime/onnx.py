"""ONNX Runtime: TensorRT, CUDA, or the processor.

One graph per keypoint set, written by the package itself: by vitpose_ros models export, or on the
first use into the cache, where TensorRT's engines lie, too.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitpose_ros.core.geometry.crops import Crops
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime import (
    cache,
    export,
    integers,
    nvidia,
    processor,
    providers,
    tensorrt,
)
from vitpose_ros.core.runtime.base import (
    BackendError,
    Decoding,
    DeviceError,
    GraphBackend,
    device_error,
    read_precision,
)
from vitpose_ros.core.runtime.conversion import convert
from vitpose_ros.core.runtime.cuda import CudaCrops, buckets
from vitpose_ros.core.runtime.export import INPUT, OUTPUT
from vitpose_ros.core.runtime.faults import brief, is_out_of_memory
from vitpose_ros.core.runtime.int8 import calibration_of
from vitpose_ros.core.runtime.onnx_file import read_onnx
from vitpose_ros.core.runtime.options import Options
from vitpose_ros.core.runtime.providers import CPU, CUDA, TENSORRT, Provider, ProviderError
from vitpose_ros.core.types import Precision


def is_installed() -> bool:
    """Tell whether ONNX Runtime can be imported."""
    try:
        providers.runtime()
    except BackendError:
        return False
    return True


def has_cuda() -> bool:
    """Tell whether ONNX Runtime is installed, was built for CUDA, and the driver has a device."""
    return is_installed() and not providers.why_no_cuda()


def choose_device(device: str) -> str:
    """Turn 'auto', 'cpu', 'cuda' or 'cuda:N' into a device that ONNX Runtime has."""
    if device == 'auto':
        return 'cuda:0' if has_cuda() else 'cpu'
    kind, _, index = device.partition(':')
    if kind == 'cuda' and (reason := providers.why_no_cuda(int(index or 0))):
        raise DeviceError(f"device '{device}' is not there for ONNX Runtime: {reason}")
    return device


class OnnxBackend(GraphBackend):
    """Runs ONNX files, one per keypoint set, on the best provider that is there."""

    runtime = 'onnx'

    def __init__(
        self,
        files: Sequence[Path],
        config: ViTPoseConfig,
        precision: Precision,
        options: Options,
    ) -> None:
        """Take files that export.write_onnx made, what is in them, and where to run them.

        files: in the order of config.keypoint_sets. options: device ('cpu', 'cuda' or 'cuda:N'),
        threads, and max_batch, the most crops of one run on a GPU. Raises DeviceError where no
        provider for the GPU starts and runs.
        """
        device, max_batch = options.device, options.max_batch
        self._index = int(device.partition(':')[2] or 0)
        self._place = 'cpu' if device == 'cpu' else f'cuda:{self._index}'
        self.threads = options.threads or processor.default_threads()
        super().__init__(config)
        self.precision = precision
        # What batches are padded to; empty: they are not. The libraries of a GPU choose their
        # algorithms anew for each size, which takes them longer than many passes.
        self.bucket_sizes: list[int] = []
        if device == 'cpu':
            self._graphs = [self._session(file, CPU) for file in files]
            self.description = f'onnx on {processor.description(precision, self.threads)}'
            return
        self._most = max_batch
        self.bucket_sizes = buckets(max_batch)
        providers.load_cuda_libraries()
        # With a PyTorch for CUDA, crops and heatmaps stay on the GPU.
        place = torch.device(f'cuda:{self._index}')
        if torch.cuda.is_available() and not nvidia.why_unusable(place):
            self.device = place
        with_what = self._open(files)
        self.description = f'onnx on cuda:{self._index} with {with_what}, {precision}'

    @classmethod
    def of_network(
        cls,
        network: ViTPose,
        options: Options,
        *,
        calibration: Path | None = None,
        at_any_speed: bool = False,
    ) -> 'OnnxBackend':
        """Write the files of a network to the cache, if they are not there yet, and take them.

        precision: 'float32'; 'float16' on a GPU only; 'int8' on a processor, or with TensorRT;
        'auto' is float16 on a GPU, else float32. calibration: the file for int8. at_any_speed:
        int8 on a processor is not compared with float32, and never refused. Raises BackendError
        where ONNX Runtime is not installed, ExportError where what writes its files is not.
        """
        providers.runtime()  # raises where it is not there, before anything is written
        device = options.device
        choices: tuple[Precision, ...] = ('float16', 'float32', 'int8')
        if device == 'cpu':
            choices = ('float32', 'int8')
        where = f'ONNX Runtime on {device}'
        chosen = read_precision(options.precision, choices, where) or choices[0]
        quantised = calibration_of(network, calibration) if chosen == 'int8' else None
        if quantised and device != 'cpu':
            library = tensorrt.load(providers.library(TENSORRT))
            if not library.version:
                raise BackendError(
                    'precision int8 on a GPU needs TensorRT, which is not installed: '
                    f'{library.remedy}, or set precision to float16'
                )

        def write(folder: Path) -> None:
            convert(network, folder, 'onnx', precision=chosen, calibration=quantised)

        def load(folder: Path) -> OnnxBackend | DeviceError:
            try:
                return cls(
                    [folder / f'{name}.onnx' for name in network.config.keypoint_sets],
                    network.config,
                    chosen,
                    options,
                )
            except DeviceError as error:
                return error  # not the fault of the files, which are kept

        digest = export.fingerprint(network)
        detail = f'-{quantised.digest()}' if quantised else ''
        found = cache.cached(f'onnx-{chosen}-{digest}{detail}', write, load)
        if isinstance(found, DeviceError):
            raise found
        if quantised and device == 'cpu' and not at_any_speed:
            plain = partial(cls.of_network, network, replace(options, precision='float32'))
            found.warning = integers.compare(found, plain, f'onnx-{digest}')
        return found

    @classmethod
    def of_file(
        cls,
        file: Path,
        options: Options,
    ) -> 'OnnxBackend':
        """Take a single file, with the configuration in it; see read_onnx for errors."""
        found = read_onnx(file)
        precision = found.precision
        opened = cls(
            [file],
            found.config,
            precision,
            options,
        )
        if precision == 'int8' and options.device == 'cpu' and not processor.has_int8():
            opened.warning = f"'{file}' is in int8, which {integers.WITHOUT}"
        return opened

    @property
    def place(self) -> str:
        """The device as the options name it, also where PyTorch does not have it; see Backend."""
        return self._place

    def crops(self) -> Crops:
        """Return what cuts crops out of frames, where the first run reads them."""
        if self.device.type != 'cuda':
            return super().crops()
        try:
            return CudaCrops(self.config.image_size, self.device, lose=self.lose)
        except Exception as error:
            raise device_error(error, self.place) from error

    def prepare(self, decoding: Decoding, max_batch: int) -> int:  # noqa: ARG002 - the same for all
        """Run all buckets once; those that memory does not suffice for are left out.

        Raises DeviceError where it does not suffice for one crop, or the GPU fails.
        """
        for size in self.bucket_sizes:
            try:
                self._run_once(size)
            except Exception as error:
                fitting = [smaller for smaller in self.bucket_sizes if smaller < size]
                if not fitting or not is_out_of_memory(error):
                    raise device_error(error, f'cuda:{self._index}') from error
                self.bucket_sizes, self._most = fitting, fitting[-1]
                return self._most
        return max_batch

    def _run_once(self, size: int) -> None:
        """Run all graphs with so many crops."""
        crops = torch.zeros(
            size, *self.config.image_size, 3, dtype=torch.uint8, device=self.device
        )
        for graph, k in zip(self._graphs, self.config.num_maps.values(), strict=True):
            maps = torch.empty(size, k, *self.config.heatmap_size, device=self.device)
            self._run(graph, crops, maps)

    def _run(self, graph: Any, crops: torch.Tensor, heatmaps: torch.Tensor) -> None:
        crops = crops.to(self.device).contiguous()
        count = len(crops)
        size = next((size for size in self.bucket_sizes if size >= count), count)
        if size == count:
            self._run_bound(graph, crops, heatmaps)
            return
        padding = crops.new_zeros(size - count, *crops.shape[1:])
        maps = heatmaps.new_empty(size, *heatmaps.shape[1:])
        self._run_bound(graph, torch.cat((crops, padding)), maps)
        heatmaps.copy_(maps[:count])

    def _run_bound(self, graph: Any, crops: torch.Tensor, heatmaps: torch.Tensor) -> None:
        if self.device.type == 'cuda':
            torch.cuda.current_stream(self.device).synchronize()  # the runtime has its own stream
        binding = graph.io_binding()
        place = (self.device.type, self._index if self.device.type == 'cuda' else 0)
        binding.bind_input(INPUT, *place, np.uint8, tuple(crops.shape), crops.data_ptr())
        shape = tuple(heatmaps.shape)
        binding.bind_output(OUTPUT, *place, np.float32, shape, heatmaps.data_ptr())
        graph.run_with_iobinding(binding)  # returns when it is done

    def _open(self, files: Sequence[Path]) -> str:
        """Open the files on the best provider for a GPU that runs; return what it is called."""
        failures: list[ProviderError] = []
        found = tensorrt.load(providers.library(TENSORRT))
        if found.version:
            try:
                self._try(TENSORRT, [(f, self._tensorrt_options(f, found.version)) for f in files])
            except ProviderError as error:
                failures.append(error)
            else:
                return 'TensorRT'
        try:
            self._try(CUDA, [(file, None) for file in files])
        except ProviderError as error:
            failures.append(error)
        else:
            slower = 'ONNX Runtime runs with CUDA alone: TensorRT, which is faster,'
            self.warning = f'{slower} is not installed; {found.remedy}'
            if failures:
                self.warning = f'{slower} does not start: {failures[0]}'
            return 'CUDA'
        for file in files:
            self._session(file, CPU)  # raises where the file is at fault
        said = '; '.join(map(str, failures))
        raise DeviceError(f'ONNX Runtime cannot use cuda:{self._index}: {said}') from failures[-1]

    def _try(self, name: str, files: Sequence[tuple[Path, dict[str, str] | None]]) -> None:
        """Open files on a provider, each with its options, and run them once.

        A session opens also where no kernel of the provider runs on this GPU.
        """
        self._graphs = [self._session(file, name, options) for file, options in files]
        try:
            self._run_once(self.bucket_sizes[0])
        except Exception as error:
            error.__traceback__ = None  # which holds on to the sessions and their memory
            self._graphs = []
            raise ProviderError(f'{name}: {brief(error)}') from error

    def _session(self, file: Path, name: str, options: dict[str, str] | None = None) -> Any:
        """Open a file on a provider; options: those of TensorRT."""
        on_cuda = {'device_id': str(self._index), 'cudnn_conv_algo_search': 'HEURISTIC'}
        provider = Provider(name, on_cuda if name == CUDA else options or {})
        if name == TENSORRT:
            provider = Provider(name, options or {}, rest=[(CUDA, on_cuda)])
        return providers.open_session(file, provider, threads=self.threads)

    def _tensorrt_options(self, file: Path, version: str) -> dict[str, str]:
        folder = tensorrt.engine_folder(file, version, self._index, self._most)
        size, most = self.config.image_size, self._most
        try:
            options = tensorrt.options(folder, self.precision, size, most, file.stem)
        except OSError as error:  # a cache that cannot be written
            raise ProviderError(f'{TENSORRT}: nothing can be kept in {folder}: {error}') from error
        return {'device_id': str(self._index), **options}
