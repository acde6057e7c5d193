"""The matrix product that measures the machine: what a network could reach at most."""

import functools
from statistics import median
from typing import get_args

import torch

from vitpose_ros.core.runtime import processor
from vitpose_ros.core.types import Precision
from vitpose_ros.tools.bench import timing
from vitpose_ros.tools.bench.options import BenchOptions

# Rows and columns: those of the networks on a processor; what keeps all of a large GPU busy.
SIZES = {'cpu': 2048, 'cuda': 8192}
ROUNDS = 10
FLOATS = [name for name in get_args(Precision) if getattr(torch, name).is_floating_point]


def products(options: BenchOptions) -> None:
    """Measure the matrix product in each precision that the machine has."""
    with options.results.table(
        'product',
        'Matrix product: what the machine reaches, of square matrices',
        ('device', 'precision', 'rows', 'TFLOP/s'),
    ) as table:
        device = options.where
        for precision in FLOATS:
            if device.type == 'cpu' and not here(precision):
                continue
            with table.attempt(precision):
                reached = rate(precision, device) / 1e12
                table.add(str(device), precision, SIZES[device.type], reached)


def here(precision: str) -> bool:
    """Tell whether the processor itself computes in a precision."""
    return precision == 'float32' or (precision == 'bfloat16' and processor.has_bfloat16())


def name(precision: str) -> str:
    """Return what the product is called among contenders."""
    return f'product in {precision}'


def flops(device: torch.device) -> float:
    """Return the operations of one product."""
    return 2.0 * SIZES[device.type] ** 3


def run(precision: str, device: torch.device) -> timing.Run:
    """Return the product as a contender."""
    rows, dtype = SIZES[device.type], getattr(torch, precision)
    left, right, out = (torch.randn(rows, rows, device=device).to(dtype) for _ in range(3))
    return timing.synchronous(lambda: torch.mm(left, right, out=out), device)


@functools.cache
def rate(precision: str, device: torch.device) -> float:
    """Return what the product reaches alone, in operations a second."""
    times = timing.interleave({'': run(precision, device)}, rounds=ROUNDS, budget_s=3.0)
    return flops(device) / median(times[''])
