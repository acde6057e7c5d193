"""What a network that finds everybody is to say, and how far off it is."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.crowds import COVERED, HIDDEN, SEEN, Crowd, Member
from vitpose_ros.core.model import grouping
from vitpose_ros.core.skeletons import SKELETONS

CELL = 4  # pixels of a heatmap cell
SIGMAS = torch.tensor(SKELETONS['coco'].sigmas)
SHARP, SMALLEST, LARGEST = 0.05, 0.8, 1.6  # of peaks: part of a person's size, and cells
WIDE, LEAST, MOST = 0.07, 0.6, 2.5  # of centres, likewise
SEED = 0.5  # where a centre is as high, cells are taught whose they are
PEAK_WEIGHT = 20.0  # of cells in a peak, beside 1 elsewhere
COVERED_WEIGHT = 0.5  # of where keypoints are that others hide


@dataclass
class Targets:
    """The truth of pictures, (n, …)."""

    heatmaps: Tensor  # (n, k, h/4, w/4)
    peaks: int  # in them
    known: Tensor  # (n, 1, h/4, w/4): 0 where somebody is who does not count
    centres: Tensor  # (n, h/8, w/8)
    known_centres: Tensor  # (n, h/8, w/8)
    cells: Tensor  # (m, 3) long: picture, row and column of cells that are taught whose they are
    weights: Tensor  # (m,): 1 in all for each person, however large
    points: Tensor  # (m, k, 2) pixels
    taught: Tensor  # (m, k) 0 to 1
    boxes: Tensor  # (m, 4) pixels


def targets(crowds: list[Crowd]) -> Targets:
    """Return the truth of pictures of one size."""
    height, width = crowds[0].picture.shape[:2]
    count, rows, columns = len(crowds), height // CELL, width // CELL
    heatmaps = torch.zeros(count, len(SIGMAS), rows, columns)
    known = torch.ones(count, 1, rows, columns)
    shape = count, height // grouping.STRIDE, width // grouping.STRIDE
    centres, known_centres = torch.zeros(shape), torch.ones(shape)
    cells, weights, members = [], [], []
    count_of_peaks = 0
    for index, crowd in enumerate(crowds):
        for x_min, y_min, x_max, y_max in crowd.ignored:
            for maps, stride in ((known, CELL), (known_centres, grouping.STRIDE)):
                part = slice(int(y_min / stride), int(np.ceil(y_max / stride)))
                maps[index, ..., part, int(x_min / stride) : int(np.ceil(x_max / stride))] = 0
        peaks = torch.zeros(len(crowd.people), *shape[1:])
        for number, member in enumerate(crowd.people):
            count_of_peaks += _add_peaks(heatmaps[index], member)
            peaks[number] = _centre(member, shape[1:])
        if not len(peaks):
            continue
        centres[index], owners = peaks.max(dim=0)
        # Whoever counts is taught, before and behind those who do not.
        known_centres[index][centres[index] > 0.3] = 1
        known[index, 0][heatmaps[index].amax(dim=0) > 0.1] = 1
        own = centres[index] * (centres[index] >= SEED)
        sums = torch.zeros(len(peaks)).index_add(0, owners.flatten(), own.flatten())
        for row, column in own.nonzero().tolist():
            cells.append((index, row, column))
            owner = int(owners[row, column])
            weights.append(float(own[row, column] / sums[owner]))
            members.append(crowd.people[owner])
    empty = torch.zeros(0, len(SIGMAS), 2)
    states = np.array([m.states for m in members], np.uint8).reshape(-1, len(SIGMAS))
    taught = np.isin(states, (SEEN, HIDDEN)) + COVERED_WEIGHT * (states == COVERED)
    return Targets(
        heatmaps,
        count_of_peaks,
        known,
        centres,
        known_centres,
        torch.tensor(cells, dtype=torch.long).reshape(-1, 3),
        torch.tensor(weights),
        torch.from_numpy(np.array([m.points for m in members])) if members else empty,
        torch.from_numpy(taught.astype(np.float32)),
        torch.from_numpy(np.array([m.box for m in members], np.float32).reshape(-1, 4)),
    )


def _size(member: Member) -> float:
    """Return how large somebody is: the side of a square like the box, pixels."""
    return float(np.sqrt(np.prod(member.box[2:] - member.box[:2])))


def _add_peaks(heatmaps: Tensor, member: Member) -> int:
    """Put the peaks of somebody into heatmaps (k, h, w), and return how many there are.

    Where two meet, the higher one counts.
    """
    sigma = float(np.clip(SHARP * _size(member) / CELL, SMALLEST, LARGEST))
    rows, columns = heatmaps.shape[1:]
    radius = int(np.ceil(3 * sigma))
    count = 0
    for k, ((x, y), state) in enumerate(zip(member.points / CELL, member.states, strict=True)):
        if state not in (SEEN, HIDDEN):
            continue
        left, top = max(0, round(x) - radius), max(0, round(y) - radius)
        right, bottom = min(columns, round(x) + radius + 1), min(rows, round(y) + radius + 1)
        if right <= left or bottom <= top:
            continue
        across = torch.exp(-((torch.arange(left, right) - x) ** 2) / (2 * sigma**2))
        down = torch.exp(-((torch.arange(top, bottom) - y) ** 2) / (2 * sigma**2))
        part = heatmaps[k, top:bottom, left:right]
        part.copy_(torch.maximum(part, down[:, None] * across))
        count += 1
    return count


def _centre(member: Member, shape: tuple[int, int]) -> Tensor:
    """Return the peak (h, w) of where the middle of somebody's box is, 1 in one cell."""
    sigma = float(np.clip(WIDE * _size(member) / grouping.STRIDE, LEAST, MOST))
    x, y = ((member.box[:2] + member.box[2:]) / 2 / grouping.STRIDE).astype(int)
    across = torch.exp(-((torch.arange(shape[1]) - min(x, shape[1] - 1)) ** 2) / (2 * sigma**2))
    down = torch.exp(-((torch.arange(shape[0]) - min(y, shape[0] - 1)) ** 2) / (2 * sigma**2))
    return down[:, None] * across


def losses(maps: Tensor, wanted: Targets) -> dict[str, Tensor]:
    """Return how far off maps (n, k + more, h/4, w/4) are: of each part a number."""
    k = len(SIGMAS)
    heatmaps, cells = maps[:, :k], grouping.unfolded(maps[:, k:])
    weight = wanted.known * (1 + PEAK_WEIGHT * wanted.heatmaps)
    squared = (weight * (heatmaps - wanted.heatmaps) ** 2).sum()
    own = cells[wanted.cells[:, 0], :, wanted.cells[:, 1], wanted.cells[:, 2]]
    at = (wanted.cells[:, [2, 1]] + 0.5) * grouping.STRIDE
    total = wanted.weights.sum().clamp(min=1e-3)
    return {
        'peaks': squared / (wanted.peaks + len(maps)) / 20,
        'centres': _focal(cells[:, 0], wanted.centres, wanted.known_centres),
        'offsets': (_offsets(own, at, wanted) * wanted.weights).sum() / total,
        'boxes': (_boxes(own, at, wanted) * wanted.weights).sum() / total,
    }


def _focal(logits: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """Return the focal loss of centres (Zhou et al., 2019), a number a centre."""
    chances = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    there = wanted >= 0.999
    hit = -((1 - chances) ** 2) * chances.log() * there
    miss = -(chances**2) * (1 - chances).log() * (1 - wanted) ** 4 * known * ~there
    return (hit + miss).sum() / there.sum().clamp(min=len(logits))


def _offsets(own: Tensor, at: Tensor, wanted: Targets) -> Tensor:
    """Return the loss (m,) of where keypoints should be, in parts of what OKS allows."""
    k = len(SIGMAS)
    offsets = own[:, grouping.OFFSETS][:, : 2 * k].unflatten(1, (k, 2)) * grouping.UNIT
    off = at[:, None] + offsets - wanted.points
    sides = wanted.boxes[:, 2:] - wanted.boxes[:, :2]
    scale = 2 * SIGMAS * sides.prod(dim=1).clamp(min=1)[:, None].sqrt()
    error = torch.log1p((off / scale[..., None]).square().sum(dim=2) / 2)
    return (error * wanted.taught).sum(dim=1) / wanted.taught.sum(dim=1).clamp(min=1)


def _boxes(own: Tensor, at: Tensor, wanted: Targets) -> Tensor:
    """Return the loss (m,) of boxes: generalised IoU from 1."""
    sides = F.softplus(own[:, grouping.BOX]) * grouping.UNIT
    found = torch.cat((at - sides[:, :2], at + sides[:, 2:]), dim=1)
    low, high = (
        torch.maximum(found[:, :2], wanted.boxes[:, :2]),
        torch.minimum(found[:, 2:], wanted.boxes[:, 2:]),
    )
    common = (high - low).clamp(min=0).prod(dim=1)
    areas = [(b[:, 2:] - b[:, :2]).prod(dim=1) for b in (found, wanted.boxes)]
    union = areas[0] + areas[1] - common
    hull = (
        torch.maximum(found[:, 2:], wanted.boxes[:, 2:])
        - torch.minimum(found[:, :2], wanted.boxes[:, :2])
    ).prod(dim=1)
    return 1 - common / union + (hull - union) / hull
