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

from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.model.vit import SIZES, ViTPose, ViTPoseConfig
from vitpose_ros.core.poses import Poses
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


# A person who stands, as COCO has the joints: metres to the left, down and ahead of the middle of
# the hips; of each pair the left one.
STANDING = (
    (0.0, -0.72, 0.11), (0.03, -0.76, 0.08), (0.077, -0.73, 0.0), (0.167, -0.52, 0.0),
    (0.25, -0.25, 0.0), (0.27, -0.01, 0.07), (0.099, 0.0, 0.0), (0.11, 0.42, 0.02),
    (0.11, 0.84, 0.0),
)  # fmt: skip
LIMB_M = 0.11  # how thick limbs are


def people_with_depth(
    people: int, width: int = 1280, height: int = 720
) -> tuple[Poses, Depth, PinholeCamera]:
    """Return poses of people at 2 to 5 m, turned this way and that, and a depth image of them.

    They overlap as people do before a robot: of some, others hide a part.
    """
    random = np.random.default_rng(0)
    camera = PinholeCamera(0.73 * width, 0.73 * width, (width - 1) / 2, (height - 1) / 2)
    half = np.array(STANDING)
    own = np.repeat(half, 2, axis=0)[1:] * np.where(np.arange(17) % 2, 1, -1)[:, None] ** (1, 0, 0)
    angles, z = random.uniform(-1.6, 1.6, people), np.linspace(5, 2, people)
    turn = np.stack((np.cos(angles), np.sin(angles)), axis=1)[:, None]  # (n, 1, 2)
    joints = np.empty((people, 17, 3))
    joints[..., 0] = (own[:, (0, 2)] * turn * (1, -1)).sum(axis=2)
    joints[..., 1] = own[:, 1] + 0.2
    joints[..., 2] = z[:, None] - (own[:, (2, 0)] * turn).sum(axis=2)
    joints[..., 0] += (random.uniform(-0.5, 0.5, people) * z)[:, None]
    points = camera.project(joints).astype(np.float32)
    depth = np.full((height, width), 6.0, np.float32)
    for person, places in zip(joints, points, strict=True):  # the nearest last
        for one, other in SKELETONS['coco'].edges:
            ahead = float(person[[one, other], 2].mean())
            ends = [tuple(np.rint(places[end]).astype(int).tolist()) for end in (one, other)]
            thickness = max(1, round(LIMB_M * camera.focal_x / ahead))
            cv2.line(depth, *ends, ahead - LIMB_M / 2, thickness)
        trunk = np.rint(places[[5, 6, 12, 11]]).astype(np.int32)
        cv2.fillConvexPoly(depth, trunk, float(person[[5, 6, 12, 11], 2].mean()) - LIMB_M)
    depth += random.normal(0, 0.01, depth.shape).astype(np.float32)
    depth[random.random(depth.shape) < 0.02] = np.nan
    boxes = np.concatenate((points.min(axis=1) - 20, points.max(axis=1) + 20), axis=1)
    scores = random.uniform(0.3, 0.9, (people, 17)).astype(np.float32)
    spread = np.zeros((people, 17, 2, 2), np.float32)
    spread[:] = np.eye(2) * 200
    poses = Poses(width, height, boxes, ('coco',) * people, points, scores, spread)
    return poses, Depth(depth, camera), camera


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
