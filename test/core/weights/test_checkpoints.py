"""Weight files: every layout loads to the same heatmaps, and every bad one says what is wrong."""

import io
import json
import pickle
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_weights import KEYPOINTS, SeveralHeads, hugging_face_model, original_state
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_weights import tiny_state, write

from vitpose_ros.core import CheckpointError, PoseEstimator
from vitpose_ros.core.model.config import SIZES, ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.weights import (
    KNOWN_MODELS,
    find_model,
    load_network,
    models_directory,
    path_of,
    read_checkpoint,
    write_checkpoint,
)

SETS = list(KEYPOINTS)
WIDTH, DEPTH, HEADS = 384, 2, 12  # of the small size, but shallow


def pixels():
    return torch.randn(2, 3, 256, 192, generator=torch.Generator().manual_seed(0))


def assert_heatmaps(path, keypoint_set, expected):
    with torch.inference_mode():
        [found] = load_network(path, [keypoint_set])(pixels())
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-4


@pytest.fixture(scope='module')
def several_heads():
    torch.manual_seed(0)
    return SeveralHeads(WIDTH, DEPTH, HEADS)


@pytest.fixture(scope='module')
def expected(several_heads):
    """The heatmaps of each set, by transformers."""
    return {name: several_heads.heatmaps(name, pixels()) for name in SETS}


# Layouts


@pytest.mark.parametrize('simple', [False, True], ids=['classic', 'simple'])
@pytest.mark.parametrize('experts', [1, 6], ids=['dense', 'experts'])
def test_hugging_face_files_and_directories(simple, experts, tmp_path):
    torch.manual_seed(1)
    model = hugging_face_model(WIDTH, DEPTH, HEADS, simple=simple, experts=experts)
    index = torch.zeros(2, dtype=torch.long) if experts > 1 else None
    with torch.inference_mode():
        heatmaps = model(pixels(), dataset_index=index).heatmaps
    model.save_pretrained(tmp_path / 'directory')
    save_file(model.state_dict(), tmp_path / 'file.safetensors')
    torch.save(model.state_dict(), tmp_path / 'pytorch_model.bin')
    for path in ('directory', 'directory/model.safetensors', 'file.safetensors', '.'):
        assert_heatmaps(tmp_path / path, 'coco', heatmaps)
        assert read_checkpoint(tmp_path / path).layout == 'Hugging Face'


@pytest.mark.parametrize(
    'kind', ['state_dict', 'bare', 'module.', 'legacy', 'padded', 'class token']
)
def test_original_files_with_several_heads(kind, several_heads, expected, tmp_path):
    state = several_heads.original()
    path = tmp_path / 'several_heads.pth'
    if kind == 'bare':
        torch.save(state, path)
    elif kind == 'legacy':  # not a zip archive, as PyTorch wrote before 1.6
        torch.save({'state_dict': state}, path, _use_new_zipfile_serialization=False)
    else:
        if kind == 'module.':
            state = {f'module.{name}': tensor for name, tensor in state.items()}
        elif kind == 'padded':  # training pads all targets to the largest set
            for name in [name for name in state if 'associate' in name and 'final' in name]:
                rows = torch.full((133 - len(state[name]), *state[name].shape[1:]), 7.0)
                state[name] = torch.cat((state[name], rows))
        elif kind == 'class token':
            state['backbone.cls_token'] = torch.zeros(1, 1, WIDTH)
        meta = {'epoch': 210, 'mmcv_version': '1.3.9', 'config': 'model = dict()'}
        torch.save({'meta': meta, 'state_dict': state, 'optimizer': {'state': {}}}, path)
    for name in SETS:
        assert_heatmaps(path, name, expected[name])
    assert read_checkpoint(path).config.keypoint_sets == tuple(SETS)


@pytest.mark.parametrize('leftovers', [False, True], ids=['clean', 'leftovers'])
@pytest.mark.parametrize('name', SETS)
def test_split_files(name, leftovers, several_heads, expected, tmp_path):
    state = several_heads.split(name, leftovers=leftovers)
    assert any('experts' in key for key in state) == leftovers
    torch.save({'state_dict': state}, tmp_path / 'split.pth')
    assert_heatmaps(tmp_path / 'split.pth', name, expected[name])
    config = read_checkpoint(tmp_path / 'split.pth', name).config
    assert config.part_features == 0 and config.keypoint_sets == (name,)


@pytest.mark.parametrize('name', SETS)
def test_leftover_experts_tell_the_set_of_a_split_file(name, several_heads, tmp_path):
    torch.save(several_heads.split(name, leftovers=True), tmp_path / 'split.pth')
    assert read_checkpoint(tmp_path / 'split.pth').config.keypoint_sets == (name,)
    other = 'apt36k' if name == 'ap10k' else 'ap10k'
    assert f"give {name}, not '{other}'" in error_of(tmp_path / 'split.pth', other)


@pytest.fixture(scope='module')
def dense_heads():
    torch.manual_seed(0)
    return SeveralHeads(WIDTH, 1, HEADS, experts=1)


def test_all_heads_of_a_dense_file_are_usable(dense_heads, tmp_path):
    """As in the authors' coco, aic and mpii file: associate heads on a network without experts."""
    state = {
        name: tensor
        for name, tensor in dense_heads.original().items()
        if not re.match(r'associate_keypoint_heads\.[2-4]', name)
    }
    path = tmp_path / 'dense.pth'
    torch.save({'state_dict': state}, path)
    config = read_checkpoint(path).config
    assert config.keypoint_sets == ('coco', 'aic', 'mpii') and config.part_features == 0
    for name in config.keypoint_sets:
        assert_heatmaps(path, name, dense_heads.heatmaps(name, pixels()))
    together = load_network(path, ['mpii', 'coco'])(
        torch.cat((pixels()[:1], pixels()[:1])), [1, 1]
    )
    for name, maps in zip(('mpii', 'coco'), together, strict=True):
        assert (maps - dense_heads.heatmaps(name, pixels()[:1])).abs().max() < 1e-4


def test_keypoint_sets_may_be_a_text_with_commas():
    assert load_network('nano', 'aic, coco').config.keypoint_sets == ('aic', 'coco')
    assert read_checkpoint('nano', 'aic,coco').select('mpii')[0].keypoint_sets == ('mpii',)


def test_a_head_that_is_not_of_its_number_is_refused(dense_heads, tmp_path):
    """A network of coco and mpii alone: its second head would pass for aic's, cut to 14 rows."""
    state = {
        re.sub(r'associate_keypoint_heads\.1', 'associate_keypoint_heads.0', name): tensor
        for name, tensor in dense_heads.original().items()
        if not re.match(r'associate_keypoint_heads\.[02-4]', name)
    }
    torch.save(state, tmp_path / 'a.pth')
    words = "associate_keypoint_heads.0 gives 16 keypoints, expected 14, for keypoint set 'aic'"
    assert words in error_of(tmp_path / 'a.pth')


def test_our_format_keeps_several_sets_or_one(several_heads, expected, tmp_path):
    torch.save(several_heads.original(), tmp_path / 'several_heads.pth')
    checkpoint = read_checkpoint(tmp_path / 'several_heads.pth')
    for sets in (SETS, ['wholebody', 'coco'], ['ap10k']):
        path = tmp_path / f'{len(sets)}.safetensors'
        write_checkpoint(path, *checkpoint.select(sets))
        assert read_checkpoint(path).layout == 'vitpose_ros'
        assert read_checkpoint(path).config.keypoint_sets == tuple(sets)
        for name in sets:
            assert_heatmaps(path, name, expected[name])


def test_our_format_keeps_what_the_tensors_cannot_tell(tmp_path):
    config = ViTPoseConfig(
        embed_dim=64,
        depth=2,
        num_heads=4,
        num_keypoints={'mpii': 16},
        image_size=(160, 320),
        deconv_channels=16,
        attention=('shifted_window', 'full'),
        window_size=(3, 5),
        udp=(),
    )
    network = ViTPose(config).eval()
    write_checkpoint(tmp_path / 'a.safetensors', config, network.state_dict())
    assert read_checkpoint(tmp_path / 'a.safetensors').config == config
    loaded = load_network(tmp_path / 'a.safetensors')
    assert loaded.config == replace(config, folded=True)
    with torch.inference_mode():
        images = torch.randn(1, 3, 160, 320)
        assert torch.allclose(loaded(images)[0], network(images)[0], atol=1e-5)


def test_the_convention_of_each_set_is_in_our_files(several_heads, tmp_path):
    torch.save(several_heads.original(), tmp_path / 'a.pth')
    config, state = read_checkpoint(tmp_path / 'a.pth').select(['wholebody', 'coco', 'aic'])
    assert config.udp == ('coco',)  # as the public networks were trained
    for udp in (('wholebody',), (), ('wholebody', 'coco', 'aic')):
        path = tmp_path / 'b.safetensors'
        write_checkpoint(path, replace(config, udp=udp), state)
        assert read_checkpoint(path).config.udp == udp
        assert load_network(path, ['coco', 'wholebody']).config.udp == tuple(
            name for name in ('coco', 'wholebody') if name in udp
        )


def test_files_that_do_not_say_their_convention_have_that_of_the_public_networks():
    with safe_open(find_model('nano'), framework='pt') as file:
        assert 'udp' not in file.metadata()
    assert read_checkpoint('nano').config.udp == ('coco', 'mpii')


def test_weights_in_half_precision_load(several_heads, expected, tmp_path):
    half = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in several_heads.split('coco').items()
    }
    torch.save(half, tmp_path / 'half.pth')
    network = load_network(tmp_path / 'half.pth')
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    with torch.inference_mode():
        [found] = network(pixels())
    assert (found - expected['coco']).abs().max() < 0.05


def test_sets_come_in_the_order_asked_for(several_heads, expected, tmp_path):
    torch.save(several_heads.original(), tmp_path / 'several_heads.pth')
    network = load_network(tmp_path / 'several_heads.pth', ['mpii', 'coco', 'mpii'])
    assert network.config.keypoint_sets == ('mpii', 'coco')
    images = torch.cat((pixels()[:1], pixels()[:1]))
    mpii, coco = network(images, [1, 1])
    assert (mpii - expected['mpii'][:1]).abs().max() < 1e-4
    assert (coco - expected['coco'][:1]).abs().max() < 1e-4


def test_a_loaded_network_holds_no_more_than_it_needs(several_heads, tmp_path):
    """Dead experts and other heads are dropped, batch norm is folded, positions are summed."""
    torch.save(several_heads.original(), tmp_path / 'several_heads.pth')
    state = load_network(tmp_path / 'several_heads.pth', ['aic']).state_dict()
    assert not [name for name in state if 'experts' in name or 'running' in name]
    assert state['backbone.pos_embed'].shape == (1, 192, WIDTH)
    assert {name.split('.')[1] for name in state if name.startswith('heads')} == {'aic'}
    assert len([name for name in state if 'deconv_layers' in name]) == 4
    two = load_network(tmp_path / 'several_heads.pth', ['aic', 'mpii']).state_dict()
    experts = {name.split('.')[5] for name in two if 'experts' in name}
    assert experts == {'aic', 'mpii'}


def test_the_file_may_be_replaced_while_its_network_is_in_use(several_heads, tmp_path):
    path = tmp_path / 'several_heads.pth'
    torch.save(several_heads.original(), path)
    network = load_network(path)
    before = network(pixels())[0]
    with path.open('r+b') as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(network(pixels())[0], before)


def test_the_embedded_network_has_the_shape_that_its_metadata_states():
    config = load_network('nano').config
    with safe_open(find_model('nano'), framework='pt') as file:
        metadata = file.metadata()
    assert config.num_heads == int(metadata['num_heads']) == 3
    assert config.image_size == (256, 192)
    assert config.decoder == metadata['decoder']
    assert config.deconv_channels == int(metadata['deconv_channels'])


# Damaged and foreign files


def error_of(path, *arguments, **options):
    with pytest.raises(CheckpointError) as error:
        load_network(path, *arguments, **options)
    return str(error.value)


def drop(name):
    return lambda state: state.pop(name)


def reshape(name, *shape):
    return lambda state: state.update({name: torch.zeros(*shape)})


def change(name, function):
    return lambda state: state.update({name: function(state[name])})


def spoil(tensor):
    tensor = tensor.clone()
    tensor.view(-1)[3] = float('nan')
    return tensor


BAD_STATES = {
    'a missing tensor': (
        drop('backbone.blocks.1.attn.qkv.weight'),
        "tensor 'backbone.blocks.1.attn.qkv.weight' is missing",
    ),
    'a missing head': (
        drop('keypoint_head.final_layer.weight'),
        "tensor 'keypoint_head.final_layer.weight' is missing",
    ),
    'a missing block': (
        lambda s: [s.pop(name) for name in list(s) if '.blocks.0.' in name],
        "'backbone.blocks.0.mlp.fc2.weight' is missing",
    ),
    'an unexpected tensor': (reshape('backbone.extra', 3), "the first is 'backbone.extra'"),
    'an odd shape': (
        reshape('backbone.blocks.1.mlp.fc1.weight', 60, 64),
        "tensor 'backbone.blocks.1.mlp.fc1.weight' has shape (60, 64), expected (256, 64)",
    ),
    'too wide an output': (
        reshape('backbone.blocks.0.mlp.fc2.weight', 100, 256),
        'has 100 rows, expected 64',
    ),
    'a flat position embedding': (reshape('backbone.pos_embed', 64), 'expected 3 dimensions'),
    'an empty tensor': (reshape('backbone.pos_embed', 1, 0, 64), 'none of them empty'),
    'an odd number of positions': (reshape('backbone.pos_embed', 1, 200, 64), '199 patches'),
    'an unknown number of keypoints': (
        reshape('keypoint_head.final_layer.weight', 25, 16, 1, 1),
        'the head gives 25 keypoints, which is none of the known keypoint sets (coco 17',
    ),
    'a name without an end': (
        lambda s: s.update({f'backbone.{"x" * 10**4}': torch.zeros(1)}),
        "the first is 'backbone.xxx",
    ),
    'quantised': (
        change('backbone.blocks.0.attn.proj.weight', lambda t: t.to(torch.int8)),
        'holds torch.int8, expected floating point',
    ),
    'values that are not finite': (
        change('backbone.blocks.0.attn.proj.weight', spoil),
        "tensor 'backbone.blocks.0.attn.proj.weight' holds values that are not finite",
    ),
    'values beyond float32': (
        change('backbone.blocks.0.attn.proj.weight', lambda t: t.double() * 1e300),
        "'backbone.blocks.0.attn.proj.weight' holds values that are not finite in float32",
    ),
    'a negative variance': (
        change('keypoint_head.deconv_layers.1.running_var', lambda t: t - 3),
        "'keypoint_head.deconv_layers.1.running_var' holds negative values",
    ),
    'batch norm beyond float32': (
        lambda s: s.update(
            {
                'keypoint_head.deconv_layers.1.weight': torch.full((16,), 3e38),
                'keypoint_head.deconv_layers.1.running_var': torch.zeros(16),
            }
        ),
        'batch norm and deconvolutions in one are not finite',
    ),
}


@pytest.mark.parametrize('kind', BAD_STATES)
def test_a_file_that_does_not_fit_names_the_tensor(kind, tmp_path):
    damage, words = BAD_STATES[kind]
    state = tiny_state()
    damage(state)
    message = error_of(write(tmp_path / 'bad.safetensors', state))
    assert words in message
    assert str(tmp_path / 'bad.safetensors') in message
    assert len(message) < 700


def test_a_missing_tensor_has_the_name_that_the_file_gives_it(several_heads, tmp_path):
    state = several_heads.original()
    del state['associate_keypoint_heads.4.final_layer.bias']
    torch.save(state, tmp_path / 'a.pth')
    assert "'associate_keypoint_heads.4.final_layer.bias' is missing" in error_of(
        tmp_path / 'a.pth', ['wholebody']
    )
    state = several_heads.original()
    del state['backbone.blocks.1.mlp.experts.3.weight']
    torch.save(state, tmp_path / 'b.pth')
    assert "'backbone.blocks.1.mlp.experts.3.weight' is missing" in error_of(
        tmp_path / 'b.pth', ['ap10k']
    )
    state = hugging_face_model(WIDTH, DEPTH, HEADS).state_dict()
    name = 'backbone.encoder.layer.1.attention.attention.key.weight'
    del state[name]
    save_file(state, tmp_path / 'c.safetensors')
    assert f"'{name}' is missing" in error_of(tmp_path / 'c.safetensors')


class Bomb:
    """Pickled, this creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@pytest.mark.parametrize('kind', ['zip', 'legacy', 'plain', 'hidden in the state'])
def test_code_in_a_pickle_is_not_executed(kind, tmp_path):
    proof = tmp_path / 'proof'
    path = tmp_path / 'bomb.pth'
    content = {'state_dict': tiny_state(), 'meta': Bomb(proof)}
    if kind == 'plain':
        path.write_bytes(pickle.dumps(content['meta']))
    elif kind == 'hidden in the state':
        content['state_dict']['backbone.extra'] = content.pop('meta')
        torch.save(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == 'zip')
    assert 'could execute code' in error_of(path)
    assert not proof.exists()
    if kind == 'plain':
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert proof.exists(), 'the bomb is a real one'


def pointer(path):
    path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n')


def web_page(path):
    path.write_text('\n<!DOCTYPE html>\n<html><body>404 Not Found</body></html>')


def configuration(path):
    path.write_text(json.dumps({'model_type': 'vitpose'}))


def hdf5(path):
    path.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(100))


def onnx(path):
    path.write_bytes(b'\x08\x07\x12\x07pytorch' + bytes(100))


def empty(path):
    path.touch()


def noise(path):
    path.write_bytes(bytes(range(100, 200)))


def truncated_safetensors(path):
    path.write_bytes(find_model('nano').read_bytes()[:100_000])


def huge_header(path):
    path.write_bytes(struct.pack('<Q', 2**60) + b'{"a": 1}')


def broken_header(path):
    path.write_bytes(struct.pack('<Q', 8) + b'{"a": {{' + bytes(20))


def truncated_pickle(path):
    buffer = io.BytesIO()
    torch.save(tiny_state(), buffer)
    path.write_bytes(buffer.getvalue()[: buffer.tell() // 2])


def truncated_legacy(path):
    buffer = io.BytesIO()
    torch.save(tiny_state(), buffer, _use_new_zipfile_serialization=False)
    path.write_bytes(buffer.getvalue()[: buffer.tell() // 2])


def another_archive(path):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('weights.txt', 'none')


def script(path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


def whole_network(path):
    torch.save(torch.nn.Linear(2, 2), path)


def a_list(path):
    torch.save([torch.zeros(3)], path)


def no_tensors(path):
    torch.save({'epoch': 3}, path)


def another_network(path):
    torch.save({'conv1.weight': torch.zeros(3)}, path)


def a_backbone(path):
    torch.save(
        {'model': {'cls_token': torch.zeros(1), 'blocks.0.norm1.weight': torch.zeros(3)}}, path
    )


def mmpose_1(path):
    state = {'backbone.layers.0.ln1.weight': torch.zeros(3)}
    torch.save({'state_dict': state, 'meta': {}}, path)


FOREIGN_FILES = {
    pointer: 'Git LFS pointer',
    web_page: 'a web page, not weights',
    configuration: 'JSON',
    hdf5: 'an HDF5 file',
    onnx: 'probably an ONNX file',
    empty: 'the file is empty',
    noise: 'neither a safetensors nor a PyTorch file',
    truncated_safetensors: 'may be truncated',
    huge_header: 'not a readable safetensors file',
    broken_header: 'not a readable safetensors file',
    truncated_pickle: 'truncated, its end is missing',
    truncated_legacy: 'not a readable PyTorch file',
    another_archive: 'not a readable PyTorch file',
    script: 'save its state_dict instead',
    whole_network: 'save its state_dict alone',
    a_list: 'it holds a list, expected a dictionary of tensors',
    no_tensors: 'no ViTPose tensors in it',
    another_network: "its first is 'conv1.weight'",
    a_backbone: 'which has no keypoint head',
    mmpose_1: 'an mmpose 1.x checkpoint',
}


@pytest.mark.filterwarnings('ignore:.*torch.jit')
@pytest.mark.parametrize('make', FOREIGN_FILES, ids=lambda make: make.__name__)
def test_files_that_are_no_weights_are_told_apart(make, tmp_path):
    path = tmp_path / 'weights.pth'  # whatever its name says
    make(path)
    message = error_of(path)
    assert FOREIGN_FILES[make] in message
    assert message.startswith(f"weights '{path}'")
    assert len(message) < 600


def test_directories_without_weights_are_named(tmp_path):
    assert 'the directory holds none of model.safetensors' in error_of(tmp_path)
    (tmp_path / 'model.safetensors.index.json').write_text('{}')
    assert 'they are split over several files' in error_of(tmp_path)
    assert 'no such file' in error_of(tmp_path / 'absent.safetensors')


def test_metadata_that_contradicts_the_tensors_is_refused(tmp_path):
    def message(**metadata):
        return error_of(write(tmp_path / 'a.safetensors', tiny_state(), **metadata))

    assert 'metadata says depth = 12, the tensors 2' in message(depth='12')
    assert "num_heads = 'many'" in message(num_heads='many')
    assert 'no number of attention heads fits its width of 64 (got 5)' in message(num_heads='5')
    assert 'image of 128 x 96' in message(image_size='128x96')
    assert "image_size = 'large'" in message(image_size='large')
    assert "attention 'sliding' is not known" in message(attention='sliding,full')
    assert 'attention for 3 blocks' in message(attention='full,full,full')
    assert "metadata says udp = 'hands', which is no keypoint set" in message(udp='hands')
    for name in ('num_heads', 'image_size', 'window_size', 'attention', 'depth'):
        for digits in (4000, 5000):  # int() takes the former
            assert len(message(**{name: '9' * digits})) < 800


def test_an_unknown_width_without_heads_is_refused(tmp_path):
    save_file(tiny_state(), tmp_path / 'a.safetensors')
    assert 'no number of attention heads fits' in error_of(tmp_path / 'a.safetensors')


@pytest.mark.parametrize(
    ('section', 'key', 'value', 'words'),
    [
        ('backbone_config', 'num_attention_heads', 'two', "num_attention_heads is 'two'"),
        ('backbone_config', 'image_size', 256, 'not readable'),
        ('backbone_config', 'hidden_act', 'relu', "hidden_act is 'relu'"),
        ('backbone_config', 'layer_norm_eps', 0.1, 'layer_norm_eps is 0.1'),
        ('backbone_config', 'patch_size', [8, 8], 'patch_size is [8, 8]'),
        ('backbone_config', 'qkv_bias', False, 'qkv_bias is False'),
        ('backbone_config', 'hidden_size', 128, 'says hidden_size = 128, the tensors 64'),
        ('backbone_config', 'num_hidden_layers', 3, 'num_hidden_layers = 3, the tensors 1'),
        ('backbone_config', 'mlp_ratio', 2, 'config.json says mlp_ratio = 2, the tensors 4'),
        (None, 'use_simple_decoder', True, 'config.json says decoder = simple'),
        (None, 'scale_factor', 2, 'scale_factor is 2'),
        (None, 'backbone_config', [], None),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(section, key, value, words, tmp_path):
    hugging_face_model(64, 1, 2).save_pretrained(tmp_path)
    assert load_network(tmp_path).config.num_heads == 2
    config = json.loads((tmp_path / 'config.json').read_text())
    (config[section] if section else config)[key] = value
    (tmp_path / 'config.json').write_text(json.dumps(config))
    message = error_of(tmp_path)
    if words is not None:
        assert words in message and 'config.json' in message


@pytest.mark.parametrize('value', [float('inf'), float('nan'), 4.5, True, 'x', None])
@pytest.mark.parametrize(
    'key', ['hidden_size', 'num_hidden_layers', 'num_attention_heads', 'mlp_ratio', 'image_size']
)
def test_what_is_no_whole_number_in_a_configuration_is_named(key, value, tmp_path):
    hugging_face_model(64, 1, 2).save_pretrained(tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    config['backbone_config'][key] = [value, 192] if key == 'image_size' else value
    (tmp_path / 'config.json').write_text(json.dumps(config))
    message = error_of(tmp_path)
    assert f"config.json': {key} is {value!r}, expected a whole number" in message


def test_a_whole_number_of_a_configuration_may_have_a_point(tmp_path):
    hugging_face_model(64, 1, 2).save_pretrained(tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    config['backbone_config']['mlp_ratio'] = 4.0
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert load_network(tmp_path).config.mlp_ratio == 4


@pytest.mark.parametrize('name', ['x' * 300, 'x' * 300 + '.pth', '~nobody-of-that-name/x.pth'])
def test_a_name_that_no_file_can_have_is_refused(name):
    with pytest.raises(CheckpointError) as error:
        load_network(name)
    assert name[:20] in str(error.value) and len(str(error.value)) < 700


@pytest.mark.parametrize('text', ['{"backbone_config": ', '[' * 10**5 + ']' * 10**5, '[1]'])
def test_a_broken_configuration_is_named(text, tmp_path):
    hugging_face_model(64, 1, 2).save_pretrained(tmp_path)
    (tmp_path / 'config.json').write_text(text)
    assert f"configuration '{tmp_path / 'config.json'}': not readable" in error_of(tmp_path)


def test_a_configuration_of_experts_is_compared_with_the_tensors(tmp_path):
    hugging_face_model(64, 1, 2, experts=6).save_pretrained(tmp_path)
    assert load_network(tmp_path).config.keypoint_sets == ('coco',)
    config = json.loads((tmp_path / 'config.json').read_text())
    config['backbone_config']['part_features'] = 32
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert 'config.json says part_features = 32, the tensors 16' in error_of(tmp_path)


# Sets that are not there


def test_asking_for_a_set_that_is_not_there_says_where_it_is(several_heads, tmp_path):
    save_file(several_heads.models['coco'].state_dict(), tmp_path / 'plus.safetensors')
    message = error_of(tmp_path / 'plus.safetensors', ['wholebody'])
    assert "give coco, not 'wholebody'" in message
    assert 'Hugging Face files of ViTPose++ hold the COCO head alone' in message
    assert 'models fetch vitpose-small-wholebody' in message

    torch.save(several_heads.split('coco'), tmp_path / 'coco.pth')
    message = error_of(tmp_path / 'coco.pth', ['coco', 'wholebody'])
    assert "give coco, not 'wholebody'" in message
    assert "'vitpose-plus-base'" in message

    assert "keypoint set 'hands' is not known; known are coco, aic" in error_of('nano', ['hands'])


def test_a_single_head_of_17_keypoints_belongs_to_the_set_asked_for(several_heads, tmp_path):
    torch.save(several_heads.split('ap10k'), tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth').config.keypoint_sets == ('coco',)
    assert load_network(tmp_path / 'a.pth', 'ap10k').config.keypoint_sets == ('ap10k',)
    for name in ('coco', 'ap10k', 'apt36k'):
        assert load_network(tmp_path / 'a.pth', [name]).config.keypoint_sets == (name,)
    assert "not 'mpii'" in error_of(tmp_path / 'a.pth', ['mpii'])


# Known models


def test_known_models_are_consistent():
    assert len({path_of(model) for model in KNOWN_MODELS.values()}) == len(KNOWN_MODELS)
    for model in KNOWN_MODELS.values():
        assert set(model.keypoint_sets) <= set(SETS)
        if model.repository is not None:
            assert len(model.revision) == 40, 'a commit, which cannot move'
            assert len(model.sha256) in (0, 64)
    for name in SETS:
        assert KNOWN_MODELS[f'vitpose-small-{name}'].keypoint_sets == (name,)


@pytest.mark.parametrize('name', [m.name for m in KNOWN_MODELS.values() if not m.repository])
def test_the_table_says_of_an_embedded_network_what_its_file_says(name):
    model, config = KNOWN_MODELS[name], read_checkpoint(name).config
    with safe_open(path_of(model), framework='pt') as file:
        metadata = file.metadata()
    assert ','.join(model.keypoint_sets) == metadata['keypoint_sets']
    assert model.udp == ('coco', 'mpii')
    assert model.megabytes == round(path_of(model).stat().st_size / 1e6)
    for key, value in SIZES[model.size].items():
        assert str(value) == metadata[key] == str(getattr(config, key))


def test_an_absent_model_gives_the_command_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv('VITPOSE_ROS_MODELS', str(tmp_path))
    assert models_directory() == tmp_path
    message = error_of('vitpose-plus-base')
    assert 'ros2 run vitpose_ros models fetch vitpose-plus-base' in message
    assert 'python3 -m vitpose_ros models fetch vitpose-plus-base' in message
    assert str(tmp_path) in message and '586 MB' in message


def test_a_known_model_that_is_there_loads_as_what_it_is(several_heads, tmp_path, monkeypatch):
    monkeypatch.setenv('VITPOSE_ROS_MODELS', str(tmp_path))
    model = KNOWN_MODELS['vitpose-small-ap10k']
    path_of(model).parent.mkdir(parents=True)
    torch.save({'state_dict': several_heads.split('ap10k')}, path_of(model))
    estimator = PoseEstimator.load('vitpose-small-ap10k', 'cpu')
    assert [skeleton.name for skeleton in estimator.skeletons] == ['ap10k']
    assert "not 'coco'" in error_of('vitpose-small-ap10k', ['coco'])


def test_a_misspelt_name_gets_a_suggestion():
    message = error_of('vitpose-plus-bsae')
    assert "did you mean 'vitpose-plus-base'?" in message
    assert 'ros2 run vitpose_ros models list' in message
    assert 'did you mean' not in error_of('zzz')


def test_our_names_of_the_tensors_are_documented_by_a_file(several_heads, tmp_path):
    """The format is plain safetensors, for other tools to read."""
    torch.save(several_heads.original(), tmp_path / 'a.pth')
    write_checkpoint(tmp_path / 'a.safetensors', *read_checkpoint(tmp_path / 'a.pth').select(SETS))
    state = load_file(tmp_path / 'a.safetensors')
    original = original_state(several_heads.models['wholebody'].state_dict())
    assert torch.equal(
        state['heads.wholebody.final_layer.weight'], original['keypoint_head.final_layer.weight']
    )
    assert torch.equal(
        state['backbone.blocks.1.mlp.experts.wholebody.bias'],
        original['backbone.blocks.1.mlp.experts.5.bias'],
    )
