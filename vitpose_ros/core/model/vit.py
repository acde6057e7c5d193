"""ViTPose and ViTPose++: a plain vision transformer with a small decoder per keypoint set.

Xu et al., "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation", 2022
(arXiv:2204.12484), and "ViTPose++: Vision Transformer for Generic Body Pose Estimation", 2022
(arXiv:2212.04246). Parameters are named as in the authors' checkpoints
(github.com/ViTAE-Transformer/ViTPose), but for experts and heads, which carry the names of their
keypoint sets instead of numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitpose_ros.core.model.grouping import FINER, Grouping, num_channels
from vitpose_ros.core.model.windows import Windows

PATCH_SIZE = 16  # pixels
PATCH_PADDING = 2  # pixels, on each side; as trained, although the last columns are never read
LAYER_NORM_EPS = 1e-6
DECONVOLUTION = 4, 2, 1  # of the classic decoder: kernel size, stride, padding
HEATMAP_STRIDE = 4  # input pixels a heatmap cell
DEFAULT_WINDOW_SIZE = (8, 6)  # tokens: quarters of a 256 x 192 image

# Keypoint sets of the public networks in the unbiased convention: UDP crops, DARK decoding. Crops
# of the others are plain, and decoding shifts by a quarter of a cell. From the authors' *_udp.py
# configurations.
PUBLIC_UDP = ('coco', 'mpii')

# What a token of a block attends to: all tokens of the image; those of its window; those of its
# window, where windows are shifted by half their size; those of its window, and of every window
# the mean (the paper's pooling windows).
AttentionKind = Literal['full', 'window', 'shifted_window', 'pooled_window']


class Size(TypedDict):
    """The part of a configuration that makes up a size."""

    embed_dim: int
    depth: int
    num_heads: int
    deconv_channels: int


# S has 12 heads, not the 6 of other ViT-S. The authors' G is a ViTAE-G, for which neither code
# nor weights are public; here it is a plain transformer of its scale, one billion parameters.
SIZES: dict[str, Size] = {
    'nano': {'embed_dim': 192, 'depth': 8, 'num_heads': 3, 'deconv_channels': 64},
    'small': {'embed_dim': 384, 'depth': 12, 'num_heads': 12, 'deconv_channels': 256},
    'base': {'embed_dim': 768, 'depth': 12, 'num_heads': 12, 'deconv_channels': 256},
    'large': {'embed_dim': 1024, 'depth': 24, 'num_heads': 16, 'deconv_channels': 256},
    'huge': {'embed_dim': 1280, 'depth': 32, 'num_heads': 16, 'deconv_channels': 256},
    'giant': {'embed_dim': 1408, 'depth': 40, 'num_heads': 16, 'deconv_channels': 256},
}


@dataclass(frozen=True)
class ViTPoseConfig:
    """The shape of a network."""

    embed_dim: int
    depth: int
    num_heads: int
    num_keypoints: dict[str, int]  # keypoint set: keypoints of its head, in the order of the heads
    part_features: int = 0  # rows of fc2 that each keypoint set has of its own; 0: no experts
    mlp_ratio: int = 4
    image_size: tuple[int, int] = (256, 192)  # height, width in pixels, multiples of 16
    decoder: Literal['classic', 'simple'] = 'classic'
    deconv_channels: int = 256  # classic decoder only
    attention: AttentionKind | tuple[AttentionKind, ...] = 'full'  # of all blocks, or one a block
    window_size: tuple[int, int] = DEFAULT_WINDOW_SIZE  # height, width in tokens
    # Keypoint sets that it was trained for in the unbiased convention; of its own sets alone.
    udp: tuple[str, ...] = PUBLIC_UDP
    # Finds all subjects in a whole image; else it estimates one in a crop.
    bottom_up: bool = False
    # For inference: no batch norm, and the position embedding is the sum of its two parts.
    folded: bool = False

    def __post_init__(self) -> None:
        """Keep of udp what the network has. Raise ValueError, naming what does not fit."""
        own = tuple(name for name in self.num_keypoints if name in self.udp)
        object.__setattr__(self, 'udp', own)
        if self.embed_dim % self.num_heads:
            raise ValueError(f'width {self.embed_dim} does not divide by {self.num_heads} heads')
        if min(self.image_size) < PATCH_SIZE or any(side % PATCH_SIZE for side in self.image_size):
            raise ValueError(
                f'image size {self.image_size[0]} x {self.image_size[1]}: give multiples of '
                f'{PATCH_SIZE} (height, width)'
            )
        if not self.num_keypoints:
            raise ValueError('no keypoint set: a network needs at least one head')
        if self.bottom_up and self.decoder != 'classic':
            raise ValueError('bottom-up networks have the classic decoder')
        if not 0 <= self.part_features < self.embed_dim:
            raise ValueError(
                f'{self.part_features} part features: give 0 to {self.embed_dim - 1}, less than '
                'the width'
            )
        if len(self.block_attention) != self.depth:
            raise ValueError(
                f'attention for {len(self.block_attention)} blocks, the network has {self.depth}'
            )
        for kind in self.block_attention:
            if kind not in get_args(AttentionKind):
                raise ValueError(
                    f"attention '{kind}' is not known; give {', '.join(get_args(AttentionKind))}"
                )
        if min(self.window_size) < 1:
            raise ValueError(f'window size {self.window_size}: give at least one token')

    @property
    def keypoint_sets(self) -> tuple[str, ...]:
        """The keypoint sets, in the order of heads and experts."""
        return tuple(self.num_keypoints)

    @property
    def num_maps(self) -> dict[str, int]:
        """How many maps each keypoint set has: heatmaps, and bottom-up what groups them."""
        more = FINER**2 if self.bottom_up else 0
        return {
            name: count + (num_channels(count) // more if more else 0)
            for name, count in self.num_keypoints.items()
        }

    @property
    def block_attention(self) -> tuple[AttentionKind, ...]:
        """The kind of attention of each block."""
        if isinstance(self.attention, str):
            return (self.attention,) * self.depth
        return self.attention

    @property
    def grid_size(self) -> tuple[int, int]:
        """Height and width of the grid of patches."""
        return self.image_size[0] // PATCH_SIZE, self.image_size[1] // PATCH_SIZE

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """Height and width of a heatmap in cells."""
        return self.image_size[0] // HEATMAP_STRIDE, self.image_size[1] // HEATMAP_STRIDE


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


class ClassicDecoder(nn.Module):
    """Two deconvolutions, then a 1x1 convolution."""

    def __init__(self, config: ViTPoseConfig, num_keypoints: int) -> None:
        super().__init__()
        channels = config.deconv_channels

        def norm() -> nn.Module:
            return nn.Identity() if config.folded else nn.BatchNorm2d(channels)

        self.deconv_layers = nn.Sequential(
            nn.ConvTranspose2d(config.embed_dim, channels, *DECONVOLUTION, bias=config.folded),
            norm(),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels, *DECONVOLUTION, bias=config.folded),
            norm(),
            nn.ReLU(),
        )
        self.final_layer = nn.Conv2d(channels, num_keypoints, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, d, h/16, w/16) to heatmaps (n, k, h/4, w/4)."""
        heatmaps: Tensor = self.final_layer(self.deconv_layers(features))
        return heatmaps


class BottomUpDecoder(ClassicDecoder):
    """The classic decoder, and beside its heatmaps what says whose they are."""

    def __init__(self, config: ViTPoseConfig, num_keypoints: int) -> None:
        super().__init__(config, num_keypoints)
        self.grouping = Grouping(config.embed_dim, 2 * config.deconv_channels, num_keypoints)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, d, h/16, w/16) to maps (n, k + more, h/4, w/4); see Grouping."""
        return torch.cat((super().forward(features), self.grouping(features)), dim=1)


class SimpleDecoder(nn.Module):
    """Bilinear upsampling, then a 3x3 convolution."""

    def __init__(self, config: ViTPoseConfig, num_keypoints: int) -> None:
        super().__init__()
        self.final_layer = nn.Conv2d(config.embed_dim, num_keypoints, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, d, h/16, w/16) to heatmaps (n, k, h/4, w/4)."""
        upsampled = F.interpolate(F.relu(features), scale_factor=4, mode='bilinear')
        heatmaps: Tensor = self.final_layer(upsampled)
        return heatmaps


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
