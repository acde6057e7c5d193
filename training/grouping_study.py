"""Which way to group keypoints into people: a small study, of one network that learns two ways.

Beside what the recipe 'crowd' teaches (centres, offsets, boxes), the network learns a tag for each
heatmap cell, alike for the keypoints of one person and unlike for those of two: associative
embedding (Newell et al., 2017, arXiv:1611.05424). All share encoder, heatmaps and samples. Then
people are put together in three ways, and measured on the same held-out pictures.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from training import crowd_losses
from training.crowd_training import CrowdTraining
from training.crowds import HIDDEN, SEEN, Crowd
from training.evaluate_crowds import LEAST_SCORE, held_out, measure
from training.network import Trained, autocast, encode
from training.recipes import RECIPES
from training.train import train
from vitpose_ros.core.boxes.objects import Objects
from vitpose_ros.core.geometry import grouping
from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.model.config import HEATMAP_STRIDE
from vitpose_ros.core.model.decoders import BottomUpDecoder
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Frame

Array = NDArray[Any]

COCO = SKELETONS['coco']
TAGS = 0.3  # what both parts of the loss of tags count
PEAKS, LEAST = 20, 0.1  # of a keypoint: how many, how high
APART = 1.0  # tags of one person differ by less
# From the middle of the body outwards.
ORDER = (5, 6, 11, 12, 0, 1, 2, 3, 4, 7, 8, 13, 14, 9, 10, 15, 16)


class TaggedTraining(CrowdTraining):
    """The training of 'crowd', with tags."""

    FIGURES = (*CrowdTraining.FIGURES, 'tags')

    def _untrained(self) -> Trained:
        trained = super()._untrained()
        trained.tags = nn.Conv2d(trained.model.config.deconv_channels, len(COCO), 1)
        return trained

    def _loss(self) -> Tensor:
        recipe = self.recipe
        crowds = self.crowds.batch(self.step, recipe.pictures)
        pixels = torch.stack([torch.from_numpy(crowd.picture) for crowd in crowds])
        with autocast():
            maps, tags = tagged(self.network, normalise(pixels))
        parts = crowd_losses.losses(maps.float(), crowd_losses.targets(crowds))
        parts['tags'] = tag_loss(tags.float(), crowds)
        for name, part in parts.items():
            self.sums[name] += float(part.detach())
        weights = {**recipe.weights, 'tags': TAGS}
        return torch.stack([weights[name] * part for name, part in parts.items()]).sum()


def tagged(trained: Trained, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps of a network (n, k + more, h/4, w/4), and its tags (n, k, h/4, w/4)."""
    features = encode(trained.model.backbone, pixels, [len(pixels)])[-1]
    head = trained.model.heads['coco']
    assert isinstance(head, BottomUpDecoder)
    upsampled = head.deconv_layers(features)
    maps = torch.cat((head.final_layer(upsampled), head.grouping(features)), dim=1)
    return maps, trained.tags(upsampled)


def tag_loss(tags: Tensor, crowds: Sequence[Crowd]) -> Tensor:
    """Return how far tags of one person are apart, and how near those of two: a number each."""
    rows, columns = tags.shape[2:]
    pull = push = 0 * tags.sum()  # so that tags have a gradient where nobody is
    people, pairs = 0, 0
    for own, crowd in zip(tags, crowds, strict=True):
        means = []
        for member in crowd.people:
            there = np.isin(member.states, (SEEN, HIDDEN))
            cells = (member.points[there] / HEATMAP_STRIDE).round().astype(int)
            x, y = cells.clip(0, [columns - 1, rows - 1]).T
            mine = own[np.flatnonzero(there), y, x]
            mean = mine.mean()
            pull = pull + (mine - mean).square().mean()
            means.append(mean)
            people += 1
        if len(means) > 1:
            all_means = torch.stack(means)
            near = torch.exp(-((all_means[:, None] - all_means[None]) ** 2) / 2)
            others = ~torch.eye(len(means), dtype=torch.bool)
            push = push + near[others].sum()
            pairs += int(others.sum())
    return pull / max(1, people) + push / max(1, pairs)


def by_offsets(maps: Tensor, _: Tensor) -> grouping.Subjects:
    """Group as the package does: by centres, offsets, and the peaks that are near."""
    return grouping.find(maps, COCO)


def by_offsets_alone(maps: Tensor, _: Tensor) -> grouping.Subjects:
    """Take keypoints where centres expect them; the heatmaps tell nothing."""
    flat = maps.clone()
    flat[:, : len(COCO)] = 1e-3
    return grouping.find(flat, COCO)


def by_tags(maps: Tensor, tags: Tensor) -> grouping.Subjects:
    """Group the peaks of one picture by their tags, greedily, keypoint after keypoint."""
    heatmaps, own = maps[0, : len(COCO)], tags[0].numpy()
    peaks = heatmaps * (heatmaps == F.max_pool2d(heatmaps, 3, 1, 1))
    heights, index = peaks.flatten(1).topk(PEAKS)
    columns = heatmaps.shape[2]
    groups: list[dict[int, tuple[int, int, float]]] = []  # of each: keypoint → x, y, height
    for k in ORDER:
        found = [
            (int(i) % columns, int(i) // columns, float(h))
            for h, i in zip(heights[k], index[k], strict=True)
            if h > LEAST
        ]
        values = np.array([own[k, y, x] for x, y, _ in found])
        means = np.array([_mean_tag(group, own) for group in groups])
        taken = set()
        if len(found) and len(groups):
            gaps = np.abs(values[:, None] - means[None])
            cost = np.round(gaps) * 100 - np.array([h for *_, h in found])[:, None]
            for row, column in zip(*linear_sum_assignment(cost), strict=True):
                if gaps[row, column] < APART:
                    groups[column][k] = found[row]
                    taken.add(int(row))
        groups += [{k: one} for row, one in enumerate(found) if row not in taken]
    return _people([_complete(group, heatmaps.numpy(), own) for group in groups])


def _mean_tag(group: dict[int, tuple[int, int, float]], tags: Array) -> float:
    return float(np.mean([tags[k, y, x] for k, (x, y, _) in group.items()]))


def _complete(group: dict[int, tuple[int, int, float]], heatmaps: Array, tags: Array) -> Array:
    """Return the keypoints (k, 3) of a group; those that lack are where tags and heights fit."""
    mean = _mean_tag(group, tags)
    rows = np.zeros((len(COCO), 3))
    for k in range(len(COCO)):
        if k in group:
            rows[k] = group[k]
            continue
        fit = heatmaps[k] - np.round(np.abs(tags[k] - mean))
        y, x = np.unravel_index(int(fit.argmax()), fit.shape)
        rows[k] = x, y, max(0.0, float(heatmaps[k, y, x])) / 2
    return rows


def _people(found: list[Array]) -> grouping.Subjects:
    """Return people as Subjects; their boxes are those of their keypoints, a little larger."""
    rows = torch.from_numpy(np.array(found, np.float32).reshape(-1, len(COCO), 3))
    points = rows[..., :2] * HEATMAP_STRIDE
    if not len(rows):
        return grouping.Subjects(points[None], rows[None, ..., 2], torch.zeros(1, 0, 4),
                                 torch.zeros(1, 0))  # fmt: skip
    low, high = points.amin(dim=1), points.amax(dim=1)
    margin = 0.1 * (high - low)
    boxes = torch.cat((low - margin, high + margin), dim=1)
    return grouping.Subjects(
        points[None], rows[None, ..., 2], boxes[None], rows[..., 2].mean(dim=1)[None]
    )


WAYS: dict[str, Callable[[Tensor, Tensor], grouping.Subjects]] = {
    'centres, offsets and peaks': by_offsets,
    'centres and offsets': by_offsets_alone,
    'associative embedding': by_tags,
}


def compare(trained: Trained, crowds: Sequence[Crowd]) -> dict[str, dict[str, float]]:
    """Return the figures of each way, and the milliseconds that it takes for a picture."""
    said = []
    with torch.inference_mode():
        for crowd in crowds:
            maps, tags = tagged(trained, normalise(torch.from_numpy(crowd.picture[None])))
            said.append((maps.float(), tags.float()))
    table = {}
    for name, way in WAYS.items():
        begin = time.perf_counter()
        with torch.inference_mode():
            found = [way(*one) for one in said]
        seconds = time.perf_counter() - begin
        objects = [_objects(f, c.picture) for f, c in zip(found, crowds, strict=True)]
        table[name] = {**measure(objects, crowds), 'ms': 1e3 * seconds / len(crowds)}
    return table


def _objects(found: grouping.Subjects, picture: Array) -> Objects:
    height, width = picture.shape[:2]
    boxes = found.boxes[0].numpy().clip(0, [width, height] * 2).astype(np.float32)
    scores = found.box_scores[0].numpy()
    there = (scores >= LEAST_SCORE) & ((boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=1) > 0)
    boxes, scores = boxes[there], scores[there]
    poses = Poses.to_be_filled(Frame(picture, boxes, 'rgb'), ['coco'] * len(boxes))
    poses.keypoints[:] = found.keypoints[0].numpy()[there]
    poses.scores[:] = found.scores[0].numpy()[there]
    return Objects(boxes, scores, ['person'] * len(boxes), poses=poses)


def main() -> None:
    """Train, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('weights', type=Path, help='of the network to begin with')
    parser.add_argument('--samples', type=int, default=6000)
    parser.add_argument('--count', type=int, default=200, help='held-out pictures')
    parser.add_argument('--folder', type=Path, default=Path('training/runs/grouping'))
    parser.add_argument('--cache', type=Path, default=Path('training/cache'))
    chosen = parser.parse_args()
    recipe = RECIPES['crowd']
    options = {'until': chosen.samples, 'weights': (chosen.weights, 0), 'cache': chosen.cache}
    train(recipe, chosen.folder, kind=TaggedTraining, **options)
    training = TaggedTraining(recipe, chosen.folder, chosen.cache, 0)
    training.load()
    crowds = held_out(chosen.cache, chosen.count, chosen.count // 4, size=recipe.picture)
    for name, figures in compare(training.average.eval(), crowds).items():
        print(f'{name}: ' + '  '.join(f'{key} {value:.3f}' for key, value in figures.items()))


if __name__ == '__main__':
    main()
