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

from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.runtime import Options, open_backend, processor
from vitpose_ros.core.runtime.cache import CACHE_VARIABLE
from vitpose_ros.core.types import Frame
from vitpose_ros.core.weights import load_network
from vitpose_ros.tools.bench import subjects, timing
from vitpose_ros.tools.bench.options import BenchOptions, calibrated
from vitpose_ros.tools.bench.subjects import Model
from vitpose_ros.tools.bench.tables import explained

SMALL_INPUT = (64, 48)  # so that ten thousand frames take a minute
SETTLED = 1000  # frames after which memory is expected to stay
SHARED_FRAMES = 60
PROCESSES = multiprocessing.get_context('spawn')


def startup(options: BenchOptions, model: Model) -> None:
    """Measure how long until the first result, and how much memory then."""
    in_int8 = [name for name, precision in options.contenders() if precision == 'int8']
    with options.results.table(
        f'start-up {model.name}',
        f'Start-up, {model.name}: a new process to the first result',
        ('backend', 'precision', 'start', 'load s', 'first result s', 'memory MB'),
    ) as table:
        table.note = (
            'Load: weights to a backend that is ready; first result: the first frame then. '
            'Memory: resident, of the whole process. First: graphs are converted and kept for the '
            'next. Int8 is not compared with float32, which takes some seconds at the first start.'
        )

        def measure(backend: str, precision: str, weights: Path | str, *calibration: Path) -> None:
            starts = ('any',) if backend == 'torch' else ('first', 'later')
            with (
                table.attempt(f'{backend}, {precision}'),
                tempfile.TemporaryDirectory() as cache,
            ):
                how = {
                    'backend': backend,
                    'precision': precision,
                    'device': options.device,
                    'threads': options.threads,
                }
                for start in starts:
                    found = in_process(_start, cache, str(weights), how, *calibration)
                    table.add(backend, precision, start, *found)

        with model.file() as weights:
            for backend in options.backends:
                measure(backend, 'auto', weights)
        if in_int8:
            with calibrated(model) as found:
                for backend in in_int8:
                    measure(backend, 'int8', *found)


def growth(options: BenchOptions, frames: int) -> None:
    """Measure whether memory stays level."""
    height, width = SMALL_INPUT

    def measure(backend: str) -> tuple[float, float] | Exception:
        try:
            found: tuple[float, float] = in_process(
                _grow, backend, options.device, options.threads, frames
            )
        except Exception as error:
            return error
        return found

    with (
        options.results.table(
            'memory',
            f'Memory, embedded network: over {frames} frames of 0 to 3 people, MB',
            ('backend', f'after {SETTLED}', f'after {frames}', 'growth'),
        ) as table,
        ThreadPoolExecutor() as pool,
    ):  # all at once: time does not matter here
        table.note = f'Crops of {width} x {height} to save time.'
        for backend, found in zip(
            options.backends, pool.map(measure, options.backends), strict=True
        ):
            if isinstance(found, Exception):
                table.fail(backend, found)
            else:
                table.add(backend, *found, found[1] - found[0])


def shared_cores(options: BenchOptions, model: Model) -> None:
    """Measure what frames take while another process keeps a core busy."""
    cores = processor.default_threads() + 1
    default = options.threads or processor.default_threads()
    with (
        options.results.table(
            f'shared cores {model.name}',
            f'Shared cores, {model.name}: one person, ms, alone and beside a busy process',
            (
                'backend',
                'threads',
                'alone: median',
                'beside: median',
                'beside: p95',
                'p95 / alone',
            ),
        ) as table,
        model.file() as weights,
    ):
        table.note = f'{cores} cores; the default leaves one free.'
        for backend in dict.fromkeys(['auto', *options.backends]):
            for threads in dict.fromkeys((default, cores)):
                with table.attempt(f'{backend}, {threads} threads'):
                    alone, beside = in_process(
                        _share, str(weights), backend, options.device, threads
                    )
                    p95 = timing.percentile(beside, 95)
                    figures = 1e3 * median(alone), 1e3 * median(beside), 1e3 * p95
                    table.add(backend, threads, *figures, p95 / median(alone))


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
        found, failure = receiver.recv()
    except EOFError as error:
        raise RuntimeError(f'{function.__name__} ended without an answer') from error
    finally:
        process.join()
    if failure:
        raise RuntimeError(f'{function.__name__} failed: {failure}')
    return found


def _report(sender: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        sender.send((function(*arguments), ''))
    except Exception as error:
        sender.send((None, explained(error)))


def _start(
    cache: str, weights: str, how: dict[str, Any], calibration: Path | None = None
) -> tuple[float, float, float]:
    os.environ[CACHE_VARIABLE] = cache
    begin = time.perf_counter()
    backend = open_backend(
        load_network(weights), Options(**how), calibration=calibration, at_any_speed=True
    )
    estimator = PoseEstimator(backend)
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
