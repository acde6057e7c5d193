"""make gpu-check runs on a processor, too, and nothing that happens to a part costs the others."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from gpu_check import goals, report
from gpu_check.checking import check
from gpu_check.parts import PYTEST, Part, parts

from vitpose_ros.tools.bench.results import lines_of
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


def test_no_part_is_begun_without_time_and_that_is_a_failure(tmp_path, capsys):
    chosen = [scripted('long', SLEEP, share=0.8), scripted('late', '', share=0.9)]
    assert check(chosen, 4, tmp_path) == 1
    assert 'FAIL  late: not begun: no time left' in capsys.readouterr().out


def test_all_of_it_runs_dry(tmp_path):
    """In its real parts; what it finds on a processor counts for no goal."""
    environment = {**os.environ, 'GPU_CHECK_DRY': '1', 'OUT': str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, '-m', 'gpu_check'],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=390, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + (tmp_path / 'log.txt').read_text()[-3000:]
    *_, last = ran.stdout.splitlines()
    assert '0 failed' in last and len(ran.stdout) < 12000
    passed = [line for line in ran.stdout.splitlines() if line.startswith('PASS')]
    assert any('graphs of six sets give the scores of eager mode' in line for line in passed)
    assert any('GOAL base, batch 16, on the device' in line for line in ran.stdout.splitlines())
    page = (tmp_path / 'report.md').read_text()
    for title in (
        '## Network nano',
        '## Ablation, nano',
        '## Crops on a GPU',
        '## Matrix product',
    ):
        assert title in page


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a CUDA device')
def test_without_a_gpu_it_says_what_it_needs(tmp_path):
    environment = {**os.environ, 'OUT': str(tmp_path / 'none')}
    environment.pop('GPU_CHECK_DRY', None)
    ran = subprocess.run(
        ['make', 'gpu-check'],
        cwd=ROOT,
        env={**environment, 'PYTHON': sys.executable},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
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
    for chosen in (parts(dry=True), parts(dry=False)):
        named = [name for part in chosen for name in part.arguments if name.endswith('.py')]
        assert len(named) == len(set(named))
        assert {f'test/core/{path.name}' for path in ROOT.glob('test/core/test_cuda*.py')} - {
            'test/core/test_cuda_paths.py'  # on a processor
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
        first, text = next(goals.verdicts(network(ms), gpu))
        assert first == outcome and 'at least 9000 crops/s' in text
    outcome, text = next(goals.verdicts({}, 'NVIDIA H100'))
    assert outcome == 'FAIL' and 'not measured' in text
    outcome, text = next(goals.verdicts(network(None), 'NVIDIA H100'))
    assert outcome == 'FAIL' and 'not measured' in text


def test_the_summary_fits_on_a_page_and_keeps_what_failed():
    found = [report.Verdict('PASS', f'a check with number {n}, and more text') for n in range(500)]
    found.insert(0, report.Verdict('FAIL', 'the one that matters'))
    text = report.summary(found)
    assert len(text) < 10000
    assert 'FAIL  the one that matters' in text
    assert text.splitlines()[-1] == 'gpu-check: 500 passed, 1 failed'
