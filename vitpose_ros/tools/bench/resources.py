"""What a network costs beside its time: start-up, memory, and what other programs do to it.

Each measurement has a process of its own, so that nothing before it counts.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from vitpose_ros.core.backends import processor
from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.export import CACHE_VARIABLE
from vitpose_ros.core.types import Frame
from vitpose_ros.tools.bench import subjects, timing
from vitpose_ros.tools.bench.sections import Options
from vitpose_ros.tools.bench.tables import Table

SMALL_INPUT = (64, 48)  # so that ten thousand frames take a minute
SETTLED = 1000  # frames after which memory is expected to stay
SHARED_FRAMES = 60
PROCESSES = multiprocessing.get_context('spawn')


def startup(options: Options, name: str, weights: Path | str) -> Table:
    """Measure how long until the first result, and how much memory then."""
    table = Table(
        f'start-up {name}',
        f'Start-up, {name}: a new process to the first result',
        ('backend', 'start', 'load s', 'first result s', 'memory MB'),
    )
    table.note = (
        'Load: weights to a backend that is ready; first result: the first frame then. Memory: '
        'resident, of the whole process. First: graphs are converted and kept for the next.'
    )
    for backend in dict.fromkeys(backend for backend, _ in options.contenders()):
        with tempfile.TemporaryDirectory() as cache:
            for start in ('first', 'later') if backend != 'torch' else ('any',):
                found = in_process(
                    _start, cache, str(weights), backend, options.device, options.threads
                )
                table.add(backend, start, *found)
    return table


def growth(options: Options, frames: int) -> Table:
    """Measure whether memory stays level."""
    table = Table(
        'memory',
        f'Memory over {frames} frames of 0 to 3 people, MB',
        ('backend', f'after {SETTLED}', f'after {frames}', 'growth'),
    )
    height, width = SMALL_INPUT
    table.note = f'The embedded network, crops of {width} x {height} to save time.'
    backends = list(dict.fromkeys(backend for backend, _ in options.contenders()))

    def measure(backend: str) -> tuple[float, float]:
        found: tuple[float, float] = in_process(
            _grow, backend, options.device, options.threads, frames
        )
        return found

    with ThreadPoolExecutor() as pool:  # all at once: time does not matter here
        for backend, (settled, last) in zip(backends, pool.map(measure, backends), strict=True):
            table.add(backend, settled, last, last - settled)
    return table


def shared_cores(options: Options, name: str, weights: Path | str) -> Table:
    """Measure what frames take while another process keeps a core busy."""
    cores = processor.default_threads() + 1
    table = Table(
        f'shared cores {name}',
        f'Shared cores, {name}: a frame with one person, ms, alone and beside a busy process',
        ('backend', 'threads', 'alone: median', 'beside: median', 'beside: p95', 'p95 / alone'),
    )
    table.note = f'{cores} cores; the default leaves one free.'
    default = options.threads or processor.default_threads()
    for backend in dict.fromkeys(['auto', *(backend for backend, _ in options.contenders())]):
        for threads in dict.fromkeys((default, cores)):
            alone, beside = in_process(_share, str(weights), backend, options.device, threads)
            p95 = timing.percentile(beside, 95)
            table.add(
                backend,
                threads,
                1e3 * median(alone),
                1e3 * median(beside),
                1e3 * p95,
                p95 / median(alone),
            )
    return table


def resident_mb() -> float:
    """Return the memory of this process that is in RAM."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * 4096 / 1e6


def in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, and return what it returns."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_report, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError as error:
        raise RuntimeError(f'{function.__name__} failed; see above') from error
    finally:
        process.join()


def _report(sender: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    sender.send(function(*arguments))


def _start(
    cache: str, weights: str, backend: str, device: str, threads: int
) -> tuple[float, float, float]:
    os.environ[CACHE_VARIABLE] = cache
    begin = time.perf_counter()
    estimator = PoseEstimator.load(weights, device, backend=backend, threads=threads)
    ready = time.perf_counter()
    estimator.predict([subjects.frame(1)])
    return ready - begin, time.perf_counter() - ready, resident_mb()


def _grow(backend: str, device: str, threads: int, frames: int) -> tuple[float, float]:
    estimator = PoseEstimator.load(
        'nano', device, backend=backend, threads=threads, image_size=SMALL_INPUT
    )
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    settled = 0.0
    for number in range(1, frames + 1):
        low = random.uniform((0, 0), (560, 360), (random.integers(0, 4), 2))
        boxes = np.concatenate((low, low + random.uniform(20, 200, low.shape)), axis=1)
        estimator.predict([Frame(image, boxes.astype(np.float32))])
        if number == min(SETTLED, frames):
            settled = resident_mb()
    return settled, resident_mb()


def _share(
    weights: str, backend: str, device: str, threads: int
) -> tuple[list[float], list[float]]:
    estimator = PoseEstimator.load(weights, device, backend=backend, threads=threads)
    frame = subjects.frame(1)

    def frames() -> list[float]:
        times = timing.interleave({'': lambda: estimator.predict([frame])}, rounds=SHARED_FRAMES)
        return times['']

    alone = frames()
    with _busy():
        return alone, frames()


@contextmanager
def _busy() -> Any:
    """Keep a core busy meanwhile."""
    process = PROCESSES.Process(target=_spin, daemon=True)
    process.start()
    try:
        time.sleep(1.0)  # until it is there
        yield
    finally:
        process.kill()
        process.join()


def _spin() -> None:
    while True:
        pass
