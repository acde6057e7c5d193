"""Networks in integers of 8 bits: what is calibrated, the file of it, and layers that round.

The inputs and weights of the products of a transformer's blocks, and of the decoder's two
deconvolutions, are rounded to integers (QUANTISED); all else stays as it is. Weights have one
step per output channel, the largest magnitude over 127; inputs have one per layer, which a
calibration gives: the magnitude at which they are cut, over 127. Nothing is shifted: zero is zero,
as TensorRT wants.

A calibration lies beside the weights, as JSON, and serves all runtimes.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitpose_ros.core.errors import shorten
from vitpose_ros.core.model.decoders import DECONVOLUTION
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.weights import CheckpointError, find_model, models_command

LARGEST = 127
# Of a range: what float32 has the step of, and the inverse. No network's values are beyond.
LEAST_RANGE, MOST_RANGE = 1e-6, 1e9
SUFFIX = '.int8.json'
FORMAT = 1
# Of each block, and of each classic decoder.
QUANTISED = (
    'attn.qkv',
    'attn.proj',
    'mlp.fc1',
    'mlp.fc2',
    'deconv_layers.0',
    'deconv_layers.3',
)
MADE = {'tool', 'method', 'crops', 'of'}  # what a calibration tells of how it was made
MAKE = models_command('quantize', 'MODEL', 'IMAGES')

Layer = nn.Linear | nn.ConvTranspose2d


@dataclass(frozen=True)
class Calibration:
    """Where the inputs of a network's products are cut, for each keypoint set."""

    backbone: str  # digest of the network that it was made for
    made: dict[str, Any]  # how: tool, method, crops
    ranges: dict[str, dict[str, float]]  # keypoint set, layer: largest magnitude that is kept

    def write(self, path: Path) -> None:
        """Write the file."""
        content = {'vitpose_ros_int8': FORMAT, **asdict(self)}
        path.write_text(json.dumps(content, indent=1) + '\n')

    def digest(self) -> str:
        """Return what tells its ranges from others."""
        return hashlib.sha256(json.dumps(self.ranges).encode()).hexdigest()[:16]


def calibration_path(model: str | Path) -> Path:
    """Return where the calibration of a model lies, or would lie: beside its weights."""
    return find_model(model).with_suffix(SUFFIX)


def read_calibration(path: Path) -> Calibration:
    """Read the file. Raises CheckpointError, which names the command that makes one."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"calibration '{path}' is absent, which precision int8 needs; to make it from images "
            f'of what the robot sees: {MAKE}'
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"calibration '{path}': not readable ({error}); make it anew: {MAKE}"
        ) from error
    try:
        if content.pop('vitpose_ros_int8') != FORMAT:
            raise ValueError('of another format')
        found = Calibration(**content)
        if absent := MADE - found.made.keys():
            raise ValueError(f'made lacks {min(absent)}')
        if not isinstance(found.made['crops'], dict):
            raise ValueError(f'made has crops {found.made["crops"]}')
        for name, value in (pair for own in found.ranges.values() for pair in own.items()):
            if not (isinstance(value, float) and LEAST_RANGE <= value <= MOST_RANGE):
                raise ValueError(
                    f'{name} has the range {value}, not one from {LEAST_RANGE:g} to {MOST_RANGE:g}'
                )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"calibration '{path}': not one that this version reads "
            f'({shorten(repr(error))}); make it anew: {MAKE}'
        ) from error
    return found


def calibration_of(network: ViTPose, path: Path | None) -> Calibration:
    """Read the calibration of a network, for the keypoint sets that it has.

    Raises CheckpointError where there is none, or one of another network.
    """
    if path is None:
        raise CheckpointError(
            'precision int8 needs a calibration, and none is given; PoseEstimator.load finds it '
            'beside the weights'
        )
    found = read_calibration(path)
    if found.backbone != backbone_digest(network):
        raise CheckpointError(
            f"calibration '{path}' was made for other weights; make it anew: {MAKE}"
        )
    ranges = {}
    for keypoint_set in network.config.keypoint_sets:
        own = found.ranges.get(keypoint_set, {})
        if own.keys() != products(network, keypoint_set).keys():
            raise CheckpointError(
                f"calibration '{path}' lacks ranges of keypoint set '{keypoint_set}'; make it "
                f'anew: {MAKE}'
            )
        ranges[keypoint_set] = own
    return Calibration(found.backbone, found.made, ranges)


def backbone_digest(network: ViTPose) -> str:
    """Return what tells the backbone of a network from others.

    What depends on the keypoint sets or the size of the crops is left out.
    """
    digest = hashlib.sha256()
    for name, tensor in network.backbone.state_dict().items():
        if '.mlp.fc2.' not in name and '.experts.' not in name and 'pos_embed' not in name:
            digest.update(name.encode())
            digest.update(tensor.float().contiguous().numpy())
    return digest.hexdigest()[:16]


def products(network: ViTPose, keypoint_set: str) -> dict[str, Layer]:
    """Return the layers that are quantised, of the backbone and of one decoder, by name."""
    places = ('backbone.', f'heads.{keypoint_set}.')
    return {
        name: module
        for name, module in network.named_modules()
        if name.startswith(places)
        and name.endswith(QUANTISED)
        and isinstance(module, (nn.Linear, nn.ConvTranspose2d))
    }


def weight_steps(weight: Tensor, axis: int) -> Tensor:
    """Return the step of each output channel of a weight, (channels,)."""
    others = [dim for dim in range(weight.dim()) if dim != axis]
    # Of a channel without weights, any step but zero will do.
    return weight.abs().amax(dim=others).clamp(min=1e-12) / LARGEST


class Rounded(nn.Module):
    """A product of rounded inputs and weights, in float32.

    Runtimes that know what the rounding stands for compute with integers instead.
    """

    steps: Tensor
    zeros: Tensor

    def __init__(self, layer: Layer, largest: float) -> None:
        """Take a layer, and the largest magnitude of its input that is kept."""
        super().__init__()
        self.layer = layer
        self.step = largest / LARGEST
        self.axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0  # of output channels
        self.register_buffer('steps', weight_steps(layer.weight.detach(), self.axis))
        self.register_buffer('zeros', torch.zeros(len(self.steps), dtype=torch.int32))

    def forward(self, values: Tensor) -> Tensor:
        """Map values as the layer does."""
        values = torch.fake_quantize_per_tensor_affine(values, self.step, 0, -128, LARGEST)
        weight = torch.fake_quantize_per_channel_affine(
            self.layer.weight, self.steps, self.zeros, self.axis, -LARGEST, LARGEST
        )
        if isinstance(self.layer, nn.ConvTranspose2d):
            _, stride, padding = DECONVOLUTION
            return F.conv_transpose2d(values, weight, self.layer.bias, stride, padding)
        return F.linear(values, weight, self.layer.bias)


def round_products(network: ViTPose, calibration: Calibration) -> None:
    """Replace the layers of a network of one keypoint set that are quantised."""
    [keypoint_set] = network.config.keypoint_sets
    for name, layer in products(network, keypoint_set).items():
        parent, _, child = name.rpartition('.')
        rounded = Rounded(layer, calibration.ranges[keypoint_set][name])
        setattr(network.get_submodule(parent), child, rounded)
