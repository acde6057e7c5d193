"""Streams, events and graphs of a CUDA device.

On a processor each has a stand-in that does the same at once and in order, so that all that is
built on them runs and is tested there.
"""

import contextlib
import functools
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from statistics import median
from typing import Any, Protocol

import torch

from vitpose_ros.core.runtime.faults import brief, is_device_lost, is_out_of_memory

LOG = logging.getLogger(__name__)

WARM_UP = 3  # runs before a capture: they choose algorithms and allocate
REPEATS = 10  # of a function in one measurement
STREAMS = 32  # of a device, which PyTorch hands out one after the other, again and again


class Event(Protocol):
    """A place in a stream that can be waited for."""

    def record(self, stream: Any = None) -> None:
        """Mark the place: after all that the stream was given so far."""

    def synchronize(self) -> None:
        """Wait until the device is past it."""


class _Passed:
    """An event on a processor, which is always past it."""

    def record(self, stream: Any = None) -> None:
        """Mark nothing."""

    def synchronize(self) -> None:
        """Wait for nothing."""


def event(device: torch.device) -> Event:
    """Return an event. Waiting for it leaves the core to others."""
    if device.type != 'cuda':
        return _Passed()
    found: Event = torch.cuda.Event(blocking=True)
    return found


def stream(device: torch.device) -> Any:
    """Return a new stream, None on a processor."""
    if device.type != 'cuda':
        return None
    return torch.cuda.Stream(device)


@functools.cache
def trial_stream(device: torch.device) -> Any:
    """Return the stream on which a device's ways are tried; its graphs never last.

    cuBLAS keeps a workspace for each stream, 32 MiB on an H100, and from PyTorch 2.13 on a graph
    that is destroyed takes along that of its stream: graphs that last have streams of their own.
    """
    return _streams.take(device, _streams)


class _Streams:
    """Streams of recorders, used again after these, with the workspaces that belong to them."""

    def __init__(self) -> None:
        self._free: dict[torch.device, list[Any]] = {}
        self._taken: list[Any] = []

    def take(self, device: torch.device, user: object) -> Any:
        """Return a stream that no other user has as long as this one lives."""
        free = self._free.setdefault(device, [])
        taken = free.pop() if free else self._other(device)
        self._taken.append(taken)
        weakref.finalize(user, self._give_back, taken, free)
        return taken

    def _other(self, device: torch.device) -> Any:
        """Return a stream that nobody has, if PyTorch still has one."""
        for _ in range(STREAMS):
            found = stream(device)
            if found is None or found not in self._taken:
                break
        return found

    def _give_back(self, taken: Any, free: list[Any]) -> None:
        self._taken.remove(taken)
        free.append(taken)


_streams = _Streams()


@contextlib.contextmanager
def on_own_stream(device: torch.device, own: Any) -> Iterator[None]:
    """Let what follows run on a stream, between what was and what will be queued."""
    wait(device, waiting=own)
    with on_device(device, own):
        yield
    wait(device, awaited=own)


def on_device(device: torch.device, stream: Any = None) -> AbstractContextManager[object]:
    """Let what follows run on a device, and on a stream of it if one is given."""
    if device.type != 'cuda':
        return contextlib.nullcontext()
    if stream is not None:
        return torch.cuda.stream(stream)
    return torch.cuda.device(device)


def wait(device: torch.device, waiting: Any = None, awaited: Any = None) -> None:
    """Let one stream wait for what another was given so far; None: the current one."""
    if device.type == 'cuda':
        current = torch.cuda.current_stream(device)
        (waiting or current).wait_stream(awaited or current)


def pinned(*size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return memory of the host that copies to and from the device can use."""
    return torch.empty(*size, dtype=dtype, pin_memory=device.type == 'cuda')


# To wait for a whole device may break a capture of another thread, so ours take turns. To free
# memory waits for it, too.
_CAPTURING = threading.RLock()


def finish(device: torch.device) -> None:
    """Wait until the device has nothing left to do."""
    if device.type == 'cuda':
        with _CAPTURING:
            torch.cuda.synchronize(device)


def free_cache(device: torch.device) -> None:
    """Give memory that PyTorch keeps for later back to the device."""
    if device.type == 'cuda':
        with _CAPTURING:
            torch.cuda.empty_cache()


@contextlib.contextmanager
def on_trial_stream(device: torch.device) -> Iterator[None]:
    """Let what follows run on the stream of trials, which one thread at a time has."""
    with _CAPTURING, on_own_stream(device, trial_stream(device)):
        yield


@contextlib.contextmanager
def exact_convolutions(precision: str, *, by_measurement: bool = False) -> Iterator[None]:
    """Keep cuDNN from rounding float32 to TF32.

    by_measurement: let it choose its algorithms so, which takes long for each new size.
    """
    cudnn = torch.backends.cudnn
    settings: list[tuple[Any, str, object]] = [(cudnn, 'benchmark', by_measurement)]
    if precision == 'float32':
        # PyTorch 2.9 brought settings of single operations. Where a program has used these, the
        # one of before is not readable any more.
        if hasattr(cudnn, 'conv'):
            settings.append((cudnn.conv, 'fp32_precision', 'ieee'))
        else:
            settings.append((cudnn, 'allow_tf32', False))
    before = [getattr(place, name) for place, name, _ in settings]
    try:
        for place, name, value in settings:
            setattr(place, name, value)
        yield
    finally:
        for (place, name, _), value in zip(settings, before, strict=True):
            setattr(place, name, value)


class Recorder:
    """Captures functions as graphs, one after the other on one stream, in one pool of memory.

    Graphs that share a stream share memory: what one leaves of the pool, the next may use. So
    nothing in the pool may outlive a replay: functions write their results to memory that was
    there before. The largest function is captured first, and what it leaves holds the others.

    Graphs live as long as the recorder: a graph that is destroyed may take along workspaces that
    others of its stream use.

    Other threads may use the device meanwhile, but not draw random numbers on it: up to 2.11
    PyTorch keeps one note of captures per device for them, and raises in the thread that draws.
    """

    def __init__(self, device: torch.device, stream: Any = None) -> None:
        """Take the device; stream: to capture on, one of the recorder's own if left out."""
        self._device = device
        self._stream = _streams.take(device, self) if stream is None else stream
        self._pool: Any = torch.cuda.graph_pool_handle() if device.type == 'cuda' else None
        self._graphs: list[Any] = []

    def record(self, function: Callable[[], object]) -> Callable[[], object]:
        """Run a function a few times, capture it, and return what replays it.

        What other libraries do at the same time may break a capture: it is tried once more.
        """
        if self._device.type != 'cuda':
            function()
            return function
        with _CAPTURING, on_own_stream(self._device, self._stream):
            for _ in range(WARM_UP):
                function()
            try:
                graph = self._try(function)
            except Exception as error:
                if is_out_of_memory(error) or is_device_lost(error):
                    raise
                LOG.info('a CUDA graph is captured once more, after: %s', brief(error))
                graph = self._try(function)
        replay: Callable[[], object] = graph.replay
        return replay

    def _try(self, function: Callable[[], object]) -> Any:
        """Capture a function; leave all as it was before if that fails."""
        graph = torch.cuda.CUDAGraph()
        self._graphs.append(graph)  # also where the capture fails
        try:
            self._capture(graph, function, self._pool)
        except Exception:
            self._leave_pool()
            self._free_random_numbers()
            raise
        return graph

    def _capture(self, graph: Any, function: Callable[[], object], pool: Any) -> None:
        # The default mode, 'global', would let work in any other thread break the capture.
        mode = 'thread_local'
        with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode=mode):
            function()

    def _leave_pool(self) -> None:
        """Let the allocator know that a capture ended, which PyTorch before 2.12 forgets."""
        with contextlib.suppress(Exception):  # where it knows
            torch._C._cuda_endAllocateToPool(self._device.index, self._pool)
            torch._C._cuda_releasePool(self._device.index, self._pool)

    def _free_random_numbers(self) -> None:
        """Capture an addition, so that random numbers can be drawn on the device again.

        Up to PyTorch 2.11 a capture that fails leaves their generator noting that it goes on,
        which the end of the next that succeeds corrects.
        """
        try:
            number, graph = torch.zeros(1, device=self._device), torch.cuda.CUDAGraph()
            self._graphs.append(graph)
            self._capture(graph, lambda: number.add_(1), None)
        except Exception as error:
            LOG.warning(
                'after a capture that failed, drawing random numbers on %s may fail, too: %s',
                *(self._device, error),
            )


def milliseconds(
    function: Callable[[], object], device: torch.device, rounds: int = 5, *, graph: bool = True
) -> float:
    """Return the time that a function takes on the device.

    graph: without the cost of launching its kernels, by a graph; else with what of that cost the
    device has to wait for.
    """
    recorder = Recorder(device, trial_stream(device))
    if graph:
        run = recorder.record(function)
    else:
        run = function
        for _ in range(WARM_UP):
            run()
    times: list[float] = []
    for _ in range(rounds):
        if device.type == 'cuda':
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            for _ in range(REPEATS):
                run()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) / REPEATS)
        else:
            start = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - start))
    return median(times)
