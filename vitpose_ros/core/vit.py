"""ViTPose: a plain vision transformer with a small decoder that gives one heatmap a keypoint.

Xu et al., "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation", 2022
(arXiv:2204.12484). Parameters are named as in the authors' checkpoints
(github.com/ViTAE-Transformer/ViTPose), so that those load without renaming.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH_SIZE = 16  # pixels
PATCH_PADDING = 2  # pixels, on each side; as trained, although the last columns are never read
LAYER_NORM_EPS = 1e-6
HEATMAP_STRIDE = 4  # input pixels a heatmap cell


@dataclass(frozen=True)
class ViTPoseConfig:
    """The shape of a network; everything but the number of heads shows in its tensors."""

    embed_dim: int
    depth: int
    num_heads: int
    num_keypoints: int
    mlp_ratio: int = 4
    image_size: tuple[int, int] = (256, 192)  # height, width in pixels
    decoder: Literal['classic', 'simple'] = 'classic'
    deconv_channels: int = 256  # classic decoder only

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
    """Multi-head self-attention over all tokens of an image."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.embed_dim, 3 * config.embed_dim)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (n, t, d) to tokens (n, t, d)."""
        n, t, d = tokens.shape
        qkv = self.qkv(tokens).view(n, t, 3, self.num_heads, d // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (n, heads, t, d / heads) each
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(n, t, d))
        return out


class Mlp(nn.Module):
    """The feed-forward part of a block."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        hidden = config.embed_dim * config.mlp_ratio
        self.fc1 = nn.Linear(config.embed_dim, hidden)
        self.fc2 = nn.Linear(hidden, config.embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (n, t, d) to tokens (n, t, d)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


class Block(nn.Module):
    """A transformer block, normalised before each part."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.embed_dim, LAYER_NORM_EPS)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.embed_dim, LAYER_NORM_EPS)
        self.mlp = Mlp(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (n, t, d) to tokens (n, t, d)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens


class ViT(nn.Module):
    """The encoder."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        self.grid_size = config.grid_size
        grid_height, grid_width = config.grid_size
        self.patch_embed = PatchEmbed(config)
        # Slot 0 is the class token's, left from pre-training: it is added to every patch.
        self.pos_embed = nn.Parameter(
            torch.zeros(1, 1 + grid_height * grid_width, config.embed_dim)
        )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.last_norm = nn.LayerNorm(config.embed_dim, LAYER_NORM_EPS)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (n, 3, h, w) to features (n, d, h/16, w/16)."""
        tokens = self.patch_embed(pixels) + self.pos_embed[:, 1:] + self.pos_embed[:, :1]
        for block in self.blocks:
            tokens = block(tokens)
        features: Tensor = self.last_norm(tokens).transpose(1, 2).unflatten(2, self.grid_size)
        return features


class ClassicDecoder(nn.Module):
    """Two deconvolutions, then a 1x1 convolution."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        channels = config.deconv_channels
        self.deconv_layers = nn.Sequential(
            nn.ConvTranspose2d(config.embed_dim, channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.final_layer = nn.Conv2d(channels, config.num_keypoints, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, d, h/16, w/16) to heatmaps (n, k, h/4, w/4)."""
        heatmaps: Tensor = self.final_layer(self.deconv_layers(features))
        return heatmaps


class SimpleDecoder(nn.Module):
    """Bilinear upsampling, then a 3x3 convolution."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        self.final_layer = nn.Conv2d(config.embed_dim, config.num_keypoints, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, d, h/16, w/16) to heatmaps (n, k, h/4, w/4)."""
        upsampled = F.interpolate(F.relu(features), scale_factor=4, mode='bilinear')
        heatmaps: Tensor = self.final_layer(upsampled)
        return heatmaps


class ViTPose(nn.Module):
    """Encoder and decoder of one keypoint set."""

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = ViT(config)
        decoder = ClassicDecoder if config.decoder == 'classic' else SimpleDecoder
        self.keypoint_head = decoder(config)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised RGB pixels (n, 3, h, w) to heatmaps (n, k, h/4, w/4).

        Heatmaps are the regressed Gaussians themselves (no sigmoid): peaks reach about 1,
        and values may be negative.
        """
        heatmaps: Tensor = self.keypoint_head(self.backbone(pixels))
        return heatmaps
