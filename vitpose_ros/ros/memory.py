"""The memory of this process."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from resource import getpagesize

import torch


def resident_memory_mb() -> float:
    """Return the memory that this process occupies, in megabytes."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * getpagesize() / 1e6


def release_memory(warn: Callable[[str], object]) -> None:
    """Give freed memory back to the system, and to other processes on the GPU.

    warn: takes what the GPU says if it cannot, as one that is lost does.
    """
    gc.collect()
    try:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    except RuntimeError as error:
        warn(f'memory of the GPU is not given back: {error}')
    # Without it glibc keeps what is freed: of a network of 1400 MB 1360, with it 60.
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)
