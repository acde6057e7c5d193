"""What the exceptions of all runtimes say: that memory ran out, or that the GPU is lost.

A GPU is lost to a process after an error that its driver calls sticky: from then on every call
fails, until the process ends. Memory that ran out, and a capture that was invalidated, are not.
Names and numbers of errors: cudaError_t in NVIDIA's driver_types.h.
"""

from typing import Literal

import torch

Fault = Literal['out of memory', 'device lost']

# cudaError_t, as torch.AcceleratorError has it in error_code.
CODES: dict[int, Fault] = {
    2: 'out of memory',  # cudaErrorMemoryAllocation
    46: 'device lost',  # DevicesUnavailable
    100: 'device lost',  # NoDevice
    214: 'device lost',  # ECCUncorrectable
    220: 'device lost',  # NvlinkUncorrectable
    226: 'device lost',  # Contained
    700: 'device lost',  # IllegalAddress
    702: 'device lost',  # LaunchTimeout
    709: 'device lost',  # ContextIsDestroyed
    710: 'device lost',  # Assert
    714: 'device lost',  # HardwareStackError
    715: 'device lost',  # IllegalInstruction
    716: 'device lost',  # MisalignedAddress
    717: 'device lost',  # InvalidAddressSpace
    718: 'device lost',  # InvalidPc
    719: 'device lost',  # LaunchFailure
    999: 'device lost',  # Unknown
}
# Parts of messages, in lower case.
TEXTS: dict[str, Fault] = {
    # PyTorch, and the CUDA libraries below all runtimes
    'out of memory': 'out of memory',
    "can't allocate memory": 'out of memory',
    'cublas_status_alloc_failed': 'out of memory',
    'cublas_status_not_initialized': 'out of memory',  # of cublasCreate, which allocates
    'cudnn_status_alloc_failed': 'out of memory',
    'cudnn_status_not_initialized': 'out of memory',  # of cudnnCreate, which allocates
    # cuDNN 9, of the device and of the host
    'cudnn_status_internal_error_device_allocation_failed': 'out of memory',
    'cudnn_status_internal_error_host_allocation_failed': 'out of memory',
    'nvjpeg_status_allocator_failure': 'out of memory',
    'nvjpeg: allocator failure': 'out of memory',
    # PyTorch's allocator, where it cannot even ask the driver how much memory is left
    'nvml_success == r internal assert failed': 'out of memory',
    'cusolver_status_alloc_failed': 'out of memory',
    # the standard library of C++, on the processor
    'bad_alloc': 'out of memory',
    'bad allocation': 'out of memory',
    # ONNX Runtime
    'failed to allocate memory': 'out of memory',
    'is smaller than requested bytes': 'out of memory',
    'cuda failure 2:': 'out of memory',
    'cublas failure 3:': 'out of memory',
    # TensorRT
    'outofmemory': 'out of memory',
    # OpenVINO on an Intel GPU
    'exceeded max size of memory object allocation': 'out of memory',
    'cl_mem_object_allocation_failure': 'out of memory',
    'cl_out_of_host_memory': 'out of memory',
    'cl_out_of_resources': 'out of memory',
    'cl_device_not_available': 'device lost',
    # cudaGetErrorString, which all runtimes put into their messages
    'busy or unavailable': 'device lost',
    'no cuda-capable device is detected': 'device lost',
    'uncorrectable ecc error': 'device lost',
    'uncorrectable nvlink error': 'device lost',
    'invalid access of peer gpu memory over nvlink': 'device lost',
    'illegal memory access': 'device lost',
    'the launch timed out and was terminated': 'device lost',
    'context is destroyed': 'device lost',
    'device-side assert triggered': 'device lost',
    'hardware stack error': 'device lost',
    'illegal instruction was encountered': 'device lost',
    'misaligned address': 'device lost',
    'operation not supported on global/shared address space': 'device lost',
    'invalid program counter': 'device lost',
    'unspecified launch failure': 'device lost',
    'cuda error: unknown error': 'device lost',
    'cuda failure 999': 'device lost',
    'nvrm: xid': 'device lost',
}
# Besides RuntimeError, which PyTorch and OpenVINO raise.
MODULES = {'onnxruntime', 'tensorrt', 'openvino'}
# torch.AcceleratorError came with PyTorch 2.8.
ACCELERATOR_ERROR: type[Exception] | None = getattr(torch, 'AcceleratorError', None)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory, of a GPU or of the processor, does not suffice."""
    return _fault(error) == 'out of memory'


def is_device_lost(error: BaseException) -> bool:
    """Tell whether this process cannot use its GPU any more after an error."""
    return _fault(error) == 'device lost'


def _fault(error: BaseException | None) -> Fault | None:
    """Read an error, and where it says nothing itself, those that it hides.

    A capture that memory ends raises, when it is left, that it was invalidated: what ended it is
    the context of that error.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if (found := _own_fault(error)) is not None:
            return found
        seen.add(id(error))
        hidden = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or hidden
    return None


def _own_fault(error: BaseException) -> Fault | None:
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return 'out of memory'
    if ACCELERATOR_ERROR is not None and isinstance(error, ACCELERATOR_ERROR):
        code = getattr(error, 'error_code', None)
        if code is not None:
            return CODES.get(code)
    ours = isinstance(error, RuntimeError) or type(error).__module__.split('.')[0] in MODULES
    if not ours:
        return None
    text = str(error).lower()
    return next((fault for part, fault in TEXTS.items() if part in text), None)


def brief(error: BaseException, length: int = 200) -> str:
    """Return an error as one line of text."""
    return f'{type(error).__name__}: {" ".join(str(error).split())[:length]}'
