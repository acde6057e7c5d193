"""What becomes of tests that need something that is not installed."""

from pathlib import Path
from types import SimpleNamespace

import pytest

CONFTEST = Path(__file__).with_name('conftest.py')


@pytest.fixture
def outcome_of(request, monkeypatch):
    """Run a function as a test that needs 'absent_module', and return its outcome."""
    plugins = request.config.pluginmanager.get_plugins()
    [conftest] = [p for p in plugins if getattr(p, '__file__', '') == str(CONFTEST)]
    monkeypatch.setattr(conftest, 'ABSENT', {'absent_module'})

    def run(function):
        report = SimpleNamespace(outcome='failed', longrepr='')
        with pytest.raises(Exception) as excinfo:
            function()
        conftest.skip_what_is_absent(report, excinfo, 'here')
        return report.outcome

    return run


def absent():
    raise ModuleNotFoundError('no', name='absent_module')


def of_another():
    raise ModuleNotFoundError('no', name='misspelt_module')


def told():
    try:
        absent()
    except ModuleNotFoundError as error:
        raise RuntimeError('install it') from error


def beside():
    try:
        absent()
    except ModuleNotFoundError:
        assert not 'what is done without it'


def test_what_is_not_installed_is_a_skip(outcome_of):
    assert outcome_of(absent) == outcome_of(told) == 'skipped'
    assert outcome_of(of_another) == 'failed'


def test_a_failure_in_handling_that_is_a_failure(outcome_of):
    assert outcome_of(beside) == 'failed'
