"""Networks as graphs for other runtimes, and as ONNX files.

A graph maps crops (n, h, w, 3) uint8 RGB to the heatmaps (n, k, h/4, w/4) float32 of one keypoint
set; n is free. Normalisation is inside, so that little goes to a GPU. A network of several
keypoint sets becomes several graphs, each a plain transformer: on runtimes that compile graphs
that is as fast as one that routes samples to experts.
"""

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vitpose_ros.core.errors import VitposeError
from vitpose_ros.core.geometry.crops import MEAN, STD
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.runtime.faults import brief
from vitpose_ros.core.runtime.int8 import Calibration, round_products
from vitpose_ros.core.runtime.qdq import quantise_file
from vitpose_ros.core.weights.folding import select_sets

LOG = logging.getLogger(__name__)

INPUT, OUTPUT = 'crops', 'heatmaps'
CONFIG_KEY = 'vitpose_ros'  # of the metadata: the configuration, as JSON
PRECISION = 'precision'  # and beside it, what its weights are
MADE_KEY = 'vitpose_ros_int8'  # of the metadata: how the calibration was made, as JSON
LARGEST_BATCH = 1024


class ExportError(VitposeError, RuntimeError):
    """A network that cannot be written."""


class Graph(nn.Module):
    """Crops to heatmaps, for a network of one keypoint set."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: ViTPose) -> None:
        super().__init__()
        self.network = network
        [self.head] = network.heads.values()
        mean, std = np.array(MEAN) * 255, np.array(STD) * 255
        self.register_buffer('scale', torch.from_numpy(1 / std).float())
        self.register_buffer('shift', torch.from_numpy(-mean / std).float())

    def forward(self, crops: Tensor) -> Tensor:
        """Map crops (n, h, w, 3) uint8 RGB to heatmaps (n, k, h/4, w/4) float32."""
        pixels = (crops.to(torch.float32) * self.scale + self.shift).permute(0, 3, 1, 2)
        features = self.network.backbone(pixels.to(self.network.backbone.pos_embed.dtype), ())
        heatmaps: Tensor = self.head(features)
        return heatmaps.float()


def graph(
    network: ViTPose,
    keypoint_set: str,
    dtype: torch.dtype = torch.float32,
    calibration: Calibration | None = None,
) -> Graph:
    """Return the graph of one of a network's keypoint sets, in a number type.

    It lies on the processor, where it is traced, and shares the weights of a network that lies
    there, too, where it can. calibration: round the products to integers of 8 bits; see int8.
    """
    config, state = select_sets(network.config, network.state_dict(), [keypoint_set])
    with torch.device('meta'):
        single = ViTPose(config)
    here = {name: tensor.to('cpu', dtype) for name, tensor in state.items()}
    single.load_state_dict(here, assign=True)
    single.eval().requires_grad_(False)
    if calibration is not None:
        round_products(single, calibration)
    return Graph(single).eval()


def example(config: ViTPoseConfig) -> Tensor:
    """Return crops to trace a graph with: two, because sizes of one are taken for constants."""
    return torch.zeros(2, *config.image_size, 3, dtype=torch.uint8)


def write_onnx(
    network: ViTPose,
    path: Path,
    keypoint_set: str,
    *,
    dtype: torch.dtype = torch.float32,
    calibration: Calibration | None = None,
) -> None:
    """Write the graph of one of a network's keypoint sets as an ONNX file.

    Its metadata has the configuration. dtype: float32, or float16 for GPUs; crops and heatmaps
    are the same. calibration: with products in integers of 8 bits; see qdq.
    Raises ExportError, which names what is not installed, or what else is at fault.
    """
    single = graph(network, keypoint_set, dtype)
    try:
        with _quiet('torch.onnx'), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            program = torch.onnx.export(
                single,
                (example(network.config),),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={'crops': {0: torch.export.Dim('n', min=1, max=LARGEST_BATCH)}},
                dynamo=True,
                verbose=False,
            )
    except (ImportError, TypeError) as error:
        raise ExportError(
            f'cannot write ONNX: {error}; pip install onnx onnxscript, and PyTorch 2.5 or newer'
        ) from error
    except Exception as error:
        # PyTorch looks at the GPU meanwhile, which may be busy; what it says then is within.
        cause = error
        while isinstance(cause.__cause__, Exception):
            cause = cause.__cause__
        raise ExportError(
            f'cannot write ONNX: {brief(cause)}; end what else uses the GPU if that is at fault, '
            'or set backend to another'
        ) from error
    assert program is not None
    precision = 'int8' if calibration else str(dtype).removeprefix('torch.')
    about = {**asdict(single.network.config), PRECISION: precision}
    program.model.metadata_props[CONFIG_KEY] = json.dumps(about)
    if calibration:
        program.model.metadata_props[MADE_KEY] = json.dumps(calibration.made)
    program.save(str(path))
    if calibration:
        try:
            quantise_file(path, keypoint_set, calibration, single.network)
        except ValueError as error:
            raise ExportError(
                f'cannot write ONNX in int8: {error}; set precision to another'
            ) from error


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Let a logger that warns of what nobody needs say errors alone, meanwhile."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def fingerprint(network: ViTPose) -> str:
    """Return what tells a network from all others: a hash of configuration and weights.

    Without the convention of crops and decoding, which no graph knows of.
    """
    shape = {name: value for name, value in asdict(network.config).items() if name != 'udp'}
    digest = hashlib.sha256(json.dumps(shape).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
