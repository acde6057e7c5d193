"""Pictures of crowds: their truth is what they show, and what a perfect network would say."""

import numpy as np
import pytest
import torch

from training import crowd_pictures
from training.crowd_losses import CELL, losses, targets
from training.crowd_pictures import CrowdComposer
from training.crowds import COVERED, HIDDEN, LEAST_PIXELS, MOST, OUTSIDE, SEEN, SIZE
from vitpose_ros.core.geometry.grouping import find
from vitpose_ros.core.model import grouping
from vitpose_ros.core.skeletons import SKELETONS

COCO = SKELETONS['coco']


@pytest.fixture(scope='module')
def things(people):
    """Views of no people."""
    return [people.thing(np.random.default_rng([11, i])) for i in range(12)]


@pytest.fixture(scope='module')
def composer(views, close_views, things):
    return CrowdComposer([*views, *close_views], [], things=things)


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
    assert np.mean(np.array(states) == SEEN) > 0.3


def test_nobody_where_nobody_is_asked_for(composer):
    for seed in range(6):  # things are nobody
        crowd = picture(composer, seed, 0)
        assert crowd.people == [] and len(crowd.ignored) == 0
        wanted = targets([crowd])
        assert wanted.heatmaps.max() == wanted.centres.max() == 0 and len(wanted.cells) == 0
        maps = torch.randn(1, len(COCO) + grouping.num_channels(len(COCO)) // 4, 96, 128)
        assert all(torch.isfinite(part) for part in losses(maps, wanted).values())


def test_images_of_other_shapes_leave_the_rest_black(composer):
    shapes = set()
    for seed in range(30):
        crowd = picture(composer, seed, 3)
        lit = crowd.picture.max(axis=2) > 0
        height, width = (int(np.nonzero(lit.any(axis=a))[0].max()) + 1 for a in (1, 0))
        assert height == SIZE[0] or width == SIZE[1], 'as large as fits'
        shapes.add((height, width))
        for member in crowd.people:
            assert (member.box[2:] <= [width, height]).all(), 'nobody is in what is black'
            outside = np.any(member.points >= [width, height], axis=1)
            assert (member.states[outside] == OUTSIDE).all()
    assert SIZE in shapes and len(shapes) > 4
    assert any(h < SIZE[0] for h, w in shapes) and any(w < SIZE[1] for h, w in shapes)


def test_things_hide_people(views, things, monkeypatch):
    """Among many things, people have keypoints that are covered more often."""
    monkeypatch.setattr(crowd_pictures, 'THINGS', 20)

    def covered(composer):
        states = [
            member.states for seed in range(8) for member in picture(composer, seed, 5).people
        ]
        return np.mean(np.array(states) == COVERED)

    assert covered(CrowdComposer(views, [], things=things)) > covered(CrowdComposer(views, []))


def test_each_person_counts_as_much_as_another(composer):
    crowds = [picture(composer, seed, 4) for seed in range(4)]
    wanted = targets(crowds)
    owners = {}
    for box, weight in zip(wanted.boxes.tolist(), wanted.weights.tolist(), strict=True):
        owners[tuple(box)] = owners.get(tuple(box), 0) + weight
    assert owners and all(total == pytest.approx(1, abs=1e-5) for total in owners.values())
    assert wanted.peaks == sum(
        np.isin(member.states, (SEEN, HIDDEN)).sum() for crowd in crowds for member in crowd.people
    )


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
