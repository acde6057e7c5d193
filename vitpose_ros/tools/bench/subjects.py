"""What is measured: pictures, heatmaps and networks, made by the program."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vitpose_ros.core.checkpoints import load_network, write_checkpoint
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Frame
from vitpose_ros.core.vit import SIZES, ViTPose, ViTPoseConfig

WIDTH, HEIGHT = 1920, 1080


def frame(people: int) -> Frame:
    """Return a picture of 1080p with boxes of people; the rows of a crowd overlap."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (HEIGHT // 10, WIDTH // 10, 3), dtype=np.uint8)
    image = cv2.resize(noise, (WIDTH, HEIGHT))
    in_a_row = min(people, 8)
    index = np.arange(people)
    x = 260 + (WIDTH - 520) * (index % in_a_row + 0.5) / in_a_row
    y = 400 + 40 * (index // in_a_row)
    boxes = np.stack((x - 90, y - 230, x + 90, y + 230), axis=1).astype(np.float32)
    return Frame(image, boxes)


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


def flops(path: Path | str) -> float:
    """Return what a crop takes in the network of one keypoint set, in operations."""
    network = load_network(path)
    pixels = torch.zeros(1, 3, *network.config.image_size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(pixels)
    return float(counter.get_total_flops())


def xywh(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return boxes as left, top, width, height."""
    return np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
