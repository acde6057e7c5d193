"""Maps of a whole image to its subjects: centres, and the peaks that belong to each.

Everything is of fixed size and vectorised, so that it costs the same whoever is there and runs on
any device: the highest MOST centres, of each keypoint the highest PEAKS peaks.
"""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vitpose_ros.core.model import grouping
from vitpose_ros.core.model.config import HEATMAP_STRIDE
from vitpose_ros.core.skeletons import AREA_OF_BOX, Skeleton

MOST = 32  # subjects in an image
PEAKS = 48  # of a keypoint
NEAR = (
    1.0  # how far a peak may be from where it should be, in what OKS allows; a standard deviation
)
LEAST_PEAK = 0.05  # what a peak has to be, times how near it is, to be the keypoint
DOUBLE_BOX, DOUBLE_POSE = 0.6, 0.5  # overlap of boxes and OKS, from which two are one


@dataclass(frozen=True, eq=False)
class Subjects:
    """Subjects in n images, MOST in each, best first; those with a score of 0 are none.

    Fewer in images of fewer cells.
    """

    keypoints: Tensor  # (n, MOST, k, 2) float32, pixels of the network's input
    scores: Tensor  # (n, MOST, k)
    boxes: Tensor  # (n, MOST, 4): x_min, y_min, x_max, y_max
    box_scores: Tensor  # (n, MOST), 0 to 1

    def packed(self) -> Tensor:
        """Return all of it as one tensor (n, MOST, 3 k + 5)."""
        parts = self.keypoints.flatten(2), self.scores, self.boxes, self.box_scores[..., None]
        return torch.cat(parts, dim=2)

    @classmethod
    def unpacked(cls, values: Tensor) -> 'Subjects':
        """Return what was packed."""
        k = (values.shape[2] - 5) // 3
        points, scores, boxes, chances = values.split((2 * k, k, 4, 1), dim=2)
        return cls(points.unflatten(2, (k, 2)), scores, boxes, chances[..., 0])


def packed_size(num_keypoints: int, heatmap_size: tuple[int, int]) -> tuple[int, int]:
    """Return how many subjects an image has, with how many numbers each, packed."""
    height, width = (side // grouping.FINER for side in heatmap_size)
    return min(MOST, height * width), 3 * num_keypoints + 5


def find(maps: Tensor, skeleton: Skeleton) -> Subjects:
    """Return the subjects of maps (n, k + more, h/4, w/4), as a bottom-up network gives them."""
    k = len(skeleton)
    heatmaps, cells = maps[:, :k], grouping.unfolded(maps[:, k:])
    chances = _peaks(cells[:, grouping.CENTRE].sigmoid())[:, 0]
    scores, index = chances.flatten(1).topk(min(MOST, chances[0].numel()))
    columns = chances.shape[2]
    own = cells.flatten(2).gather(2, index[:, None].expand(-1, cells.shape[1], -1)).mT
    at = torch.stack((index % columns, index // columns), dim=2)
    at = (at + 0.5) * grouping.STRIDE  # (n, MOST, 2)
    sides = F.softplus(own[..., grouping.BOX]) * grouping.UNIT
    boxes = torch.cat((at - sides[..., :2], at + sides[..., 2:]), dim=2)
    offsets = own[..., grouping.OFFSETS][..., : 2 * k] * grouping.UNIT
    offsets = offsets.reshape(*offsets.shape[:2], k, 2)
    expected = at[:, :, None] + offsets
    sigmas = _sigmas(skeleton, maps.device)
    areas = AREA_OF_BOX * (boxes[..., 2:] - boxes[..., :2]).prod(dim=2)
    allowed = 2 * sigmas * areas.clamp(min=1)[..., None].sqrt()  # (n, MOST, k)
    keypoints, heights = _snapped(heatmaps, expected, NEAR * allowed)
    scores = scores * ~_doubles(scores, boxes, keypoints, allowed)
    order = scores.argsort(dim=1, descending=True, stable=True)

    def sorted_(values: Tensor) -> Tensor:
        shape = order.reshape(*order.shape, *(1,) * (values.ndim - 2))
        return values.gather(1, shape.expand_as(values))

    return Subjects(*(sorted_(values) for values in (keypoints, heights, boxes, scores)))


@functools.cache  # for good: CUDA graphs go on reading it
def _sigmas(skeleton: Skeleton, device: torch.device) -> Tensor:
    return torch.tensor(skeleton.sigmas).to(device)


def _peaks(maps: Tensor) -> Tensor:
    """Return maps (n, c, h, w) with everything zero but what is highest among its neighbours."""
    return maps * (maps == F.max_pool2d(maps, 3, 1, 1))


def _snapped(heatmaps: Tensor, expected: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the keypoints are, (n, m, k, 2), and how high the heatmaps are there.

    expected: (n, m, k, 2) pixels; allowed: (n, m, k), how far off peaks may be. Where no peak is
    near, a keypoint is where it is expected.
    """
    height, width = heatmaps.shape[2:]
    heights, index = _peaks(heatmaps).flatten(2).topk(min(PEAKS, height * width))  # (n, k, p)
    peaks = _refined(heatmaps, index)
    squared = (expected[:, :, :, None] - peaks[:, None]).square().sum(dim=4)  # (n, m, k, p)
    fit = heights[:, None] * torch.exp(-squared / (2 * allowed[..., None] ** 2))
    best, choice = fit.max(dim=3)
    shape = (*choice.shape, 2)
    chosen = peaks[:, None].expand(-1, shape[1], -1, -1, -1)
    chosen = chosen.gather(3, choice[..., None, None].expand(*shape[:3], 1, 2))[..., 0, :]
    found = best > LEAST_PEAK
    cell = (expected / HEATMAP_STRIDE).round().long()
    inside = cell[..., 1].clamp(0, height - 1) * width + cell[..., 0].clamp(0, width - 1)
    there = heatmaps.flatten(2).gather(2, inside.transpose(1, 2)).transpose(1, 2)
    keypoints = torch.where(found[..., None], chosen, expected)
    return keypoints, torch.where(found, best, there.clamp(min=0) * 0.5)


def _refined(heatmaps: Tensor, index: Tensor) -> Tensor:
    """Return where peaks (n, k, p) are, to parts of a cell, (n, k, p, 2) pixels.

    By parabolas through the logarithms of a peak's neighbours, which is exact for Gaussians.
    """
    height, width = heatmaps.shape[2:]
    flat = heatmaps.clamp(min=1e-4).log().flatten(2)
    parts = []
    for position, step, count in ((index % width, 1, width), (index // width, width, height)):
        inner = (position > 0) & (position < count - 1)
        middle = index.where(inner, torch.full_like(index, width + 1))
        low, top, high = (flat.gather(2, middle + side * step) for side in (-1, 0, 1))
        bend = 2 * top - low - high
        shift = ((high - low) / (2 * bend.clamp(min=1e-3))).clamp(-0.5, 0.5)
        parts.append(position + shift * inner)
    return torch.stack(parts, dim=3) * HEATMAP_STRIDE


def _doubles(scores: Tensor, boxes: Tensor, keypoints: Tensor, allowed: Tensor) -> Tensor:
    """Return who is the same as somebody with a higher score, (n, m) bool."""
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    common = (high - low).clamp(min=0).prod(dim=3)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(dim=2)
    overlap = common / (areas[:, :, None] + areas[:, None] - common).clamp(min=1e-6)
    squared = (keypoints[:, :, None] - keypoints[:, None]).square().sum(dim=4)
    alike = torch.exp(-squared / (2 * allowed[:, :, None] ** 2)).mean(dim=3)
    rank = torch.arange(scores.shape[1], device=scores.device)
    better = rank[None] < rank[:, None]
    same = (overlap > DOUBLE_BOX) | (alike > DOUBLE_POSE)
    return (same & better).any(dim=2)
