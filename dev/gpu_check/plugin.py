"""For pytest: writes what became of each test, as it comes, to the file that running names.

What a test records with record_property goes along as its figures.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gpu_check.running import RESULTS


def pytest_runtest_logstart(nodeid: str) -> None:
    """Write that a test begins: the last one tells where a process was when it ended."""
    _write({'check': _name(nodeid), 'outcome': 'BEGUN'})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write what became of a test."""
    if report.when != 'call' and report.passed:
        return
    line = {
        'check': _name(report.nodeid),
        'outcome': {'passed': 'PASS', 'failed': 'FAIL', 'skipped': 'SKIP'}[report.outcome],
        'seconds': round(report.duration, 2),
        'figures': dict(report.user_properties),
    }
    if report.skipped and isinstance(report.longrepr, tuple):
        line['why'] = str(report.longrepr[2]).removeprefix('Skipped: ')
    elif report.failed:
        crash = getattr(report.longrepr, 'reprcrash', None)
        line['why'] = ' '.join(str(crash.message if crash else report.longrepr).split())[:300]
    _write(line)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Write that a file could not even be read."""
    if report.failed:
        why = ' '.join(str(report.longrepr).split())[-300:]
        _write({'check': report.nodeid, 'outcome': 'FAIL', 'why': why})


def _name(nodeid: str) -> str:
    """Return what a test says that must hold."""
    return nodeid.partition('::')[2].removeprefix('test_').replace('_', ' ')


def _write(line: dict[str, Any]) -> None:
    with Path(os.environ[RESULTS]).open('a') as file:
        file.write(json.dumps(line, default=str) + '\n')
