"""ONNX Runtime's providers: which of them are there, and sessions on them.

The runtime falls back by itself, without the options that were given and in silence. So each
provider is tried here, with its own options, and what it gives is looked at.
"""

import contextlib
import ctypes
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitpose_ros.core.runtime import nvidia
from vitpose_ros.core.runtime.base import BackendError

TENSORRT, CUDA, CPU = (f'{name}ExecutionProvider' for name in ('Tensorrt', 'CUDA', 'CPU'))
INSTALL = 'pip install onnxruntime (with an NVIDIA GPU onnxruntime-gpu)'

Options = Mapping[str, str]


@dataclass(frozen=True)
class Provider:
    """A provider with its options, and what takes the nodes of a graph that it leaves."""

    name: str
    options: Options
    rest: Sequence[tuple[str, Options]] = ()


class ProviderError(RuntimeError):
    """A provider that does not start, and why."""


def runtime() -> Any:
    """Import ONNX Runtime; raises BackendError where it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f"backend 'onnx' is not installed: {INSTALL}, or set backend to torch"
        ) from error
    return onnxruntime


def why_no_cuda(index: int = 0) -> str:
    """Return why ONNX Runtime has no CUDA device of an index, and what helps; '' if it has."""
    built = runtime().get_available_providers()
    if CUDA not in built:
        return f'it has only {", ".join(built)}; pip install onnxruntime-gpu'
    driver = nvidia.ask_driver()
    if len(driver.names) > index:
        return ''
    return driver.reason or f'the NVIDIA driver sees only {", ".join(driver.names)}; give cuda:0'


def library(provider: str) -> Path:
    """Return the library of a provider for GPUs, whether it is there or not."""
    name = provider.removesuffix('ExecutionProvider').lower()
    folder = Path(runtime().__file__).parent / 'capi'
    return folder / f'libonnxruntime_providers_{name}.so'


def load_cuda_libraries() -> None:
    """Load the CUDA libraries that lie where pip puts them, with a runtime that can."""
    preload = getattr(runtime(), 'preload_dlls', None)
    if preload is not None:
        with contextlib.redirect_stdout(io.StringIO()):  # what fails counts at the session
            preload()


def open_session(file: Path, provider: Provider, *, threads: int) -> Any:
    """Open a file on a provider.

    Raises ProviderError where a provider for GPUs does not give one; on the processor what the
    runtime raises, and then the file is at fault.
    """
    options = runtime().SessionOptions()
    options.intra_op_num_threads = threads
    wanted = [(provider.name, dict(provider.options))]
    wanted += [(name, dict(values)) for name, values in provider.rest]
    try:
        session = runtime().InferenceSession(
            str(file), options, providers=wanted, enable_fallback=0
        )
    except Exception as error:
        if provider.name == CPU:
            raise
        raise ProviderError(f'{provider.name}: {_missing(provider) or error}') from error
    if session.get_providers()[0] != provider.name:
        raise ProviderError(f'{provider.name}: {_missing(provider) or "its own log says why"}')
    session.disable_fallback()
    return session


def _missing(provider: Provider) -> str:
    """Return which library a provider lacks, and what helps; '' where the loader finds all."""
    try:
        ctypes.CDLL(str(library(provider.name)), mode=os.RTLD_LAZY)
    except OSError as error:
        return f'{error}; pip install "onnxruntime-gpu[cuda,cudnn]"'
    return ''
