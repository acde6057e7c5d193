"""Runs a part within its time: neither a crash nor a hang of it costs the others."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from gpu_check.parts import ROOT, Part

RESULTS = 'GPU_CHECK_RESULTS'  # the variable that names the file of a part's results
GRACE_S = 5.0  # between asking a process to end, and ending it


def run(part: Part, limit_s: float, folder: Path) -> None:
    """Run a part; its lines, and one that says how it ended, go to results.jsonl in the folder.

    Its output goes to log.txt there.
    """
    own = folder / f'{part.name.replace(" ", "_")}.jsonl'
    own.unlink(missing_ok=True)
    arguments = [sys.executable, *part.arguments]
    if 'bench' in arguments:
        arguments += ['--json', str(own)]
    environment = {
        **os.environ,
        RESULTS: str(own),
        'PYTHONFAULTHANDLER': '1',  # says where it was
        'PYTHONUNBUFFERED': '1',
    }
    begin = time.monotonic()
    with (folder / 'log.txt').open('a') as log:
        log.write(f'=== {part.name}: {" ".join(arguments)}\n')
        log.flush()
        start = log.tell()
        process = subprocess.Popen(
            arguments,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=ROOT,
            start_new_session=True,  # so that what it starts ends with it
        )
        with contextlib.suppress(ProcessLookupError):  # what hangs is aborted, without a dump
            resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
        ended = _ended(process, limit_s)
    seconds = time.monotonic() - begin
    with (folder / 'results.jsonl').open('a') as results:
        for text in own.read_text().splitlines() if own.is_file() else []:
            try:
                line = json.loads(text)
            except json.JSONDecodeError:  # cut off while it was written
                continue
            results.write(json.dumps({'part': part.name, **line}) + '\n')
        end = {'part': part.name, 'ended': ended, 'seconds': round(seconds, 1)}
        results.write(json.dumps(end) + '\n')
    own.unlink(missing_ok=True)
    print(f'    {seconds:.0f} s, {ended}', flush=True)
    if ended != 'exit code 0':
        for text in _tail(folder / 'log.txt', start):
            print(f'    | {text}', flush=True)


def _ended(process: subprocess.Popen[bytes], limit_s: float) -> str:
    """Wait for the end of a process, or end it and all that it started; return how it came."""
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        for number in (signal.SIGABRT, signal.SIGKILL):  # the first writes where it hangs
            _signal(process, number)
            try:
                process.wait(GRACE_S)
                break
            except subprocess.TimeoutExpired:
                continue
        return f'cut off after {limit_s:.0f} s'
    finally:  # what it started ends with it, and it with this process
        _signal(process, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    if code < 0:
        return f'crashed: {signal.Signals(-code).name}'
    return f'exit code {code}'


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process and what it started."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _tail(log: Path, start: int, lines: int = 6, width: int = 120) -> list[str]:
    """Return the end of what a log got since a place in it."""
    with log.open('rb') as file:
        file.seek(start)
        text = file.read().decode(errors='replace')
    return [line[:width] for line in text.splitlines() if line.strip()][-lines:]
