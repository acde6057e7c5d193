"""First weights that know what images are: they save the first thousands of samples."""

import torch
from torch import Tensor

from vitpose_ros.core.model.config import PATCH_SIZE
from vitpose_ros.core.model.vit import Attention, ViT

LONGEST_WAVE = 100.0  # of the position embedding, in rads per patch
COLOURS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (0.5, -1.0, 0.5))  # grey, red to blue, green


def initialise(encoder: ViT) -> None:
    """Set the first weights of an encoder: positions, patches, and what attends to what."""
    width = encoder.pos_embed.shape[2]
    with torch.no_grad():
        encoder.pos_embed.zero_()
        encoder.pos_embed[:, 1:] = 0.5 * positions(encoder.grid_size, width)
        encoder.patch_embed.proj.weight.copy_(cosines(width))
        assert encoder.patch_embed.proj.bias is not None
        encoder.patch_embed.proj.bias.zero_()
        for block in encoder.blocks:
            _attend_to_alike(block.attn)  # type: ignore[arg-type]


def positions(grid: tuple[int, int], width: int) -> Tensor:
    """Return sines and cosines of the rows and columns of a grid of patches, (t, width).

    As Vaswani et al., "Attention Is All You Need", 2017 (arXiv:1706.03762), in two dimensions.
    """
    rows, columns = grid
    count = width // 4
    rates = LONGEST_WAVE ** -(torch.arange(count) / count)
    y, x = (torch.arange(length)[:, None] * rates for length in grid)
    of_rows = torch.cat((y.sin(), y.cos()), dim=1)[:, None].expand(-1, columns, -1)
    of_columns = torch.cat((x.sin(), x.cos()), dim=1)[None].expand(rows, -1, -1)
    return torch.cat((of_rows, of_columns), dim=2).reshape(rows * columns, -1)


def cosines(width: int) -> Tensor:
    """Return filters of patches (width, 3, 16, 16): the lowest waves of the cosine transform.

    Of red, green and blue the sum first, of which more waves are taken than of the differences.
    High waves are amplified, because images have little of them.
    """
    at = (torch.arange(PATCH_SIZE) + 0.5) / PATCH_SIZE
    waves = torch.stack([(torch.pi * k * at).cos() for k in range(PATCH_SIZE)])
    waves[0] *= 0.5**0.5
    waves /= (PATCH_SIZE / 2) ** 0.5
    colours = torch.tensor(COLOURS)
    colours /= colours.norm(dim=1, keepdim=True)
    choices = [
        ((i * i + j * j) * (3 if colour else 1) + (2 if colour else 0), i, j, colour)
        for i in range(PATCH_SIZE)
        for j in range(PATCH_SIZE)
        for colour in range(3)
    ]
    filters = []
    for _, i, j, colour in sorted(choices)[:width]:
        strength = 0.35 * (1 + (i * i + j * j) ** 0.5) ** 0.7
        wave = strength * waves[i][:, None] * waves[j]
        filters.append(colours[colour][:, None, None] * wave)
    return torch.stack(filters)


def _attend_to_alike(attention: Attention) -> None:
    """Let tokens attend to those like them, and pass on what these are not.

    Products of query and key weights near the identity, of value and output weights near its
    negative, as in trained networks: Trockman and Kolter, "Mimetic Initialization of
    Self-Attention Layers", 2023 (arXiv:2305.09828).
    """
    d = attention.qkv.in_features
    k = d // attention.num_heads
    for head in range(attention.num_heads):
        u, s, v = torch.linalg.svd(0.7 * torch.randn(d, d) / d**0.5 + 0.7 * torch.eye(d))
        query = slice(head * k, (head + 1) * k)
        key = slice(d + head * k, d + (head + 1) * k)
        attention.qkv.weight[query] = (u[:, :k] * s[:k].sqrt()).T
        attention.qkv.weight[key] = v[:k] * s[:k, None].sqrt()
    u, s, v = torch.linalg.svd(0.4 * torch.randn(d, d) / d**0.5 - 0.4 * torch.eye(d))
    attention.qkv.weight[2 * d :] = v * s[:, None].sqrt()
    attention.proj.weight.copy_(u * s.sqrt())
