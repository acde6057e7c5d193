"""One command fills the page of figures: what bench writes goes into it, and the text stays."""

import json
import re
import sys
from pathlib import Path

import pytest

from vitpose_ros.tools import bench
from vitpose_ros.tools.bench.options import PEER
from vitpose_ros.tools.bench.results import read

pytest.importorskip('matplotlib')
import write_performance as page_module

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def lines(tmp_path_factory):
    """What bench writes, small, of two sizes by their names, and as if the peer were there."""
    path = tmp_path_factory.mktemp('bench') / 'results.jsonl'
    arguments = ['--models=nano', '--backends=torch', '--rounds=1', '--batches=4', '--people=1,8']
    sections = 'product,crop,decode,network,people,accuracy'
    assert bench.main([*arguments, '--sections', sections, '--json', str(path)]) == 0
    text = path.read_text()
    found = list(map(json.loads, text.replace(' nano', ' small').splitlines()))
    of_network = [line for line in found if line.get('table') == 'network small']
    found += json.loads(json.dumps(of_network).replace(' small', ' base'))
    for line in list(found):
        row = line.get('row', {})
        if PEER in row:
            row[PEER] = 9.0
        if line.get('table', '').startswith('network ') and row.get('backend') == 'torch':
            for changes in ({'backend': PEER, 'median': 99.0}, {'precision': 'int8', 'median': 1}):
                found.append({**line, 'row': {**row, **changes}})
    return found


@pytest.fixture
def write(lines, tmp_path, monkeypatch):
    """Write the page of some lines; returns it."""
    monkeypatch.setattr(page_module, 'DOCS', tmp_path)

    def run(given, *arguments):
        path = tmp_path / 'results.jsonl'
        path.write_text(''.join(f'{json.dumps(line)}\n' for line in given))
        monkeypatch.setattr(sys, 'argv', ['write_performance.py', *arguments, str(path)])
        page_module.main()
        return (tmp_path / 'performance.md').read_text()

    return run


def test_the_page_has_what_bench_measured_in_its_columns(write, lines, tmp_path, capsys):
    page = write(lines)
    assert capsys.readouterr().out == '' and (tmp_path / 'performance.png').stat().st_size > 9999
    about, tables = read(iter(lines))
    assert f'Measured: date {about["date"]}' in page
    for table in tables.values():
        head = f'| {" | ".join(table.columns)} |'
        assert page.count(f'## {table.title.partition(":")[0]}\n') == 1 and head in page


def test_what_is_drawn_is_float32_against_the_peer(write, lines, monkeypatch):
    drawn = []

    def watched(self, places, heights, *rest, **options):
        drawn.append((options['label'], list(heights)))
        return bar(self, places, heights, *rest, **options)

    axes = page_module.plt.Axes
    bar = axes.bar
    monkeypatch.setattr(axes, 'bar', watched)
    write(lines)
    [(ours, own), (theirs, other)] = drawn
    assert (ours, theirs) == ('vitpose_ros', PEER)
    assert other == [9.0, 9.0, 9.0, 99.0, 99.0]
    row = next(
        line['row']
        for line in lines
        if line.get('table') == 'network base' and line.get('row', {}).get('backend') == 'torch'
    )
    assert own[-1] == row['median']


def test_what_was_not_measured_costs_the_plot_alone(write, lines, tmp_path, capsys):
    for name in ('crop', 'network base', 'people small'):
        (tmp_path / 'performance.png').unlink(missing_ok=True)
        page = write([line for line in lines if line.get('table') != name])
        assert f'no new plot: {name}' in capsys.readouterr().out and '## Decoding\n' in page
        assert not (tmp_path / 'performance.png').exists()


def test_what_a_gpu_gave_stays_and_is_written_alone(write, lines):
    before = write(lines)
    told = [{'about': {'gpu': 'a card'}}, *(li for li in lines if li.get('table') == 'product')]
    with_gpu = write(told, '--gpu')
    assert 'Measured: gpu a card.' in with_gpu and '### Matrix product\n' in with_gpu
    assert 'Not yet measured on a card' in before and 'Not yet measured' not in with_gpu
    assert page_module.with_gpu(with_gpu, '') == page_module.with_gpu(before, '')
    again = write(lines)
    assert page_module.gpu_part(again) == page_module.gpu_part(with_gpu)


def test_the_page_is_its_template_with_figures():
    """So that writing it anew changes figures alone; but for what was decided by these."""
    page = (ROOT / 'docs' / 'performance.md').read_text()
    template = (ROOT / 'dev' / 'performance.md').read_text()
    pattern = re.escape(page_module.with_gpu(template, ''))
    for name in ('ABOUT', 'TABLES'):
        assert pattern.count(name) == 1
        pattern = pattern.replace(name, '.+')
    assert re.fullmatch(pattern, page_module.with_gpu(page, ''), re.DOTALL)


def test_the_page_says_what_makes_it():
    """The command that it names is that of the Makefile."""
    template = (ROOT / 'dev' / 'performance.md').read_text()
    made = (ROOT / 'Makefile').read_text()
    [command] = re.findall(r'-m vitpose_ros bench (--compare(?:.|\\\n)+)\n\n', template)
    [used] = re.findall(r'-m vitpose_ros bench (--compare(?:.|\\\n)+?) --json', made)
    assert command.replace('\\\n', '').split() == used.replace('\\\n', '').split()
    chosen = bench._parser(None).parse_args(command.replace('\\\n', '').split())
    assert 'int8' in chosen.precisions and chosen.ros
