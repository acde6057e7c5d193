"""What is read of a weight file: plain numbers, whole, and nothing that could execute code."""

import zipfile

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_weights import tiny_state, write

from vitpose_ros.core import CheckpointError
from vitpose_ros.core.weights import load_network, path_of, read_checkpoint
from vitpose_ros.core.weights.files import read
from vitpose_ros.core.weights.known import KNOWN_MODELS
from vitpose_ros.tools import models

NAME = 'backbone.blocks.0.attn.proj.weight'


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


def error_of(path):
    with pytest.raises(CheckpointError) as error:
        load_network(path)
    message = str(error.value)
    assert str(path) in message and len(message) < 700
    return message


STRANGE = {
    'float8': (lambda t: t.to(torch.float8_e4m3fn), 'holds torch.float8_e4m3fn, expected'),
    'complex': (lambda t: t.to(torch.complex64), 'holds torch.complex64, expected'),
    'sparse': (lambda t: t.to_sparse(), 'is sparse or nested'),
    'meta': (lambda t: t.to('meta'), 'has a shape but no numbers'),
    'of 8 TB': (
        lambda _: torch.zeros(1).expand(2**41),
        'claims 2199023255552 elements, the file has 1',
    ),
}


@pytest.mark.parametrize('kind', STRANGE)
def test_a_tensor_that_is_not_plain_numbers_is_refused(kind, tmp_path, capsys):
    change, words = STRANGE[kind]
    state = tiny_state()
    path = saved(tmp_path / 'strange.pth', {'state_dict': state | {NAME: change(state[NAME])}})
    message = error_of(path)
    assert f"tensor '{NAME}' {words}" in message
    assert models.main(['info', str(path)]) == 1
    assert words in capsys.readouterr().err


def test_numbers_of_8_bits_in_a_safetensors_file_are_refused(tmp_path):
    state = tiny_state()
    state[NAME] = state[NAME].to(torch.float8_e4m3fn)
    assert 'quantised files are not supported' in error_of(
        write(tmp_path / 'a.safetensors', state)
    )


def test_an_expert_that_is_a_number_is_none(tmp_path):
    state = tiny_state() | {'backbone.blocks.0.mlp.experts.0.weight': torch.tensor(1.0)}
    path = write(tmp_path / 'a.safetensors', state)
    assert load_network(path).config.keypoint_sets == (
        'coco',
    )  # dead, like all that are left over


@pytest.mark.parametrize(
    ('name', 'tensor'),
    [
        (f'backbone.blocks.0.mlp.experts.{"9" * 5000}.weight', torch.zeros(16, 256)),
        ('associate_keypoint_heads.0.final_layer.weight', torch.tensor(1.0)),
        ('heads.', torch.zeros(1)),
    ],
    ids=['5000 digits', 'a head that is a number', 'no set'],
)
def test_strange_names_are_refused(name, tensor, tmp_path):
    state = tiny_state() | {name: tensor}
    error_of(write(tmp_path / 'a.safetensors', state))


@pytest.mark.parametrize('kind', ['a flipped bit', 'zeros'])
def test_a_damaged_archive_is_refused(kind, tmp_path):
    path = saved(tmp_path / 'a.pth', {'state_dict': tiny_state()})
    content = bytearray(path.read_bytes())
    start = content.find(tiny_state()['backbone.blocks.1.mlp.fc1.weight'].numpy().tobytes())
    assert start > 0
    if kind == 'zeros':
        content[start : start + 50_000] = bytes(50_000)
    else:
        content[start + 1000] ^= 64
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # which notices nothing
    assert 'damaged, the checksum of its part' in error_of(path)


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path):
    plain = saved(tmp_path / 'plain.pth', {'state_dict': {'backbone.extra': torch.zeros(10**7)}})
    path = tmp_path / 'bomb.pth'
    with (
        zipfile.ZipFile(plain) as old,
        zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    assert path.stat().st_size < plain.stat().st_size / 100
    assert 'its archive is compressed, which PyTorch never does' in error_of(path)


def test_what_lies_deeper_makes_no_torchscript_of_an_archive(tmp_path):
    path = saved(tmp_path / 'a.pth', {'state_dict': tiny_state()})
    content = path.read_bytes()
    start = content.find(tiny_state()['backbone.blocks.1.mlp.fc1.weight'].numpy().tobytes())
    path.write_bytes(content[:start] + bytes(50_000) + content[start + 50_000 :])
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('ok/extra/constants.pkl', b'x')
        archive.writestr('other/constants.pkl', b'x')
    assert 'damaged, the checksum of its part' in error_of(path)


def test_a_truncated_archive_is_not_taken_for_an_older_format(tmp_path, caplog):
    path = saved(tmp_path / 'a.pth', {'state_dict': tiny_state()})
    path.write_bytes(path.read_bytes()[:-2000])
    assert 'truncated, its end is missing; fetch it again' in error_of(path)
    assert 'without checksums' not in caplog.text


def test_an_archive_whose_entries_share_bytes_is_refused(tmp_path):
    """Many entries on the same bytes make a small file large without any compression."""
    path = saved(tmp_path / 'a.pth', {'state_dict': tiny_state()})
    with zipfile.ZipFile(path, 'a') as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        archive.filelist += [largest] * 1000
        archive._didModify = True  # so that the directory is written again
    assert 'claims to hold more than its own size' in error_of(path)


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_numbers_of_numpy_beside_the_tensors_are_read_over(zipped, tmp_path):
    content = {
        'state_dict': tiny_state(),
        'best': np.float64(0.75),
        'meta': {'epoch': np.int64(210), 'fast': np.bool_(True), 'loss': [np.float32(0.1)]},
    }
    path = saved(tmp_path / 'a.pth', content, _use_new_zipfile_serialization=zipped)
    assert read(path).state.keys() == content['state_dict'].keys()


def test_numbers_of_a_numpy_before_2_are_read_over(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'a': torch.ones(2)}, 'best': np.float64(0.75)}, path, **LEGACY)
    content = path.read_bytes()
    assert content.count(b'numpy._core.multiarray') == 1
    path.write_bytes(content.replace(b'numpy._core.multiarray', b'numpy.core.multiarray'))
    assert torch.equal(read(path).state['a'], torch.ones(2))


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_of_a_file_without_checksums_it_is_said_that_damage_does_not_show(
    zipped, tmp_path, caplog
):
    path = saved(tmp_path / 'a.pth', tiny_state(), _use_new_zipfile_serialization=zipped)
    read(path)
    said = [line for line in caplog.messages if 'without checksums' in line]
    assert len(said) == (not zipped)
    assert zipped or (str(path) in said[0] and 'save it anew' in said[0])


LEGACY = {'_use_new_zipfile_serialization': False}


@pytest.mark.parametrize(
    'value', [np.zeros(3), np.random.default_rng, print], ids=['array', 'generator', 'print']
)
def test_nothing_else_of_numpy_or_python_is_allowed(value, tmp_path):
    path = saved(tmp_path / 'a.pth', {'state_dict': tiny_state(), 'best': value})
    assert 'could execute code' in error_of(path)
    with pytest.raises(Exception, match='Unsupported global'):  # nor for others, afterwards
        torch.load(saved(tmp_path / 'b.pth', np.float64(1)), weights_only=True)


def test_a_convention_of_a_set_that_is_not_known_is_named(tmp_path):
    path = tmp_path / 'a.safetensors'
    with safe_open(path_of(KNOWN_MODELS['nano']), 'pt') as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        save_file(tensors, path, {**file.metadata(), 'udp': 'nosuch'})
    with pytest.raises(CheckpointError, match="udp = 'nosuch', which is no keypoint set"):
        read_checkpoint(path)
