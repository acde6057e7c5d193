"""Run test files that start nodes, two at a time, each in a process of its own.

What all of them import is imported once, which takes seconds: those processes are forks.
"""

import fcntl
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

LANES = {1, 2}
LIMIT_S = 3600  # for hangs


@dataclass(frozen=True)
class Run:
    """A file whose tests run."""

    file: str
    lane: int
    output: IO[bytes]
    begin_s: float


def start(file: str, lane: int) -> tuple[int, Run]:
    """Return the process that runs a file."""
    output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by report
    run = Run(file, lane, output, time.monotonic())
    process = os.fork()
    if process == 0:
        for stream in (1, 2):
            os.dup2(run.output.fileno(), stream)
        os.environ['TEST_LANE'] = str(lane)
        signal.alarm(LIMIT_S)
        code = pytest.main([file])
        sys.stdout.flush()
        os._exit(code)
    return process, run


def report(run: Run, processor_s: float, system_s: float, lock: Path) -> None:
    """Print what a file said, without anything of others in between."""
    with run.output:
        run.output.seek(0)
        text = run.output.read().decode(errors='replace')
    with lock.open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        print(
            f'== pytest {run.file}\n{text}took {time.monotonic() - run.begin_s:.0f} s; processor '
            f'{processor_s:.0f} s, and {system_s:.0f} s in the system',
            flush=True,
        )


def main(lock: Path, failed: Path, files: Sequence[str]) -> None:
    """Run files, and append the names of those that fail to a file; lock: taken to print."""
    sys.path[0] = str(Path.cwd())  # as python -m pytest has it
    __import__('vitpose_ros.ros.pose_node')
    waiting, running = list(files), {}
    while waiting or running:
        for lane in LANES - {run.lane for run in running.values()}:
            if waiting:
                process, run = start(waiting.pop(0), lane)
                running[process] = run
        process, status, usage = os.wait4(-1, 0)
        run = running.pop(process)
        report(run, usage.ru_utime, usage.ru_stime, lock)
        if status:
            with failed.open('a') as file:
                file.write(f'pytest {run.file}\n')


if __name__ == '__main__':
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
