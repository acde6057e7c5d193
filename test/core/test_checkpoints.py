"""Weight files: what loads, and what every bad one says."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from vitpose_ros.core import CheckpointError
from vitpose_ros.core.checkpoints import find_model, load_network
from vitpose_ros.core.vit import ViTPose, ViTPoseConfig

TINY = ViTPoseConfig(embed_dim=64, depth=2, num_heads=2, num_keypoints=17, deconv_channels=16)


def tiny_state():
    torch.manual_seed(0)
    return ViTPose(TINY).state_dict()


def write(path, state, **metadata):
    metadata = {'num_heads': '2', **metadata}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata)
    return path


def test_our_own_format_round_trips(tmp_path):
    network = ViTPose(TINY).eval()
    path = write(tmp_path / 'a.safetensors', network.state_dict(), embed_dim='64', depth='2')
    pixels = torch.randn(1, 3, 256, 192)
    with torch.inference_mode():
        assert torch.equal(load_network(path)(pixels), network(pixels))


def test_the_embedded_network_has_the_shape_that_its_metadata_states():
    config = load_network('nano').config
    with safe_open(find_model('nano'), framework='pt') as file:
        metadata = file.metadata()
    assert config.num_heads == int(metadata['num_heads']) == 3
    assert config.image_size == (256, 192)
    assert config.decoder == metadata['decoder']
    assert config.deconv_channels == int(metadata['deconv_channels'])


def drop(name):
    return lambda state: state.pop(name)


def reshape(name, *shape):
    return lambda state: state.update({name: torch.zeros(*shape)})


def add(name):
    return lambda state: state.update({name: torch.zeros(3)})


BAD_STATES = {
    'a missing tensor': (drop('backbone.blocks.1.attn.qkv.weight'), 'blocks.1.attn.qkv.weight'),
    'a missing head': (drop('keypoint_head.final_layer.weight'), 'final_layer.weight'),
    'an unexpected tensor': (add('backbone.extra'), 'backbone.extra'),
    'an odd shape': (reshape('backbone.blocks.0.mlp.fc2.weight', 60, 256), '(60, 256)'),
    'a flat position embedding': (reshape('backbone.pos_embed', 64), 'backbone.pos_embed'),
    'another input size': (reshape('backbone.pos_embed', 1, 433, 64), '432 patches'),
    'another keypoint set': (
        lambda s: s.update(
            {
                'keypoint_head.final_layer.weight': torch.zeros(133, 16, 1, 1),
                'keypoint_head.final_layer.bias': torch.zeros(133),
            }
        ),
        '133 keypoints',
    ),
}


@pytest.mark.parametrize('kind', BAD_STATES)
def test_a_file_that_does_not_fit_names_the_tensor(kind, tmp_path):
    damage, words = BAD_STATES[kind]
    state = tiny_state()
    damage(state)
    path = write(tmp_path / 'bad.safetensors', state)
    with pytest.raises(CheckpointError) as error:
        load_network(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_files_that_are_no_weights_are_told_apart(tmp_path):
    truncated = tmp_path / 'truncated.safetensors'
    truncated.write_bytes(find_model('nano').read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match='truncated'):
        load_network(truncated)

    empty = tmp_path / 'empty.safetensors'
    empty.touch()
    with pytest.raises(CheckpointError, match='not a readable safetensors file'):
        load_network(empty)

    other = write(tmp_path / 'other.safetensors', {'conv1.weight': torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"no ViTPose tensors in it.*'conv1.weight'"):
        load_network(other)

    with pytest.raises(CheckpointError, match='no such file'):
        load_network(tmp_path / 'absent.safetensors')
    with pytest.raises(CheckpointError, match=r'model\.safetensors.*no such file'):
        load_network(tmp_path)


def test_metadata_that_contradicts_the_tensors_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match='depth = 12, the tensors 2'):
        load_network(write(tmp_path / 'a.safetensors', tiny_state(), depth='12'))
    with pytest.raises(CheckpointError, match="num_heads = 'many'"):
        load_network(write(tmp_path / 'b.safetensors', tiny_state(), num_heads='many'))


def test_an_unknown_width_without_heads_is_refused(tmp_path):
    save_file(tiny_state(), tmp_path / 'a.safetensors')
    with pytest.raises(CheckpointError, match='attention heads'):
        load_network(tmp_path / 'a.safetensors')


def test_an_unreadable_configuration_beside_the_weights_is_named(tmp_path):
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

    backbone = VitPoseBackboneConfig(
        hidden_size=64, num_hidden_layers=1, num_attention_heads=2, out_indices=[1]
    )
    VitPoseForPoseEstimation(
        VitPoseConfig(backbone_config=backbone, num_labels=17)
    ).save_pretrained(tmp_path)
    assert load_network(tmp_path).config.num_heads == 2
    config = json.loads((tmp_path / 'config.json').read_text())
    config['backbone_config']['num_attention_heads'] = 'two'
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r'config\.json'):
        load_network(tmp_path)
