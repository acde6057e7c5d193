"""NVIDIA GPUs: what their driver says, without PyTorch, and whether PyTorch's kernels run."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from vitpose_ros.core.runtime.faults import is_out_of_memory

LIBRARY = 'libcuda.so.1'  # of the driver
WITHOUT = 'see that nvidia-smi lists a GPU, or set device to cpu'

# What helps where kernels do not run, by a part of the error's text.
REMEDIES = {
    'no kernel image': 'install a build of PyTorch for this GPU, see pytorch.org',
    'driver': 'update the NVIDIA driver, or install a build of PyTorch for an older CUDA',
    'busy or unavailable': 'end the program that holds the GPU, see nvidia-smi',
}
OTHERWISE = 'see nvidia-smi, and Xid in the output of dmesg'


@dataclass(frozen=True)
class Driver:
    """What the driver says."""

    names: tuple[str, ...] = ()  # of the CUDA devices that this process may use
    reason: str = ''  # why there is none, and what helps


def ask_driver(load: Callable[[str], Any] = ctypes.CDLL) -> Driver:
    """Ask the driver for its devices; load: what opens its library."""
    try:
        return _answer(load(LIBRARY))
    except OSError:
        return Driver(reason=f'there is no NVIDIA driver here ({LIBRARY}); {WITHOUT}')
    except AttributeError as error:  # a stub, or a driver of another age
        return Driver(reason=f'{LIBRARY} is no driver that this version knows: {error}; {WITHOUT}')


def _answer(cuda: Any) -> Driver:
    """Return what the driver's library says."""
    count = ctypes.c_int()
    code = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if code:
        text = ctypes.c_char_p()
        cuda.cuGetErrorString(code, ctypes.byref(text))
        said = (text.value or b'an unknown error').decode()
        return Driver(reason=f'the NVIDIA driver says: {said} (error {code}); {WITHOUT}')
    names = []
    for index in range(count.value):
        device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        cuda.cuDeviceGet(ctypes.byref(device), index)
        cuda.cuDeviceGetName(name, len(name), device)
        names.append(name.value.decode())
    return Driver(tuple(names), '' if names else f'the NVIDIA driver sees no GPU; {WITHOUT}')


def why_unusable(device: torch.device) -> str:
    """Return why PyTorch's kernels do not run on a CUDA device, and what helps; '' if they do."""
    try:
        ones = torch.ones(16, 16, dtype=torch.float16, device=device)
        product = (ones @ ones).cpu()
    except Exception as error:
        text = str(error).strip().split('\n')[0].rstrip('.')
        if is_out_of_memory(error):
            return f'{text}; end other programs on it, see nvidia-smi'
        found = (remedy for part, remedy in REMEDIES.items() if part in text)
        return f'{text}; {next(found, OTHERWISE)}'
    if not bool((product == 16).all()):
        return f'it multiplies wrongly; {OTHERWISE}'
    return ''
