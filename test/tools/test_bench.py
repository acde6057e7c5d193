"""bench runs, its figures are what they are called, and its peer is the same network."""

import json
import time

import numpy as np
import pytest
import torch

from vitpose_ros.core.backends import integers
from vitpose_ros.core.checkpoints import load_network
from vitpose_ros.core.crops import HostCrops, crop_regions, heatmap_to_image, normalise
from vitpose_ros.core.heatmaps import decode
from vitpose_ros.tools.bench import main, resources, subjects, timing, transformers_peer
from vitpose_ros.tools.bench.sections import Options
from vitpose_ros.tools.bench.tables import Table

SIZE = (256, 192)


def test_sections_are_measured_and_written(tmp_path, capsys):
    path = tmp_path / 'results.json'
    quick = '--models nano --backends torch --rounds 1 --batches 1,2 --people 1,3 --frames 20'
    sections = 'crop,decode,network,end-to-end,people,accuracy,start-up,memory'
    assert main([*quick.split(), '--sections', sections, '--json', str(path)]) == 0
    results = json.loads(path.read_text())
    tables = {table['name']: table for table in results['tables']}
    assert set(tables) == {
        'crop', 'decode', 'network nano', 'end to end nano', 'people nano', 'accuracy',
        'start-up nano', 'memory',
    }  # fmt: skip
    printed = capsys.readouterr().out
    for table in tables.values():
        assert table['title'] in printed
        assert table['rows'] and all(len(row) == len(table['columns']) for row in table['rows'])
    assert {'date', 'processor', 'torch', 'threads'} <= set(results['about'])
    # A row a batch; processors with bfloat16 have rows of that, too.
    rows = [row for row in tables['network nano']['rows'] if row[1] == 'float32']
    [network, _] = rows
    assert network[:3] == ['torch', 'float32', 1] and 0 < network[7] < 2
    assert [row[0] for row in tables['people nano']['rows']] == [1, 3]


def test_what_is_unknown_is_named(capsys):
    for arguments, text in (
        (['--sections', 'speed'], "section 'speed' is not known; give crop, decode"),
        (['--backends', 'tpu', '--sections', 'network'], "backend 'tpu' is not known"),
        (['--models', 'tiny', '--sections', 'network'], "'tiny' is neither a known name nor"),
    ):
        assert main(arguments) == 1
        assert text in capsys.readouterr().err


@pytest.fixture(scope='module')
def peer():
    return transformers_peer.Peer('small')


def test_the_peer_has_the_same_weights(peer):
    with peer.weights() as weights:
        network = load_network(weights)
        assert subjects.flops(weights) == pytest.approx(10.5e9, rel=0.05)
    assert network.config.keypoint_sets == ('coco',) and not network.config.part_features
    pixels = torch.randn(2, 3, *SIZE)
    with torch.inference_mode():
        difference = network(pixels)[0] - peer.network(pixels)
    assert difference.abs().max() < 1e-5


def test_the_peer_does_the_same_work(peer):
    """The same crops, and nearly the same keypoints from the same heatmaps."""
    frame = subjects.frame(2)
    regions, udp = crop_regions(frame.boxes, SIZE), np.ones(2, bool)
    crops = HostCrops(SIZE)
    crops.begin(2)
    crops.cut(frame, regions, udp, np.arange(2))
    difference = transformers_peer.crop(peer.processor, frame) - normalise(crops.batch())
    assert difference.abs().mean() < 1e-3

    maps = subjects.heatmaps(2, 17)
    inside = maps.flatten(2).argmax(dim=2)
    x, y = inside % 48, inside // 48
    inside = ((x > 6) & (x < 41) & (y > 6) & (y < 57)).numpy()
    [found] = transformers_peer.decode(peer.processor, maps, frame.boxes)
    theirs = np.array([person['keypoints'].numpy() for person in found])
    ours = heatmap_to_image(decode(maps, udp=True)[0].numpy(), regions, (64, 48), udp)
    assert inside.sum() > 15
    assert np.abs(theirs - ours)[inside].max() < 1.0


def test_contenders_take_turns():
    turns = []
    times = timing.interleave(
        {'a': lambda: turns.append('a'), 'b': lambda: time.sleep(0.02) or turns.append('b')},
        rounds=3,
    )
    assert turns == ['a', 'b'] * 4 and len(times['a']) == 3
    assert timing.ratio(times, 'b', 'a') > 10
    assert timing.milliseconds(times, 'b') >= 20


def test_gaussians_lie_where_they_should():
    [[one]] = subjects.gaussians(torch.tensor([[[20.0, 30.0]]]))
    assert one[30, 20] == pytest.approx(0.8) and one.argmax() == 30 * 48 + 20
    assert one[30, 22] == pytest.approx(0.8 * np.exp(-0.5), rel=1e-5)


def test_boxes_of_a_crowd_lie_in_the_picture():
    for people in (1, 8, 32):
        boxes = subjects.frame(people).boxes
        assert boxes.shape == (people, 4)
        assert (boxes >= 0).all() and (boxes[:, 2] < 1920).all() and (boxes[:, 3] < 1080).all()


def test_a_process_of_its_own_returns_or_says_that_it_failed():
    assert resources.in_process(max, 3, 5) == 5
    with pytest.raises(RuntimeError, match='int failed'):
        resources.in_process(int, 'x')


def test_tables_show_three_digits():
    table = Table('t', 'Title', ('name', 'value'))
    for value in (1234.5, 12.345, 1.2345, 0.01234, 1.2e-5, 0.0, 3, None):
        table.add('x', value)
    shown = [row[1] for row in table.texts()[1:]]
    assert shown == ['1234', '12.3', '1.23', '0.012', '1.2e-05', '0.000', '3', '-']


def test_int8_is_measured_when_it_is_asked_for():
    assert not [p for _, p in Options().contenders() if p == 'int8']
    options = Options(backends=('torch', 'openvino'), precisions=('float32', 'int8'))
    assert options.contenders() == [
        ('torch', 'float32'), ('openvino', 'float32'), ('openvino', 'int8'),
    ]  # fmt: skip


def test_random_weights_are_calibrated_for_int8(monkeypatch):
    monkeypatch.setattr(integers, 'gain', lambda *_: 2.0)
    with subjects.random_weights('nano') as weights:
        opened = Options(device='cpu', batches=(1,), people=(1,)).open(weights, 'openvino', 'int8')
        assert opened.description.startswith('openvino on cpu, int8')
