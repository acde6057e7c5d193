"""Exceptions of all runtimes are read right, with the texts that the runtimes give them."""

import pytest
import torch

from vitpose_ros.core.runtime import faults
from vitpose_ros.core.runtime.faults import is_device_lost, is_out_of_memory

ASYNCHRONOUS = (
    'CUDA kernel errors might be asynchronously reported at some other API call, so the '
    'stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n'
    'Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n'
)
ORT = '/onnxruntime_src/onnxruntime/core'
ORT_CALL = f'{ORT}/providers/cuda/cuda_call.cc:121 onnxruntime::CudaCall'


def cuda_error(text, name=''):
    """Return what PyTorch writes about an error of the CUDA runtime."""
    link = 'https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html'
    search = f"Search for `{name}' in {link} for more information.\n" if name else ''
    return f'CUDA error: {text}\n{search}{ASYNCHRONOUS}'


def accelerator_error(text, code=None):
    """Return what PyTorch raises from 2.8 on."""
    kind = getattr(torch, 'AcceleratorError', None)
    if kind is None:
        pytest.skip('PyTorch before 2.8')
    error = kind(text)
    if code is not None:
        error.error_code = code
    return error


def runtime_exception(text):
    """Return what ONNX Runtime raises, which is no RuntimeError."""
    state = pytest.importorskip('onnxruntime.capi.onnxruntime_pybind11_state')
    error = state.RuntimeException(f'[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {text}')
    assert not isinstance(error, RuntimeError)
    return error


MEMORY = [
    MemoryError(),
    torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.'),
    RuntimeError(cuda_error('out of memory', 'cudaErrorMemoryAllocation')),
    RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`'),
    RuntimeError('CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`'),
    RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED'),
    RuntimeError('cuDNN error: CUDNN_STATUS_NOT_INITIALIZED'),
    RuntimeError('cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED'),
    RuntimeError('cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED'),
    RuntimeError('nvJPEG error: NVJPEG_STATUS_ALLOCATOR_FAILURE'),
    RuntimeError(
        'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "/pytorch/c10/cuda/CUDACachingAllocator.cpp"'
        ':1016, please report a bug to PyTorch.'
    ),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
        'memory: you tried to allocate 1 bytes. Error code 12 (Cannot allocate memory)'
    ),
    RuntimeError('std::bad_alloc'),
    RuntimeError(
        '[virtualMemoryBuffer.cpp::resizePhysical::144] Error Code 2: OutOfMemory (no further '
        'information)'
    ),
    RuntimeError('[GPU] Exceeded max size of memory object allocation: requested 9 bytes'),
    RuntimeError('[GPU] CL_OUT_OF_RESOURCES exception.'),
]
MEMORY_OF_ONNX_RUNTIME = [
    "Non-zero status code returned while running Conv node. Name:'Conv_111' Status Message: "
    f'{ORT}/framework/bfc_arena.cc:376 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, '
    'bool) Failed to allocate memory for requested buffer of size 13111296',
    f'{ORT}/framework/bfc_arena.cc Available memory of 5 is smaller than requested bytes of 9',
    f'{ORT_CALL} CUDA failure 2: out of memory ; GPU=0 ; hostname=robot',
    f'{ORT_CALL} CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; hostname=robot',
    'bad allocation',
]
# cudaGetErrorString of what the driver calls sticky, and of devices that are gone.
STICKY = {
    46: 'CUDA-capable device(s) is/are busy or unavailable',
    100: 'no CUDA-capable device is detected',
    214: 'uncorrectable ECC error encountered',
    700: 'an illegal memory access was encountered',
    702: 'the launch timed out and was terminated',
    709: 'context is destroyed',
    710: 'device-side assert triggered',
    714: 'hardware stack error',
    715: 'an illegal instruction was encountered',
    716: 'misaligned address',
    717: 'operation not supported on global/shared address space',
    718: 'invalid program counter',
    719: 'unspecified launch failure',
    999: 'unknown error',
}
INVALIDATED = 'operation failed due to a previous error during capture'  # 901
HARMLESS = [
    ValueError('CUDA out of memory, an illegal memory access was encountered'),
    RuntimeError('shape mismatch: value maxIdx 3 is out of range'),
    RuntimeError(cuda_error('no kernel image is available for execution on the device')),
    RuntimeError('cuDNN error: CUDNN_STATUS_EXECUTION_FAILED'),
    RuntimeError(cuda_error('invalid argument', 'cudaErrorInvalidValue')),
    RuntimeError(cuda_error(INVALIDATED, 'cudaErrorStreamCaptureInvalidated')),
    RuntimeError('unknown error'),
]


@pytest.mark.parametrize('error', MEMORY, ids=str)
def test_memory_that_runs_out_is_recognised(error):
    assert is_out_of_memory(error) and not is_device_lost(error)


@pytest.mark.parametrize('text', MEMORY_OF_ONNX_RUNTIME)
def test_memory_that_runs_out_in_onnx_runtime_is_recognised(text):
    error = runtime_exception(text)
    assert is_out_of_memory(error) and not is_device_lost(error)


@pytest.mark.parametrize(('code', 'text'), STICKY.items(), ids=STICKY.values())
def test_a_lost_device_is_recognised(code, text):
    for error in (
        RuntimeError(cuda_error(text)),
        accelerator_error(cuda_error(text)),
        accelerator_error('a text of another version', code),
        runtime_exception(f'{ORT_CALL} CUDA failure {code}: {text} ; GPU=0 ; hostname=robot'),
    ):
        assert is_device_lost(error) and not is_out_of_memory(error)


@pytest.mark.parametrize('error', HARMLESS, ids=str)
def test_other_errors_are_neither(error):
    assert not is_out_of_memory(error) and not is_device_lost(error)


def test_the_number_of_an_error_counts_more_than_its_text():
    assert is_out_of_memory(accelerator_error('a text of another version', 2))
    invalidated = accelerator_error(cuda_error(INVALIDATED), 901)
    assert not is_out_of_memory(invalidated) and not is_device_lost(invalidated)


def raised_after(inner, outer, *, cause=False):
    """Return the outer error as it is when it is raised while the inner one is on its way."""
    try:
        try:
            raise inner
        except type(inner) as error:
            if cause:
                raise outer from error
            raise outer  # noqa: B904 - the context is the point
    except type(outer) as error:
        return error


@pytest.mark.parametrize('cause', [False, True])
def test_memory_that_an_invalidated_capture_hides_is_found(cause):
    memory = torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 MiB')
    capture = raised_after(memory, accelerator_error(cuda_error(INVALIDATED), 901), cause=cause)
    assert is_out_of_memory(capture) and not is_device_lost(capture)


def test_what_an_error_says_itself_counts_more_than_what_it_hides():
    lost = raised_after(MemoryError(), RuntimeError(cuda_error(STICKY[700])))
    assert is_device_lost(lost) and not is_out_of_memory(lost)


def test_what_was_left_out_on_purpose_does_not_count():
    try:
        try:
            raise MemoryError
        except MemoryError:
            raise ValueError('a wrong value') from None
    except ValueError as error:
        assert not is_out_of_memory(error)


def test_texts_are_in_lower_case():
    assert all(text == text.lower() for text in faults.TEXTS)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_memory_that_runs_out_on_a_gpu_is_recognised():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 50, dtype=torch.uint8, device='cuda')
    assert is_out_of_memory(raised.value)
