"""Processes that training shares its work out to."""

import multiprocessing
import signal
from collections.abc import Callable
from typing import Any

import torch.multiprocessing as mp

LIBRARIES = ['torch', 'training.stream']  # imported once, not by each process: they take seconds


def start(function: Callable[..., None], arguments: tuple[Any, ...], count: int) -> Any:
    """Let so many processes call a function with their number and arguments; return their context.

    An error in one ends all: the context's join raises it.
    """
    multiprocessing.set_forkserver_preload(LIBRARIES)
    return mp.start_processes(function, arguments, count, join=False, start_method='forkserver')


def join(context: Any) -> None:
    """Wait until all have ended; SIGTERM is handed on to them. Raises what one of them raised."""

    def stop(*_: object) -> None:
        for process in context.processes:
            process.terminate()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        while not context.join():
            pass
    finally:
        signal.signal(signal.SIGTERM, before)
