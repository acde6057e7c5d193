"""The shapes that a ViTPose network can have, and those of the paper."""

from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from vitpose_ros.core.model.grouping import FINER, num_channels

PATCH_SIZE = 16  # pixels
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
    attention: AttentionKind | tuple[AttentionKind, ...] = 'full'  # of all blocks, or of each
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
