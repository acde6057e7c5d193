"""The backend for NVIDIA GPUs, and what it does where a part of it cannot be had."""

import logging
import time
from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from vitpose_ros.core.geometry.grouping import Subjects
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime.base import (
    Backend,
    Decoding,
    HeatmapKeypoints,
    Seconds,
    chunks,
    device_error,
    merge,
    read_precision,
)
from vitpose_ros.core.runtime.cuda.crops import CudaCrops
from vitpose_ros.core.runtime.cuda.device import (
    exact_convolutions,
    free_cache,
    on_device,
    on_trial_stream,
)
from vitpose_ros.core.runtime.cuda.jpeg import Decoder, choose_decoder
from vitpose_ros.core.runtime.cuda.measure import OFF, Trials, decode_fault, is_timed
from vitpose_ros.core.runtime.cuda.network import Chosen, GpuNetwork
from vitpose_ros.core.runtime.cuda.passes import Passes
from vitpose_ros.core.runtime.cuda.sampling import kernel_fault
from vitpose_ros.core.runtime.cuda.tuning import Tuning, buckets
from vitpose_ros.core.runtime.faults import brief, is_out_of_memory
from vitpose_ros.core.types import Precision

# What changes what the network computes, besides the kernels for attention.
NETWORK_WAYS = {field.name for field in fields(Chosen)} - {'attention'}
TRIAL_BATCHES = (1, 8)  # crops of the measurements that choose


class CudaBackend(Backend):
    """Runs a network in PyTorch on a CUDA device: by graphs, or without where they fail."""

    def __init__(
        self,
        network: ViTPose,
        *,
        device: str = 'cuda',
        precision: str = 'auto',
        tuning: Tuning | None = None,
    ) -> None:
        """Take the network, and where to run it.

        device: 'cuda' or 'cuda:N'; on 'cpu' all of it runs without a GPU, slowly, for tests.
        precision: 'float32', 'bfloat16' or 'float16'; 'auto' is float16, or bfloat16 for a
        network with values that float16 does not hold. Raises DeviceError where the memory of
        the device does not suffice.
        """
        chosen = read_precision(precision, ('float16', 'bfloat16', 'float32'), 'PyTorch on CUDA')
        self.config = network.config
        self.device = torch.device(device)
        if self.device.type == 'cuda' and self.device.index is None:
            self.device = torch.device('cuda', torch.cuda.current_device())
        self._tuning = tuning or Tuning()
        self.ways: dict[str, str] = {}  # of each of the tuning, what became of it and why
        self._passes: Passes | None = None  # those that ran last
        # Of each decoding that was asked for: its passes, and for how many crops.
        self._prepared: dict[Decoding, Passes] = {}
        self._asked: dict[Decoding, int] = {}
        with on_trial_stream(self.device):
            try:
                self.precision: Precision = chosen or 'float16'
                self._network = self._load(network)
                finite = self._is_finite()
                if not finite:
                    self.warn(
                        f'this network has values that {self.precision} does not hold: it runs '
                        'in bfloat16 where precision is auto; give float32 for the most exact '
                        'keypoints'
                    )
                if not finite and chosen is None:
                    self.precision = 'bfloat16'
                    self._network = self._load(network)
                    finite = self._is_finite()
                self._choose()
                if finite and not self._is_finite():
                    self._take_none()
            except Exception as error:
                raise device_error(error, str(self.device)) from error
        self._describe()

    def crops(self) -> CudaCrops:
        """Return what cuts crops out of frames, into the memory that passes read."""
        try:
            return CudaCrops(
                self.config.image_size,
                self.device,
                out=None if self._passes is None else self._passes.given,
                fault=self._kernel_fault,
                bounding_area=self._tuning.bounding_area,
                decoder=self._decoder,
                lose=self.lose,
            )
        except Exception as error:
            raise device_error(error, str(self.device)) from error

    def lose(self, text: str, *ways: str) -> None:
        """Note what it had up to now; see Backend."""
        for way in ways:
            if self.ways[way].startswith('taken'):
                self.ways[way] = f'lost: {text}'
        super().lose(text, *ways)

    def prepare(self, decoding: Decoding, max_batch: int) -> int:
        """Record graphs for batches of up to max_batch; where they fail, get ready without.

        Where memory does not suffice, it is for fewer crops. Returns for how many. Raises
        DeviceError where it does not suffice for one.

        What is ready for other decodings, or for more crops, stays so, unless memory suffices for
        nothing beside it.
        """
        self._passes = self._prepared.get(decoding)
        if self._passes is not None and self._passes.max_batch >= max_batch:
            return max_batch
        self._passes = None
        self._prepared.pop(decoding, None)
        try:
            with on_device(self.device):
                passes = self._ready(decoding, max_batch)
                if passes is None and self._prepared:
                    self._prepared.clear()
                    passes = self._ready(decoding, max_batch)
                free_cache(self.device)  # what warming up took
        except Exception as error:
            raise device_error(error, str(self.device)) from error
        if passes is None:
            raise device_error(torch.cuda.OutOfMemoryError('CUDA out of memory'), str(self.device))
        self._passes = self._prepared[decoding] = passes
        self._asked[decoding] = max_batch
        self._describe()
        return passes.max_batch

    def relieve(self, count: int) -> int:
        """Make room after memory ran out; see Backend.

        A pass by a graph takes no memory, so that fewer crops do not help it.
        """
        free_cache(self.device)
        if self._passes is None:  # not even ready for one
            return count
        return count if self._passes.has_graphs else super().relieve(count)

    @torch.inference_mode()
    def heatmaps(self, crops: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """Map crops to heatmaps, without graphs; see Backend."""
        index = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
        with on_device(self.device), exact_convolutions(self.precision):
            features = self._network.features(
                crops.to(self.device).contiguous(), index.to(self.device)
            )
            parts = torch.split(features, list(counts))
            return [
                self._network.heatmaps(name, part).float()
                for name, part in zip(self.config.keypoint_sets, parts, strict=True)
            ]

    def keypoints(
        self, crops: Tensor, counts: Sequence[int], decoding: Decoding
    ) -> tuple[list[HeatmapKeypoints], Seconds]:
        """Map crops, or patches of CudaCrops, to keypoints; see Backend."""
        begin = time.perf_counter()
        total = sum(counts)
        passes = self._taken(decoding, total)
        rows = len(crops) // total  # of a crop
        found = [
            passes.run(crops[part.start * rows : part.stop * rows], own)
            for part, own in chunks(counts, passes.max_batch)
        ]
        merged = found[0] if len(found) == 1 else list(map(merge, zip(*found, strict=True)))
        # Decoding is part of a pass.
        return merged, Seconds(time.perf_counter() - begin, 0.0)

    def subjects(self, pictures: Tensor) -> Subjects:
        """Map pictures to their subjects; see Backend."""
        passes = self._taken(Decoding(), len(pictures))
        parts = [passes.subjects(part) for part in pictures.split(passes.max_batch)]
        return Subjects.unpacked(torch.cat(parts))

    def _taken(self, decoding: Decoding, total: int) -> Passes:
        """Return the passes of a decoding; those that there are not yet, for so many crops."""
        self._passes = self._prepared.get(decoding)
        if self._passes is None:
            self.prepare(decoding, self._asked.get(decoding, total))
        assert self._passes is not None, 'prepared'
        return self._passes

    def queue(self, crops: Tensor, counts: Sequence[int]) -> None:
        """Queue a pass that was prepared, of at most max_batch crops, to measure the device."""
        assert self._passes is not None, 'prepared'
        self._passes.queue(crops, counts)

    def _load(self, network: ViTPose) -> GpuNetwork:
        return GpuNetwork(network, self.device, getattr(torch, self.precision))

    def _is_finite(self) -> bool:
        """Tell whether heatmaps of noise are."""
        random = np.random.default_rng(0)
        counts = [1] * len(self.config.keypoint_sets)
        size = (len(counts), *self.config.image_size, 3)
        noise = torch.from_numpy(random.integers(0, 256, size, dtype=np.uint8))
        return all(bool(maps.isfinite().all()) for maps in self.heatmaps(noise, counts))

    def _choose(self) -> None:
        """Find out which of the faster ways the device gets."""
        tuning = self._tuning
        self._kernel_fault = kernel_fault(self.device) if tuning.kernel_crops else OFF
        batches = TRIAL_BATCHES if is_timed(self.device) else (1,)
        try:
            self.ways = self._tried(batches)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            error.__traceback__ = None  # which holds on to the memory
            free_cache(self.device)
            self.ways = self._tried(batches[:1])
        self._decode_fault = decode_fault(self._network) if tuning.kernel_decode else OFF
        for way, fault in (
            ('kernel_crops', self._kernel_fault),
            ('kernel_decode', self._decode_fault),
        ):
            self.ways[way] = OFF if fault == OFF else f'not taken: {fault}' if fault else 'taken'
        for way in ('one_graph', 'bounding_area'):
            self.ways[way] = 'taken' if getattr(tuning, way) else OFF
        self._decoder: Decoder | None = None
        self.ways['gpu_jpeg'] = OFF
        if tuning.gpu_jpeg:
            self._decoder, self.ways['gpu_jpeg'] = choose_decoder(self.device)
        self.decodes_jpeg = self._decoder is not None

    def _take_none(self) -> None:
        """Leave out all ways of the network: alone each is right, but not what they give."""
        if self._network.chosen.attention is not None:
            self.ways['fast_attention'] = "PyTorch's choice: with others heatmaps are not finite"
        self._network.chosen = Chosen()
        for way, text in self.ways.items():
            if text.startswith('taken') and way in NETWORK_WAYS:
                self.ways[way] = 'not taken: with it heatmaps are not finite'

    def _ready(self, decoding: Decoding, max_batch: int) -> Passes | None:
        """Return passes, by graphs or without; None where memory does not suffice for one crop."""
        passes = None
        if self._tuning.graphs:
            passes = self._largest(decoding, max_batch, graphs=True)
        else:
            self.ways['graphs'] = OFF
        if passes is None:
            # Choosing a kernel for attention is a setting of the whole process, which other
            # threads would see in the middle of every pass.
            if self._network.chosen.attention is not None:
                self._network.chosen.attention = None
                self.ways['fast_attention'] = "PyTorch's choice: without graphs"
            passes = self._largest(decoding, max_batch, graphs=False)
        return passes

    def _tried(self, batches: Sequence[int]) -> dict[str, str]:
        """Try the ways of the network on batches, and return what became of each."""
        return Trials(self._network, self._tuning, batches, patches=not self._kernel_fault).run()

    def _largest(self, decoding: Decoding, max_batch: int, *, graphs: bool) -> Passes | None:
        """Return passes for the largest batch that memory suffices for.

        None: not even for one crop, or the graphs cannot be recorded.
        """
        reason = 'memory does not suffice for one'
        for most in reversed(buckets(max_batch)):
            try:
                free_cache(self.device)
                passes = self._make(decoding, most, graphs=graphs)
            except Exception as error:
                error.__traceback__ = None  # which holds on to the memory
                if is_out_of_memory(error):
                    continue
                if not graphs:
                    raise
                reason = brief(error)
                break
            if graphs:
                self.ways['graphs'] = f'taken: for up to {most} crops'
            if most < max_batch:
                logging.getLogger(__name__).warning(
                    'the memory of %s suffices for passes of %d crops, not %d; set max_batch to '
                    'that, or end what else uses it',
                    *(self.device, most, max_batch),
                )
            return passes
        if graphs:
            self.ways['graphs'] = f'not taken: {reason}'
            self.warn(
                f'CUDA graphs cannot be recorded ({reason}); kernels are launched one by one, '
                'which takes longer'
            )
        return None

    def _make(self, decoding: Decoding, max_batch: int, *, graphs: bool) -> Passes:
        """Return passes that ran once."""
        passes = Passes(
            self._network,
            decoding,
            max_batch,
            graphs=graphs,
            one_graph=self._tuning.one_graph,
            kernel_decode=not self._decode_fault,
            patches=self._network.chosen.patch_product
            and not self._kernel_fault
            and not decoding.flip_test
            and not self.config.bottom_up,  # whose pictures come as pixels
        )
        if self.config.bottom_up:
            passes.subjects(passes.given)
        else:
            sets = len(self.config.keypoint_sets)
            passes.run(passes.given, [0] * (sets - 1) + [max_batch])
        return passes

    def _describe(self) -> None:
        name = 'no GPU' if self.device.type == 'cpu' else torch.cuda.get_device_name(self.device)
        how = ''
        if self._passes is not None:
            how = ', CUDA graphs' if self._passes.has_graphs else ', without CUDA graphs'
        self.description = f'torch on {self.device} ({name}), {self.precision}{how}'
