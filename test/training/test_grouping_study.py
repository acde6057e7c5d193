"""Ways of grouping keypoints: what perfect maps and tags give back."""

import numpy as np
import pytest
import torch

from training.crowd_losses import targets
from training.crowd_pictures import CrowdComposer
from training.crowds import HIDDEN, SEEN, Crowd
from training.grouping_study import COCO, by_tags, tag_loss


@pytest.fixture(scope='module')
def crowd(views):
    crowds = (CrowdComposer(views, []).picture(np.random.default_rng([3, s]), 3) for s in range(9))
    return next(c for c in crowds if len(c.people) == 3)


def tags_of(crowd):
    """Tags of which each person has one of its own, at its keypoints."""
    tags = torch.full((1, len(COCO), 96, 128), 50.0)
    for number, member in enumerate(crowd.people):
        for k, ((x, y), state) in enumerate(zip(member.points / 4, member.states, strict=True)):
            if state in (SEEN, HIDDEN):
                row, column = min(round(float(y)), 95), min(round(float(x)), 127)
                tags[0, k, row, column] = 3.0 * number
    return tags


def test_tags_bring_everybody_back(crowd):
    heatmaps = targets([crowd]).heatmaps
    found = by_tags(heatmaps, tags_of(crowd))
    for member in crowd.people:
        there = np.isin(member.states, (SEEN, HIDDEN))
        off = np.abs(found.keypoints[0].numpy()[:, there] - member.points[there]).max(axis=(1, 2))
        assert off.min() < 4, 'a cell'


def test_tags_that_tell_people_apart_cost_least(crowd):
    right = tag_loss(tags_of(crowd), [crowd])
    alike = tag_loss(torch.zeros(1, len(COCO), 96, 128), [crowd])
    mixed = tag_loss(torch.randn(1, len(COCO), 96, 128) * 3, [crowd])
    assert right < 0.05 < min(alike, mixed)
    nobody = Crowd(crowd.picture, [], crowd.ignored)
    assert tag_loss(torch.zeros(1, len(COCO), 96, 128), [nobody]) == 0
