"""The network as it is trained: the package's own, and what only training needs."""

import contextlib
import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.initial import initialise
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.decoders import BottomUpDecoder, ClassicDecoder
from vitpose_ros.core.model.grouping import CENTRE
from vitpose_ros.core.model.vit import ViT, ViTPose
from vitpose_ros.core.runtime import processor
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.weights import write_checkpoint
from world.bodies import indices_of

SETS = ('coco', 'aic', 'mpii', 'wholebody')
CELLS = 4  # heatmap cells a side of a patch
RARE = -4.0  # logit of a centre at first: hardly any cell has one
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def config(
    embed_dim: int = 192,
    depth: int = 8,
    sets: Sequence[str] = SETS,
    image_size: tuple[int, int] = (256, 192),
) -> ViTPoseConfig:
    """Return the shape of a small network; a quarter of the FFN's output belongs to the expert."""
    return ViTPoseConfig(
        embed_dim=embed_dim,
        depth=depth,
        num_heads=embed_dim // 64,
        num_keypoints={name: len(SKELETONS[name]) for name in sets},
        part_features=embed_dim // 4 if len(sets) > 1 else 0,
        image_size=image_size,
        deconv_channels=64,
    )


class Trained(nn.Module):
    """A ViTPose in training, with random weights.

    May be given a knowledge token, and may say early, after half and three quarters of its blocks,
    what it knows of the first keypoint set: intermediate supervision (Newell et al., "Stacked
    Hourglass Networks for Human Pose Estimation", 2016, arXiv:1603.06937).
    """

    def __init__(
        self, config: ViTPoseConfig, token_width: int = 0, *, speaks_early: bool = False
    ) -> None:
        """Take the shape; token_width: of a knowledge token that the encoder is given, 0: none."""
        super().__init__()
        self.model = ViTPose(config)
        blocks = {config.depth // 2, config.depth * 3 // 4} - {0} if speaks_early else set()
        count = config.num_keypoints[config.keypoint_sets[0]]
        self.early = nn.ModuleDict(
            {str(n - 1): EarlyHead(config.embed_dim, count) for n in sorted(blocks)}
        )
        self._initialise()
        # A token that another network learned comes in that network's width. Made last: the first
        # weights of all else are the same with and without it.
        self.token_in: nn.Module | None = None
        if token_width:
            same = token_width == config.embed_dim
            self.token_in = nn.Identity() if same else nn.Linear(token_width, config.embed_dim)

    def forward(
        self, pixels: Tensor, counts: Sequence[int], token: Tensor | None = None
    ) -> list[Tensor]:
        """Map pixels (n, 3, h, w) to heatmaps (count, k, h/4, w/4) of each set.

        counts: samples of each set, in their order; of sets without samples heatmaps are empty.
        token: (1, n, width), n tokens that join the patches.
        """
        if token is not None:
            assert self.token_in is not None
            token = self.token_in(token)
        return self._decode(encode(self.model.backbone, pixels, counts, token)[-1], counts)

    def forward_early(
        self, pixels: Tensor, counts: Sequence[int]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return what forward does, and the early heatmaps (counts[0], k, h/4, w/4)."""
        features = encode(self.model.backbone, pixels, counts)
        early = [head(features[int(n)][: counts[0]]) for n, head in self.early.items()]
        return self._decode(features[-1], counts), early

    def _decode(self, features: Tensor, counts: Sequence[int]) -> list[Tensor]:
        rows, columns = features.shape[2:]
        heatmaps = []
        for head, part in zip(
            self.model.heads.values(), features.split(list(counts)), strict=True
        ):
            assert isinstance(head, ClassicDecoder)
            empty = part.new_zeros(0, head.final_layer.out_channels, CELLS * rows, CELLS * columns)
            heatmaps.append(head(part) if len(part) else empty)
        return heatmaps

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        initialise(self.model.backbone)
        for head in (*self.model.heads.values(), *self.early.values()):
            assert isinstance(head, ClassicDecoder | EarlyHead)
            nn.init.normal_(head.final_layer.weight, std=0.001)
            assert head.final_layer.bias is not None
            nn.init.zeros_(head.final_layer.bias)
            if isinstance(head, BottomUpDecoder):
                bias = head.grouping.final_layer.bias
                assert bias is not None
                nn.init.normal_(head.grouping.final_layer.weight, std=0.001)
                nn.init.zeros_(bias)
                nn.init.constant_(bias[CENTRE], RARE)


class EarlyHead(nn.Module):
    """Says of each patch alone what its heatmap cells are."""

    def __init__(self, width: int, num_keypoints: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.final_layer = nn.Linear(width, num_keypoints * CELLS**2)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, d, h/16, w/16) to heatmaps (n, k, h/4, w/4)."""
        cells: Tensor = self.final_layer(self.norm(features.movedim(1, -1)))
        return F.pixel_shuffle(cells.movedim(-1, 1), CELLS)


def embed(encoder: ViT, pixels: Tensor) -> Tensor:
    """Map pixels (n, 3, h, w) to patches with their places (n, t, d): what the blocks get."""
    places = encoder.pos_embed
    if not encoder.folded:
        places = places[:, 1:] + places[:, :1]
    tokens: Tensor = encoder.patch_embed(pixels) + places
    return tokens


def encode(
    encoder: ViT, pixels: Tensor, counts: Sequence[int], token: Tensor | None = None
) -> list[Tensor]:
    """Map pixels (n, 3, h, w) to the features (n, d, h/16, w/16) after each block.

    The last are normalised. token: (1, n, d) join the patches. The encoder may be folded.
    """
    tokens = embed(encoder, pixels)
    count = tokens.shape[1]
    if token is not None:
        tokens = torch.cat((tokens, token.to(tokens.dtype).expand(len(tokens), -1, -1)), dim=1)
    outputs = []
    for block in encoder.blocks:
        tokens = block(tokens, counts)
        outputs.append(tokens)
    outputs[-1] = encoder.last_norm(tokens)
    return [out[:, :count].transpose(1, 2).unflatten(2, encoder.grid_size) for out in outputs]


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move averaged weights on towards new ones; keep: the part of the old that stays."""
    mine, new = average.state_dict(), network.state_dict()
    floats = [name for name, value in mine.items() if value.is_floating_point()]
    torch._foreach_lerp_([mine[n] for n in floats], [new[n] for n in floats], 1 - keep)


def _plain_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None
) -> Tensor:
    """Attend as PyTorch's function does, in two products: on a processor they cost less."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    return scores.softmax(dim=-1) @ value


def hasten() -> None:
    """Make training quick on a processor; of all networks of this process."""
    F.scaled_dot_product_attention = _plain_attention
    # Freed memory is kept for the next step, not given back to the kernel and asked for again.
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
            ctypes.CDLL(None).mallopt(option, 2**31 - 1)


def write_network(trained: Trained, path: Path) -> None:
    """Write a network as the package reads it: in float16, keypoints that nobody knows at zero."""
    state = {k: v.detach().clone() for k, v in trained.model.state_dict().items()}
    for name in trained.model.config.keypoint_sets:
        unknown = torch.from_numpy(indices_of(name) < 0)
        for end in ('weight', 'bias'):
            state[f'heads.{name}.final_layer.{end}'][unknown] = 0
    for key, value in state.items():
        if 'running' not in key and value.is_floating_point():
            state[key] = value.half()
    state = {k: v for k, v in state.items() if 'num_batches' not in k}
    write_checkpoint(path, trained.model.config, state)


def autocast() -> torch.autocast:
    """Compute in bf16 where the processor multiplies such matrices itself; else it is slower."""
    return torch.autocast('cpu', torch.bfloat16, enabled=_has_bfloat16())


_has_bfloat16 = functools.cache(processor.has_bfloat16)
