"""The facade: frames in, poses out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from vitpose_ros.core.backends import Backend
from vitpose_ros.core.backends.torch import TorchBackend
from vitpose_ros.core.checkpoints import EMBEDDED_MODEL, load_network
from vitpose_ros.core.crops import crop_regions, extract_crops, heatmap_to_image
from vitpose_ros.core.heatmaps import decode_dark_udp
from vitpose_ros.core.skeletons import COCO, Skeleton
from vitpose_ros.core.types import Frame, Pose

MAX_BATCH = 64


class PoseEstimator:
    """Estimates the poses of all subjects in one or several frames."""

    def __init__(self, backend: Backend, *, max_batch: int = MAX_BATCH) -> None:
        """Take a backend; max_batch bounds the crops of one forward pass, and so the memory."""
        self.backend = backend
        self.skeleton: Skeleton = COCO
        self.max_batch = max_batch

    @classmethod
    def load(
        cls,
        model: str | Path = EMBEDDED_MODEL,
        device: str = 'auto',
        *,
        max_batch: int = MAX_BATCH,
    ) -> 'PoseEstimator':
        """Load a network from a file, a Hugging Face directory, or the package itself.

        device: 'auto' (CUDA where there is some), 'cpu', 'cuda' or 'cuda:N'.
        Raises CheckpointError for weights that do not fit, ValueError for a device that is
        not there.
        """
        return cls(TorchBackend(load_network(model), device), max_batch=max_batch)

    def predict(self, frames: Sequence[Frame]) -> list[list[Pose]]:
        """Estimate the poses in the frames: for each frame one pose a box, in their order.

        All subjects of all frames go through the network together, in as few forward passes
        as max_batch allows.
        """
        size = self.backend.config.image_size
        regions = [crop_regions(frame.boxes, size) for frame in frames]
        crops = np.concatenate(
            [
                extract_crops(frame, region, size)
                for frame, region in zip(frames, regions, strict=True)
            ]
            or [np.empty((0, *size, 3), dtype=np.uint8)]
        )
        poses = self._poses(crops, np.concatenate([*regions, np.empty((0, 4))]))
        return [[next(poses) for _ in frame.boxes] for frame in frames]

    def heatmaps(self, crops: np.ndarray) -> torch.Tensor:
        """Map crops (n, h, w, 3) uint8 RGB to heatmaps (n, k, h/4, w/4), on the device."""
        return self.backend.heatmaps(torch.from_numpy(crops))

    def _poses(self, crops: np.ndarray, regions: np.ndarray) -> Iterator[Pose]:
        """Yield the pose in each crop."""
        for start in range(0, len(crops), self.max_batch):
            part = slice(start, start + self.max_batch)
            points, scores = decode_dark_udp(self.heatmaps(crops[part]))
            keypoints = heatmap_to_image(
                points.cpu().numpy(), regions[part], self.backend.config.heatmap_size
            )
            for subject, subject_scores in zip(keypoints, scores.cpu().numpy(), strict=True):
                yield Pose(self.skeleton.name, subject, subject_scores)
