"""Samples: crops and targets follow the conventions that the package decodes by."""

import numpy as np
import pytest
import torch

from training.compose import HARD, SIZE, WHOLE, Composer, Sample
from training.losses import heatmap_loss, targets
from training.pictures import develop
from training.placement import FLIP, placement
from training.stream import Stream, Views
from vitpose_ros.core import SKELETONS
from vitpose_ros.core.geometry.crops import crop_regions, heatmap_to_image
from vitpose_ros.core.geometry.heatmaps import decode
from vitpose_ros.core.model.config import PUBLIC_UDP
from world.bodies import NAMES

SETS = ('coco', 'aic', 'mpii', 'wholebody')


@pytest.mark.parametrize('name', SETS)
def test_a_keypoint_comes_back_through_target_and_decoding(name):
    """From image to crop as the training does, and back as the node does."""
    rng = np.random.default_rng(1)
    skeleton = SKELETONS[name]
    box = np.array([[31.0, 18.0, 143.0, 260.0]])
    points = rng.uniform(box[0, :2] + 8, box[0, 2:] - 8, (len(skeleton), 2))
    matrix = placement(rng, box[0], (skeleton.name in PUBLIC_UDP), turned=False)
    in_crop = points @ matrix[:, :2].T + matrix[:, 2]
    states = np.full(len(skeleton), 2, np.uint8)
    sample = Sample(np.zeros((*SIZE, 3), np.uint8), in_crop, states, 1.0, 1.0, 1.0)
    wanted, known = targets([sample], name)
    assert (known == 1).all()
    found, scores = decode(wanted, udp=(skeleton.name in PUBLIC_UDP))
    regions = crop_regions(box.astype(np.float32), SIZE)
    back = heatmap_to_image(
        found.numpy(), regions, (64, 48), np.array([(skeleton.name in PUBLIC_UDP)])
    )[0]
    cell = regions[0, 2] / 48
    off = np.abs(back - points).max() / cell
    assert off < (
        0.05 if (skeleton.name in PUBLIC_UDP) else 0.26
    )  # the quarter shift knows no more
    assert scores.min() > 0.85


def test_what_is_outside_has_an_empty_target_and_what_is_unknown_none():
    states = np.array([2, 1, 0, *[2] * 14], np.uint8)
    points = np.full((17, 2), 90.0)
    sample = Sample(np.zeros((*SIZE, 3), np.uint8), points, states, 1.0, 1.0, 1.0)
    wanted, known = targets([sample], 'coco')
    assert wanted[0, 0].max() > 0.9
    assert wanted[0, 1].max() > 0.9  # hidden, but known
    assert wanted[0, 2].max() == 0
    assert known[0, 2] == 1
    states = np.where(np.arange(133) >= 23, 255, 2).astype(np.uint8)
    sample = Sample(sample.crop, np.full((133, 2), 90.0), states, 1.0, 1.0, 1.0)
    wanted, known = targets([sample], 'wholebody')
    assert known[0].sum() == 23
    maps = torch.zeros_like(wanted)
    before = heatmap_loss(maps, wanted, known)
    maps[0, 23:] = 5.0
    assert heatmap_loss(maps, wanted, known) == before
    maps[0, 0] = 5.0
    assert heatmap_loss(maps, wanted, known)[0] > before[0]


def test_the_loss_is_least_at_the_target():
    rng = np.random.default_rng(0)
    points = rng.uniform(30, 150, (17, 2))
    sample = Sample(np.zeros((*SIZE, 3), np.uint8), points, np.full(17, 2), 1.0, 1.0, 1.0)
    wanted, known = targets([sample], 'coco')
    shifted = wanted.roll(3, dims=3)
    for perfect, off in zip(
        heatmap_loss(wanted, wanted, known), heatmap_loss(shifted, wanted, known), strict=True
    ):
        assert perfect < off


def test_flipping_swaps_left_and_right():
    for i, name in enumerate(NAMES):
        other = NAMES[FLIP[i]]
        assert FLIP[FLIP[i]] == i
        if name.startswith('left'):
            assert other == 'right' + name[4:]
        elif not name.startswith('right'):
            assert other == name


def test_another_style_changes_what_surfaces_look_like_and_not_where_their_edges_are():
    scene = np.full((*SIZE, 3), 60, np.uint8)
    scene[80:200, 50:140] = (200, 150, 90)
    scene[:, 20:24] = (30, 190, 30)
    edges = np.abs(np.diff(scene.astype(float), axis=1)).sum(axis=(0, 2))
    changed, kept = [], []
    for i in range(40):
        plain, other = (develop(np.random.default_rng(i), scene, 0, styled) for styled in (0, 1))
        assert other.shape == scene.shape
        assert other.dtype == np.uint8
        changed.append(np.abs(other.astype(float) - plain).mean() > 8)
        found = np.abs(np.diff(other.astype(float), axis=1)).sum(axis=(0, 2))
        kept.append(set(np.argsort(found)[-4:]) & {19, 23, 49, 139})
    assert (edges > 0).nonzero()[0].tolist() == [19, 23, 49, 139]
    assert np.mean(changed) > 0.7
    assert np.mean([len(found) for found in kept]) > 3


@pytest.mark.parametrize('difficulty', [WHOLE, HARD], ids=['whole', 'hard'])
def test_samples_show_the_person(views, difficulty):
    composer = Composer(views, [])
    shown = []
    for i in range(len(views)):
        for name in SETS:
            sample = composer.sample(np.random.default_rng([3, i]), i, name, difficulty)
            assert sample.crop.shape == (*SIZE, 3)
            assert sample.crop.dtype == np.uint8
            seen = np.isin(sample.states, (1, 2))
            points = sample.points[seen]
            assert (points >= 0).all()
            assert (points <= np.array(SIZE[::-1]) - 1).all()
            shown.append(seen.sum() / (sample.states < 255).sum())
    assert np.mean(shown) > (0.97 if difficulty is WHOLE else 0.6)


@pytest.mark.parametrize('difficulty', [WHOLE, HARD], ids=['whole', 'hard'])
def test_samples_of_close_people_end_with_the_image(close_views, difficulty):
    composer = Composer(close_views, [])
    whole = 0
    for i in range(len(close_views)):
        for seed in range(4):  # mirrored and not
            sample = composer.sample(np.random.default_rng([seed, i]), i, 'coco', difficulty)
            there = np.isin(sample.states, (1, 2))
            whole += there.all()
            x, y = sample.points[there].astype(int).T
            dark = [sample.crop[b, a].max() == 0 for a, b in zip(x, y, strict=True)]
            assert np.mean(dark) < 0.2
    assert whole < len(close_views)


def test_a_stream_is_the_same_whenever_it_starts(people):
    def stream(process=0):
        return Stream(Views([], 5, process, pool=8, reuse=4), [])

    counts = {'coco': 2, 'mpii': 2}
    first = stream()
    batches = [first.batch(step, counts, 0.5) for step in range(6)]
    late = stream().batch(5, counts, 0.5)
    for name in counts:
        for a, b in zip(batches[5][name], late[name], strict=True):
            assert (a.crop == b.crop).all()
            assert (a.points == b.points).all()
    other = stream(1).batch(5, counts, 0.5)
    assert any((a.crop != b.crop).any() for a, b in zip(late['coco'], other['coco'], strict=True))
