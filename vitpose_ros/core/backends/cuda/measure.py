"""Which of the faster ways a card gets: each is tried beside the plain one.

A way is taken where it runs, gives the same within the number type's error, and is no slower. So
a kernel that a driver, a card or a version of Triton breaks costs its gain and nothing else.
"""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from vitpose_ros.core.backends.cuda import kernels
from vitpose_ros.core.backends.cuda.device import exact_convolutions, milliseconds
from vitpose_ros.core.backends.cuda.network import Chosen, GpuNetwork
from vitpose_ros.core.backends.cuda.tuning import Tuning
from vitpose_ros.core.backends.faults import brief
from vitpose_ros.core.heatmaps import decode

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


class Trials:
    """Tries the ways of a network on a batch."""

    def __init__(self, network: GpuNetwork, tuning: Tuning, batch: int) -> None:
        self.ways: dict[str, str] = {}  # of each, what became of it and why
        self._network = network
        self._tuning = tuning
        self._device = network.device
        generator = torch.Generator().manual_seed(0)
        size = (batch, *network.config.image_size, 3)
        crops = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        self._crops = crops.to(network.device)
        sets = len(network.config.keypoint_sets)
        self._index = (torch.arange(batch) % sets).to(network.device)

    @torch.inference_mode()
    def run(self) -> dict[str, str]:
        """Set what the network takes, and return for each way what became of it."""
        network, block = self._network, self._network.blocks[0]
        network.chosen = Chosen()
        with exact_convolutions(str(network.dtype).removeprefix('torch.')):
            tokens = network.embed(self._crops)
            total, normed = network.add_norm(tokens, tokens, block.norm1)
            hidden = network.hidden(block, normed)
            features = normed.view(len(self._crops), network.tokens, -1)
            self._try('patch_product', lambda: network.embed(self._crops))
            self._try('fused_norms', lambda: network.add_norm(tokens, total, block.norm1)[1])
            self._try('fused_gelu', lambda: network.hidden(block, normed))
            if block.experts is not None:
                self._try(
                    'grouped_experts', lambda: network.with_experts(block, hidden, self._index)
                )
            if network.config.decoder == 'classic':
                name = network.config.keypoint_sets[0]
                self._try('head_product', lambda: network.heatmaps(name, features))
            self._try_attentions(lambda: network.attention(block.attention, normed))
        return self.ways

    def _try(self, way: str, function: Callable[[], Tensor]) -> None:
        """Compare a function with and without a way, and take the better one."""
        fault = self._fault(way)
        if fault:
            self.ways[way] = fault
            return
        plain = function()
        plain_ms = self._time(function)
        setattr(self._network.chosen, way, True)
        taken, self.ways[way], _ = self._judge(function, plain, plain_ms)
        setattr(self._network.chosen, way, taken)

    def _try_attentions(self, function: Callable[[], Tensor]) -> None:
        """Take the fastest kernel for attention, where PyTorch's own choice is not."""
        if not self._tuning.fast_attention:
            self.ways['fast_attention'] = OFF
            return
        if self._device.type != 'cuda' or set(self._network.config.block_attention) != {'full'}:
            self.ways['fast_attention'] = "PyTorch's choice: for full attention on a GPU"
            return
        plain = function()
        best, best_ms = None, self._time(function)
        found = [f"PyTorch's choice {best_ms:.3f} ms"]
        for kernel in ATTENTIONS:
            self._network.chosen.attention = kernel
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # PyTorch warns of each that it does not have
                taken, text, fast_ms = self._judge(function, plain, best_ms)
            found.append(f'{kernel.name.lower()} {text}')
            if taken and fast_ms < best_ms:
                best, best_ms = kernel, fast_ms
        self._network.chosen.attention = best
        self.ways['fast_attention'] = '; '.join(found)

    def _judge(
        self, function: Callable[[], Tensor], plain: Tensor, plain_ms: float
    ) -> tuple[bool, str, float]:
        """Tell whether a way is right and no slower, in words, and how long it takes."""
        try:
            fast = function()
            error = float((fast.float() - plain.float()).norm() / plain.float().norm())
            if not error <= LARGEST_ERROR[self._network.dtype]:  # NaN is no better
                return False, f'not taken: its relative error is {error:.2g}', math.inf
            fast_ms = self._time(function)
        except Exception as error_found:  # a compiler, a driver, a card: whatever it is
            return False, f'not taken: {brief(error_found)}', math.inf
        slower = fast_ms > SLOWER * plain_ms
        words = f'{fast_ms:.3f} ms, plain {plain_ms:.3f}'
        return not slower, f'{"not taken" if slower else "taken"}: {words}', fast_ms

    def _time(self, function: Callable[[], Tensor]) -> float:
        """Return milliseconds on a GPU; on a processor nothing is chosen by time."""
        return milliseconds(function, self._device) if self._device.type == 'cuda' else 0.0

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
