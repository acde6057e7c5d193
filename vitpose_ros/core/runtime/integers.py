"""Whether integers of 8 bits are worth their loss here: measured, and kept unless refused."""

import hashlib
import logging
import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

from vitpose_ros.core.runtime import cache, export, processor
from vitpose_ros.core.runtime.base import BackendError, GraphBackend

LOG = logging.getLogger(__name__)

ROUNDS = 5  # of a trial
LEAST_TRIALS, MOST_TRIALS = 4, 8
SETTLED = 0.98  # in a trial that is the last, no time is shorter than so much of the shortest
BUDGET_S = 90.0  # after which a trial is the last anyway: of the largest networks
# Where the processor is not made for int8, which then is a little faster or slower than float32.
LEAST_WITHOUT = 1.1
WITHOUT = (
    'this processor has no instructions for (none of the flags '
    f'{", ".join(processor.INT8_FLAGS)}): it costs accuracy, and may cost time'
)


def gain(
    slow: Callable[[], object],
    fast: Callable[[], object],
    rounds: int = ROUNDS,
    trials: int = MOST_TRIALS,
) -> float:
    """Measure by turns how many times as fast as the first the second is.

    By the shortest times, since what else the machine does only makes them longer; in trials of
    so many rounds, until one finds none that is shorter.
    """
    runs, start = (slow, fast), perf_counter()
    for run in runs:  # to warm up
        run()
    shortest = [math.inf, math.inf]
    for trial in range(1, trials + 1):
        before = list(shortest)
        for _ in range(rounds):
            for number, run in enumerate(runs):
                begin = perf_counter()
                run()
                shortest[number] = min(shortest[number], perf_counter() - begin)
        settled = all(new >= SETTLED * old for new, old in zip(shortest, before, strict=True))
        if (settled and trial >= LEAST_TRIALS) or perf_counter() - start > BUDGET_S:
            break
    return shortest[0] / shortest[1]


def compare(fast: GraphBackend, open_plain: Callable[[], GraphBackend], name: str) -> str:
    """Return a warning, or nothing, for a backend in int8, after its speed here.

    open_plain: opens the same in float32, for a measurement that is then kept, unless it refuses
    int8: beside other programs it may have been wrong. name: of the runtime and network. Raises
    BackendError where the processor is not made for int8, which is not clearly faster either.
    """
    measured: list[float] = []
    place = hashlib.sha256(f'{processor.name()}; {fast.description}'.encode()).hexdigest()[:8]

    def make(folder: Path) -> None:
        LOG.info('comparing int8 with float32 on this processor; once, some seconds')
        crops = export.example(fast.config)
        counts = [len(crops)] + [0] * (len(fast.config.keypoint_sets) - 1)
        plain, short = (partial(b.heatmaps, crops, counts) for b in (open_plain(), fast))
        measured.append(gain(plain, short))
        (folder / 'gain').write_text(f'{measured[-1]:.4f}')

    def load(folder: Path) -> float:
        return float((folder / 'gain').read_text())

    entry = f'int8-gain-{name}-{place}'
    kept = cache.cache_directory() / entry
    found = cache.cached(entry, make, load)
    if is_refused(found) and not measured:  # kept by a version that kept those, too
        shutil.rmtree(kept, ignore_errors=True)
        found = cache.cached(entry, make, load)
    if is_refused(found):
        shutil.rmtree(kept, ignore_errors=True)
    return judge(found, fast.description, None if measured else kept)


def is_refused(gain: float) -> bool:
    """Tell whether int8 that is so many times as fast as float32 is not run here."""
    return not processor.has_int8() and gain < LEAST_WITHOUT


def judge(gain: float, where: str, kept: Path | None = None) -> str:
    """Return a warning, or nothing, for int8 that is so many times as fast as float32.

    kept: where that is from, if it was not measured now.
    """
    # Cut off, so that what is refused never looks as if it were enough.
    found = f'{where}: {math.floor(1000 * gain) / 1000:.3f} times as fast as float32'
    if kept is not None:
        found += f", as measured before (remove '{kept}' to measure again)"
    if processor.has_int8():
        return '' if gain >= 1 else f'{found}; set precision to auto'
    found += f'. Int8 is what {WITHOUT}'
    if not is_refused(gain):
        return found
    raise BackendError(
        f'{found}; it is taken from {LEAST_WITHOUT} times up: set precision to auto or float32; '
        'or start anew when nothing else runs here, which measures again'
    )
