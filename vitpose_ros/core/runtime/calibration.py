"""Calibrations for precision int8: what the inputs of a network's products reach on crops.

ONNX Runtime's quantiser collects magnitudes and chooses where to cut them; the network runs in
PyTorch.
"""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.runtime.int8 import (
    LEAST_RANGE,
    MOST_RANGE,
    Calibration,
    backbone_digest,
    products,
)
from vitpose_ros.core.weights import Checkpoint, CheckpointError

PERCENTILE = 99.99  # of the magnitudes; what lies above is cut. Compared in models/README.md
BINS = 2048
BATCH = 8  # crops in one run


def calibrate(
    checkpoint: Checkpoint,
    crops: dict[str, NDArray[np.uint8]],
    of: str,
    *,
    image_size: tuple[int, int] | None = None,
) -> Calibration:
    """Calibrate a network on crops of each keypoint set, (n, h, w, 3) uint8 RGB.

    of: what the crops are, for the file. Raises CheckpointError where ONNX Runtime is missing, and
    for a network whose values integers cannot stand for.
    """
    try:
        import onnxruntime
        from onnxruntime.quantization.calibrate import HistogramCollector
    except ImportError as error:
        raise CheckpointError(
            f'quantising needs ONNX Runtime and onnx ({error}): pip install onnxruntime onnx'
        ) from error
    ranges = {}
    for keypoint_set, own in crops.items():
        network = checkpoint.network(keypoint_set, image_size=image_size)
        collector = HistogramCollector('percentile', True, BINS, None, PERCENTILE, None)
        layers = products(network, keypoint_set)
        inputs: dict[str, NDArray[np.float32]] = {}
        hooks = [
            layer.register_forward_pre_hook(_keep(inputs, name)) for name, layer in layers.items()
        ]
        with contextlib.redirect_stdout(io.StringIO()):  # it talks
            for start in range(0, len(own), BATCH):
                part = torch.from_numpy(own[start : start + BATCH])
                with torch.inference_mode():
                    network(normalise(part).contiguous())
                try:
                    collector.collect(inputs)
                except ValueError as error:
                    raise CheckpointError(
                        f'the network cannot be calibrated on these crops ({error}); see that '
                        'its weights are right'
                    ) from error
            found = collector.compute_collection_result()
        for hook in hooks:
            hook.remove()
        ranges[keypoint_set] = {
            name: _range(name, max(abs(float(value)) for value in found[name][:2]))
            for name in layers
        }
    height, width = image_size or checkpoint.config.image_size
    made = {
        'tool': f'onnxruntime {onnxruntime.__version__}, HistogramCollector',
        'method': f'percentile {PERCENTILE} of the magnitudes, {BINS} bins',
        'crops': {name: len(own) for name, own in crops.items()},
        'of': of,
        'image_size': [height, width],
    }
    return Calibration(backbone_digest(network), made, ranges)


def _range(name: str, largest: float) -> float:
    """Return a range as the file has it, for inputs of a layer that are at most so large.

    Raises CheckpointError for what integers cannot stand for.
    """
    if not largest <= MOST_RANGE:
        raise CheckpointError(
            f'{name} gets values of {largest:g} on these crops: this network cannot be quantised; '
            'see that its weights are right'
        )
    # Inputs may all be zero, for which any range will do.
    return max(float(f'{largest:.6g}'), LEAST_RANGE)


def _keep(inputs: dict[str, NDArray[np.float32]], name: str) -> Callable[[nn.Module, Any], None]:
    def hook(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        inputs[name] = arguments[0].numpy()

    return hook
