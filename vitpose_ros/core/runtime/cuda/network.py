"""The network, rebuilt for a GPU: the same function, in fewer and larger kernels.

Tokens are (n t, d), all samples below one another. What PyTorch has no fused kernel for comes
from kernels.py, where that is there and a measurement takes it.
"""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vitpose_ros.core.geometry.crops import MEAN, STD, normalise
from vitpose_ros.core.model.config import PATCH_SIZE
from vitpose_ros.core.model.decoders import BottomUpDecoder, ClassicDecoder
from vitpose_ros.core.model.vit import (
    LAYER_NORM_EPS,
    PATCH_PADDING,
    Attention,
    Block,
    Experts,
    ViTPose,
)
from vitpose_ros.core.model.windows import Windows
from vitpose_ros.core.runtime.cuda import kernels

# Patches hold (pixel - CENTRE) / SCALE: numbers that float16 and bfloat16 have exactly. The
# weights of the patch embedding make up for it.
CENTRE, SCALE = 128.0, 64.0
PATCH_VALUES = PATCH_SIZE * PATCH_SIZE * 3


@dataclass
class Chosen:
    """Which of the faster ways the network takes; see Tuning."""

    patch_product: bool = False
    fused_gelu: bool = False
    fused_norms: bool = False
    head_product: bool = False
    grouped_experts: bool = False
    attention: SDPBackend | None = None  # None: PyTorch's own choice


def cut_patches(crops: Tensor, dtype: torch.dtype) -> Tensor:
    """Cut crops (n, h, w, 3) uint8 RGB into patches (n t, 768), as the patch embedding has them.

    A patch is its 16 x 16 pixels row by row, each as (pixel - CENTRE) / SCALE. The grid lies two
    pixels up and left of the crop; what is outside of it has the mean colour, which normalised
    is zero.
    """
    n, h, w, _ = crops.shape
    pixels = crops.new_empty(n, h, w, 3, dtype=dtype)
    pixels[...] = padding_values(crops.device, dtype)
    inside = pixels[:, PATCH_PADDING:, PATCH_PADDING:]
    torch.sub(crops[:, : h - PATCH_PADDING, : w - PATCH_PADDING].to(dtype), CENTRE, out=inside)
    inside *= 1 / SCALE
    grid = pixels.view(n, h // PATCH_SIZE, PATCH_SIZE, w // PATCH_SIZE, PATCH_SIZE, 3)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(-1, PATCH_VALUES)


@functools.cache  # for good: CUDA graphs go on reading it
def padding_values(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return (3,), what the pixels outside of a crop count as in patches."""
    return torch.tensor([(255 * mean - CENTRE) / SCALE for mean in MEAN]).to(device, dtype)


def patch_layer(proj: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return the patch embedding as weight (d, 768) and bias (d,) of a product, float64.

    For patches as cut_patches has them: normalisation is folded in.
    """
    assert proj.bias is not None, 'a layer with a bias'
    weight = proj.weight.detach().double().permute(0, 2, 3, 1)  # (d, 16, 16, 3)
    mean, deviation = (
        255 * torch.tensor(values, dtype=weight.dtype, device=weight.device)
        for values in (MEAN, STD)
    )
    centre = (CENTRE - mean) / deviation
    bias = proj.bias.detach().double() + (weight * centre).sum((1, 2, 3))
    return (weight * SCALE / deviation).reshape(len(weight), PATCH_VALUES), bias


class GatheredExperts(nn.Module):
    """Experts whose rows are gathered for each sample, so that any mix is the same graph."""

    weight: Tensor  # (sets, hidden, part)
    bias: Tensor  # (sets, 1, part)

    def __init__(self, experts: Experts) -> None:
        super().__init__()
        layers = [layer for layer in experts.values() if isinstance(layer, nn.Linear)]
        self.register_buffer('weight', torch.stack([layer.weight.detach().T for layer in layers]))
        self.register_buffer('bias', torch.stack([layer.bias.detach()[None] for layer in layers]))

    def forward(self, hidden: Tensor, index: Tensor) -> Tensor:
        """Map hidden (n, t, hidden) to (n, t, part); index: (n,), the set of each sample."""
        return torch.baddbmm(self.bias[index], hidden, self.weight[index])


class GpuBlock:
    """The layers of a transformer block; see vit.Block."""

    def __init__(self, block: Block) -> None:
        self.norm1, self.attention, self.norm2 = block.norm1, block.attn, block.norm2
        self.fc1, self.fc2 = block.mlp.fc1, block.mlp.fc2
        experts = block.mlp.experts
        self.experts = None if experts is None else GatheredExperts(experts)


class GpuNetwork:
    """The weights of a network on a device, and its parts as functions of tensors there."""

    def __init__(self, network: ViTPose, device: torch.device, dtype: torch.dtype) -> None:
        """Copy the weights of a folded network, which stays as it is."""
        self.config = network.config
        self.device = device
        self.dtype = dtype
        self.chosen = Chosen()
        self._height, self._width = network.config.grid_size
        self.tokens = self._height * self._width  # of a sample
        with torch.device('meta'):
            here = ViTPose(network.config).eval().requires_grad_(False)
        state = {name: self._here(tensor) for name, tensor in network.state_dict().items()}
        here.load_state_dict(state, assign=True)
        for module in here.modules():
            if isinstance(module, Windows):  # has buffers of its own
                module.to(device)
        proj = network.backbone.patch_embed.proj
        self._patch_weight, self._patch_bias = map(self._here, patch_layer(proj))
        self._convolution = here.backbone.patch_embed.proj
        self._positions = here.backbone.pos_embed[0]
        self.blocks = [
            GpuBlock(block) for block in here.backbone.blocks if isinstance(block, Block)
        ]
        self._last_norm = here.backbone.last_norm
        self._heads = here.heads

    def features(self, given: Tensor, index: Tensor) -> Tensor:
        """Map crops (n, h, w, 3) uint8 RGB, or patches (n t, 768), to features (n, t, d).

        index: (n,) int64, the keypoint set of each sample.
        """
        tokens = self.embed(given)
        norms = [norm for block in self.blocks for norm in (block.norm1, block.norm2)]
        norms.append(self._last_norm)
        tokens, normed = self.add_norm(tokens, self._positions, norms[0])
        for number, block in enumerate(self.blocks):
            mixed = self.attention(block.attention, normed)
            tokens, normed = self.add_norm(tokens, mixed, norms[2 * number + 1])
            fed = self.feed_forward(block, normed, index)
            tokens, normed = self.add_norm(tokens, fed, norms[2 * number + 2])
        return normed.view(-1, self.tokens, self.config.embed_dim)

    def embed(self, given: Tensor) -> Tensor:
        """Map crops or patches to tokens (n t, d), without their positions."""
        if given.dtype == torch.uint8:
            if not self.chosen.patch_product:
                pixels = normalise(given).to(self.dtype)
                maps: Tensor = self._convolution(pixels)
                return maps.flatten(2).transpose(1, 2).reshape(-1, self.config.embed_dim)
            given = cut_patches(given, self.dtype)
        return torch.addmm(self._patch_bias, given, self._patch_weight.t())

    def add_norm(self, tokens: Tensor, added: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
        """Add to tokens (n t, d), and normalise; return the sum and its layer norm.

        added: (n t, d), or (t, d), the same for all samples.
        """
        if self.chosen.fused_norms:
            return kernels.add_norm(tokens, added, norm.weight, norm.bias, LAYER_NORM_EPS)
        total = (tokens.view(-1, *added.shape) + added).view_as(tokens)
        return total, F.layer_norm(total, (total.shape[1],), norm.weight, norm.bias, norm.eps)

    def attention(self, attention: Attention, normed: Tensor) -> Tensor:
        """Let tokens (n t, d) attend to those of their sample; see vit.Attention."""
        tokens = normed.view(-1, self.tokens, self.config.embed_dim)
        if self.chosen.attention is None:
            out: Tensor = attention(tokens)
        else:
            with sdpa_kernel(self.chosen.attention):
                out = attention(tokens)
        return out.view_as(normed)

    def feed_forward(self, block: 'GpuBlock', normed: Tensor, index: Tensor) -> Tensor:
        """Map tokens (n t, d) to what the feed-forward part adds, (n t, d)."""
        hidden = self.hidden(block, normed)
        if block.experts is None:
            return torch.addmm(block.fc2.bias, hidden, block.fc2.weight.t())
        return self.with_experts(block, hidden, index)

    def hidden(self, block: 'GpuBlock', normed: Tensor) -> Tensor:
        """Map tokens (n t, d) to the hidden values (n t, 4 d), with GELU."""
        fc1 = block.fc1
        if self.chosen.fused_gelu:
            return torch._addmm_activation(fc1.bias, normed, fc1.weight.t(), use_gelu=True)
        return F.gelu(torch.addmm(fc1.bias, normed, fc1.weight.t()))

    def with_experts(self, block: 'GpuBlock', hidden: Tensor, index: Tensor) -> Tensor:
        """Map hidden values (n t, 4 d) to (n t, d); the last part by each sample's expert."""
        fc2, experts = block.fc2, block.experts
        assert experts is not None, 'a network with experts'
        if self.chosen.grouped_experts:
            out = hidden.new_empty(len(hidden), self.config.embed_dim)
            shared = out[:, : fc2.out_features]
            torch.addmm(fc2.bias, hidden, fc2.weight.t(), out=shared)
            own = out[:, fc2.out_features :]
            kernels.expert_product(hidden, experts.weight, experts.bias, index, own)
            return out
        shared = torch.addmm(fc2.bias, hidden, fc2.weight.t())
        own = experts(hidden.view(len(index), self.tokens, -1), index)
        return torch.cat((shared, own.flatten(0, 1)), dim=1)

    def heatmaps(self, name: str, features: Tensor) -> Tensor:
        """Map features (n, t, d) to the heatmaps (n, k, h/4, w/4) of a keypoint set."""
        head = self._heads[name]
        grid = features.view(len(features), self._height, self._width, self.config.embed_dim)
        grid = grid.permute(0, 3, 1, 2)
        if not (self.chosen.head_product and isinstance(head, ClassicDecoder)):
            maps: Tensor = head(grid)
            return maps
        heatmaps = self.last_layer(head.final_layer, head.deconv_layers(grid))
        if isinstance(head, BottomUpDecoder):
            return torch.cat((heatmaps, head.grouping(grid)), dim=1)
        return heatmaps

    def last_layer(self, layer: nn.Conv2d, maps: Tensor) -> Tensor:
        """Map (n, c, h, w) to (n, k, h, w) as a convolution of 1 x 1 does, by products.

        Each sample's is (k, c) @ (c, h w): any number of keypoints is well aligned, and heatmaps
        come out one after the other, as decoding reads them.
        """
        n, c, h, w = maps.shape
        columns = maps.permute(0, 2, 3, 1).reshape(n, h * w, c).transpose(1, 2)
        weight = layer.weight.view(1, -1, c).expand(n, -1, -1)
        assert layer.bias is not None, 'a layer with a bias'
        bias = layer.bias.view(1, -1, 1)
        return torch.baddbmm(bias, weight, columns).view(n, layer.out_channels, h, w)

    def _here(self, tensor: Tensor) -> Tensor:
        layout = torch.channels_last if tensor.ndim == 4 else torch.preserve_format
        return tensor.detach().to(self.device, self.dtype, memory_format=layout)
