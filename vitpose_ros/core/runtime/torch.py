"""PyTorch on the CPU."""

import copy
import time
from collections.abc import Sequence
from statistics import median

import torch
from torch import nn

from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime import packed, processor
from vitpose_ros.core.runtime.base import CHUNK, Backend, chunks, read_precision
from vitpose_ros.core.runtime.options import DEFAULTS, Options
from vitpose_ros.core.types import Precision

ROUNDS = 5  # of the comparison of number types


class TorchBackend(Backend):
    """Runs a network in PyTorch on the CPU."""

    def __init__(self, network: ViTPose, options: Options = DEFAULTS) -> None:
        """Take the network, which is changed, and what to compute with: precision and threads."""
        self.threads = options.threads or processor.default_threads()
        self.config = network.config
        with processor.torch_threads(self.threads):
            self.precision = self._choose(options.precision, network)
        self.device = torch.device('cpu')
        self.description = f'torch on {processor.description(self.precision, self.threads)}'
        if self.precision == 'bfloat16' and not processor.has_bfloat16():
            self.warning = 'this processor has no bfloat16 instructions: float32 is much faster'
        self._dtype: torch.dtype = getattr(torch, self.precision)
        self.network = network.to(self._dtype)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if packed.can_pack(self._dtype):
            packed.pack(network)
        self._pixels = torch.empty(CHUNK, *self.config.image_size, 3)

    @staticmethod
    def _choose(precision: str, network: ViTPose) -> Precision:
        chosen = read_precision(precision, ('float32', 'bfloat16'), 'PyTorch on a processor')
        if chosen is not None:
            return chosen
        if processor.has_bfloat16() and bfloat16_gain(network) > 1:
            return 'bfloat16'
        return 'float32'

    @torch.inference_mode()
    def heatmaps(self, crops: torch.Tensor, counts: Sequence[int]) -> list[torch.Tensor]:
        """Map crops to heatmaps; see Backend."""
        heatmaps = [
            torch.empty(count, k, *self.config.heatmap_size)
            for count, k in zip(counts, self.config.num_maps.values(), strict=True)
        ]
        done = [0] * len(counts)
        for part, own_counts in chunks(counts, CHUNK):
            pixels = normalise(crops[part], out=self._pixels)
            found = self.network(pixels.to(self._dtype), own_counts)
            for index, maps in enumerate(found):
                heatmaps[index][done[index] : done[index] + len(maps)] = maps
                done[index] += len(maps)
        return heatmaps


@torch.inference_mode()
def bfloat16_gain(network: ViTPose) -> float:
    """Measure how many times as fast as in float32 a block of the network is in bfloat16."""
    if not packed.can_pack(torch.bfloat16):
        return 0.0
    exact: nn.Module = network.backbone.blocks[0]
    short = copy.deepcopy(exact).to(torch.bfloat16)
    packed.pack_linear(short)
    height, width = network.config.grid_size
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, height * width, network.config.embed_dim, generator=generator)
    counts = [2] + [0] * (len(network.config.keypoint_sets) - 1)
    gains = []
    for _ in range(ROUNDS + 1):  # the first warms up
        times = [time.perf_counter()]
        for block, values in ((exact, tokens), (short, tokens.to(torch.bfloat16))):
            block(values, counts)
            times.append(time.perf_counter())
        gains.append((times[1] - times[0]) / (times[2] - times[1]))
    return median(gains[1:])
