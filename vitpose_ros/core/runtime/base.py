"""What every backend gives, and what the estimator needs of it."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from vitpose_ros.core.errors import VitposeError, either
from vitpose_ros.core.geometry.crops import Crops, HostCrops
from vitpose_ros.core.geometry.grouping import Subjects, find
from vitpose_ros.core.geometry.heatmaps import decode, heatmap_spread, merge_flipped
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.runtime.faults import brief, is_out_of_memory
from vitpose_ros.core.skeletons import SKELETONS, Skeleton
from vitpose_ros.core.types import Precision

# Crops in one run of a network on a processor. Larger ones are no faster: eight keep it busy, and
# their activations in memory that the allocator keeps.
CHUNK = 8

B = TypeVar('B', bound='Backend')


class BackendError(VitposeError, ValueError):
    """A backend, device or precision that cannot be had here."""


class DeviceError(BackendError):
    """A device that is not there."""


def device_error(error: Exception, device: str) -> BackendError:
    """Return an error that tells what keeps a device from being used, and the remedy."""
    if isinstance(error, BackendError):
        return error
    if is_out_of_memory(error):
        return DeviceError(
            f"device '{device}' has too little free memory for this network: {brief(error)}; end "
            'what else uses it, use a smaller network, or give cpu'
        )
    return DeviceError(f"device '{device}' cannot run this network: {brief(error)}")


@dataclass(frozen=True)
class Decoding:
    """How heatmaps become keypoints."""

    flip_test: bool = False  # average with the mirrored crops
    hybrid: bool = False  # blur less near the border of the crop; see heatmaps.decode
    heatmap_spread: bool = False  # measure how far the heatmaps spread


@dataclass(frozen=True, eq=False)
class HeatmapKeypoints:
    """The keypoints of one keypoint set in a batch, in heatmap cells."""

    points: NDArray[np.float32]  # (n, k, 2) x, y
    scores: NDArray[np.float32]  # (n, k)
    heatmap_spread: NDArray[np.float32] | None  # (n, k, 2, 2) cells squared; None: not asked for


@dataclass(frozen=True)
class Seconds:
    """How long the parts of a pass took."""

    network: float
    decode: float


def merge(found: Sequence[HeatmapKeypoints]) -> HeatmapKeypoints:
    """Put together what was found in parts of a batch."""
    spreads = [part.heatmap_spread for part in found]
    return HeatmapKeypoints(
        np.concatenate([part.points for part in found]),
        np.concatenate([part.scores for part in found]),
        None if spreads[0] is None else np.concatenate([s for s in spreads if s is not None]),
    )


class Backend(ABC):
    """Runs one network on one device. For one thread at a time: memory is used again.

    Whoever uses it holds its lock meanwhile.
    """

    config: ViTPoseConfig
    precision: Precision
    device: torch.device  # where crops and heatmaps are
    runtime: str = 'torch'  # what computes: 'torch', 'onnx' or 'openvino'
    description: str  # for log and diagnostics: 'torch on cpu, float32, 3 threads'
    reason: str = ''  # why this one
    warning: str = ''  # what it could not have, and the remedy
    threads: int = 0  # that PyTorch gets in a pass; 0: as many as it has
    decodes_jpeg: bool = False  # whether frames had better come as Jpeg

    lock: threading.Lock  # of threads, also those of several estimators, one uses it at a time

    def __new__(cls: type[B], *_: Any, **__: Any) -> B:
        """Make its lock before any thread can have it, whatever __init__ it has."""
        made = super().__new__(cls)
        made.lock = threading.Lock()
        return made

    @property
    def place(self) -> str:
        """The device as the options name it, for what is to run beside the network."""
        return str(self.device)

    def crops(self) -> Crops:
        """Return what cuts crops out of frames for this backend."""
        return HostCrops(self.config.image_size)

    def warn(self, text: str) -> None:
        """Add to what it could not have, once."""
        if text not in self.warning:
            self.warning = '; '.join(filter(None, (self.warning, text)))

    def lose(self, text: str, *ways: str) -> None:
        """Note what it had up to now; ways: which of those that CudaBackend has."""
        self.warn(text)

    def prepare(self, decoding: Decoding, max_batch: int) -> int:  # noqa: ARG002 - for others
        """Get ready for batches of up to so many crops; return how many there may be."""
        return max_batch

    def relieve(self, count: int) -> int:
        """Make room after memory ran out in a pass of so many crops.

        Returns how many crops the next pass should have; count again where fewer don't help.
        """
        return (count + 1) // 2

    @abstractmethod
    def heatmaps(self, crops: torch.Tensor, counts: Sequence[int]) -> list[torch.Tensor]:
        """Map crops (n, h, w, 3) uint8 RGB to heatmaps, a tensor for each keypoint set.

        The crops stand in the order of config.keypoint_sets; counts tells how many belong to
        each. Of each set the heatmaps are (count, k, h/4, w/4) float32; those of bottom-up
        networks have more maps behind them.
        """

    def keypoints(
        self, crops: torch.Tensor, counts: Sequence[int], decoding: Decoding
    ) -> tuple[list[HeatmapKeypoints], Seconds]:
        """Map crops to keypoints, of each keypoint set; arguments as those of heatmaps."""
        begin = time.perf_counter()
        heatmaps = self.heatmaps(crops, counts)
        flipped: Sequence[torch.Tensor | None] = [None] * len(heatmaps)
        if decoding.flip_test:
            flipped = self.heatmaps(crops.flip(2), counts)
        between = time.perf_counter()
        found = []
        for name, maps, mirrored in zip(self.config.keypoint_sets, heatmaps, flipped, strict=True):
            udp = name in self.config.udp
            points, scores, spread = decode_set(maps, mirrored, SKELETONS[name], decoding, udp=udp)
            spread_here = None if spread is None else spread.cpu().numpy()
            found.append(HeatmapKeypoints(points.cpu().numpy(), scores.cpu().numpy(), spread_here))
        return found, Seconds(between - begin, time.perf_counter() - between)

    @torch.inference_mode()
    def subjects(self, pictures: torch.Tensor) -> Subjects:
        """Map pictures (n, h, w, 3) uint8 RGB to their subjects, with a bottom-up network.

        What is returned is on the processor.
        """
        [name] = self.config.keypoint_sets
        [maps] = self.heatmaps(pictures, [len(pictures)])
        return Subjects.unpacked(find(maps, SKELETONS[name]).packed().cpu())


class GraphBackend(Backend):
    """Runs a network as one compiled graph per keypoint set."""

    def __init__(self, config: ViTPoseConfig) -> None:
        """Take the shape of the network; what inherits fills in graphs, in the order of sets."""
        self.config = config
        self.device = torch.device('cpu')
        self._graphs: Sequence[Any] = ()
        self._most = CHUNK  # crops in one run

    @abstractmethod
    def _run(self, graph: Any, crops: torch.Tensor, heatmaps: torch.Tensor) -> None:
        """Let a graph read crops and write heatmaps (n, k, h/4, w/4) float32."""

    @torch.inference_mode()
    def heatmaps(self, crops: torch.Tensor, counts: Sequence[int]) -> list[torch.Tensor]:
        """Map crops to heatmaps; see Backend."""
        heatmaps: list[torch.Tensor] = []
        counts_of_maps = self.config.num_maps.values()
        parts = torch.split(crops, list(counts))
        for graph, own, k in zip(self._graphs, parts, counts_of_maps, strict=True):
            maps = torch.empty(len(own), k, *self.config.heatmap_size, device=self.device)
            for start in range(0, len(own), self._most):
                part = slice(start, start + self._most)
                self._run(graph, own[part], maps[part])
            heatmaps.append(maps)
        return heatmaps


def read_precision(precision: str, choices: Sequence[Precision], where: str) -> Precision | None:
    """Return the precision that is asked for, None where 'auto' leaves it open.

    choices: what there is; where: on what, for the error. Raises BackendError for another word.
    """
    for choice in choices:
        if precision == choice:
            return choice
    if precision != 'auto':
        raise BackendError(
            f"precision '{precision}' is not for {where}; give {either(('auto', *choices))}"
        )
    return None


def decode_set(
    heatmaps: torch.Tensor,
    flipped: torch.Tensor | None,
    skeleton: Skeleton,
    decoding: Decoding,
    *,
    udp: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Turn heatmaps (n, k, h, w) of a set, and those of the mirrored crops, into keypoints.

    udp: the convention of the set. Returns points, scores and heatmap spread as in
    HeatmapKeypoints, on the heatmaps' device.
    """
    if flipped is not None:
        heatmaps = merge_flipped(heatmaps, flipped, skeleton, udp=udp)
    points, scores = decode(heatmaps, udp=udp, hybrid=decoding.hybrid)
    spread = heatmap_spread(heatmaps, points) if decoding.heatmap_spread else None
    return points, scores, spread


def chunks(counts: Sequence[int], size: int) -> Iterator[tuple[slice, list[int]]]:
    """Cut a batch, sorted by keypoint set, into chunks: which crops, and how many of each set."""
    ends = np.cumsum(counts)
    begins = ends - counts
    for start in range(0, int(ends[-1]), size):
        own = np.minimum(ends, start + size) - np.maximum(begins, start)
        yield slice(start, start + size), own.clip(0).tolist()
