"""Which of the faster ways a card gets: each is tried beside the plain one.

A way is taken where it runs, gives the same within the number type's error, and is no slower; the
kernel that decodes, where it runs and gives the same. So a kernel that a driver, a card or a
version of Triton breaks costs its gain and nothing else.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from vitpose_ros.core.geometry.heatmaps import decode
from vitpose_ros.core.runtime.cuda import kernels
from vitpose_ros.core.runtime.cuda.device import exact_convolutions, milliseconds, on_device
from vitpose_ros.core.runtime.cuda.network import Chosen, GpuNetwork, cut_patches
from vitpose_ros.core.runtime.cuda.tuning import Tuning
from vitpose_ros.core.runtime.faults import brief, is_device_lost, is_out_of_memory

LARGEST_ERROR = {  # relative, of the norm: some roundings of each number type
    torch.float32: 1e-4,
    torch.float16: 5e-3,
    torch.bfloat16: 4e-2,
}
SLOWER = 1.02  # times as slow a way may seem by chance
ATTENTIONS = (
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
)
KERNELS = ('fused_norms', 'grouped_experts')  # what needs Triton
OFF = 'off'


@dataclass(frozen=True)
class Sample:
    """What the parts of a network work on, for a batch."""

    crops: Tensor  # (n, h, w, 3) uint8
    patches: Tensor | None  # of the crops; None: none come ready
    index: Tensor  # (n,) the keypoint set of each
    tokens: Tensor  # (n t, d)
    normed: Tensor  # (n t, d)
    hidden: Tensor  # (n t, 4 d)


Part = Callable[[Sample], 'Tensor | tuple[Tensor, ...]']


class Trials:
    """Tries the ways of a network on batches."""

    def __init__(
        self, network: GpuNetwork, tuning: Tuning, batches: Sequence[int], *, patches: bool
    ) -> None:
        """Take the network, and sizes of batches to measure with.

        patches: crops come as patches, so that cutting these is no part of the network.
        """
        self.ways: dict[str, str] = {}  # of each, what became of it and why
        self._network = network
        self._tuning = tuning
        self._device = network.device
        self._by_graphs = tuning.graphs  # whether times are taken without what launching costs
        network.chosen = Chosen()
        self._samples = [self._sample(batch, patches=patches) for batch in batches]

    @torch.inference_mode()
    def run(self) -> dict[str, str]:
        """Set what the network takes, and return for each way what became of it."""
        network, block = self._network, self._network.blocks[0]
        name = network.config.keypoint_sets[0]
        # Of each way what is timed, then what must be right, too.
        parts: dict[str, list[Part]] = {
            'patch_product': [
                lambda s: network.embed(
                    s.crops if s.patches is None or not network.chosen.patch_product else s.patches
                )
            ],
            'fused_norms': [
                lambda s: network.add_norm(s.tokens, s.normed, block.norm1),
                # What is added again and again, as positions are.
                lambda s: network.add_norm(s.tokens.repeat(2, 1), s.normed, block.norm1),
            ],
            'fused_gelu': [lambda s: network.hidden(block, s.normed)],
        }
        if block.experts is not None:
            parts['grouped_experts'] = [lambda s: network.with_experts(block, s.hidden, s.index)]
        if network.config.decoder == 'classic':
            parts['head_product'] = [
                lambda s: network.heatmaps(name, s.normed.view(len(s.crops), network.tokens, -1))
            ]
        with self._convolutions():
            for way, own in parts.items():
                self._try(way, *own)
            self._try_attentions(lambda s: network.attention(block.attention, s.normed))
        return self.ways

    @torch.inference_mode()
    def _sample(self, batch: int, *, patches: bool) -> Sample:
        network, block = self._network, self._network.blocks[0]
        generator = torch.Generator().manual_seed(0)
        size = (batch, *network.config.image_size, 3)
        crops = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        crops = crops.to(self._device)
        with self._convolutions():
            tokens = network.embed(crops)
            _, normed = network.add_norm(tokens, tokens, block.norm1)
            return Sample(
                crops=crops,
                patches=cut_patches(crops, network.dtype) if patches else None,
                index=(torch.arange(batch) % len(network.config.keypoint_sets)).to(self._device),
                tokens=tokens,
                normed=normed,
                hidden=network.hidden(block, normed),
            )

    def _convolutions(self) -> AbstractContextManager[object]:
        precision = str(self._network.dtype).removeprefix('torch.')
        return exact_convolutions(precision, by_measurement=True)

    def _try(self, way: str, part: Part, *others: Part) -> None:
        """Compare a part with and without a way, and take the better one.

        others: parts that it has to compute right, too.
        """
        fault = self._fault(way)
        if fault:
            self.ways[way] = fault
            return
        plain = self._computed(part, *others)
        plain_ms = self._plain_times(part)
        setattr(self._network.chosen, way, True)
        taken, self.ways[way], _ = self._judge([part, *others], plain, plain_ms)
        setattr(self._network.chosen, way, taken)

    def _try_attentions(self, part: Part) -> None:
        """Take the fastest kernel for attention, where PyTorch's own choice is not."""
        if not self._tuning.fast_attention:
            self.ways['fast_attention'] = OFF
            return
        if self._device.type != 'cuda' or set(self._network.config.block_attention) != {'full'}:
            self.ways['fast_attention'] = "PyTorch's choice: for full attention on a GPU"
            return
        plain = self._computed(part)
        best, best_ms = None, self._plain_times(part)
        found = [f"PyTorch's choice {shown(best_ms)}"]
        for kernel in ATTENTIONS:
            self._network.chosen.attention = kernel
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # PyTorch warns of each that it does not have
                taken, text, fast_ms = self._judge([part], plain, best_ms)
            found.append(f'{kernel.name.lower()} {text}')
            if taken and sum(fast_ms) < sum(best_ms):
                best, best_ms = kernel, fast_ms
        self._network.chosen.attention = best
        self.ways['fast_attention'] = '; '.join(found)

    def _computed(self, *parts: Part) -> list[Tensor]:
        """Return all that parts give for all samples."""
        found: list[Tensor] = []
        for part in parts:
            for sample in self._samples:
                given = part(sample)
                found += [given] if isinstance(given, Tensor) else given
        return found

    def _judge(
        self, parts: Sequence[Part], plain: Sequence[Tensor], plain_ms: list[float]
    ) -> tuple[bool, str, list[float]]:
        """Tell whether a way is right and no slower, in words, and how long it takes.

        parts: the first is timed.
        """
        try:
            found = self._computed(*parts)
            errors = [relative_error(own, other) for own, other in zip(found, plain, strict=True)]
            worst = max(errors, key=lambda error: (error != error, error))  # NaN is the worst
            if not worst <= LARGEST_ERROR[self._network.dtype]:
                return False, f'not taken: its relative error is {worst:.2g}', plain_ms
            fast_ms = self._times(parts[0])
        except Exception as error_found:  # a compiler, a driver, a card: whatever it is
            return False, f'not taken: {brief(error_found)}', plain_ms
        words = f'{shown(fast_ms)}, plain {shown(plain_ms)}'
        # As a mean over the sizes of batches, since one may gain what another loses.
        ratios = [fast / slow for fast, slow in zip(fast_ms, plain_ms, strict=True) if slow]
        slower = bool(ratios) and sum(ratios) / len(ratios) > SLOWER
        return not slower, f'{"not taken" if slower else "taken"}: {words}', fast_ms

    def _plain_times(self, part: Part) -> list[float]:
        """Return the times of a plain way, from here on without graphs if they fail for it."""
        try:
            return self._times(part)
        except Exception as error:
            if not self._by_graphs or is_out_of_memory(error) or is_device_lost(error):
                raise
            self._by_graphs = False
            return self._times(part)

    def _times(self, part: Part) -> list[float]:
        """Return milliseconds of each sample on a GPU; on a processor nothing is chosen so."""
        if not is_timed(self._device):
            return [0.0 for _ in self._samples]
        return [
            milliseconds(partial(part, sample), self._device, graph=self._by_graphs)
            for sample in self._samples
        ]

    def _fault(self, way: str) -> str:
        """Return what rules a way out before it is tried, nothing otherwise."""
        if not getattr(self._tuning, way):
            return OFF
        if way in KERNELS:
            fault = kernels.fault(self._device)
            if fault:
                return f'not taken: {fault}'
        if way == 'fused_gelu' and self._network.dtype == torch.float32:
            return 'not taken: its approximation of GELU is for 16 bits'
        if way == 'grouped_experts' and self._network.dtype == torch.float32:
            return 'not taken: its product is for 16 bits'
        return ''


def is_timed(device: torch.device) -> bool:
    """Tell whether ways are chosen by the time that they take on a device."""
    return device.type == 'cuda'


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Return the norm of a difference, in parts of what was expected; NaN where a value is."""
    return float((found.float() - expected.float()).norm() / expected.float().norm())


def shown(times_ms: Sequence[float]) -> str:
    """Return times as text."""
    return ', '.join(f'{value:.3f}' for value in times_ms) + ' ms'


@torch.inference_mode()
def decode_fault(network: GpuNetwork) -> str:
    """Return what keeps the kernel that decodes from being used.

    Nothing where it finds the peaks that PyTorch does in heatmaps of a network's size.
    """
    fault = kernels.fault(network.device)
    if fault:
        return fault
    height, width = network.config.heatmap_size
    centres = torch.tensor([[[0.4, 0.6], [width / 2.0, height / 3.0], [width - 1.2, 3.3]]])
    rows = torch.exp(-((torch.arange(height) - centres[..., 1:]) ** 2) / 8)
    columns = torch.exp(-((torch.arange(width) - centres[..., :1]) ** 2) / 8)
    maps = (rows[..., :, None] * columns[..., None, :]).to(network.device, network.dtype)
    out = torch.empty(1, 3, 3, device=network.device)
    try:
        with on_device(network.device):
            for udp in (True, False):
                kernels.decode(maps, out, udp=udp, hybrid=False)
                points, scores = decode(maps, udp=udp)
                expected = torch.cat((points, scores[..., None]), dim=2).to(out)
                worst = float((out - expected).abs().max())
                if not worst < 1e-3:
                    return f'its keypoints differ by {worst:.2g} cells'
    except Exception as error:  # a compiler, a driver, a card: whatever it is
        return brief(error)
    return ''
