"""Everybody in a picture comes back from maps that say exactly where they are."""

import numpy as np
import pytest
import torch

from vitpose_ros.core.geometry.grouping import MOST, find
from vitpose_ros.core.model import grouping
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.grouping import num_channels, unfolded
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.skeletons import SKELETONS

COCO = SKELETONS['coco']
HEIGHT, WIDTH, CELL, SIGMA = 256, 320, 4, 1.2
# Of a person of one metre: a body that stands, arms aside.
BODY = np.array(
    [
        *((0.0, 0.05), (0.02, 0.03), (-0.02, 0.03), (0.05, 0.05), (-0.05, 0.05)),
        *((0.12, 0.2), (-0.12, 0.2), (0.2, 0.33), (-0.2, 0.33), (0.25, 0.47), (-0.25, 0.47)),
        *((0.08, 0.5), (-0.08, 0.5), (0.09, 0.73), (-0.09, 0.73), (0.1, 0.96), (-0.1, 0.96)),
    ]
)


def person(x, y, tall):
    """Return keypoints (17, 2) and box (4,) of somebody whose head is there."""
    points = np.array([x, y]) + tall * BODY
    box = [*(points.min(axis=0) - 0.03 * tall), *(points.max(axis=0) + 0.03 * tall)]
    return points, np.array(box)


def maps_of(people, offset_error=0.0, peaks=True):
    """Return the maps (1, k + more, h/4, w/4) of a network that knows it all."""
    k = len(COCO)
    heatmaps = torch.zeros(k, HEIGHT // CELL, WIDTH // CELL)
    shape = HEIGHT // grouping.STRIDE, WIDTH // grouping.STRIDE
    cells = torch.zeros(num_channels(k), *shape)
    cells[0] = -9.0
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in heatmaps.shape[1:]), indexing='ij')
    for points, box in people:
        for index, (x, y) in enumerate(points / CELL if peaks else ()):
            peak = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * SIGMA**2))
            heatmaps[index] = torch.maximum(heatmaps[index], peak)
        middle = (box[:2] + box[2:]) / 2
        column, row = (middle / grouping.STRIDE).astype(int)
        at = (np.array([column, row]) + 0.5) * grouping.STRIDE
        cells[0, row, column] = 4.0
        sides = np.concatenate((at - box[:2], box[2:] - at)) / grouping.UNIT
        cells[1:5, row, column] = torch.from_numpy(np.log(np.expm1(sides)))
        offsets = (points - at + offset_error * np.ptp(points[:, 1])) / grouping.UNIT
        cells[5 : 5 + 2 * k, row, column] = torch.from_numpy(offsets.reshape(-1))
    folded = torch.nn.functional.pixel_shuffle(cells, grouping.FINER)
    return torch.cat((heatmaps, folded))[None]


def rows_of(found, people):
    """Return which of those found each of the people is, by their boxes."""
    boxes = found.boxes[0].numpy()
    return [int(np.abs(boxes - box).sum(axis=1).argmin()) for _, box in people]


CROWD = [person(60, 30, 200), person(150, 60, 120), person(185, 62, 120), person(280, 100, 60)]


def test_all_come_back():
    found = find(maps_of(CROWD), COCO)
    assert found.keypoints.shape == (1, MOST, 17, 2) and found.scores.shape == (1, MOST, 17)
    assert (found.box_scores[0] > 0.5).sum() == len(CROWD)
    rows = rows_of(found, CROWD)
    assert sorted(rows) == list(range(len(CROWD))), 'best first'
    for row, (points, box) in zip(rows, CROWD, strict=True):
        assert np.abs(found.boxes[0, row].numpy() - box).max() < 0.01
        off = np.abs(found.keypoints[0, row].numpy() - points).max(axis=1)
        large = np.ptp(points[:, 1]) > 100
        # Where two peaks of one map meet, as eyes of small people, they bend each other.
        assert off[5:].max() < (0.1 if large else 1.0)
        assert found.scores[0, row].min() > 0.7


def test_offsets_that_are_off_are_drawn_to_the_peaks():
    found = find(maps_of(CROWD[:2], offset_error=0.03), COCO)
    for row, (points, _) in zip(rows_of(found, CROWD[:2]), CROWD[:2], strict=True):
        assert np.abs(found.keypoints[0, row].numpy() - points)[5:].max() < 0.5


def test_without_peaks_keypoints_are_where_they_are_expected_and_score_nothing():
    found = find(maps_of(CROWD[:1], peaks=False), COCO)
    assert np.abs(found.keypoints[0, 0].numpy() - CROWD[0][0]).max() < 0.01
    assert found.scores[0, 0].max() == 0


def test_where_nobody_is_nobody_is_found():
    assert find(maps_of([]), COCO).box_scores.max() < 0.001


def test_who_is_found_twice_counts_once():
    points, box = CROWD[1]
    maps = maps_of([(points, box), (points, box + np.array([9, 0, 9, 0]))])
    assert (unfolded(maps[:, 17:])[0, 0] > 0).sum() == 2
    assert (find(maps, COCO).box_scores > 0.5).sum() == 1


def test_a_batch_gives_what_its_images_give():
    both = torch.cat((maps_of(CROWD), maps_of(CROWD[:1])))
    together, alone = find(both, COCO), find(both[1:], COCO)
    for name in ('keypoints', 'scores', 'boxes', 'box_scores'):
        assert torch.equal(getattr(together, name)[1:], getattr(alone, name)), name


@pytest.mark.parametrize('size', [(64, 96), (96, 160)])
def test_a_network_says_as_much_as_is_read(size):
    config = ViTPoseConfig(
        embed_dim=32, depth=1, num_heads=2, num_keypoints={'coco': 17}, deconv_channels=8,
        image_size=size, bottom_up=True,
    )  # fmt: skip
    network = ViTPose(config).eval()
    [maps] = network(torch.zeros(2, 3, *size))
    assert maps.shape == (2, config.num_maps['coco'], size[0] // 4, size[1] // 4)
    cells = unfolded(maps[:, 17:])
    assert cells.shape == (2, num_channels(17), size[0] // 8, size[1] // 8)
    features = network.backbone(torch.zeros(2, 3, *size), [2])
    head = network.heads['coco']
    plain = head.grouping.final_layer(torch.nn.functional.gelu(head.grouping.deconv(features)))
    assert torch.equal(cells, plain)
