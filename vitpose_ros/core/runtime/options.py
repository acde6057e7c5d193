"""How a network is run: one table for Python, command lines and the node, checked in one place."""

import re
from collections.abc import Sequence
from dataclasses import Field, dataclass, fields
from typing import Any, get_args

import numpy as np
import torch

from vitpose_ros.core.model.config import PATCH_SIZE
from vitpose_ros.core.option import OptionError, check_value, is_whole_number, option
from vitpose_ros.core.runtime.base import Decoding
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Precision

BACKENDS = ('auto', 'torch', 'onnx', 'openvino')
# As PyTorch counts.
DEVICE = re.compile(r'auto|cpu|cuda(:(\d|[1-9]\d|1[01]\d|12[0-7]))?|intel_gpu')
SMALLEST, LARGEST = 32, 1024  # pixels, side of a crop
MOST_THREADS, MOST_BATCH = 1024, 1024


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a network is run. Raises OptionError, which names the option and what it takes."""

    # A torch.device becomes its name.
    device: str = option(
        'auto',
        "where the network runs: 'cpu', 'cuda', 'cuda:N', 'intel_gpu' (through OpenVINO), or "
        "'auto': CUDA where there is some, and the processor where it fails",
    )
    backend: str = option(
        'auto',
        "what runs the network: 'torch' (PyTorch), 'onnx' (ONNX Runtime), 'openvino', or 'auto': "
        'torch on CUDA; on a processor openvino if it is installed, else torch',
        choices=BACKENDS,
    )
    precision: str = option(
        'auto',
        "what the network computes with; 'auto': float16 on GPUs, on a processor bfloat16 where a "
        'measurement at the start finds that faster, else float32; name one for the same '
        "keypoints at every start. 'int8' (OpenVINO, ONNX Runtime) is less accurate and needs a "
        "calibration by 'models quantize'",
        choices=('auto', *get_args(Precision)),
    )
    threads: int = option(
        0,
        'threads of the processor that the network uses; 0: one less than there are cores',
        minimum=0,
        maximum=MOST_THREADS,
    )
    max_batch: int = option(
        16,
        'most subjects in one forward pass, the rest goes into further ones; it bounds the memory',
        minimum=1,
        maximum=MOST_BATCH,
    )
    cuda_graphs: str = option(
        'auto',
        "on a GPU with PyTorch: 'auto' launches a whole pass at once, as a CUDA graph, where that "
        "can be had; 'off' launches kernels one by one",
        choices=('auto', 'off'),
    )
    # Names, or a string of them with commas; becomes a tuple. None: the network's first.
    keypoint_sets: str | Sequence[str] | None = option(
        None,
        "keypoint sets to use, as in 'coco,ap10k', of those that the network has; its first "
        'without it; a single one runs fastest',
    )
    # Height and width. None: those that the network was trained with.
    image_size: tuple[int, int] | None = option(
        None, 'height and width of the crops in pixels, multiples of 16'
    )
    decode: str = option(
        'reference',
        "how heatmaps become keypoints: 'reference', as the public networks were evaluated, or "
        "'hybrid', more accurate within five heatmap cells of the crop's border (coco and mpii)",
        choices=('reference', 'hybrid'),
    )
    flip_test: bool = option(
        False,
        'average with the mirrored image, as published accuracies do; takes twice the time',
    )
    heatmap_spread: bool = option(
        False, 'measure how far the heatmap of each keypoint spreads, in pixels squared'
    )

    def __post_init__(self) -> None:
        """Check all, and bring each value into its type."""
        object.__setattr__(self, 'device', _device(self.device))
        for entry in fields(self):
            value = getattr(self, entry.name)
            check_value(entry.name, value, entry.metadata)
            if isinstance(entry.default, bool):
                if not isinstance(value, (bool, np.bool_)):
                    raise OptionError(f'{entry.name} is {value!r}; give True or False')
                object.__setattr__(self, entry.name, bool(value))
            if type(entry.default) is int:  # numpy's become Python's
                object.__setattr__(self, entry.name, int(value))
        object.__setattr__(self, 'keypoint_sets', _names(self.keypoint_sets))
        object.__setattr__(self, 'image_size', _size(self.image_size))

    @property
    def decoding(self) -> Decoding:
        """What is done with the heatmaps."""
        return Decoding(self.flip_test, self.decode == 'hybrid', self.heatmap_spread)


def table() -> tuple[Field[Any], ...]:
    """Return the options as dataclass fields; their metadata has description and range."""
    return fields(Options)


def _device(device: Any) -> str:
    """Return the name of a device."""
    name = str(device) if isinstance(device, torch.device) else device
    if not (isinstance(name, str) and DEVICE.fullmatch(name)):
        raise OptionError(
            f'device is {name!r}; give auto, cpu, cuda, cuda:N or intel_gpu (through OpenVINO)'
        )
    return name


def _names(keypoint_sets: Any) -> tuple[str, ...] | None:
    """Return the names of keypoint sets, each once; None for none."""
    if keypoint_sets is None:
        return None
    if isinstance(keypoint_sets, str):
        keypoint_sets = [name.strip() for name in keypoint_sets.split(',') if name.strip()]
    try:
        names = list(keypoint_sets)
    except TypeError as error:
        raise OptionError(
            f"keypoint_sets is {keypoint_sets!r}; give names, as in 'coco,ap10k'"
        ) from error
    for name in names:
        if not (isinstance(name, str) and name in SKELETONS):
            raise OptionError(
                f'keypoint_sets has {name!r}, which is not known; known are {", ".join(SKELETONS)}'
            )
    return tuple(dict.fromkeys(map(str, names))) or None


def _size(image_size: Any) -> tuple[int, int] | None:
    """Return height and width of a crop."""
    if image_size is None:
        return None
    sides = tuple(image_size) if isinstance(image_size, (Sequence, np.ndarray)) else ()
    if len(sides) != 2 or not all(
        is_whole_number(side) and SMALLEST <= side <= LARGEST and side % PATCH_SIZE == 0
        for side in sides
    ):
        raise OptionError(
            f'image_size is {image_size}; give height and width of the crops, multiples of '
            f'{PATCH_SIZE} from {SMALLEST} to {LARGEST}, as (256, 192)'
        )
    return int(sides[0]), int(sides[1])


DEFAULTS = Options()
