"""What is measured: pictures, heatmaps and networks, made by the program."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vitpose_ros.core.model.config import SIZES, ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Frame, Precision
from vitpose_ros.core.weights import load_network, write_checkpoint

WIDTH, HEIGHT = 1920, 1080
TOY_INPUT = (64, 48)  # height, width of the crops of a toy


@dataclass(frozen=True)
class Model:
    """A network that is measured: one with weights, or one of a size with random weights."""

    name: str
    weights: Path | str | None = None  # None: random ones, drawn anew each time, always the same
    toy: bool = False  # of random weights: with a single block, for small crops

    def load(
        self, keypoint_sets: Sequence[str] = (), device: torch.device | None = None
    ) -> ViTPose:
        """Return the network, folded; keypoint_sets: by default the first."""
        if self.weights is not None:
            return load_network(self.weights, list(keypoint_sets) or None)
        shape: dict[str, Any] = {'depth': 1, 'image_size': TOY_INPUT} if self.toy else {}
        return random_network(self.name, keypoint_sets or ('coco',), device, **shape)

    @contextmanager
    def file(self) -> Iterator[Path | str]:
        """Yield weights for other processes to load."""
        if self.weights is not None:
            yield self.weights
        else:
            with random_weights(self.name) as path:
                yield path


def frame(people: int, width: int = WIDTH, height: int = HEIGHT) -> Frame:
    """Return a picture with boxes of people; the rows of a crowd overlap."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    image = cv2.resize(noise, (width, height))
    in_a_row = min(people, 8)
    index = np.arange(people)
    # In pixels of 1080p, then of this picture.
    x = 260 + (WIDTH - 520) * (index % in_a_row + 0.5) / in_a_row
    y = 400 + 40 * (index // in_a_row)
    boxes = np.stack((x - 90, y - 230, x + 90, y + 230), axis=1)
    boxes *= np.tile((width / WIDTH, height / HEIGHT), 2)
    return Frame(image, boxes.astype(np.float32))


def crops(
    count: int, size: tuple[int, int], device: torch.device | None = None, seed: int = 0
) -> torch.Tensor:
    """Return crops (n, h, w, 3) uint8 of noise; size: height and width."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=generator)
    return noise.to(device)


def heatmaps(people: int, keypoints: int, *, noise: float = 0.004) -> torch.Tensor:
    """Return heatmaps (n, k, 64, 48) with a Gaussian each, as trained networks give."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(people, keypoints, 2, generator=generator) * torch.tensor([47, 63])
    return gaussians(centres) + noise * torch.randn(people, keypoints, 64, 48, generator=generator)


def gaussians(centres: torch.Tensor) -> torch.Tensor:
    """Return maps (n, k, 64, 48) with peaks of 0.8 at centres (n, k, 2), two cells wide."""
    x = torch.arange(48) - centres[..., :1]
    y = torch.arange(64) - centres[..., 1:]
    along_x, along_y = torch.exp(-(x**2) / 8), torch.exp(-(y**2) / 8)
    return 0.8 * along_y[..., :, None] * along_x[..., None, :]


@contextmanager
def random_weights(size: str) -> Iterator[Path]:
    """Yield a file of weights of a ViTPose++ of six keypoint sets, drawn at random."""
    width = SIZES[size]['embed_dim']
    config = ViTPoseConfig(
        **SIZES[size],
        num_keypoints={name: len(skeleton) for name, skeleton in SKELETONS.items()},
        part_features=width // 4,
    )
    torch.manual_seed(0)
    network = ViTPose(config)
    nn.init.trunc_normal_(network.backbone.pos_embed, std=0.02)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'{size}.safetensors'
        write_checkpoint(path, config, network.state_dict())
        yield path


def random_network(
    size: str,
    keypoint_sets: Sequence[str],
    device: torch.device | None = None,
    *,
    depth: int | None = None,
    image_size: tuple[int, int] = (256, 192),
) -> ViTPose:
    """Return a folded network of a size, with random weights drawn on a device.

    depth: blocks, if not as many as the size has. image_size: height, width of its crops.
    """
    shape = SIZES[size].copy()
    if depth is not None:
        shape['depth'] = depth
    config = ViTPoseConfig(
        **shape,
        image_size=image_size,
        num_keypoints={name: len(SKELETONS[name]) for name in keypoint_sets},
        part_features=shape['embed_dim'] // 4 if len(keypoint_sets) > 1 else 0,
        folded=True,
    )
    torch.manual_seed(0)
    with device or torch.device('cpu'):
        network = ViTPose(config).requires_grad_(requires_grad=False)
        nn.init.normal_(network.backbone.pos_embed, std=0.02)
        for module in network.modules():
            if isinstance(module, nn.LayerNorm):  # which otherwise do nothing
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
    return network.eval()


def flops(config: ViTPoseConfig) -> float:
    """Return what a crop takes in a network of one keypoint set, in operations."""
    with torch.device('meta'), FlopCounterMode(display=False) as counter, torch.inference_mode():
        ViTPose(config)(torch.empty(1, 3, *config.image_size))
    return float(counter.get_total_flops())


def weights_mb(config: ViTPoseConfig, precision: Precision) -> float:
    """Return the memory that the weights of a network take."""
    with torch.device('meta'):
        count: int = sum(tensor.numel() for tensor in ViTPose(config).state_dict().values())
    width: int = getattr(torch, precision).itemsize
    return count * width / 1e6


def xywh(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return boxes as left, top, width, height."""
    return np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
