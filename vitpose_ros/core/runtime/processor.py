"""What the processor of this machine has, and how much of it is ours."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

# Instructions that multiply numbers of 16 bits: Intel and AMD, then Arm.
BFLOAT16_FLAGS = {'amx_bf16', 'avx512_bf16', 'bf16', 'svebf16'}
# And that multiply integers of 8 bits and add them up in 32.
INT8_FLAGS = ('amx_int8', 'avx512_vnni', 'avx_vnni', 'asimddp', 'i8mm')

_lock = threading.Lock()
_inside, _outside = 0, 0  # who computes with threads of torch_threads; how many there are else


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let PyTorch compute with so many threads meanwhile; 0: as many as it does.

    For all backends, because crops and decoding are PyTorch's, too. PyTorch keeps the number
    for the calling thread, and for those that come to be meanwhile.
    """
    global _inside, _outside
    if not count:
        yield
        return
    with _lock:
        if not _inside:
            _outside = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(count)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(_outside)


def default_threads() -> int:
    """Return how many threads to compute with: all cores but one, for the rest of the robot."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def description(precision: str, threads: int) -> str:
    """Return what a backend says of itself on the processor."""
    return f'cpu, {precision}, {threads} thread{"s" if threads > 1 else ""}'


def has_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 itself."""
    return bool(_flags() & BFLOAT16_FLAGS)


def has_int8() -> bool:
    """Tell whether the processor multiplies integers of 8 bits in one instruction."""
    return not _flags().isdisjoint(INT8_FLAGS)


def name() -> str:
    """Return the name of the processor, with the instructions that matter here."""
    model = 'unknown processor'
    for line in _cpuinfo().splitlines():
        key, _, value = line.partition(':')
        if key.strip() == 'model name':
            model = value.strip()
            break
    known = ('avx2', 'avx512f', 'avx512_bf16', 'amx_bf16', 'asimd', 'bf16', *INT8_FLAGS)
    return ', '.join([model, *(flag for flag in known if flag in _flags())])


def _flags() -> set[str]:
    for line in _cpuinfo().splitlines():
        key, _, value = line.partition(':')
        if key.strip() in ('flags', 'Features'):
            return set(value.split())
    return set()


def _cpuinfo() -> str:
    try:
        return Path('/proc/cpuinfo').read_text()
    except OSError:
        return ''
