"""Timing on machines that are never quiet: contenders take turns, medians and ratios count."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import numpy as np
import torch

# Of the GPU's clock, about 5 ms, longer than queueing a pass takes; and where it takes longer.
QUEUE_CYCLES, MOST_CYCLES = 10_000_000, 320_000_000
DEVICE_ROUNDS = 12

Times = dict[str, list[float]]  # contender: seconds of each round
Run = Callable[[], object]


def interleave(
    contenders: Mapping[str, Run],
    *,
    rounds: int,
    budget_s: float = 45.0,
    at_least: int = 5,
    failed: Callable[[str, Exception], None] | None = None,
) -> Times:
    """Run the contenders by turns, after one round that does not count.

    Stops early, though not before at_least rounds, when budget_s is used up. failed: is told
    which contender raised what; that one is left out from then on. Without it, errors are raised.
    """
    times: Times = {name: [] for name in contenders}
    begin = time.perf_counter()
    for number in range(rounds + 1):
        if number > at_least and time.perf_counter() - begin > budget_s:
            break
        for name in list(times):
            start = time.perf_counter()
            try:
                contenders[name]()
            except Exception as error:
                if failed is None:
                    raise
                failed(name, error)
                del times[name]
                continue
            if number:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(times: Times, slower: str, faster: str) -> float | None:
    """Return how many times as long one takes as another: the median over the rounds.

    None where one of them did not run.
    """
    if slower not in times or faster not in times:
        return None
    return median(a / b for a, b in zip(times[slower], times[faster], strict=True))


def milliseconds(times: Times, name: str) -> float:
    """Return the median of a contender."""
    return 1e3 * median(times[name])


def percentile(seconds: list[float], share: float) -> float:
    """Return a percentile."""
    return float(np.percentile(seconds, share))


def cores_busy(run: Run, runs: int) -> float:
    """Return how many cores of the processor a function keeps busy."""
    begin, used = time.perf_counter(), time.process_time()
    for _ in range(runs):
        run()
    return (time.process_time() - used) / (time.perf_counter() - begin)


def synchronous(run: Run, device: torch.device) -> Run:
    """Return the function so that it ends when its work on the device does."""
    if device.type != 'cuda':
        return run

    def wait() -> None:
        run()
        torch.cuda.synchronize(device)

    return wait


def on_device_ms(queue: Run, device: torch.device) -> float | None:
    """Return the milliseconds on the device of what a function queues there without waiting.

    The device is kept busy until all is queued, so that the cost of launching does not count.
    None where the function waits for the device, or queues more than that takes at once.
    """
    if device.type != 'cuda':
        return milliseconds(interleave({'': queue}, rounds=1), '')
    times: list[float] = []
    cycles = QUEUE_CYCLES
    with torch.cuda.device(device):
        while len(times) < DEVICE_ROUNDS:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(cycles)
            begin.record()
            queue()
            end.record()
            was_busy = not begin.query()  # it had not even begun when all was queued
            end.synchronize()
            if was_busy:
                times.append(float(begin.elapsed_time(end)))
            elif cycles < MOST_CYCLES:
                cycles *= 2
            else:
                return None
    return median(times)
