"""ViTPose and ViTPose++: a plain vision transformer with a small decoder per keypoint set.

Xu et al., "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation", 2022
(arXiv:2204.12484), and "ViTPose++: Vision Transformer for Generic Body Pose Estimation", 2022
(arXiv:2212.04246). Parameters are named as in the authors' checkpoints
(github.com/ViTAE-Transformer/ViTPose), but for experts and heads, which carry the names of their
keypoint sets instead of numbers.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitpose_ros.core.model.config import PATCH_SIZE, AttentionKind, ViTPoseConfig
from vitpose_ros.core.model.decoders import BottomUpDecoder, ClassicDecoder, SimpleDecoder
from vitpose_ros.core.model.windows import Windows

PATCH_PADDING = 2  # pixels, on each side; as trained, although the last columns are never read
LAYER_NORM_EPS = 1e-6


class PatchEmbed(nn.Module):
    """Cut the image into patches and project each to a token."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.embed_dim, PATCH_SIZE, PATCH_SIZE, PATCH_PADDING)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (n, 3, h, w) to tokens (n, h/16 * w/16, d), row by row."""
        tokens: Tensor = self.proj(pixels).flatten(2).transpose(1, 2)
        return tokens


class Attention(nn.Module):
    """Multi-head self-attention, over the whole image or within windows."""

    def __init__(self, config: ViTPoseConfig, kind: AttentionKind) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)
        self.windows = None
        if kind != 'full':
            self.windows = Windows(
                config.grid_size,
                config.window_size,
                shifted=kind == 'shifted_window',
                pooled=kind == 'pooled_window',
            )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (n, t, d) to tokens (n, t, d)."""
        n, t, d = tokens.shape
        qkv = self.qkv(tokens).view(n, t, 3, self.num_heads, d // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (n, heads, t, d / heads) each
        if self.windows is None:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            mixed = self.windows(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(n, t, d))
        return out


class Experts(nn.ModuleDict):
    """What each keypoint set has of its own in the feed-forward part: an expert per set."""

    def __init__(self, config: ViTPoseConfig) -> None:
        hidden = config.embed_dim * config.mlp_ratio
        super().__init__(
            {name: nn.Linear(hidden, config.part_features) for name in config.keypoint_sets}
        )

    def forward(self, hidden: Tensor, counts: Sequence[int]) -> Tensor:
        """Map hidden (n, t, 4 d) to the own part (n, t, part); counts: samples of each set."""
        slices = torch.split(hidden, list(counts))
        return torch.cat(
            [expert(part) for expert, part in zip(self.values(), slices, strict=True) if len(part)]
        )


class Mlp(nn.Module):
    """The feed-forward part of a block; in ViTPose++ with an expert per keypoint set.

    The last part_features channels of the output come from the expert of the sample's keypoint
    set, the others are shared: the task-specific and task-agnostic parts of ViTPose++'s knowledge
    factorisation. The keypoint set alone decides; nothing is gated.
    """

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        hidden = config.embed_dim * config.mlp_ratio
        self.fc1 = nn.Linear(config.embed_dim, hidden)
        self.act: nn.Module = nn.GELU()
        self.fc2 = nn.Linear(hidden, config.embed_dim - config.part_features)
        self.experts = Experts(config) if config.part_features else None

    def forward(self, tokens: Tensor, counts: Sequence[int]) -> Tensor:
        """Map tokens (n, t, d) to tokens (n, t, d); counts: samples of each keypoint set."""
        hidden = self.act(self.fc1(tokens))
        out: Tensor = self.fc2(hidden)
        if self.experts is not None:
            out = torch.cat((out, self.experts(hidden, counts)), dim=-1)
        return out


class Block(nn.Module):
    """A transformer block, normalised before each part."""

    def __init__(self, config: ViTPoseConfig, kind: AttentionKind) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, LAYER_NORM_EPS)
        self.attn = Attention(config, kind)
        self.norm2 = nn.LayerNorm(config.embed_dim, LAYER_NORM_EPS)
        self.mlp = Mlp(config)

    def forward(self, tokens: Tensor, counts: Sequence[int]) -> Tensor:
        """Map tokens (n, t, d) to tokens (n, t, d); counts: samples of each keypoint set."""
        tokens = tokens + self.attn(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens), counts)
        return tokens


class ViT(nn.Module):
    """The encoder."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        self.grid_size = config.grid_size
        self.folded = config.folded
        grid_height, grid_width = config.grid_size
        self.patch_embed = PatchEmbed(config)
        # As trained, slot 0 is the class token's, left from pre-training: it is added to every
        # patch. Folded, it has been added already.
        slots = grid_height * grid_width + (0 if config.folded else 1)
        self.pos_embed = nn.Parameter(torch.zeros(1, slots, config.embed_dim))
        self.blocks = nn.ModuleList(Block(config, kind) for kind in config.block_attention)
        self.last_norm = nn.LayerNorm(config.embed_dim, LAYER_NORM_EPS)

    def forward(self, pixels: Tensor, counts: Sequence[int]) -> Tensor:
        """Map pixels (n, 3, h, w) to features (n, d, h/16, w/16)."""
        tokens = self.patch_embed(pixels)
        if self.folded:
            tokens = tokens + self.pos_embed
        else:
            tokens = tokens + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        for block in self.blocks:
            tokens = block(tokens, counts)
        features: Tensor = self.last_norm(tokens).transpose(1, 2).unflatten(2, self.grid_size)
        return features


class ViTPose(nn.Module):
    """One encoder, and one decoder per keypoint set."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = ViT(config)
        decoder = ClassicDecoder if config.decoder == 'classic' else SimpleDecoder
        if config.bottom_up:
            decoder = BottomUpDecoder
        self.heads = nn.ModuleDict(
            {name: decoder(config, count) for name, count in config.num_keypoints.items()}
        )

    def forward(self, pixels: Tensor, counts: Sequence[int] | None = None) -> list[Tensor]:
        """Map normalised RGB pixels (n, 3, h, w) to heatmaps, a tensor for each keypoint set.

        The samples stand in the order of the keypoint sets; counts tells how many belong to each
        (their sum is n), and may be left out where the network has a single set. Of each set the
        heatmaps are (count, k, h/4, w/4): the regressed Gaussians themselves, no sigmoid; peaks
        reach about 1, and values may be negative.
        """
        counts = [len(pixels)] if counts is None else list(counts)
        if len(counts) != len(self.heads) or sum(counts) != len(pixels):
            raise ValueError(
                f'counts {counts} for {len(pixels)} samples: give one number for each of '
                f'{list(self.heads)}, which add up to the samples'
            )
        features = torch.split(self.backbone(pixels, counts), counts)
        return [head(part) for head, part in zip(self.heads.values(), features, strict=True)]
