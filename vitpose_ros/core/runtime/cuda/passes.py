"""Passes of a network on a device: from crops to keypoints, by graphs or eagerly."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_ros.core.geometry.grouping import find, packed_size
from vitpose_ros.core.runtime.base import Decoding, HeatmapKeypoints, decode_set
from vitpose_ros.core.runtime.cuda import kernels
from vitpose_ros.core.runtime.cuda.device import (
    Recorder,
    event,
    exact_convolutions,
    on_device,
    pinned,
)
from vitpose_ros.core.runtime.cuda.network import PATCH_VALUES, GpuNetwork, cut_patches
from vitpose_ros.core.runtime.cuda.tuning import buckets
from vitpose_ros.core.skeletons import SKELETONS

TRUNK = ''  # in the place of a keypoint set


class Passes:
    """Maps batches of crops to keypoints, in memory that is there once and for all.

    With several keypoint sets a pass is the trunk, then for each set its head and decoding; with
    one it may be a single function. Each is recorded for each bucket. What one leaves for the
    next lies in memory of its own, never in the pool of the graphs, which any of them overwrites.
    """

    def __init__(
        self,
        network: GpuNetwork,
        decoding: Decoding,
        max_batch: int,
        *,
        graphs: bool = True,
        one_graph: bool = True,
        kernel_decode: bool = False,
        patches: bool = False,
        recorder: Recorder | None = None,
    ) -> None:
        """Get ready for batches of up to max_batch.

        graphs: record graphs, all of them, or fail; one_graph: a single one where there is a
        single keypoint set. kernel_decode: decode by a Triton kernel. patches: crops come as
        patches, not as pixels. recorder: what records; one of its own if left out.
        """
        self.max_batch = max_batch
        self.decoding = decoding
        self.patches = patches
        self._network = network
        self._device = network.device
        self._sets = network.config.keypoint_sets
        self._mirrors = 2 if decoding.flip_test else 1
        self._kernel_decode = kernel_decode
        self._together = one_graph and len(self._sets) == 1
        self._allocate()
        self._graphs: dict[tuple[str, int], Callable[[], object]] = {}
        self._recorder = recorder or Recorder(self._device)
        if graphs:
            self._record()

    def _allocate(self) -> None:
        config, dtype, device = self._network.config, self._network.dtype, self._device
        most, tokens = self.max_batch, self._network.tokens

        def zeros(*size: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(*size, dtype=dtype, device=device)

        # What a pass reads. Whoever cuts crops may write there.
        if self.patches:
            self.given = zeros(most * tokens, PATCH_VALUES, dtype=dtype)
        else:
            self.given = zeros(most, *config.image_size, 3, dtype=torch.uint8)
        self._index = zeros(most, dtype=torch.int64)
        self._index_here = pinned(most, dtype=torch.int64, device=device)
        # Features of all samples, and those of the keypoint set whose turn it is.
        samples = 0 if self._together else most
        size = (self._mirrors, samples, tokens, config.embed_dim)
        self._features, self._own = zeros(*size, dtype=dtype), zeros(*size, dtype=dtype)
        sizes = {name: (most, *self._found_size(k)) for name, k in config.num_keypoints.items()}
        self._found = {name: zeros(*size, dtype=torch.float32) for name, size in sizes.items()}
        self._found_here = {
            name: pinned(*size, dtype=torch.float32, device=device) for name, size in sizes.items()
        }
        self._done = event(device)

    def _found_size(self, num_keypoints: int) -> tuple[int, int]:
        """Return rows and columns of what is found in a crop, or in a picture bottom-up."""
        if self._network.config.bottom_up:
            return packed_size(num_keypoints, self._network.config.heatmap_size)
        return num_keypoints, 7 if self.decoding.heatmap_spread else 3  # x, y, score, spread

    def _record(self) -> None:
        """Record all graphs, the largest first: what it leaves of the pool holds the others."""
        precision = str(self._network.dtype).removeprefix('torch.')
        parts = [TRUNK] if self._together else [TRUNK, *self._sets]
        with torch.inference_mode(), exact_convolutions(precision, by_measurement=True):
            for size in reversed(buckets(self.max_batch)):
                for name in parts:
                    function = functools.partial(self._compute, name, size)
                    self._graphs[name, size] = self._recorder.record(function)

    @property
    def has_graphs(self) -> bool:
        """Whether passes replay graphs, which take no further memory."""
        return bool(self._graphs)

    @torch.inference_mode()
    def run(self, given: Tensor, counts: Sequence[int]) -> list[HeatmapKeypoints]:
        """Map at most max_batch crops (n, h, w, 3) uint8, or patches (n t, 768), to keypoints.

        counts: how many of the n belong to each keypoint set, in whose order they stand.
        """
        self.queue(given, counts)
        self._done.synchronize()
        return [
            _unpack(self._found_here[name][:own_count].numpy().copy())
            for name, own_count in zip(self._sets, counts, strict=True)
        ]

    def subjects(self, pictures: Tensor) -> Tensor:
        """Map pictures (n, h, w, 3) uint8 to their subjects, packed as grouping has them."""
        self.queue(pictures, [len(pictures)])
        self._done.synchronize()
        return self._found_here[self._sets[0]][: len(pictures)].clone()

    @torch.inference_mode()
    def queue(self, given: Tensor, counts: Sequence[int]) -> None:
        """Let the device do what run does, without waiting for it."""
        count = sum(counts)
        with on_device(self._device):
            if given.data_ptr() != self.given.data_ptr():
                if self.patches and given.dtype == torch.uint8:
                    given = cut_patches(given, self._network.dtype)
                self.given[: len(given)].copy_(given)
            if len(counts) > 1:
                sets = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
                self._index_here[:count] = sets
                self._index[:count].copy_(self._index_here[:count], non_blocking=True)
            self._do(TRUNK, count)
            start = 0
            for name, own_count in zip(self._sets, counts, strict=True):
                if not own_count:
                    continue
                if not self._together:
                    stop = start + own_count
                    self._own[:, :own_count].copy_(self._features[:, start:stop])
                    self._do(name, own_count)
                    start = stop
                here = self._found_here[name][:own_count]
                here.copy_(self._found[name][:own_count], non_blocking=True)
            self._done.record()

    def _do(self, name: str, count: int) -> None:
        """Compute a part of a pass, by its graph if there are any."""
        if not self._graphs:
            precision = str(self._network.dtype).removeprefix('torch.')
            with exact_convolutions(precision):
                self._compute(name, count)
            return
        size = next(size for size in buckets(self.max_batch) if size >= count)
        self._graphs[name, size]()

    def _compute(self, name: str, size: int) -> None:
        """Compute the trunk, or head and decoding of a keypoint set, for so many samples."""
        if name != TRUNK:
            self._head(name, self._own[:, :size])
            return
        rows = size * self._network.tokens if self.patches else size
        given = self.given[:rows]
        index = self._index[:size]
        if self.decoding.flip_test:
            given, index = torch.cat((given, given.flip(2))), index.repeat(2)
        features = self._network.features(given, index)
        features = features.view(self._mirrors, size, *features.shape[1:])
        if self._together:
            self._head(self._sets[0], features)
        else:
            self._features[:, :size].copy_(features)

    def _head(self, name: str, features: Tensor) -> None:
        """Turn features (mirrors, n, t, d) into what is found."""
        size = features.shape[1]
        found = self._found[name][:size]
        decoding, udp = self.decoding, name in self._network.config.udp
        maps = self._network.heatmaps(name, features.flatten(0, 1))
        if self._network.config.bottom_up:
            found.copy_(find(maps.float(), SKELETONS[name]).packed())
            return
        flipped = None
        if decoding.flip_test:
            maps, flipped = torch.split(maps.float(), size)
        if self._kernel_decode and flipped is None and not decoding.heatmap_spread:
            kernels.decode(maps, found, udp=udp, hybrid=decoding.hybrid)
            return
        points, scores, spreads = decode_set(
            maps.float(), flipped, SKELETONS[name], decoding, udp=udp
        )
        found[..., :2] = points
        found[..., 2] = scores
        if spreads is not None:
            found[..., 3:] = spreads.flatten(2)


def _unpack(values: NDArray[np.float32]) -> HeatmapKeypoints:
    """Take apart what was found, (n, k, columns)."""
    spreads = values[..., 3:].reshape(*values.shape[:2], 2, 2) if values.shape[2] > 3 else None
    return HeatmapKeypoints(values[..., :2], values[..., 2], spreads)
