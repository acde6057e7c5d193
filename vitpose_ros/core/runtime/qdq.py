"""ONNX files in integers of 8 bits: pairs of QuantizeLinear and DequantizeLinear (Q/DQ).

What TensorRT asks of such files (its documentation, "Working with Quantized Types" and "Explicit
Quantization"): zero points are 0; inputs have one scale, weights may have one a channel; weights
may be integers already, with a DequantizeLinear before the product. ONNX Runtime and OpenVINO
read the same. Only the products of the transformer's blocks are quantised: ONNX Runtime has no
deconvolution of integers.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vitpose_ros.core.runtime.int8 import LARGEST, Calibration


def quantise_file(
    path: Path, keypoint_set: str, calibration: Calibration, network: nn.Module
) -> None:
    """Quantise an ONNX file that export.write_onnx wrote of a network, in its place.

    Raises ValueError where a product that the calibration has is not in the file.
    """
    import onnx

    model = onnx.load(path)
    graph = model.graph
    ranges = {
        name: largest
        for name, largest in calibration.ranges[keypoint_set].items()
        if name.startswith('backbone.')
    }
    layers = _layers(graph, network, ranges)
    if absent := ranges.keys() - layers.values():
        raise ValueError(f'{path} has no product {min(absent)}')
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        layer = layers.get(node.input[1]) if node.op_type == 'MatMul' else None
        if layer is not None:
            nodes += _quantised(graph, node, layer, weights[node.input[1]], ranges[layer])
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _layers(graph: Any, network: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Return for the weights of a graph that are those of a layer the name of that.

    By their numbers: the file calls them otherwise, and has biases that are the same once.
    """
    from onnx import numpy_helper

    layer_of = {
        _digest(network.get_submodule(name).weight.T.numpy()): name  # type: ignore[operator]
        for name in names
    }
    found = {
        tensor.name: layer_of.get(_digest(numpy_helper.to_array(tensor)))
        for tensor in graph.initializer
        if len(tensor.dims) == 2
    }
    return {weight: layer for weight, layer in found.items() if layer is not None}


def _digest(values: NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(values).data).digest()


def _quantised(
    graph: Any,
    node: Any,
    layer: str,
    weight: Any,
    largest: float,
) -> list[Any]:
    """Let a product take quantised inputs and weights; return the nodes that give them."""
    from onnx import helper, numpy_helper

    values = numpy_helper.to_array(weight)  # (in, out)
    steps = np.maximum(np.abs(values).max(axis=0), 1e-12) / LARGEST
    integers = np.clip(np.round(values / steps), -LARGEST, LARGEST).astype(np.int8)
    graph.initializer.remove(weight)
    for name, array in (
        ('weight', integers),
        ('weight_steps', steps.astype(np.float32)),
        ('weight_zeros', np.zeros(len(steps), np.int8)),
        ('step', np.array(largest / LARGEST, np.float32)),
        ('zero', np.array(0, np.int8)),
    ):
        graph.initializer.append(numpy_helper.from_array(array, f'{layer}.{name}'))

    def dequantise(quantised: str, steps: str, zeros: str, out: str) -> Any:
        inputs = [f'{layer}.{name}' for name in (quantised, steps, zeros)]
        return helper.make_node('DequantizeLinear', inputs, [f'{layer}.{out}'], axis=1)

    before = [
        helper.make_node(
            'QuantizeLinear',
            [node.input[0], f'{layer}.step', f'{layer}.zero'],
            [f'{layer}.integers'],
        ),
        dequantise('integers', 'step', 'zero', 'values'),
        dequantise('weight', 'weight_steps', 'weight_zeros', 'weights'),
    ]
    node.input[0], node.input[1] = f'{layer}.values', f'{layer}.weights'
    return before
