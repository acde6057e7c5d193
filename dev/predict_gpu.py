"""Predict what a pass takes on a GPU, from what each of its kernels computes and moves.

python dev/predict_gpu.py

A pass is traced without a GPU, on tensors that have a size and no content. A kernel takes as long
as its arithmetic, its memory traffic or its launch within a graph, whichever takes longest. A
product is cut into tiles that go over the card's multiprocessors in waves; a last wave that is
not full takes as long as a full one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vitpose_ros.core.model.config import SIZES, ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime.base import Decoding
from vitpose_ros.core.runtime.cuda import kernels
from vitpose_ros.core.runtime.cuda.network import Chosen, GpuNetwork
from vitpose_ros.core.runtime.cuda.passes import TRUNK, Passes
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.tools.bench.tables import Table

META = torch.device('meta')
BATCHES = (1, 4, 8, 16, 64)
TILE = (64, 128)  # rows and columns of a product that a multiprocessor computes at a time


@dataclass(frozen=True)
class Card:
    """A GPU as its data sheet has it, and what kernels are assumed to reach of that."""

    name: str = 'H100 SXM'
    flop_s: float = 989e12  # of dense products in 16 bits
    byte_s: float = 3.35e12
    multiprocessors: int = 132
    of_flop_s: float = 0.65
    of_byte_s: float = 0.8
    launch_s: float = 3e-6  # from one small kernel of a graph to the next

    def seconds(self, moved: int, products: tuple[int, int, int] | None) -> float:
        """Return what a kernel takes that moves bytes, and multiplies (m, k) by (k, n)."""
        times = [self.launch_s, moved / (self.of_byte_s * self.byte_s)]
        if products is not None:
            m, k, n = products
            tiles = math.ceil(m / TILE[0]) * math.ceil(n / TILE[1])
            waves = math.ceil(tiles / self.multiprocessors)
            work = 2 * waves * self.multiprocessors * TILE[0] * TILE[1] * k
            times.append(work / (self.of_flop_s * self.flop_s))
        return max(times)


class Count(TorchDispatchMode):
    """Adds up what the kernels take that run within it."""

    def __init__(self, card: Card) -> None:
        super().__init__()
        self._card = card
        self.seconds, self.kernels, self.operations = 0.0, 0, 0

    def add(self, tensors: Any, products: tuple[int, int, int] | None = None) -> None:
        """Add a kernel that reads and writes tensors."""
        moved = sum(tensor.nbytes for tensor in tree_leaves(tensors) if isinstance(tensor, Tensor))
        self.seconds += self._card.seconds(moved, products)
        self.kernels += 1
        self.operations += 0 if products is None else 2 * math.prod(products)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and add its kernel if it has one."""
        out = function(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        name = function.overloadpacket.__name__
        memory = {tensor.untyped_storage()._cdata for tensor in given}
        is_view = not function._schema.is_mutable and all(
            leaf.untyped_storage()._cdata in memory
            for leaf in tree_leaves(out)
            if isinstance(leaf, Tensor)
        )
        if not is_view and not name.startswith(('empty', 'new_empty')):
            self.add((given, out), products(name, given, out))
        return out


def products(name: str, given: Sequence[Tensor], out: Tensor) -> tuple[int, int, int] | None:
    """Return rows, inner size and columns of the product that an operation is, None for others."""
    if name in ('addmm', '_addmm_activation', 'mm'):
        return out.shape[0], given[-1].shape[0], out.shape[1]
    if name in ('bmm', 'baddbmm'):
        return out.shape[0] * out.shape[1], given[-1].shape[1], out.shape[2]
    if name == 'convolution':  # the transposed ones of the decoder: each pixel to 4 x 4
        n, channels, h, w = given[0].shape
        return n * h * w, channels, given[1].shape[1] * 16
    return None


def predict(config: ViTPoseConfig, batch: int, card: Card) -> Count:
    """Count a pass of so many crops, with all faster ways taken.

    config: of a folded network with one keypoint set and the classic decoder.
    """
    with META:  # not around the rest, which has to choose the device itself
        plain = ViTPose(config).eval()
    network = GpuNetwork(plain, META, torch.float16)
    network.chosen = Chosen(
        patch_product=True, fused_gelu=True, fused_norms=True, head_product=True
    )
    ways = {'graphs': False, 'kernel_decode': True, 'patches': True}
    passes = Passes(network, Decoding(), batch, **ways)
    count = Count(card)

    def add_norm(tokens: Tensor, added: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        found = torch.empty_like(tokens), torch.empty_like(tokens)
        count.add((tokens, added, found))
        return found

    def attention(q: Tensor, k: Tensor, v: Tensor, **_: Any) -> Tensor:
        n, heads, tokens, d = q.shape
        count.add((q, k, v, q), (n * heads * tokens, 2 * d, tokens))
        return torch.empty(n, tokens, heads, d, dtype=q.dtype, device=META).transpose(1, 2)

    def decode(maps: Tensor, *_: Any, **__: Any) -> None:
        count.add(maps)

    before = kernels.add_norm, kernels.decode, F.scaled_dot_product_attention
    kernels.add_norm, kernels.decode, F.scaled_dot_product_attention = add_norm, decode, attention
    try:
        with torch.no_grad(), count:  # inference mode would hide what linear is made of
            passes._compute(TRUNK, batch)
    finally:
        kernels.add_norm, kernels.decode, F.scaled_dot_product_attention = before
    return count


def main() -> None:
    """Print the table."""
    card = Card()
    columns = ('size', 'batch', 'GFLOP a crop', 'kernels', 'ms a pass', 'crops/s', 'of the peak')
    rows: list[tuple[object, ...]] = []
    for size in ('small', 'base', 'large', 'huge'):
        config = ViTPoseConfig(
            **SIZES[size], num_keypoints={'coco': len(SKELETONS['coco'])}, folded=True
        )
        for batch in BATCHES:
            count = predict(config, batch, card)
            each, rate = count.operations / batch / 1e9, batch / count.seconds
            share = count.operations / count.seconds / card.flop_s
            row = size, batch, each, count.kernels, 1e3 * count.seconds, round(rate), share
            rows.append(row)
    print(Table('', f'Predicted for an {card.name}', columns, rows).markdown())


if __name__ == '__main__':
    main()
