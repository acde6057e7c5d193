"""The network as it is trained: the package's own, and what only training needs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.initial import initialise
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.vit import Attention, ClassicDecoder, ViT, ViTPose, ViTPoseConfig

SETS = ('coco', 'aic', 'mpii', 'wholebody')
CELLS = 4  # heatmap cells a side of a patch


def config(embed_dim: int = 192, depth: int = 8, sets: Sequence[str] = SETS) -> ViTPoseConfig:
    """Return the shape of a small network; a quarter of the FFN's output belongs to the expert."""
    return ViTPoseConfig(
        embed_dim=embed_dim,
        depth=depth,
        num_heads=embed_dim // 64,
        num_keypoints={name: len(SKELETONS[name]) for name in sets},
        part_features=embed_dim // 4 if len(sets) > 1 else 0,
        deconv_channels=64,
    )


class Trained(nn.Module):
    """A ViTPose in training, with random weights; may be given a knowledge token."""

    def __init__(self, config: ViTPoseConfig, token_width: int = 0) -> None:
        """Take the shape; token_width: of a knowledge token that the encoder is given, 0: none."""
        super().__init__()
        self.model = ViTPose(config)
        # A token that another network learned comes in that network's width.
        self.token_in: nn.Module | None = None
        if token_width:
            same = token_width == config.embed_dim
            self.token_in = nn.Identity() if same else nn.Linear(token_width, config.embed_dim)
        self._initialise()

    def forward(
        self, pixels: Tensor, counts: Sequence[int], token: Tensor | None = None
    ) -> list[Tensor]:
        """Map pixels (n, 3, h, w) to heatmaps (count, k, h/4, w/4) of each set.

        counts: samples of each set, in their order; of sets without samples heatmaps are empty.
        token: (1, 1, width), joins the patches.
        """
        features = self._encode(pixels, counts, token)
        rows, columns = features.shape[2:]
        heatmaps = []
        for head, part in zip(
            self.model.heads.values(), features.split(list(counts)), strict=True
        ):
            assert isinstance(head, ClassicDecoder)
            empty = part.new_zeros(0, head.final_layer.out_channels, CELLS * rows, CELLS * columns)
            heatmaps.append(head(part) if len(part) else empty)
        return heatmaps

    def _encode(self, pixels: Tensor, counts: Sequence[int], token: Tensor | None) -> Tensor:
        if token is None:
            features: Tensor = self.model.backbone(pixels, counts)
            return features
        assert self.token_in is not None
        return encode_with_token(self.model.backbone, pixels, counts, self.token_in(token))

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        initialise(self.model.backbone)
        for head in self.model.heads.values():
            assert isinstance(head, ClassicDecoder)
            nn.init.normal_(head.final_layer.weight, std=0.001)
            assert head.final_layer.bias is not None
            nn.init.zeros_(head.final_layer.bias)


def encode_with_token(
    encoder: ViT, pixels: Tensor, counts: Sequence[int], token: Tensor
) -> Tensor:
    """Map pixels (n, 3, h, w) to features (n, d, h/16, w/16), while a token joins the patches.

    token: (1, 1, d). The encoder may be folded.
    """
    places = encoder.pos_embed
    if not encoder.folded:
        places = places[:, 1:] + places[:, :1]
    tokens = encoder.patch_embed(pixels) + places
    tokens = torch.cat((tokens, token.to(tokens.dtype).expand(len(tokens), -1, -1)), dim=1)
    for block in encoder.blocks:
        tokens = block(tokens, counts)
    out: Tensor = encoder.last_norm(tokens[:, :-1]).transpose(1, 2).unflatten(2, encoder.grid_size)
    return out


def _plain_attention(self: Attention, tokens: Tensor) -> Tensor:
    """Attend as Attention does, in two products: its gradient costs less on a processor."""
    n, t, d = tokens.shape
    qkv = self.qkv(tokens).view(n, t, 3, self.num_heads, d // self.num_heads)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    scores = (query * (d // self.num_heads) ** -0.5) @ key.transpose(-2, -1)
    mixed = scores.softmax(dim=-1) @ value
    out: Tensor = self.proj(mixed.transpose(1, 2).reshape(n, t, d))
    return out


def hasten() -> None:
    """Make training quick on a processor; of all networks of this process."""
    Attention.forward = _plain_attention  # type: ignore[method-assign]
