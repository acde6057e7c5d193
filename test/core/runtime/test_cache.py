"""The cache: made once, bounded, and nothing that is good is lost."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitpose_ros.core.runtime.cache import (
    DAY_S,
    GRACE_S,
    MARK,
    MOST_BYTES,
    MOST_DAYS,
    UNFINISHED,
    cache_directory,
    cached,
    sweep,
)

ROOT = Path(__file__).parents[3]
NOW = 1.8e9  # seconds


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('VITPOSE_ROS_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def write(folder):
    (folder / 'x').write_text('made')


def read(folder):
    return (folder / 'x').read_text()


def entry(directory, name, *, days, size=10):
    """Make an entry that was used so many days before NOW; its bytes are not really there."""
    folder = directory / name
    folder.mkdir(parents=True)
    with (folder / 'x').open('wb') as file:
        file.truncate(size)
    (folder / MARK).touch()
    os.utime(folder / MARK, (NOW - days * DAY_S,) * 2)
    return folder


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_what_is_made_is_loaded_from_then_on(folder):
    assert cached('name', write, read) == 'made'
    assert cached('name', pytest.fail, read) == 'made'
    assert names(folder) == ['name']


def test_what_nobody_used_for_long_goes_when_something_is_made(folder, caplog):
    caplog.set_level(logging.INFO, 'vitpose_ros')
    old = entry(folder, 'old', days=0)
    os.utime(old / MARK, (time.time() - (MOST_DAYS + 1) * DAY_S,) * 2)
    kept = entry(folder, 'kept', days=0)
    os.utime(kept / MARK, (time.time() - (MOST_DAYS - 1) * DAY_S,) * 2)
    cached('name', write, read)
    assert names(folder) == ['kept', 'name']
    assert caplog.messages == [f'{old} was not used for {MOST_DAYS + 1} days and is removed']


def test_using_an_entry_keeps_it(folder):
    own = entry(folder, 'name', days=0)
    os.utime(own / MARK, (time.time() - (MOST_DAYS + 1) * DAY_S,) * 2)
    cached('name', pytest.fail, read)
    sweep(folder, now_s=time.time())
    assert names(folder) == ['name']


def test_above_the_most_bytes_those_unused_longest_go(tmp_path):
    third = MOST_BYTES // 3 + 1
    for name, days in (('a', 5), ('b', 3), ('c', 4), ('d', 2)):
        entry(tmp_path, name, days=days, size=third)
    sweep(tmp_path, now_s=NOW)
    assert names(tmp_path) == ['b', 'd']


def test_what_was_used_within_a_day_stays_whatever_its_size(tmp_path):
    for name in ('a', 'b', 'c'):
        entry(tmp_path, name, days=0.5, size=MOST_BYTES)
    sweep(tmp_path, now_s=NOW)
    assert names(tmp_path) == ['a', 'b', 'c']


def test_what_is_not_ours_is_never_touched(tmp_path):
    """Somebody may name a folder that has other things in it."""
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos' / 'x').write_text('mine')
    (tmp_path / 'file').write_text('mine')
    entry(tmp_path / 'elsewhere', 'target', days=1000)
    (tmp_path / 'link').symlink_to(tmp_path / 'elsewhere' / 'target')
    sweep(tmp_path, now_s=NOW)
    assert names(tmp_path) == ['elsewhere', 'file', 'link', 'photos']
    assert (tmp_path / 'link' / 'x').exists()


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_fills_is_not(folder):
    code = (
        'import time\n'
        'from vitpose_ros.core.runtime.cache import cached\n'
        'def make(folder):\n'
        "    (folder / 'half').write_text('half')\n"
        "    print('there', flush=True)\n"
        '    time.sleep(1000)\n'
        "cached('name', make, lambda _: None)\n"
    )
    process = subprocess.Popen(
        [sys.executable, '-c', code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    try:
        assert process.stdout.readline() == 'there\n'
        later = time.time() + GRACE_S + 1
        sweep(folder, now_s=later)
        [left] = folder.iterdir()
        assert left.name.startswith('name.') and left.name.endswith(UNFINISHED)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        assert left.is_dir()
        sweep(folder, now_s=time.time())  # it might not be locked yet
        assert left.is_dir()
        sweep(folder, now_s=later)
        assert names(folder) == []
    finally:
        process.kill()
        process.wait()


def test_an_entry_outlives_errors_that_are_not_its_fault(folder, caplog):
    caplog.set_level(logging.INFO, 'vitpose_ros')
    """Out of memory, no handles left: what is made anew does not load either."""
    cached('name', write, read)

    def fail(_):
        raise OSError('too many open files')

    with pytest.raises(OSError, match='too many'):
        cached('name', write, fail)
    assert 'cannot be read and is made anew' in caplog.messages[0]

    def run_out(_):
        raise MemoryError

    with pytest.raises(MemoryError):
        cached('name', pytest.fail, run_out)
    assert cached('name', pytest.fail, read) == 'made'
    assert names(folder) == ['name']


def test_an_entry_that_cannot_be_read_is_replaced(folder, caplog):
    caplog.set_level(logging.INFO, 'vitpose_ros')
    cached('name', write, read)
    (folder / 'name' / 'x').unlink()
    assert cached('name', write, read) == 'made'
    assert 'cannot be read and is made anew' in caplog.messages[0]
    assert cached('name', pytest.fail, read) == 'made'
    assert names(folder) == ['name']


def test_where_nothing_can_be_kept_it_is_said(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, 'vitpose_ros')
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('VITPOSE_ROS_CACHE', str(tmp_path / 'file' / 'cache'))
    found = cached(
        'name',
        lambda folder: (folder / 'x').write_text('made'),
        lambda folder: (folder / 'x').read_text(),
    )
    assert found == 'made'
    assert 'cannot be written, so this is done at every start' in caplog.messages[0]


def test_an_interrupted_start_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv('VITPOSE_ROS_CACHE', str(tmp_path))

    def make(folder):
        (folder / 'half').write_text('half')
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached('name', make, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_beside_the_networks_unless_told_otherwise(monkeypatch):
    monkeypatch.setenv('VITPOSE_ROS_CACHE', '/there')
    assert cache_directory() == Path('/there')
    monkeypatch.delenv('VITPOSE_ROS_CACHE')
    monkeypatch.setenv('VITPOSE_ROS_MODELS', '/models')
    assert cache_directory() == Path('/models/cache')
