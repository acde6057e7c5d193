"""Pictures of crowds: their truth is what they show, and what a perfect network would say."""

import numpy as np
import pytest
import torch

from training.crowd_losses import CELL, losses, targets
from training.crowds import COVERED, HIDDEN, LEAST_PIXELS, MOST, OUTSIDE, SEEN, SIZE, CrowdComposer
from vitpose_ros.core.geometry.grouping import find
from vitpose_ros.core.model import grouping
from vitpose_ros.core.skeletons import SKELETONS

COCO = SKELETONS['coco']


@pytest.fixture(scope='module')
def composer(views, close_views):
    return CrowdComposer([*views, *close_views], [])


def picture(composer, seed, count=None):
    return composer.picture(np.random.default_rng([9, seed]), count)


def test_people_are_where_their_truth_says(composer):
    states = []
    for seed in range(12):
        crowd = picture(composer, seed)
        assert crowd.picture.shape == (*SIZE, 3) and crowd.picture.dtype == np.uint8
        assert len(crowd.people) <= MOST + 1
        for member in crowd.people:
            x_min, y_min, x_max, y_max = member.box
            assert 0 <= x_min < x_max <= SIZE[1] and 0 <= y_min < y_max <= SIZE[0]
            assert (x_max - x_min) * (y_max - y_min) >= LEAST_PIXELS
            assert 0 < member.share <= 1
            seen = member.points[member.states == SEEN]
            slack = 0.1 * max(x_max - x_min, y_max - y_min) + 2
            assert (seen > [x_min - slack, y_min - slack]).all()
            assert (seen < [x_max + slack, y_max + slack]).all()
            states.extend(member.states)
    assert set(states) == {SEEN, HIDDEN, COVERED, OUTSIDE}
    assert np.mean(np.array(states) == SEEN) > 0.4


def test_nobody_where_nobody_is_asked_for(composer):
    crowd = picture(composer, 3, 0)
    assert crowd.people == [] and len(crowd.ignored) == 0
    wanted = targets([crowd])
    assert wanted.heatmaps.max() == wanted.centres.max() == 0 and len(wanted.cells) == 0


def test_the_same_seed_gives_the_same_picture(composer):
    first, again, other = (picture(composer, seed) for seed in (1, 1, 2))
    assert (first.picture == again.picture).all()
    assert (first.picture != other.picture).any()
    for one, two in zip(first.people, again.people, strict=True):
        assert (one.points == two.points).all() and (one.states == two.states).all()


def perfect(wanted, shape):
    """The maps of a network that says what is wanted."""
    k = len(COCO)
    cells = torch.zeros(shape[0], grouping.num_channels(k), *wanted.centres.shape[1:])
    cells[:, 0] = wanted.centres.clamp(1e-5, 1 - 1e-5).logit()
    at = (wanted.cells[:, [2, 1]] + 0.5) * grouping.STRIDE
    sides = torch.cat((at - wanted.boxes[:, :2], wanted.boxes[:, 2:] - at), dim=1)
    sides = (sides / grouping.UNIT).clamp(min=1e-3).expm1().log()
    offsets = ((wanted.points - at[:, None]) / grouping.UNIT).flatten(1)
    index, row, column = wanted.cells.T
    cells[index, 1:5, row, column] = sides
    cells[index, 5 : 5 + 2 * k, row, column] = offsets
    folded = torch.nn.functional.pixel_shuffle(cells, grouping.FINER)
    return torch.cat((wanted.heatmaps, folded), dim=1)


def test_what_a_perfect_network_says_brings_everybody_back(composer):
    crowds = [picture(composer, seed) for seed in range(8)]
    wanted = targets(crowds)
    found = find(perfect(wanted, (len(crowds),)), COCO)
    hits, off = [], []
    for index, crowd in enumerate(crowds):
        for member in crowd.people:
            sure = found.box_scores[index] > 0.5
            boxes = found.boxes[index][sure].numpy()
            gaps = np.abs(boxes - member.box).max(axis=1, initial=0)
            hits.append(len(gaps) > 0 and gaps.min() < 2)
            if hits[-1]:
                points = found.keypoints[index][sure][int(gaps.argmin())].numpy()
                size = np.sqrt(np.prod(member.box[2:] - member.box[:2]))
                there = np.isin(member.states, (SEEN, HIDDEN))
                off.extend(np.abs(points - member.points).max(axis=1)[there] / max(size, 20))
    assert np.mean(hits) > 0.9, 'those who stand in one cell are one'
    assert np.median(off) < 0.01 and np.mean(np.array(off) < 0.08) > 0.9


def test_the_loss_is_least_where_all_is_right(composer):
    crowds = [picture(composer, seed, 4) for seed in range(3)]
    wanted = targets(crowds)
    maps = perfect(wanted, (len(crowds),))
    right = losses(maps, wanted)
    assert right['peaks'] == 0 and right['boxes'] < 0.01 and right['offsets'] < 1e-6
    for name, channel in (('peaks', 3), ('centres', 17), ('boxes', 18), ('offsets', 20)):
        wrong = maps.clone()
        wrong[:, channel] += 0.5
        assert losses(wrong, wanted)[name] > right[name], name
    assert maps.shape[2] * CELL == SIZE[0]
