"""What starts the Triton kernels, for what PyTorch needs several kernels for.

Triton comes with PyTorch's builds for CUDA. Where it is not, fault() says so, and callers take
their other way.
"""

import importlib.util
from typing import Any

import torch
from torch import Tensor

from vitpose_ros.core.geometry.heatmaps import (
    FLAT,
    FLOAT32_EPS,
    HIGHEST,
    LARGEST_STEP,
    LOWEST,
    PATCH,
    tables_of,
)

# Whether Triton's interpreter may run the kernels on a processor, to test them. It does where
# TRITON_INTERPRET=1 is in the environment before Triton is imported.
INTERPRETED = False
ROWS, COLUMNS, DEPTH = 64, 64, 32  # of a block of expert_product
LARGEST_MAP = 1 << 16  # cells that decode holds at once


def fault(device: torch.device) -> str:
    """Return what keeps the kernels from running on a device; nothing where they can."""
    if importlib.util.find_spec('triton') is None:
        return 'Triton is not installed'
    if device.type != 'cuda' and not INTERPRETED:
        return 'Triton kernels need a GPU'
    return ''


def _kernels() -> Any:
    """Return the module of the kernels, which needs Triton."""
    from vitpose_ros.core.runtime.cuda import triton_kernels

    return triton_kernels


def add_norm(
    tokens: Tensor, added: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Return the sum of tokens (n t, d) and added, (n t, d) or (t, d), and its layer norm."""
    rows, d = tokens.shape
    total, normed = torch.empty_like(tokens), torch.empty_like(tokens)
    _kernels().add_norm[(rows,)](
        tokens, added, weight, bias, total, normed, len(added), d, eps, BLOCK=_power_of_two(d)
    )
    return total, normed


def expert_product(
    hidden: Tensor, weight: Tensor, bias: Tensor, index: Tensor, out: Tensor
) -> None:
    """Multiply each sample with the weights of its expert.

    hidden: (n t, hidden); weight: (sets, hidden, part); bias: (sets, 1, part); index: (n,) int64;
    out: (n t, part), whose rows may be apart.
    """
    n, (_, k, part) = len(index), weight.shape
    t = len(hidden) // n
    assert k % DEPTH == 0, f'{k} hidden values; give a multiple of {DEPTH}'
    grid = (n, -(-t // ROWS), -(-part // COLUMNS))
    _kernels().expert_product[grid](
        hidden, weight, bias, index, out, t, part, out.stride(0),
        HIDDEN=k, ROWS=ROWS, COLUMNS=COLUMNS, DEPTH=DEPTH,
    )  # fmt: skip


def decode(heatmaps: Tensor, out: Tensor, *, udp: bool, hybrid: bool) -> None:
    """Find the peaks of heatmaps (n, k, h, w), as heatmaps.decode does.

    out: (n, k, 3 or more) float32, which gets x, y and score.
    """
    n, k, h, w = heatmaps.shape
    assert h * w <= LARGEST_MAP, f'maps of {h} x {w}; give at most {LARGEST_MAP} cells'
    tables = tables_of(h, w, hybrid, heatmaps.device)
    _kernels().decode[(n * k,)](
        heatmaps.contiguous(), tables.cells, tables.rows, tables.columns, out,
        h, w, out.stride(1), LOWEST, HIGHEST, LARGEST_STEP, FLOAT32_EPS, FLAT,
        UDP=udp, PH=min(PATCH, h), PW=min(PATCH, w), BLOCK=_power_of_two(h * w),
    )  # fmt: skip


def sample(
    frame: Tensor,
    regions: Tensor,
    padding: Tensor,
    out: Tensor,
    *,
    size: tuple[int, int],
    patch: int,
    margin: int,
    centre: float,
    scale: float,
    channels: tuple[int, int],
) -> None:
    """Sample regions of a frame into crops or patches, bilinear, black where they leave it.

    frame: (h, w, c) or (h, w) uint8, with any strides. regions: (n, 5) float32: x and y of the
    first pixel, steps in x and y, and the place in out. size: height and width of a crop.
    channels: where red is, and how far from there green, and blue from it. out: (places, h, w, 3)
    uint8, or patches (places t, patch patch 3) of (pixel - centre) / scale, whose grid lies
    margin pixels up and left of the crop, and which are padding (3,) outside of it.
    """
    height, width = frame.shape[:2]
    grid_height, grid_width = size[0] // patch, size[1] // patch
    first, step = channels
    apart = frame.stride(2) if frame.dim() == 3 else 1  # bytes between channels
    _kernels().sample_patches[(len(regions), grid_height * grid_width)](
        frame, regions, padding, out, height, width, frame.stride(0), frame.stride(1),
        first * apart, step * apart, grid_height, grid_width,
        CENTRE=centre, SCALE=scale, PATCH=patch, MARGIN=margin,
        AS_PATCHES=out.dtype != torch.uint8,
    )  # fmt: skip


def _power_of_two(number: int) -> int:
    """Return the smallest power of two that is not smaller."""
    return 1 << (number - 1).bit_length()
