"""Timing on machines that are never quiet: contenders take turns, medians and ratios count."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import numpy as np
import torch

MATMUL = 2048  # rows and columns of the matrices whose product measures the machine

Times = dict[str, list[float]]  # contender: seconds of each round


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    budget_s: float = 45.0,
    at_least: int = 5,
) -> Times:
    """Run the contenders by turns, after one round that does not count.

    Stops early, though not before at_least rounds, when budget_s is used up.
    """
    times: Times = {name: [] for name in contenders}
    begin = time.perf_counter()
    for number in range(rounds + 1):
        if number > at_least and time.perf_counter() - begin > budget_s:
            break
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(times: Times, slower: str, faster: str) -> float:
    """Return how many times as long one takes as another: the median over the rounds."""
    return median(a / b for a, b in zip(times[slower], times[faster], strict=True))


def milliseconds(times: Times, name: str) -> float:
    """Return the median of a contender."""
    return 1e3 * median(times[name])


def percentile(seconds: list[float], share: float) -> float:
    """Return a percentile."""
    return float(np.percentile(seconds, share))


def matmul(dtype: torch.dtype = torch.float32, device: str = 'cpu') -> Callable[[], object]:
    """Return a matrix product to measure the machine with."""
    left, right, out = (torch.randn(MATMUL, MATMUL).to(device, dtype) for _ in range(3))
    return synchronous(lambda: torch.mm(left, right, out=out), device)


def synchronous(run: Callable[[], object], device: str) -> Callable[[], object]:
    """Return the function so that it ends when its work on the device does."""
    if not device.startswith('cuda'):
        return run

    def wait() -> None:
        run()
        torch.cuda.synchronize(device)

    return wait


def matmul_rate(times: Times, name: str) -> float:
    """Return what the matrix product reached: floating-point operations per second."""
    return 2 * MATMUL**3 / median(times[name])
