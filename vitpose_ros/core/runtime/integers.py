"""Whether integers of 8 bits are worth their loss here: measured once, and kept."""

import hashlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from vitpose_ros.core.runtime import cache, export, processor
from vitpose_ros.core.runtime.base import BackendError, GraphBackend

LOG = logging.getLogger(__name__)

ROUNDS = 5
# Where the processor is not made for int8, which then is a little faster or slower than float32:
# one measurement beside other programs must not let the slower pass.
ROUNDS_WITHOUT = 15
LEAST_WITHOUT = 1.1
WITHOUT = (
    'this processor has no instructions for (none of the flags '
    f'{", ".join(processor.INT8_FLAGS)}): it costs accuracy, and may cost time'
)


def gain(slow: Callable[[], object], fast: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Measure by turns how many times as fast as the first the second is; the median."""
    gains = []
    for _ in range(rounds + 1):  # the first warms up
        times = [perf_counter()]
        for run in (slow, fast):
            run()
            times.append(perf_counter())
        gains.append((times[1] - times[0]) / (times[2] - times[1]))
    return median(gains[1:])


def compare(fast: GraphBackend, open_plain: Callable[[], GraphBackend], name: str) -> str:
    """Return a warning, or nothing, for a backend in int8, after its speed here.

    open_plain: opens the same in float32, for a measurement that is then kept. name: of the
    runtime and network. Raises BackendError where the processor is not made for int8, which is
    not clearly faster either.
    """
    place = hashlib.sha256(f'{processor.name()}; {fast.description}'.encode()).hexdigest()[:8]

    def make(folder: Path) -> None:
        LOG.info('comparing int8 with float32 on this processor; once, some seconds')
        crops = export.example(fast.config)
        counts = [len(crops)] + [0] * (len(fast.config.keypoint_sets) - 1)
        plain, short = (partial(b.heatmaps, crops, counts) for b in (open_plain(), fast))
        rounds = ROUNDS if processor.has_int8() else ROUNDS_WITHOUT
        (folder / 'gain').write_text(f'{gain(plain, short, rounds):.4f}')

    def load(folder: Path) -> float:
        return float((folder / 'gain').read_text())

    return judge(cache.cached(f'int8-gain-{name}-{place}', make, load), fast.description)


def judge(gain: float, where: str) -> str:
    """Return a warning, or nothing, for int8 that is so many times as fast as float32."""
    found = f'{where}: {gain:.2f} times as fast as float32'
    if processor.has_int8():
        return '' if gain >= 1 else f'{found}; set precision to auto'
    found += f'. Int8 is what {WITHOUT}'
    if gain >= LEAST_WITHOUT:
        return found
    raise BackendError(
        f'{found}; it is taken from {LEAST_WITHOUT} times up: set precision to auto or float32'
    )
