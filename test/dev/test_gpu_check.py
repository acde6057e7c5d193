"""make gpu-check runs on a processor, too, and nothing that happens to a part costs the others."""

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from gpu_check import goals, report
from gpu_check.checking import check
from gpu_check.parts import PYTEST, Part, parts

from vitpose_ros.core.model.config import SIZES
from vitpose_ros.core.runtime.cuda import Tuning
from vitpose_ros.tools import bench
from vitpose_ros.tools.bench.results import lines_of, read
from vitpose_ros.tools.bench.tables import Table

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join((str(ROOT), str(ROOT / 'dev')))


@pytest.fixture(autouse=True)
def _paths(monkeypatch):
    """The way that the Makefile lets parts find modules."""
    monkeypatch.setenv('PYTHONPATH', PATHS)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')


def scripted(name, code, share=0.9):
    """A part that writes a figure, then does something."""
    figure = json.dumps({'check': f'{name} begins', 'outcome': 'PASS'})
    begin = f"import os; print({figure!r}, file=open(os.environ['GPU_CHECK_RESULTS'], 'a'))\n"
    return Part(name, ('-c', begin + textwrap.dedent(code)), share)


def test_parts_that_crash_hang_or_fail_are_told_and_the_others_go_on(tmp_path, capsys):
    child = f'import subprocess, sys; subprocess.Popen([sys.executable, "-c", {SLEEP!r}]).wait()'
    chosen = [
        scripted('crash', 'import ctypes; ctypes.string_at(0)'),
        scripted('hang', child, share=0.1),
        scripted('deaf', f'import signal; signal.signal(signal.SIGABRT, print); {SLEEP}', 0.1),
        scripted('error', 'raise RuntimeError("CUDA error: an illegal memory access")'),
        scripted('good', ''),
    ]
    assert check(chosen, 30, tmp_path) == 1
    lines = list(lines_of(tmp_path / 'results.jsonl'))
    ended = {line['part']: line['ended'] for line in lines if 'ended' in line}
    assert ended == {
        'crash': 'crashed: SIGSEGV',
        'hang': 'cut off after 3 s',
        'deaf': 'cut off after 3 s',
        'error': 'exit code 1',
        'good': 'exit code 0',
    }
    # What each had found before is kept, and the output says where the one hung.
    assert {line['part'] for line in lines if line.get('outcome') == 'PASS'} == set(ended)
    assert 'subprocess.py' in (tmp_path / 'log.txt').read_text()
    printed = capsys.readouterr().out
    for part, how in ended.items():
        assert (f'FAIL  {part}: {how}' in printed) == (part != 'good')
        assert f'PASS  {part}: {part} begins' in printed
    assert 'an illegal memory access' in printed
    assert not list(tmp_path.glob('hang*'))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'log.txt', 'report.md', 'results.jsonl',
    ]  # fmt: skip


SLEEP = 'import time; time.sleep(600)'


def test_what_a_part_starts_ends_with_it(tmp_path):
    mark = tmp_path / 'alive'
    child = f'import pathlib, time; time.sleep(4); pathlib.Path({str(mark)!r}).touch()'
    start = f'import subprocess, sys; subprocess.Popen([sys.executable, "-c", {child!r}])'
    check(
        [scripted('leaves', start), scripted('waits', 'import time; time.sleep(5)')], 60, tmp_path
    )
    assert not mark.exists()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_part_that_runs_ends_with_the_check(number, tmp_path):
    mark = tmp_path / 'pid'
    code = f'import os, pathlib; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); {SLEEP}'
    script = (
        'import pathlib\n'
        'from gpu_check import __main__, checking, parts\n'
        f'part = parts.Part("long", ("-c", {code!r}), 0.9)\n'
        '__main__.end_on_signals()\n'
        f'checking.check([part], 600, pathlib.Path({str(tmp_path / "out")!r}))\n'
    )
    with subprocess.Popen([sys.executable, '-c', script], stderr=subprocess.DEVNULL) as process:
        while not (mark.is_file() and mark.read_text()):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_no_part_is_begun_without_time_and_that_is_a_failure(tmp_path, capsys):
    chosen = [scripted('long', SLEEP, share=0.8), scripted('late', '', share=0.9)]
    assert check(chosen, 4, tmp_path) == 1
    assert 'FAIL  late: not begun: no time left' in capsys.readouterr().out


def test_what_is_reserved_for_a_later_part_no_earlier_one_takes(tmp_path, capsys):
    late = dataclasses.replace(scripted('late', '', share=0.4), reserved=0.4)
    chosen = [scripted('long', SLEEP, share=0.5), scripted('greedy', SLEEP, share=0.45), late]
    assert check(chosen, 10, tmp_path) == 1
    printed = capsys.readouterr().out
    assert 'FAIL  long: cut off after 5 s' in printed
    assert 'FAIL  greedy: not begun: no time left' in printed
    assert 'PASS  late: late begins' in printed


def test_the_gain_of_each_way_is_measured_whatever_the_rest_takes():
    base = next(part for part in parts(dry=False) if part.name == 'ablation base')
    assert base.reserved * 400 >= 60  # seconds
    assert sum(part.reserved for part in parts(dry=False)) < 0.3


def writing(name, *lines):
    """A part that writes some lines."""
    text = '\n'.join(map(json.dumps, lines))
    return scripted(name, f"print({text!r}, file=open(os.environ['GPU_CHECK_RESULTS'], 'a'))")


def test_what_a_part_wrote_wrong_costs_its_figures_alone(tmp_path, capsys):
    """A row of a table that has no title; a table without the columns that the report looks at."""
    chosen = [
        writing('untitled', {'table': 'network base', 'row': {'backend': 'torch', 'batch': 1}}),
        writing(
            'lacking',
            {'table': 'network large', 'title': 'Network large', 'columns': ['a', 'b']},
            {'table': 'network large', 'row': {'a': 17, 'b': 4}},
        ),
        scripted('last', ''),
    ]
    assert check(chosen, 30, tmp_path) == 1
    printed = capsys.readouterr().out
    assert 'FAIL  untitled: its figures cannot be read: KeyError' in printed
    assert "FAIL  report: figures: KeyError('batch')" in printed
    assert 'PASS  last: last begins' in printed and 'GOAL base' in printed
    assert '| 17 | 4 |' in (tmp_path / 'report.md').read_text()


def test_a_report_that_cannot_be_made_ends_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, 'verdicts', lambda _: 1 / 0)
    assert check([scripted('one', ''), scripted('two', '')], 30, tmp_path) == 1
    assert 'FAIL  report: ZeroDivisionError' in capsys.readouterr().out
    assert 'two begins' in (tmp_path / 'results.jsonl').read_text()


def test_an_earlier_check_is_kept(tmp_path):
    for name in ('one', 'two', 'three'):
        check([scripted(name, '')], 30, tmp_path)
    for place, name in (('earlier-1', 'one'), ('earlier-2', 'two'), ('.', 'three')):
        for file in ('results.jsonl', 'report.md', 'log.txt'):
            assert name in (tmp_path / place / file).read_text()


def test_parts_that_are_aborted_leave_no_dump(tmp_path, capfd):
    code = (
        'import resource, time\n'
        'while resource.getrlimit(resource.RLIMIT_CORE)[0]: time.sleep(0.01)\n'
    )
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    if limits[1] != resource.RLIM_INFINITY and not limits[1]:
        pytest.skip('none here anyway')
    resource.setrlimit(resource.RLIMIT_CORE, (limits[1], limits[1]))
    try:
        assert check([scripted('part', code)], 30, tmp_path) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, limits)


def gpu_check(environment, limit):
    """Run the command as from a shell; of a make around the tests it knows nothing."""
    environment = {name: environment[name] for name in environment if not name.startswith('MAKE')}
    return subprocess.run(
        ['make', 'gpu-check'],
        cwd=ROOT,
        env={**environment, 'PYTHON': sys.executable},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )


@pytest.fixture(scope='module')
def dry(tmp_path_factory):
    """What the command prints, and the folder that it writes."""
    folder = tmp_path_factory.mktemp('dry')
    environment = {**os.environ, 'GPU_CHECK_DRY': '1', 'OUT': str(folder)}
    environment['GPU_CHECK_SECONDS'] = '2000'  # a limit for hangs
    hidden = tmp_path_factory.mktemp('hidden')  # it goes without
    (hidden / 'transformers.py').write_text('raise ImportError("hidden")')
    environment['PYTHONPATH'] = str(hidden)
    ran = gpu_check({**environment, 'OMP_NUM_THREADS': '1'}, 2100)
    assert ran.returncode == 0, ran.stdout + (folder / 'log.txt').read_text()[-3000:]
    return ran.stdout, folder


def test_all_of_it_runs_dry(dry):
    """What it finds on a processor counts for no goal."""
    printed, _ = dry
    assert ' 0 failed' in printed.splitlines()[-1] and len(printed) < 12000
    passed = [line for line in printed.splitlines() if line.startswith('PASS')]
    for name in ('graphs of six sets give', 'all buckets give', 'a busy thread and a capture'):
        assert any(name in line for line in passed)
    told = [line for line in printed.splitlines() if 'GOAL' in line]
    assert len(told) == len(goals.GOALS) and all(line.startswith('INFO') for line in told)


def test_figures_of_all_that_is_for_cuda_are_written(dry):
    _, folder = dry
    about, tables = read(lines_of(folder / 'results.jsonl'))
    assert {'processor', 'torch'} <= set(about)
    page = (folder / 'report.md').read_text()
    for table in tables.values():
        assert table.rows and not table.failures
        assert f'## {table.title.partition(":")[0]}\n' in page
    # Both ways of crops at four resolutions; decoding of both kinds.
    assert len({row[0] for row in tables['crop cuda'].rows}) == 4
    assert all(cell > 0 for row in tables['crop cuda'].rows for cell in row[2:])
    assert {row[0] for row in tables['decode cuda'].rows} == {'coco', 'wholebody'}
    # What was taken is said, and each of that is measured with and without, at both batches.
    ways = {row[2]: row[3] for row in tables['ways nano'].rows}
    assert set(ways) <= {field.name for field in dataclasses.fields(Tuning)}
    for way, taken in ways.items():
        batches = {row[2] for row in tables['ablation nano'].rows if row[0] == way}
        assert batches == ({None} if taken.startswith('not taken') else {1, 2})
    assert [row[2] for row in tables['end to end nano'].rows] == [1, 2]
    assert [row[:3] for row in tables['experts nano'].rows] == [
        ('torch', 'float32', 6),
        ('torch', 'float32', 24),
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a CUDA device')
def test_without_a_gpu_it_says_what_it_needs(tmp_path):
    environment = {**os.environ, 'OUT': str(tmp_path / 'none')}
    environment.pop('GPU_CHECK_DRY', None)
    ran = gpu_check(environment, 120)
    assert ran.returncode != 0 and 'Traceback' not in ran.stderr
    assert f'gpu-check: PyTorch {torch.__version__} sees no CUDA device' in ran.stderr
    assert 'GPU_CHECK_DRY=1' in ran.stderr
    assert not (tmp_path / 'none').exists()


def test_parts_name_tests_and_sections_that_are_there():
    for dry in (False, True):
        for part in parts(dry=dry):
            for argument in part.arguments:
                assert not argument.endswith('.py') or (ROOT / argument).is_file()
            assert 0 < part.share < 1
            if 'bench' in part.arguments:
                chosen = bench._parser(None).parse_args(part.arguments[3:])
                assert set(chosen.sections) <= set(bench.SECTIONS) and set(chosen.models) <= {
                    *SIZES
                }
    for chosen in (parts(dry=True), parts(dry=False)):
        named = [name for part in chosen for name in part.arguments if name.endswith('.py')]
        assert len(named) == len(set(named))
        folder = 'test/core/runtime'
        assert {f'{folder}/{path.name}' for path in ROOT.glob(f'{folder}/test_cuda*.py')} - {
            f'{folder}/test_cuda_paths.py'  # on a processor
        } <= {*named}


def test_the_plugin_tells_what_became_of_each_test(tmp_path):
    path = tmp_path / 'test_three.py'
    path.write_text(
        textwrap.dedent(
            """
            import os
            import pytest

            pytestmark = pytest.mark.cuda

            def test_it_holds(record_property):
                record_property('error', 0.25)

            def test_it_does_not_hold():
                assert 1 == 2

            def test_there_is_none():
                pytest.skip('none')

            def test_the_process_ends():
                os._exit(9)
            """
        )
    )
    part = Part('three', (*PYTEST, '-c', str(ROOT / 'pyproject.toml'), str(path)), 0.9)
    assert check([part], 100, tmp_path) == 1
    found = report.verdicts(list(lines_of(tmp_path / 'results.jsonl')))
    told = [str(verdict) for verdict in found]
    assert 'PASS  three: it holds, error 0.25' in told
    assert any('three: it does not hold: assert 1 == 2' in line for line in told)
    assert any(line.startswith('INFO  three: there is none: skipped') for line in told)
    assert 'FAIL  three: the process ends: the process ended meanwhile' in told
    assert 'FAIL  three: exit code 9' in told


def network(ms, batch=16):
    columns = ('backend', 'batch', 'ms a pass on the device')
    rows = [('transformers', batch, 99.0), ('torch', batch, ms)]
    return {'network base': Table('network base', 'Network', columns, rows)}


def test_goals_are_met_missed_or_only_told():
    [goal, *_] = goals.GOALS  # base, batch 16: at least 9000 crops/s
    assert goal.find(network(2.0)) == 8000
    for ms, gpu, outcome in (
        (1.7, 'NVIDIA H100 80GB HBM3', 'PASS'),
        (2.0, 'NVIDIA H100 80GB HBM3', 'FAIL'),
        (2.0, 'NVIDIA L4', 'INFO'),
    ):
        first, text = next(goals.verdicts(network(ms), {'gpu': gpu}))
        assert first == outcome and 'at least 9000 crops/s' in text
    outcome, text = next(goals.verdicts({}, {'gpu': 'NVIDIA H100'}))
    assert outcome == 'FAIL' and 'not measured' in text
    outcome, text = next(goals.verdicts(network(None), {'gpu': 'NVIDIA H100'}))
    assert outcome == 'FAIL' and 'not measured' in text


def test_a_goal_against_a_peer_that_is_absent_is_only_told():
    [index] = [n for n, goal in enumerate(goals.GOALS) if goal.needs]
    for about, outcome in (({}, 'INFO'), ({'transformers': '5.17'}, 'FAIL')):
        told = list(goals.verdicts({}, {'gpu': 'NVIDIA H100', **about}))
        assert told[index][0] == outcome


def test_the_summary_fits_on_a_page_and_keeps_what_failed():
    found = [report.Verdict('PASS', f'a check with number {n}, and more text') for n in range(500)]
    found.insert(0, report.Verdict('FAIL', 'the one that matters'))
    text = report.summary(found)
    assert len(text) < 10000
    assert 'FAIL  the one that matters' in text
    assert text.splitlines()[-1] == 'gpu-check: 500 passed, 1 failed'
