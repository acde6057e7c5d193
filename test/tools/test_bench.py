"""bench runs, its figures are what they are called, and its peer is the same network."""

import contextlib
import dataclasses
import importlib.util
import json
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vitpose_ros.core.geometry.crops import (
    Cuts,
    HostCrops,
    crop_regions,
    heatmap_to_image,
    normalise,
)
from vitpose_ros.core.geometry.heatmaps import decode
from vitpose_ros.core.runtime import integers, nvidia, onnx, processor
from vitpose_ros.core.runtime.cuda import CudaBackend
from vitpose_ros.core.weights import load_network
from vitpose_ros.tools.bench import (
    machine,
    main,
    networks,
    product,
    resources,
    subjects,
    timing,
    transformers_peer,
)
from vitpose_ros.tools.bench.options import BenchOptions, installed
from vitpose_ros.tools.bench.results import Results, lines_of, read
from vitpose_ros.tools.bench.tables import Table

SIZE = (256, 192)
QUICK = [
    '--models=nano', '--backends=torch', '--rounds=1', '--batches=1,2', '--people=1,3',
    '--frames=20',
]  # fmt: skip


def measured(path):
    """What the lines of a file of results say."""
    return read(lines_of(path))


def test_sections_are_measured_and_written(tmp_path, capsys):
    path = tmp_path / 'results.jsonl'
    sections = 'product,crop,decode,network,end-to-end,people,accuracy,space,start-up,memory'
    assert main([*QUICK, '--sections', sections, '--json', str(path)]) == 0
    about, tables = measured(path)
    assert set(tables) == {
        'product', 'crop', 'decode', 'backends nano', 'network nano', 'end to end nano',
        'people nano', 'accuracy', 'people in space', 'start-up nano', 'memory',
    }  # fmt: skip
    printed = capsys.readouterr().out
    for table in tables.values():
        assert table.title in printed
        assert table.rows and all(len(row) == len(table.columns) for row in table.rows)
    assert {'date', 'processor', 'torch', 'threads'} <= set(about)
    # A row a batch; processors with bfloat16 have rows of that, too.
    rows = [row for row in tables['network nano'].rows if row[1] == 'float32']
    [network, _] = rows
    assert network[:3] == ('torch', 'float32', 1) and 0 < network[7] < 2
    assert [row[0] for row in tables['people nano'].rows] == [1, 3]
    # The machine's own product, in each precision that it computes in.
    assert {row[1] for row in tables['product'].rows} == {
        'float32',
        *['bfloat16'] * processor.has_bfloat16(),
    }


def test_what_is_unknown_is_named(capsys):
    for arguments, text in (
        (['--sections', 'speed'], "section 'speed' is not known; give product, crop, decode"),
        (['--backends', 'tpu', '--sections', 'network'], "backend is 'tpu'; give auto"),
        (['--backends', 'torch', '--precisions', 'int8'], 'int8 is nothing that torch runs'),
        (['--models', 'tiny', '--sections', 'network'], "'tiny' is neither a known name nor"),
    ):
        assert main(arguments) == 1
        assert text in capsys.readouterr().err


def test_a_backend_that_is_absent_costs_its_rows_alone(tmp_path, capsys):
    path = tmp_path / 'results.jsonl'
    arguments = [*QUICK, '--backends', 'tpu,torch', '--batches', '1', '--json', str(path)]
    assert main([*arguments, '--sections', 'network,memory,decode']) == 1
    _, tables = measured(path)
    for name in ('backends nano', 'memory'):
        assert any('tpu' in failure for failure in tables[name].failures)
        assert [row[0] for row in tables[name].rows] == ['torch']
    assert [row[:3] for row in tables['network nano'].rows] == [('torch', 'float32', 1)]
    assert tables['decode'].rows
    assert "not measured: tpu float32: backend is 'tpu'" in capsys.readouterr().out


def test_a_peer_that_is_absent_costs_its_columns_alone(tmp_path, monkeypatch, capsys):
    find = importlib.util.find_spec
    absent = 'transformers'
    monkeypatch.setattr(importlib.util, 'find_spec', lambda n: None if n == absent else find(n))
    path = tmp_path / 'results.jsonl'
    arguments = [*QUICK, '--sections', 'crop', '--compare', 'transformers', '--json', str(path)]
    assert main(arguments) == 1
    assert 'transformers: not installed: pip install transformers' in capsys.readouterr().err
    assert [row[2] for row in measured(path)[1]['crop'].rows] == [None, None]


def test_figures_are_in_the_file_as_soon_as_they_are_there(tmp_path):
    path = tmp_path / 'results.jsonl'
    results = Results(path)
    with pytest.raises(KeyboardInterrupt), results.table('t', 'Title', ('name', 'ms')) as table:
        table.add('a', 1.5)
        table.fail('b', MemoryError('none left'))
        *_, row, failure = map(json.loads, path.read_text().splitlines())
        assert row == {'table': 't', 'row': {'name': 'a', 'ms': 1.5}}
        assert failure == {'table': 't', 'failure': 'b: MemoryError: none left'}
        raise KeyboardInterrupt
    # A line that was cut off is left out.
    path.write_text(path.read_text() + '{"table": "t", "ro')
    [table] = measured(path)[1].values()
    assert table.rows == [('a', 1.5)] and table.failures == ['b: MemoryError: none left']


def test_an_error_within_a_table_costs_what_is_missing_then(tmp_path, capsys):
    results = Results(tmp_path / 'results.jsonl')
    with results.table('t', 'Title', ('name', 'ms')) as table:
        table.add('a', 1.5)
        raise RuntimeError('CUDA error')
    assert results.failed == 1
    assert 't: RuntimeError: CUDA error' in capsys.readouterr().err
    assert measured(results.file)[1]['t'].rows == [('a', 1.5)]


def test_what_cannot_be_had_on_a_device_is_left_out_unasked(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr(nvidia, 'why_unusable', lambda _: '')
    monkeypatch.setattr(onnx, 'has_cuda', lambda: False)  # the build for processors
    found, missing = installed('cuda')
    assert found == ['torch']
    assert any('pip install onnxruntime-gpu' in reason for reason in missing)


def test_cuda_that_pytorch_lacks_costs_its_figures_alone(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    monkeypatch.setattr(nvidia, 'ask_driver', lambda: nvidia.Driver(('RTX 0',)))
    arguments = [*QUICK, '--device', 'cuda', '--sections', 'product']
    for backends, code in (('onnx', 0), ('torch,onnx', 1)):
        assert main([*arguments, '--backends', backends]) == code
        printed = capsys.readouterr()
        assert 'TFLOP/s' in printed.out
        assert ("torch: device 'cuda' is not there" in printed.err) == bool(code)


def test_only_torch_runs_dry(capsys):
    assert main([*QUICK, '--device', 'dry', '--backends', 'onnx,torch']) == 1
    assert "device 'dry' is for torch alone" in capsys.readouterr().err


def test_the_card_that_was_chosen_is_measured_and_named(monkeypatch):
    current, queued, asked = [0], [], []

    @contextlib.contextmanager
    def on(device):
        before, current[0] = current[0], device.index
        yield
        current[0] = before

    def mark(*_, **__):
        queued.append(current[0])

    event = SimpleNamespace(
        record=mark, synchronize=mark, elapsed_time=lambda _: 2.0, query=lambda: False
    )
    monkeypatch.setattr(torch.cuda, 'device', on)
    monkeypatch.setattr(torch.cuda, 'Event', lambda **_: event)
    monkeypatch.setattr(torch.cuda, '_sleep', mark)
    device = torch.device('cuda', 1)
    assert timing.on_device_ms(mark, device) == 2.0
    assert set(queued) == {1} and current == [0]
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda place: f'card {place.index}')
    monkeypatch.setattr(machine, 'card', lambda index: asked.append(index) or {})
    assert machine.about(1, [], device)['gpu'] == 'card 1' and asked == [1]


class Clock:
    """A device whose time goes on while a function queues, and that sleeps as it is told."""

    def __init__(self, monkeypatch, device_ms, *, launch_ms=0.0, waits=False):
        self.host, self.free = 0.0, 0.0  # ms: now, and when all that is queued is done
        self.launch_ms, self.waits, self.device_ms = launch_ms, waits, device_ms
        monkeypatch.setattr(torch.cuda, 'device', lambda _: contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, '_sleep', lambda cycles: self.work(cycles / 2e6))
        monkeypatch.setattr(torch.cuda, 'Event', lambda **_: self.event())

    def work(self, ms):
        self.free = max(self.free, self.host) + ms

    def queue(self):
        for _ in range(2):
            self.host += self.launch_ms / 2
            self.work(self.device_ms / 2)
        if self.waits:
            self.host = self.free

    def event(self):
        found = SimpleNamespace(at=0.0)
        found.record = lambda: setattr(found, 'at', max(self.free, self.host))
        found.query = lambda: self.host >= found.at
        found.synchronize = lambda: setattr(self, 'host', max(self.host, found.at))
        found.elapsed_time = lambda other: other.at - found.at
        return found


def test_the_time_on_the_device_is_without_launching_however_long_that_takes(monkeypatch):
    device = torch.device('cuda', 0)
    for launch_ms in (0.5, 4.0, 30.0):
        clock = Clock(monkeypatch, 3.0, launch_ms=launch_ms)
        assert timing.on_device_ms(clock.queue, device) == pytest.approx(3.0)
    for about in ({'launch_ms': 500.0}, {'waits': True}):
        clock = Clock(monkeypatch, 3.0, **about)
        assert timing.on_device_ms(clock.queue, device) is None


def test_what_waits_for_the_device_has_no_time_there():
    peer = timing.synchronous(list, torch.device('cuda', 0))
    waiting = SimpleNamespace(keypoints=list)
    for run in (peer, partial(waiting.keypoints, 1, [1])):
        assert networks.without_waiting(run) is None
    network = subjects.random_network('nano', ['coco'], image_size=(64, 48), depth=1)
    backend = CudaBackend(network, device='cpu', precision='float32')
    crops = subjects.crops(1, (64, 48))
    assert networks.without_waiting(networks.network_run(backend, crops, [1])) is not None


@pytest.mark.parametrize('name', product.INTEGERS)
def test_int8_has_its_share_of_a_product_of_integers_by_the_same_runtime(name, tmp_path):
    pytest.importorskip({'onnx': 'onnxruntime'}.get(name, name))
    options = BenchOptions(Results(None), 'cpu', rounds=1, backends=(name,), precisions=('int8',))
    model = subjects.Model('nano', 'nano')
    with Results(None).table('t', 'T', tuple('abcdefghijk')) as table:
        backend = options.open(model, name, 'int8')
        networks.Bout(table, {f'{name} int8': backend}, None, 1, 1e9).run(1)
    [row] = table.rows
    assert row[:2] == (name, 'int8') and row[7] > 0 and not table.failures
    path = tmp_path / 'results.jsonl'
    product.products(dataclasses.replace(options, results=Results(path)))
    rows = measured(path)[1]['product'].rows
    assert [row[1:3] for row in rows if row[1] == 'int8'] == [('int8', name)]


def test_openvino_multiplies_integers_in_its_product():
    import openvino

    compiled = []
    compile_model = openvino.Core.compile_model

    def watched(self, *arguments):
        compiled.append(compile_model(self, *arguments))
        return compiled[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino.Core, 'compile_model', watched)
        product.INTEGERS['openvino'](64, 1)()
    kinds = {
        (info['layerType'].astype(str), info['runtimePrecision'].astype(str))
        for info in (node.get_rt_info() for node in compiled[0].get_runtime_model().get_ops())
    }
    assert ('FullyConnected', 'i8') in kinds


def test_int8_has_no_share_of_a_product_in_floats():
    assert product.by('int8', 'torch') == '' and product.by('float32', 'onnx') == 'torch'
    backend = BenchOptions(Results(None), 'cpu').open(
        subjects.Model('nano', toy=True), 'torch', 'float32'
    )
    shares = {}
    for precision in ('float32', 'int8'):
        backend.precision = precision
        with Results(None).table('t', 'T', tuple('abcdefghijk')) as table:
            networks.Bout(table, {f'torch {precision}': backend}, None, 1, 1e9).run(1)
        [row] = table.rows
        shares[row[1]] = row[7]
    assert shares['float32'] > 0 and shares['int8'] is None


def test_the_machine_is_measured_by_a_product_that_fills_it():
    assert product.flops(torch.device('cuda')) == 2 * 8192**3
    assert product.flops(torch.device('cpu')) == 2 * 2048**3
    assert product.rate('float32', torch.device('cpu')) > 1e9


def test_crops_of_random_pixels_differ_and_are_always_the_same():
    crops = subjects.crops(24, SIZE)
    assert len({crop.numpy().tobytes() for crop in crops}) == 24
    assert torch.equal(crops, subjects.crops(24, SIZE))


def test_a_peer_that_does_not_start_costs_its_rows_alone(tmp_path, monkeypatch, capsys):
    def peer(*_):
        raise ImportError('cannot import name')

    monkeypatch.setattr(transformers_peer, 'Peer', peer)
    path = tmp_path / 'results.jsonl'
    arguments = [
        '--models=small', '--backends=torch', '--precisions=float32', '--rounds=1', '--batches=1',
        '--sections=network', '--compare=transformers', '--json', str(path),
    ]  # fmt: skip
    assert main(arguments) == 1
    assert 'transformers, small: ImportError: cannot import name' in capsys.readouterr().err
    _, tables = measured(path)
    assert [row[:3] for row in tables['network small'].rows] == [('torch', 'float32', 1)]


@pytest.fixture(scope='module')
def peer():
    return transformers_peer.Peer('small')


def test_the_peer_has_the_same_weights(peer):
    with peer.weights() as weights:
        network = load_network(weights)
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
    crops.cut(frame, Cuts(regions, udp, np.arange(2)))
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


def test_the_peer_gets_what_it_computes_in(peer):
    """As on a GPU, where it is in float16."""
    weights = peer.model.state_dict()
    half = transformers_peer.Peer('small')
    half.model.load_state_dict(weights)
    half.model, half.dtype = half.model.to(torch.bfloat16), torch.bfloat16
    frame = subjects.frame(2)
    with torch.inference_mode():
        [found], [exact] = half.predict(frame), peer.predict(frame)
    assert len(found) == len(exact) == 2
    for ours, theirs in zip(found, exact, strict=True):
        assert (ours['scores'] - theirs['scores']).abs().max() < 0.02


def test_operations_are_counted():
    """By the formula: two for each multiplication with a weight, and those of attention."""
    width, depth, tokens, channels = 384, 12, 192, 256
    blocks = depth * (12 * width**2 * tokens + 2 * width * tokens**2)
    cells = 4 * tokens, 16 * tokens
    head = cells[0] * 4 * width * channels + cells[1] * channels * (4 * channels + 17)
    embedding = 768 * width * tokens
    network = subjects.random_network('small', ['coco'], torch.device('meta'))
    counted = subjects.flops(network.config)
    assert counted == pytest.approx(2 * (embedding + blocks + head), rel=0.001)


def test_weights_are_counted_in_their_precision():
    config = subjects.random_network('base', ['coco'], torch.device('meta')).config
    assert subjects.weights_mb(config, 'float32') == pytest.approx(4 * 90.0, rel=0.01)
    assert subjects.weights_mb(config, 'float16') == pytest.approx(2 * 90.0, rel=0.01)


def test_contenders_take_turns():
    turns = []
    times = timing.interleave(
        {'a': lambda: turns.append('a'), 'b': lambda: time.sleep(0.02) or turns.append('b')},
        rounds=3,
    )
    assert turns == ['a', 'b'] * 4 and len(times['a']) == 3
    assert timing.ratio(times, 'b', 'a') > 10
    assert timing.milliseconds(times, 'b') >= 20


def test_a_contender_that_fails_is_left_out():
    failures = []
    times = timing.interleave(
        {'a': lambda: None, 'b': lambda: [][0]},
        rounds=3,
        failed=lambda name, error: failures.append((name, type(error))),
    )
    assert list(times) == ['a'] and len(times['a']) == 3
    assert failures == [('b', IndexError)]
    assert timing.ratio(times, 'b', 'a') is None
    with pytest.raises(IndexError):
        timing.interleave({'b': lambda: [][0]}, rounds=1)


def test_busy_cores_are_those_that_compute():
    assert timing.cores_busy(lambda: time.sleep(0.1), 2) < 0.5
    assert timing.cores_busy(lambda: sum(range(1_000_000)), 5) > 0.1


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
    with pytest.raises(RuntimeError, match='int failed: ValueError: invalid literal'):
        resources.in_process(int, 'x')


def test_tables_show_three_digits():
    table = Table('t', 'Title', ('name', 'value'))
    for value in (1234.5, 12.345, 1.2345, 0.01234, 1.2e-5, 0.0, 3, None):
        table.add('x', value)
    shown = [row[1] for row in table.texts()[1:]]
    assert shown == ['1234', '12.3', '1.23', '0.012', '1.2e-05', '0.000', '3', '-']


def test_int8_is_measured_when_it_is_asked_for(tmp_path):
    results = Results(None)
    assert not [p for _, p in BenchOptions(results).contenders() if p == 'int8']
    options = BenchOptions(results, backends=('torch', 'openvino'), precisions=('float32', 'int8'))
    assert options.contenders() == [
        ('torch', 'float32'), ('openvino', 'float32'), ('openvino', 'int8'),
    ]  # fmt: skip


def test_starts_in_int8_are_measured_too(tmp_path):
    pytest.importorskip('openvino')
    path = tmp_path / 'results.jsonl'
    options = BenchOptions(
        Results(path), 'cpu', backends=('torch', 'openvino'), precisions=('int8',)
    )
    resources.startup(options, subjects.Model('nano', 'nano'))
    rows = measured(path)[1]['start-up nano'].rows
    assert [row[:3] for row in rows] == [
        ('torch', 'auto', 'any'),
        ('openvino', 'auto', 'first'), ('openvino', 'auto', 'later'),
        ('openvino', 'int8', 'first'), ('openvino', 'int8', 'later'),
    ]  # fmt: skip
    assert all(value > 0 for row in rows for value in row[3:])


def test_random_weights_are_calibrated_for_int8_and_measured_also_where_it_is_slower(monkeypatch):
    monkeypatch.setattr(integers, 'gain', lambda *_: 0.5)
    monkeypatch.setattr(processor, 'has_int8', lambda: False)
    options = BenchOptions(Results(None), device='cpu', batches=(1,), people=(1,))
    opened = options.open(subjects.Model('nano'), 'openvino', 'int8')
    assert opened.description.startswith('openvino on cpu, int8')


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['--batches', '0'], 'argument --batches: 0 is too few; give 1 or more'),
        (['--batches', ''], "argument --batches: '' holds no name"),
        (['--people', '0'], 'argument --people: 0 is too few; give 1 or more'),
        (['--models', ','], "argument --models: ',' holds no name; separate them by commas"),
        (['--rounds', '-3'], 'argument --rounds: -3 is too few'),
        (['--rounds', '0'], 'argument --rounds: 0 is too few'),
        (['--rounds', 'x'], "argument --rounds: 'x' is no whole number"),
        (['--threads', '-3'], 'argument --threads: -3 is too few; give 0 to 1024'),
        (['--models', ','], "argument --models: ',' holds no name"),
        (['--precisions', 'int4'], "'int4' is not known; give auto, float32"),
        (['--json', '/nowhere/x.jsonl'], 'argument --json: there is no folder /nowhere'),
    ],
)
def test_wrong_arguments_are_named_at_once(arguments, text, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert text in capsys.readouterr().err
