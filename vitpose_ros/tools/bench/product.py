"""The matrix product that measures the machine: what a network could reach at most.

Of floats by PyTorch; of integers of 8 bits, which PyTorch does not multiply on a processor, by
each of the runtimes that run networks in these.
"""

import functools
from collections.abc import Callable
from statistics import median
from typing import Any, get_args

import numpy as np
import torch

from vitpose_ros.core.runtime import processor
from vitpose_ros.core.runtime.conversion import openvino_graph
from vitpose_ros.core.runtime.int8 import Rounded
from vitpose_ros.core.types import Precision
from vitpose_ros.tools.bench import timing
from vitpose_ros.tools.bench.options import BenchOptions

# Rows and columns: those of the networks on a processor; what keeps all of a large GPU busy.
SIZES = {'cpu': 2048, 'cuda': 8192}
ROUNDS = 10
FLOATS = [name for name in get_args(Precision) if getattr(torch, name).is_floating_point]


def products(options: BenchOptions) -> None:
    """Measure the matrix product in each precision that the machine has."""
    with options.results.table(
        'product',
        'Matrix product: what the machine reaches, of square matrices',
        ('device', 'precision', 'by', 'rows', 'TFLOP/s'),
    ) as table:
        device = options.where
        wanted = [(name, 'torch') for name in FLOATS if device.type != 'cpu' or here(name)]
        if device.type == 'cpu':
            wanted += [('int8', name) for name in options.backends if name in INTEGERS]
        for precision, runtime in wanted:
            with table.attempt(name(precision, runtime)):
                reached = rate(precision, device, runtime) / 1e12
                table.add(str(device), precision, runtime, SIZES[device.type], reached)


def here(precision: str) -> bool:
    """Tell whether the processor itself computes in a precision."""
    return precision == 'float32' or (precision == 'bfloat16' and processor.has_bfloat16())


def by(precision: str, backend: str) -> str:
    """Return what multiplies, to compare a backend with; nothing where nothing does."""
    if precision in FLOATS:
        return 'torch'
    return backend if backend in INTEGERS else ''


def name(precision: str, runtime: str) -> str:
    """Return what the product is called among contenders."""
    return f'product in {precision} by {runtime}'


def flops(device: torch.device) -> float:
    """Return the operations of one product."""
    return 2.0 * SIZES[device.type] ** 3


def run(precision: str, device: torch.device, runtime: str = 'torch') -> timing.Run:
    """Return the product as a contender."""
    rows = SIZES[device.type]
    if precision == 'int8':
        return INTEGERS[runtime](rows, torch.get_num_threads())
    dtype = getattr(torch, precision)
    left, right, out = (torch.randn(rows, rows, device=device).to(dtype) for _ in range(3))
    return timing.synchronous(lambda: torch.mm(left, right, out=out), device)


@functools.cache
def rate(precision: str, device: torch.device, runtime: str = 'torch') -> float:
    """Return what the product reaches alone, in operations a second."""
    contender = {'': run(precision, device, runtime)}
    times = timing.interleave(contender, rounds=ROUNDS, budget_s=3.0)
    return flops(device) / median(times[''])


def _by_openvino(rows: int, threads: int) -> timing.Run:
    """Return a product of integers, in which OpenVINO rounds one side, as in networks."""
    import openvino

    layer = Rounded(torch.nn.Linear(rows, rows, bias=False).requires_grad_(False), 3.0).eval()
    values = torch.randn(rows, rows)
    model = openvino_graph(layer, values, in_integers=True)
    options = {'INFERENCE_NUM_THREADS': str(threads), 'ENABLE_CPU_PINNING': 'NO'}
    request = openvino.Core().compile_model(model, 'CPU', options).create_infer_request()
    given = values.numpy()
    return lambda: request.infer([given], share_inputs=True, share_outputs=True)


def _by_onnx(rows: int, threads: int) -> timing.Run:
    """Return a product of integers in ONNX Runtime."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    right = random.integers(-127, 128, (rows, rows), dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node('MatMulInteger', ['left', 'right'], ['out'])],
        'product',
        [helper.make_tensor_value_info('left', TensorProto.UINT8, (rows, rows))],
        [helper.make_tensor_value_info('out', TensorProto.INT32, (rows, rows))],
        [numpy_helper.from_array(right, 'right')],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    left = random.integers(0, 256, (rows, rows), dtype=np.uint8)
    return lambda: session.run(None, {'left': left})


INTEGERS: dict[str, Callable[[int, int], timing.Run]] = {
    'openvino': _by_openvino,
    'onnx': _by_onnx,
}
