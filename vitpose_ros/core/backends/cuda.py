"""PyTorch on an NVIDIA GPU: crops, network and decoding on the device, as CUDA graphs.

A graph replays all kernels of a pass at the cost of one launch, but for one batch size. So there
is one for each of a few sizes, the buckets, and a batch is padded to the next.
"""

import functools
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitpose_ros.core.backends.base import (
    Backend,
    Decoding,
    Found,
    Seconds,
    decode_set,
    read_precision,
)
from vitpose_ros.core.crops import HostCrops, normalise, sample_crops
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Frame
from vitpose_ros.core.vit import Experts, ViTPose

WARM_UP = 3  # runs before a capture: they choose algorithms and allocate
Out = TypeVar('Out')


def buckets(max_batch: int) -> list[int]:
    """Return the batch sizes that get a graph: powers of two, and the largest."""
    sizes = [1]
    while sizes[-1] < max_batch:
        sizes.append(min(2 * sizes[-1], max_batch))
    return sizes


class GatheredExperts(nn.Module):
    """Experts whose rows are gathered for each sample, so that any mix is the same graph."""

    weight: Tensor  # (sets, hidden, part)
    bias: Tensor  # (sets, 1, part)

    def __init__(self, experts: Experts) -> None:
        super().__init__()
        layers = [layer for layer in experts.values() if isinstance(layer, nn.Linear)]
        self.register_buffer('weight', torch.stack([layer.weight.T for layer in layers]))
        self.register_buffer('bias', torch.stack([layer.bias[None] for layer in layers]))

    def forward(self, hidden: Tensor, index: Tensor) -> Tensor:
        """Map hidden (n, t, hidden) to (n, t, part); index: (n,), the set of each sample."""
        return torch.baddbmm(self.bias[index], hidden, self.weight[index])


def gather_experts(network: ViTPose) -> None:
    """Let a network take an index of each sample where it took counts."""
    for module in network.modules():
        experts = getattr(module, 'experts', None)
        if isinstance(experts, Experts):
            module.experts = GatheredExperts(experts)


class CudaCrops:
    """Crops in the memory of the GPU, where the graphs read them.

    Cut on the processor and sent, or cut on the GPU out of a frame that was sent: what takes less
    time, by a measurement of both. Either way the copies run on a stream of their own.
    """

    def __init__(self, size: tuple[int, int], device: torch.device) -> None:
        """Take height and width of a crop in pixels."""
        self.size = size
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._sent = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._host = HostCrops(size, pin_memory=True)
        self._memory = torch.empty(0, *size, 3, dtype=torch.uint8, device=device)
        self._frame = torch.empty(0, dtype=torch.uint8, pin_memory=True)
        self._count = 0
        self._crop_s, self._byte_s = self._measure()

    def begin(self, count: int) -> None:
        """Make room for so many crops; see Crops."""
        self._sent.synchronize()  # the host's memory may be written again
        self._host.begin(count)
        if count > len(self._memory):
            self._memory = torch.empty(
                count, *self.size, 3, dtype=torch.uint8, device=self._device
            )
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        self._count = count

    def cut(
        self,
        frame: Frame,
        regions: NDArray[np.float64],
        udp: NDArray[np.bool_],
        places: NDArray[np.int64],
    ) -> None:
        """Cut regions out of a frame; see Crops."""
        if len(places) * self._crop_s < frame.image.nbytes * self._byte_s:
            self.cut_here(frame, regions, udp, places)
        else:
            self.cut_there(frame, regions, udp, places)

    def cut_here(
        self,
        frame: Frame,
        regions: NDArray[np.float64],
        udp: NDArray[np.bool_],
        places: NDArray[np.int64],
    ) -> None:
        """Cut on the processor, and send the crops."""
        self._host.cut(frame, regions, udp, places)
        crops = self._host.batch()
        with torch.cuda.stream(self._stream):
            for run in np.split(places, np.flatnonzero(np.diff(places) != 1) + 1):
                if len(run):
                    part = slice(int(run[0]), int(run[-1]) + 1)
                    self._memory[part].copy_(crops[part], non_blocking=True)
            self._sent.record(self._stream)

    def cut_there(
        self,
        frame: Frame,
        regions: NDArray[np.float64],
        udp: NDArray[np.bool_],
        places: NDArray[np.int64],
    ) -> None:
        """Send the frame, and cut on the GPU."""
        self._sent.synchronize()  # another frame may be on its way out of the pinned memory
        if frame.image.size > len(self._frame):
            self._frame = torch.empty(frame.image.size, dtype=torch.uint8, pin_memory=True)
        pinned = self._frame[: frame.image.size].view(frame.image.shape)
        pinned.numpy()[...] = frame.image
        with torch.cuda.stream(self._stream):
            image = pinned.to(self._device, non_blocking=True)
            crops = sample_crops(image, frame.channels, regions, udp, self.size)
            for place, crop in zip(places.tolist(), crops, strict=True):
                self._memory[place].copy_(crop, non_blocking=True)
            self._sent.record(self._stream)

    def batch(self) -> Tensor:
        """Return the crops on the GPU; see Crops."""
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return self._memory[: self._count]

    def _measure(self) -> tuple[float, float]:
        """Return how long a crop takes that is cut here, and a byte of a frame that is sent."""
        frame = Frame(np.zeros((720, 1280, 3), np.uint8), np.empty((0, 4), np.float32))
        regions, udp = np.array([[400.0, 100.0, 300.0, 400.0]]), np.array([True])
        times: dict[Callable[..., None], list[float]] = {self.cut_here: [], self.cut_there: []}
        for _ in range(WARM_UP + 5):
            for cut, seconds in times.items():
                begin = time.perf_counter()
                self.begin(1)
                cut(frame, regions, udp, np.array([0]))
                self._sent.synchronize()
                seconds.append(time.perf_counter() - begin)
        here, there = (median(seconds[WARM_UP:]) for seconds in times.values())
        return here, there / frame.image.nbytes


class Graph(Generic[Out]):
    """A captured function of memory that stays where it is."""

    def __init__(self, function: Callable[[], Out], device: torch.device, pool: Any) -> None:
        """Run the function a few times, then capture it; all graphs share one pool."""
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):  # and its device
            for _ in range(WARM_UP):
                function()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, pool=pool, stream=stream):
                self.out = function()
        torch.cuda.current_stream(device).wait_stream(stream)

    def replay(self) -> Out:
        """Compute the function anew; the result lies where it lay before."""
        self._graph.replay()
        return self.out


class CudaBackend(Backend):
    """Runs a network in PyTorch on a CUDA device."""

    def __init__(self, network: ViTPose, *, device: str = 'cuda', precision: str = 'auto') -> None:
        """Take the network, which is changed, and where to run it.

        precision: 'float32', 'bfloat16' or 'float16'; 'auto' is float16.
        """
        chosen = read_precision(precision, ('float16', 'bfloat16', 'float32'), 'PyTorch on CUDA')
        self.config = network.config
        self.precision = chosen or 'float16'
        index = torch.device(device).index
        self.device = torch.device('cuda', torch.cuda.current_device() if index is None else index)
        name = torch.cuda.get_device_name(self.device)
        self.description = f'torch on {self.device} ({name}), {self.precision}'
        gather_experts(network)
        self._dtype: torch.dtype = getattr(torch, self.precision)
        self.network = network.to(self.device, self._dtype)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._graphs: Graphs | None = None

    def crops(self) -> CudaCrops:
        """Return what cuts crops out of frames, into the memory of the GPU."""
        return CudaCrops(self.config.image_size, self.device)

    def prepare(self, decoding: Decoding, max_batch: int) -> int:
        """Capture the graphs of all buckets; those that memory does not suffice for are left out.

        Returns the largest batch that there is a graph for.
        """
        self._graphs = None
        torch.cuda.empty_cache()
        self._graphs = Graphs(self, decoding, max_batch)
        return self._graphs.max_batch

    @torch.inference_mode()
    def heatmaps(self, crops: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """Map crops to heatmaps, without graphs; see Backend."""
        features = self.trunk(crops.to(self.device), self.index(counts))
        parts = torch.split(features, list(counts))
        return [
            head(part).float()
            for head, part in zip(self.network.heads.values(), parts, strict=True)
        ]

    @torch.inference_mode()
    def keypoints(
        self, crops: Tensor, counts: Sequence[int], decoding: Decoding
    ) -> tuple[list[Found], Seconds]:
        """Map crops to keypoints; see Backend."""
        if self._graphs is None or self._graphs.decoding != decoding:
            self.prepare(decoding, len(crops))
        assert self._graphs is not None, 'prepared'
        if len(crops) > self._graphs.max_batch:
            return super().keypoints(crops, counts, decoding)
        return self._graphs.run(crops, counts)

    def trunk(self, crops: Tensor, index: Tensor) -> Tensor:
        """Map crops on the device to features; index: (n,), the keypoint set of each."""
        features: Tensor = self.network.backbone(normalise(crops).to(self._dtype), index)
        return features

    def index(self, counts: Sequence[int]) -> Tensor:
        """Return for each crop of a batch the index of its keypoint set, (n,) on the device."""
        sets = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return sets.to(self.device)


class Graphs:
    """The graphs of a network: for each bucket one of the trunk, and one a keypoint set.

    Those of the keypoint sets have head and decoding. All read and write memory that stays.
    """

    def __init__(self, backend: CudaBackend, decoding: Decoding, max_batch: int) -> None:
        self.decoding = decoding
        self.max_batch = 0
        config, self._device = backend.config, backend.device
        self._sets = config.keypoint_sets
        self._columns = 7 if decoding.covariances else 3  # x, y, score, covariance
        self._floats = [k * self._columns for k in config.num_keypoints.values()]
        mirrors = (False, True) if decoding.flip_test else (False,)
        pool = torch.cuda.graph_pool_handle()

        crops = torch.zeros(
            max_batch, *config.image_size, 3, dtype=torch.uint8, device=self._device
        )
        index = torch.zeros(max_batch, dtype=torch.int64, device=self._device)
        self._index_here = torch.zeros(max_batch, dtype=torch.int64, pin_memory=True)
        features = [
            torch.zeros(
                max_batch, config.embed_dim, *config.grid_size,
                dtype=getattr(torch, backend.precision), device=self._device,
            ).to(memory_format=torch.channels_last)
            for _ in mirrors
        ]  # fmt: skip
        self._crops, self._index, self._features = crops, index, features
        largest = max_batch * max(self._floats)
        self._found = torch.zeros(largest, device=self._device)
        self._found_here = torch.empty(largest, pin_memory=True)
        self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._trunks: dict[int, Graph[list[Tensor]]] = {}
        self._heads: dict[tuple[str, int], Graph[Tensor]] = {}

        for size in buckets(max_batch):

            def trunk(size: int = size) -> list[Tensor]:
                given = crops[:size]
                return [
                    backend.trunk(given.flip(2) if mirrored else given, index[:size])
                    for mirrored in mirrors
                ]

            def head(name: str, size: int = size) -> Tensor:
                maps = [backend.network.heads[name](part[:size]).float() for part in features]
                mirrored = maps[1] if decoding.flip_test else None
                points, scores, spreads = decode_set(maps[0], mirrored, SKELETONS[name], decoding)
                parts = [points, scores[..., None]]
                if spreads is not None:
                    parts.append(spreads.flatten(2))
                return torch.cat(parts, dim=2)  # (size, k, columns)

            try:
                with torch.inference_mode():
                    of_trunk = Graph(trunk, self._device, pool)
                    of_heads = {
                        (name, size): Graph(functools.partial(head, name), self._device, pool)
                        for name in self._sets
                    }
            except torch.cuda.OutOfMemoryError as error:
                error.__traceback__ = None  # which holds on to the memory
                torch.cuda.empty_cache()
                if size == 1:
                    raise
                break
            self._trunks[size] = of_trunk
            self._heads.update(of_heads)
            self.max_batch = size

    def run(self, crops: Tensor, counts: Sequence[int]) -> tuple[list[Found], Seconds]:
        """Map crops on the device, at most max_batch, to keypoints; see Backend.keypoints."""
        begin = time.perf_counter()
        size = self._bucket(len(crops))
        self._crops[: len(crops)].copy_(crops)
        if len(counts) > 1:
            sets = np.repeat(np.arange(len(counts)), counts)
            self._index_here.numpy()[: len(sets)] = sets
            self._index[:size].copy_(self._index_here[:size], non_blocking=True)
        features = self._trunks[size].replay()
        start = end = 0
        for name, count, floats in zip(self._sets, counts, self._floats, strict=True):
            if count:
                for own, part in zip(self._features, features, strict=True):
                    own[:count].copy_(part[start : start + count])
                found = self._heads[name, self._bucket(count)].replay()
                self._found[end : end + count * floats].copy_(found[:count].flatten())
                start, end = start + count, end + count * floats
        self._found_here[:end].copy_(self._found[:end], non_blocking=True)
        self._done.record(torch.cuda.current_stream(self._device))
        self._done.synchronize()
        between = time.perf_counter()
        values = self._found_here[:end].numpy().copy()
        parts = np.split(values, np.cumsum(np.multiply(counts, self._floats))[:-1])
        return (
            [
                self._unpack(part.reshape(count, floats // self._columns, self._columns))
                for part, count, floats in zip(parts, counts, self._floats, strict=True)
            ],
            # Decoding is part of the graphs; here only its results are unpacked.
            Seconds(between - begin, time.perf_counter() - between),
        )

    def _bucket(self, count: int) -> int:
        return next(size for size in self._trunks if size >= count)

    @staticmethod
    def _unpack(values: NDArray[np.float32]) -> Found:
        """Take apart what a head's graph put together, (n, k, columns)."""
        spreads = values[..., 3:].reshape(*values.shape[:2], 2, 2) if values.shape[2] > 3 else None
        return Found(values[..., :2], values[..., 2], spreads)
