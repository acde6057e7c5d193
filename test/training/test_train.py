"""Training: deterministic, resumable, and what it writes is a network of the package."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from training.crop_training import Training
from training.crowd_training import CrowdTraining
from training.network import Trained, config, write_network
from training.recipes import RECIPES
from vitpose_ros.core import SKELETONS
from vitpose_ros.core.weights import load_network, read_checkpoint

TINY = replace(RECIPES['smoke'], processes=1, depth=1, embed_dim=64, pool=6, samples=48)


def train(folder, steps, state=None):
    """Train so many steps, from a folder's state if one is given."""
    training = Training(TINY, folder, folder, 0)
    if state is not None:
        training.folder = state
        training.load()
        training.folder = folder
    for _ in range(steps):
        training.train_step()
    folder.mkdir(exist_ok=True)
    training.save()
    return training


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(people, tmp_path):
    whole = train(tmp_path / 'whole', 4)
    train(tmp_path / 'half', 2)
    rest = train(tmp_path / 'rest', 2, state=tmp_path / 'half')
    assert rest.step == whole.step
    for (name, a), b in zip(
        whole.average.state_dict().items(), rest.average.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_a_stopped_training_of_crowds_sees_the_same_pictures_again(people, tmp_path):
    recipe = replace(RECIPES['crowd-smoke'], processes=1, depth=1, embed_dim=64, pool=6)
    first = CrowdTraining(recipe, tmp_path, tmp_path, 0)
    for _ in range(2):
        first.train_step()
    first.save()
    first.train_step()
    again = CrowdTraining(recipe, tmp_path, tmp_path, 0)
    again.load()
    again.train_step()
    assert again.step == first.step == 3
    for (name, a), b in zip(
        first.average.state_dict().items(), again.average.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_a_network_for_crowds_begins_as_the_encoder_of_another(people, tmp_path):
    recipe = replace(RECIPES['crowd-smoke'], processes=1, depth=1, embed_dim=64, pool=6)
    torch.manual_seed(3)
    one = Trained(config(64, 1, ('coco',)))
    write_network(one, tmp_path / 'one.safetensors')
    training = CrowdTraining(recipe, tmp_path, tmp_path, 0)
    before = training.network.model.heads['coco'].grouping.final_layer.weight.clone()
    training.load_weights(tmp_path / 'one.safetensors', 0)
    mine, its = training.network.model, one.model
    blocks = mine.backbone.blocks.state_dict()
    for name, value in its.backbone.blocks.state_dict().items():
        assert torch.allclose(blocks[name], value, atol=1e-3), name
    assert torch.equal(mine.heads['coco'].grouping.final_layer.weight, before)
    training.save()
    # The next stage, in larger pictures, goes on with all of it.
    larger = replace(recipe, picture=(192, 256), window=(6, 8))
    stage = CrowdTraining(larger, tmp_path, tmp_path, 0)
    stage.load_weights(tmp_path / 'network.safetensors', 0)
    grouping = stage.network.model.heads['coco'].grouping.state_dict()
    for name, value in training.average.model.heads['coco'].grouping.state_dict().items():
        assert torch.allclose(grouping[name], value, atol=1e-3), name
    stage.train_step()


def test_the_state_of_another_recipe_is_refused(people, tmp_path):
    train(tmp_path / 'one', 1)
    other = Training(replace(TINY, rate=1e-4), tmp_path / 'one', tmp_path, 0)
    with pytest.raises(ValueError, match=r'state\.pt is of another recipe'):
        other.load()


def test_a_state_from_before_recipes_had_a_field_goes_on(people, tmp_path):
    train(tmp_path / 'one', 1)
    path = tmp_path / 'one' / 'state.pt'
    state = torch.load(path, weights_only=True)
    del state['recipe']['styled']
    torch.save(state, path)
    later = Training(TINY, tmp_path / 'one', tmp_path, 0)
    later.load()
    assert later.step == 1
    other = Training(replace(TINY, styled=0.5), tmp_path / 'one', tmp_path, 0)
    with pytest.raises(ValueError, match=r'state\.pt is of another recipe'):
        other.load()


def test_a_training_can_be_made_longer_until_its_rate_falls(people, tmp_path):
    train(tmp_path / 'one', 4)  # 32 of 48 samples: the last fifth begins after 38
    longer = Training(replace(TINY, samples=96), tmp_path / 'one', tmp_path, 0)
    longer.load()
    assert longer.samples == 32
    train(tmp_path / 'two', 5)
    longer.folder = tmp_path / 'two'
    with pytest.raises(ValueError, match=r'state\.pt is of another recipe'):
        longer.load()


def test_the_network_is_written_as_the_package_reads_it(tmp_path):
    torch.manual_seed(0)
    trained = Trained(config(64, 1))
    with torch.no_grad():
        for head in trained.model.heads.values():
            head.final_layer.weight.normal_()
            head.final_layer.bias.normal_()
    path = tmp_path / 'network.safetensors'
    write_network(trained, path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.config.keypoint_sets == ('coco', 'aic', 'mpii', 'wholebody')
    assert {v.dtype for k, v in checkpoint.state.items() if 'running' not in k} == {torch.float16}
    pixels = torch.randn(1, 3, 256, 192)
    trained.eval()
    for i, name in enumerate(checkpoint.config.keypoint_sets):
        counts = [int(i == j) for j in range(4)]
        with torch.inference_mode():
            maps = load_network(path, name)(pixels)[0]
            expected = trained(pixels, counts)[i]
        assert maps.shape[1] == len(SKELETONS[name])
        known = slice(0, 23 if name == 'wholebody' else None)
        assert np.allclose(maps[:, known], expected[:, known], atol=0.05)
        if name == 'wholebody':  # nobody taught it faces: it says nothing
            assert (maps[:, 23:91] == 0).all()
