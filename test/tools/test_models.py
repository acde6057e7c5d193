"""models: what is known, fetching from a hub, converting, describing."""

import fcntl
import hashlib
import importlib.util
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import torch
from hub_server import Hub
from tool_process import run_tool

from vitpose_ros.__main__ import TOOLS
from vitpose_ros.core.boxes.known import KNOWN_DETECTORS
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.weights import KNOWN_MODELS, load_network, path_of, write_checkpoint
from vitpose_ros.tools import models
from vitpose_ros.tools.hub import pin_of

ROOT = Path(__file__).parents[2]
NAME = 'vitpose-small-mpii'  # its checksum is not in the table: the hub's counts
MODEL = KNOWN_MODELS[NAME]

SEVERAL = ViTPoseConfig(
    embed_dim=384,
    depth=1,
    num_heads=12,
    num_keypoints={name: len(skeleton) for name, skeleton in SKELETONS.items()},
    part_features=96,
)


@pytest.fixture
def several(tmp_path):
    """A file of our format with all six sets."""
    torch.manual_seed(0)
    path = tmp_path / 'several.safetensors'
    write_checkpoint(path, SEVERAL, ViTPose(SEVERAL).state_dict())
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder for fetched models."""
    monkeypatch.setenv('VITPOSE_ROS_MODELS', str(tmp_path / 'models'))
    return tmp_path / 'models'


def run(*arguments, hub=None, terminal=None):
    """Run the command in a process of its own, offline or with a hub."""
    where = {'HF_HUB_OFFLINE': '1'} if hub is None else {'HF_ENDPOINT': hub.url}
    if hub is not None:
        where['HF_HUB_OFFLINE'] = None
    return run_tool('models', *arguments, terminal=terminal, NO_PROXY='127.0.0.1', **where)


# Fetching


@pytest.fixture(scope='module')
def content(tmp_path_factory):
    """The bytes of a small split checkpoint of MPII."""
    config = ViTPoseConfig(embed_dim=384, depth=1, num_heads=12, num_keypoints={'mpii': 16})
    state = {
        name.replace('heads.mpii', 'keypoint_head'): tensor
        for name, tensor in ViTPose(config).state_dict().items()
    }
    path = tmp_path_factory.mktemp('hub') / 'weights.pth'
    torch.save({'state_dict': state}, path)
    return path.read_bytes()


@pytest.fixture
def hub(content):
    server = Hub(f'/{MODEL.repository}/resolve/{MODEL.revision}/{MODEL.filename}', content)
    yield server
    server.close()


def test_a_model_is_fetched_once_and_works_offline_from_then_on(hub, folder, content):
    absent = run('info', NAME)
    assert absent.returncode == 1
    assert f'models fetch {NAME}' in absent.stderr

    fetched = run('fetch', NAME, hub=hub)
    assert fetched.returncode == 0, fetched.stderr
    assert f"'{NAME}' is ready: {path_of(MODEL)}" in fetched.stdout
    assert path_of(MODEL).read_bytes() == content
    assert {path for path in folder.rglob('*') if path.is_file()} == {
        path_of(MODEL),
        pin_of(MODEL),
    }

    again = run('fetch', NAME)
    assert again.returncode == 0 and 'already there' in again.stdout
    described = run('info', NAME)
    assert described.returncode == 0, described.stderr
    assert 'mpii (16)' in described.stdout
    assert load_network(NAME).config.keypoint_sets == ('mpii',)
    assert hub.ranges == [0]


def test_the_progress_shows_in_a_terminal(hub, folder):
    master, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('4H', 40, 120, 0, 0))
    fetched = run('fetch', NAME, hub=hub, terminal=os.ttyname(terminal))
    shown = os.read(master, 100_000).decode()
    assert fetched.returncode == 0
    assert '100%' in shown and 'vitpose-s-mpii.pth' in shown


def test_a_fetch_goes_on_where_the_last_one_broke_off(hub, folder, content):
    hub.breaks_after = len(content) * 3 // 4  # more than one of the client's 10 MB
    broken = run('fetch', NAME, hub=hub)
    assert broken.returncode == 1
    assert 'cannot be fetched' in broken.stderr and 'are kept' in broken.stderr
    assert str(path_of(MODEL)) in broken.stderr  # where to put it by hand
    assert not path_of(MODEL).exists()
    [partial] = path_of(MODEL).parent.iterdir()
    kept = partial.stat().st_size
    assert kept > 0

    hub.out_of_order = False
    resumed = run('fetch', NAME, hub=hub)
    assert resumed.returncode == 0, resumed.stderr
    assert hub.ranges == [0, kept]
    assert path_of(MODEL).read_bytes() == content


def test_what_came_is_checked_and_removed_if_it_is_wrong(hub, folder, content):
    hub.content = content[:-1] + bytes([content[-1] ^ 1])  # the checksum stays that of the truth
    wrong = run('fetch', NAME, hub=hub)
    assert wrong.returncode == 1
    assert 'has the checksum (sha256)' in wrong.stderr and hub.etag in wrong.stderr
    assert not [path for path in folder.rglob('*') if path.is_file()]

    hub.content = content
    assert run('fetch', NAME, hub=hub).returncode == 0


def test_a_hub_with_another_file_than_the_known_one_is_refused(folder, content):
    model = KNOWN_MODELS['vitpose-small-coco']
    assert model.sha256
    hub = Hub(f'/{model.repository}/resolve/{model.revision}/{model.filename}', content)
    refused = run('fetch', model.name, hub=hub)
    hub.etag = 'not-a-checksum'
    downloaded = run('fetch', model.name, hub=hub)
    hub.close()
    assert refused.returncode == 1 and 'nothing was fetched' in refused.stderr
    assert downloaded.returncode == 1 and f'expected {model.sha256}' in downloaded.stderr
    assert not [path for path in folder.rglob('*') if path.is_file()]


def test_where_no_checksum_is_known_the_first_one_is_shown_and_pinned(hub, folder, content):
    assert not MODEL.sha256
    first = run('fetch', NAME, hub=hub)
    checksum = hashlib.sha256(content).hexdigest()
    assert f'as the hub states it: {checksum}' in first.stdout
    path_of(MODEL).unlink()

    hub.content = content[:-1] + bytes([content[-1] ^ 1])  # a mirror with another file
    hub.etag = hashlib.sha256(hub.content).hexdigest()
    other = run('fetch', NAME, hub=hub)
    assert other.returncode == 1 and not path_of(MODEL).exists()
    assert f'expected {checksum}' in other.stderr and 'nothing was fetched' in other.stderr
    assert f'remove {pin_of(MODEL)}' in other.stderr

    hub.content, hub.etag = content, checksum
    again = run('fetch', NAME, hub=hub)
    assert f'as it was when first fetched here: {checksum}' in again.stdout, again.stderr


@pytest.mark.parametrize('extra', [1, 0], ids=['longer', 'as long'])
def test_a_partial_file_that_is_no_beginning_recovers(extra, hub, folder, content):
    """A file longer than what comes would be refused by the hub for ever: error 416."""
    partial = path_of(MODEL).with_name(f'{path_of(MODEL).name}.{MODEL.revision[:8]}.partial')
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(len(content) + extra))
    fetched = run('fetch', NAME, hub=hub)
    if not extra:  # its checksum is wrong, and it goes
        assert fetched.returncode == 1 and 'it was removed' in fetched.stderr
        fetched = run('fetch', NAME, hub=hub)
    assert fetched.returncode == 0, fetched.stderr
    assert path_of(MODEL).read_bytes() == content


def test_a_hub_that_states_no_checksum_is_refused(hub, folder):
    hub.etag = '33a64df5'
    refused = run('fetch', NAME, hub=hub)
    assert refused.returncode == 1 and 'states no checksum' in refused.stderr


def test_an_absent_file_and_an_absent_hub_are_named(hub, folder):
    hub.path = '/elsewhere'
    absent = run('fetch', NAME, hub=hub)
    assert absent.returncode == 1 and '404' in absent.stderr
    offline = run('fetch', NAME)
    assert offline.returncode == 1 and 'HF_HUB_OFFLINE' in offline.stderr
    assert 'Traceback' not in absent.stderr + offline.stderr


def test_two_fetches_at_once_do_not_mix(hub, folder):
    partial = path_of(MODEL).with_name(f'{path_of(MODEL).name}.{MODEL.revision[:8]}.partial')
    partial.parent.mkdir(parents=True)
    with partial.open('wb') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        second = run('fetch', NAME, hub=hub)
    assert second.returncode == 1 and 'another process' in second.stderr


# The rest, in this process


@pytest.fixture
def detector_hub():
    """A hub with a detector; what its files say does not matter to who fetches them."""
    known = KNOWN_DETECTORS['dfine-nano']
    place = f'/{known.repository}/resolve/main'
    server = Hub(f'{place}/model.safetensors', b'weights' * 1000)
    server.small = {
        f'{place}/config.json': b'{}',
        f'{place}/preprocessor_config.json': b'{"size": 640}',
    }
    yield server
    server.close()


def test_a_detector_is_fetched_file_by_file_and_pinned(detector_hub, folder):
    fetched = run('fetch', 'dfine-nano', hub=detector_hub)
    assert fetched.returncode == 0, fetched.stderr
    assert f"'dfine-nano' is ready: {folder / 'dfine-nano'}" in fetched.stdout
    assert (folder / 'dfine-nano' / 'model.safetensors').read_bytes() == detector_hub.content
    assert (folder / 'dfine-nano' / 'config.json').read_bytes() == b'{}'
    assert f'{detector_hub.etag}  model.safetensors' in fetched.stdout
    assert 'already there' in run('fetch', 'dfine-nano').stdout

    # Later ones have to be the same.
    for name in ('config.json', 'model.safetensors'):
        (folder / 'dfine-nano' / name).unlink()
    [config] = [path for path in detector_hub.small if path.endswith('/config.json')]
    detector_hub.small[config] = b'[]'
    other = run('fetch', 'dfine-nano', hub=detector_hub)
    assert other.returncode == 1 and 'removed' in other.stderr
    assert not (folder / 'dfine-nano' / 'config.json').exists()


def test_what_is_known_is_listed(folder, capsys):
    assert models.main(['list']) == 0
    lines = capsys.readouterr().out.splitlines()
    header = 'NAME SIZE KEYPOINT SETS MB LICENCE HERE SOURCE'
    assert ' '.join(lines[0].split()) == header
    assert [line.split()[0] for line in lines[1:]] == [*KNOWN_MODELS, *KNOWN_DETECTORS]
    by_name = {line.split()[0]: line.split() for line in lines[1:]}
    assert by_name['nano'][5] == 'yes' and by_name[NAME][5] == 'no'
    assert 'Apache-2.0' in by_name[NAME] and f'huggingface.co/{MODEL.repository}' in by_name[NAME]
    path_of(MODEL).parent.mkdir(parents=True)
    path_of(MODEL).touch()
    models.main(['list'])
    [line] = [line for line in capsys.readouterr().out.splitlines() if NAME in line]
    assert line.split()[5] == 'yes'


def test_what_comes_with_the_package_needs_no_fetching(capsys):
    assert models.main(['fetch', 'nano']) == 0
    assert 'already there' in capsys.readouterr().out


def test_an_unknown_name_is_refused_with_a_suggestion(capsys):
    assert models.main(['fetch', 'vitpose-plus-bsae']) == 1
    assert "did you mean 'vitpose-plus-base'?" in capsys.readouterr().err


def test_conversion_keeps_the_sets_asked_for(several, tmp_path, capsys):
    out = tmp_path / 'out.safetensors'
    assert models.main(['convert', str(several), str(out)]) == 0
    assert 'gives coco, aic, mpii, ap10k, apt36k, wholebody' in capsys.readouterr().out
    pixels = torch.randn(1, 3, 256, 192)
    for sets in (['wholebody', 'ap10k'], ['mpii']):
        arguments = ['convert', str(several), str(out), '--keypoint-sets', ', '.join(sets)]
        assert models.main(arguments) == 0
        for name in sets:
            [expected] = load_network(several, [name])(pixels)
            [found] = load_network(out, [name])(pixels)
            assert torch.equal(found, expected)
    assert load_network(out).config.keypoint_sets == ('mpii',)
    assert out.stat().st_size < several.stat().st_size / 2


def test_a_conversion_may_say_the_convention(several, tmp_path, capsys):
    out = tmp_path / 'out.safetensors'
    for udp, config_udp, shown in (
        ('wholebody, coco', ('coco', 'wholebody'), 'unbiased (UDP) of coco, wholebody, plain of'),
        ('', (), 'unbiased (UDP) of none, plain of all others'),
    ):
        assert models.main(['convert', str(several), str(out), '--udp', udp]) == 0
        assert load_network(out, SKELETONS).config.udp == config_udp
        capsys.readouterr()
        assert models.main(['info', str(out)]) == 0
        assert shown in capsys.readouterr().out
    again = tmp_path / 'again.safetensors'  # keeps what its file says
    assert models.main(['convert', str(out), str(again), '--keypoint-sets', 'coco']) == 0
    assert load_network(again).config.udp == ()
    assert models.main(['convert', str(out), str(again), '--udp', 'hands']) == 1
    assert "--udp: keypoint set 'hands' is none of those written" in capsys.readouterr().err


def test_a_file_may_be_converted_in_its_place(several):
    [expected] = load_network(several)(torch.ones(1, 3, 256, 192))
    assert models.main(['convert', str(several), str(several), '--keypoint-sets', 'coco']) == 0
    assert torch.equal(load_network(several)(torch.ones(1, 3, 256, 192))[0], expected)
    assert [path.name for path in several.parent.iterdir()] == [several.name]


@pytest.mark.parametrize(
    ('out', 'sets', 'words'),
    [
        ('out.pth', 'coco', 'give a name that ends in .safetensors'),
        ('absent/out.safetensors', 'coco', 'there is no folder'),
        ('', 'coco', 'give a name that ends in .safetensors'),
        ('folder.safetensors', 'coco', 'is a folder; give the name of a file'),
        ('out.safetensors', 'hands', "keypoint set 'hands' is not known"),
    ],
)
def test_a_conversion_that_cannot_be_says_why(out, sets, words, several, tmp_path, capsys):
    (tmp_path / 'folder.safetensors').mkdir()
    before = sorted(tmp_path.iterdir())
    arguments = ['convert', str(several), str(tmp_path / out), '--keypoint-sets', sets]
    assert models.main(arguments) == 1
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ('out', 'words'),
    [('out.json', 'give a name that ends in .'), ('absent/out.{}', 'there is no folder')],
)
@pytest.mark.parametrize(('command', 'suffix'), [('convert', 'safetensors'), ('export', 'onnx')])
def test_what_cannot_be_written_fails_before_the_work(
    command, suffix, out, words, monkeypatch, tmp_path, capsys
):
    for name in ('read_checkpoint', 'load_network'):
        monkeypatch.setattr(models, name, lambda *_, **__: pytest.fail('the work began'))
    assert models.main([command, 'nano', str(tmp_path / out.format(suffix))]) == 1
    assert words in capsys.readouterr().err


def test_an_exported_file_has_one_keypoint_set(tmp_path, capsys):
    arguments = ['export', 'nano', str(tmp_path / 'out.onnx'), '--keypoint-set', 'coco,aic']
    assert models.main(arguments) == 1
    assert "keypoint set 'coco,aic' is not known" in capsys.readouterr().err


def test_weights_are_described(several, capsys):
    assert models.main(['info', str(several)]) == 0
    lines = dict(line.split(':', 1) for line in capsys.readouterr().out.splitlines())
    lines = {name: value.strip() for name, value in lines.items()}
    assert lines['layout'] == 'vitpose_ros'
    assert lines['size'] == 'other: width 384, 1 blocks, 12 heads'
    assert lines['keypoint sets'].startswith('coco (17), aic (14), mpii (16), ap10k (17)')
    assert lines['experts'] == '96 of 384 features'
    assert lines['attention'] == '1 full' and lines['decoder'] == 'classic'
    assert lines['input'] == '256 x 192 pixels (height, width)'
    assert models.main(['info', 'nano']) == 0
    assert 'nano: width 192, 8 blocks, 3 heads' in capsys.readouterr().out


def test_an_onnx_file_of_ours_is_described(several, tmp_path, capsys):
    out = tmp_path / 'out.onnx'
    arguments = [
        'export',
        str(several),
        str(out),
        '--keypoint-set',
        'mpii',
        '--image-size',
        '64x48',
    ]
    assert models.main(arguments) == 0
    capsys.readouterr()
    assert models.main(['info', str(out)]) == 0
    lines = dict(line.split(':', 1) for line in capsys.readouterr().out.splitlines())
    lines = {name: value.strip() for name, value in lines.items()}
    assert lines['layout'] == 'ONNX, of one keypoint set' and lines['numbers'] == 'float32'
    assert lines['keypoint sets'] == 'mpii (16)'
    assert lines['input'] == '64 x 48 pixels (height, width)'
    assert models.main(['info', str(tmp_path / 'absent.onnx')]) == 1
    assert 'absent; models export writes such files' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['build', 'nano', '--max-batch', '0'], 'argument --max-batch: max_batch is 0; give 1 to'),
        (['build', 'nano', '--threads', '-3'], 'argument --threads: threads is -3; give 0 to'),
        (['build', 'nano', '--cuda-graphs', 'on'], "cuda_graphs is 'on'; give auto or off"),
        (
            ['build', 'nano', '--precision', 'int4'],
            "argument --precision: precision is 'int4'; give",
        ),
        (['build', 'nano', '--keypoint-sets', ','], "argument --keypoint-sets: ',' holds no name"),
        (['export', 'nano', 'x.onnx', '--image-size', '256'], "'256' is no height and width"),
        (['quantize', 'nano', '.', '--limit', '0'], 'argument --limit: 0 is too few'),
    ],
)
def test_wrong_arguments_are_named(arguments, words, capsys):
    with pytest.raises(SystemExit):
        models.main(arguments)
    assert words in capsys.readouterr().err


def test_help_needs_no_ros_words_and_shows_each_default(capsys):
    for arguments in (['build', '--help'], ['quantize', '--help'], ['export', '--help']):
        with pytest.raises(SystemExit):
            models.main(arguments)
        assert 'the node' not in capsys.readouterr().out


def test_the_help_of_all_tools_imports_none_of_them():
    """PyTorch takes seconds to import, and help should not."""
    code = (
        'import sys\n'
        'from vitpose_ros.__main__ import main\n'
        "sys.argv = ['vitpose_ros', '--help']\n"
        'try:\n    main()\n'
        'except SystemExit:\n'
        "    print(sorted({'torch', 'numpy', 'cv2'} & sys.modules.keys()))\n"
    )
    ran = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == '[]'
    for tool in TOOLS:
        assert tool in ran.stdout
        assert importlib.util.find_spec(f'vitpose_ros.tools.{tool}')


def test_a_bad_file_is_no_traceback(tmp_path, capsys):
    (tmp_path / 'a.pth').write_text('<html>')
    assert models.main(['info', str(tmp_path / 'a.pth')]) == 1
    assert 'a web page' in capsys.readouterr().err
