"""What the network is to say, and how far off it is."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from training.compose import HIDDEN, SEEN, SIZE, STRIDE, UNKNOWN, Sample
from vitpose_ros.core.model.config import PUBLIC_UDP

SIGMA = 2.0  # heatmap cells
SHARPNESS = 10.0  # of the distribution that heatmaps are compared as


def pixels_a_cell(udp: bool) -> NDArray[np.float64]:
    """Return how many pixels of the crop a heatmap cell spans, (2,): across, down."""
    less = 1 if udp else 0  # sizes count intervals
    pixels = np.array(SIZE[::-1], float)
    return (pixels - less) / (pixels / STRIDE - less)


def targets(samples: list[Sample], keypoint_set: str) -> tuple[Tensor, Tensor]:
    """Return the heatmaps (n, k, 64, 48) of samples of a set, and which are known (n, k).

    A Gaussian around each keypoint, in the convention of its set; zero where the keypoint lies
    outside the image.
    """
    height, width = SIZE[0] // STRIDE, SIZE[1] // STRIDE
    points = np.stack([s.points for s in samples])
    states = np.stack([s.states for s in samples])
    points = points / pixels_a_cell(keypoint_set in PUBLIC_UDP)
    x, y = (torch.from_numpy(points[..., i, None]).float() for i in range(2))
    across = torch.exp(-((torch.arange(width) - x) ** 2) / (2 * SIGMA**2))
    down = torch.exp(-((torch.arange(height) - y) ** 2) / (2 * SIGMA**2))
    known = torch.from_numpy((states != UNKNOWN).astype(np.float32))
    there = torch.from_numpy(np.isin(states, (SEEN, HIDDEN)).astype(np.float32))
    return down[..., :, None] * across[..., None, :] * there[..., None, None], known


def heatmap_loss(heatmaps: Tensor, wanted: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared error times 1000, and the cross-entropy of where peaks are.

    heatmaps, wanted: (n, k, h, w); known: (n, k). The squared error alone first falls by saying
    nothing anywhere; the cross-entropy against the target, as a distribution over the cells, has
    no such plateau.
    """
    taught = known.any(dim=0)
    if not taught.all():  # half of WholeBody
        heatmaps, wanted, known = heatmaps[:, taught], wanted[:, taught], known[:, taught]
    squared = ((heatmaps - wanted) ** 2).mean(dim=(2, 3))
    error = 1000 * (squared * known).sum() / known.sum().clamp(min=1)
    mass = wanted.sum(dim=(2, 3), keepdim=True)
    there = known * (mass[..., 0, 0] > 1)  # at least part of the peak is inside
    share = (wanted / mass.clamp(min=1e-6)).flatten(2)
    chances = F.log_softmax(SHARPNESS * heatmaps.flatten(2), dim=2)
    entropy = -(share * chances).sum(dim=2)
    return error, (entropy * there).sum() / there.sum().clamp(min=1)


def transfer_loss(heatmaps: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
    """Return heatmap_loss's figures against what a teacher said, (n, k, h, w), of all keypoints.

    Its peaks are the distribution that it is itself compared as: heatmaps like the teacher's have
    the least loss of both kinds.
    """
    error = 1000 * F.mse_loss(heatmaps, said)
    share = F.softmax(SHARPNESS * said.flatten(2), dim=2)
    chances = F.log_softmax(SHARPNESS * heatmaps.flatten(2), dim=2)
    return error, -(share * chances).sum(dim=2).mean()
