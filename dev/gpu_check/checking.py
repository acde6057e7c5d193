"""Runs all parts within a time, and reports after each."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from gpu_check import report
from gpu_check.parts import ENOUGH_S, Part
from gpu_check.running import run
from vitpose_ros.tools.bench.results import lines_of

FILES = ('results.jsonl', 'log.txt', 'report.md')


def put_aside(folder: Path) -> None:
    """Move the files of an earlier check into a folder beside them: its card may be gone."""
    left = [path for name in FILES if (path := folder / name).is_file() and path.stat().st_size]
    if not left:
        return
    number = 1
    while (place := folder / f'earlier-{number}').exists():
        number += 1
    place.mkdir()
    for path in left:
        path.rename(place / path.name)
    print(f'what an earlier check left is in {place} now', flush=True)


def told(folder: Path) -> list[report.Verdict]:
    """Write the report, and return what it tells; what is wrong with it costs no figure."""
    try:
        lines = list(lines_of(folder / FILES[0]))
        found = report.verdicts(lines)
        (folder / FILES[2]).write_text(report.page(lines, found))
    except Exception as error:
        return [report.Verdict('FAIL', f'report: {error!r}; see {FILES[0]}')]
    return found


def check(parts: Sequence[Part], budget_s: float, folder: Path) -> int:
    """Run parts and report; return the exit code: 0 if all that was checked passed.

    A part gets its share of the budget, or what is left of it and not reserved for later ones;
    with too little left it is not begun, which counts as a failure. What an earlier check left in
    the folder goes into one of its own there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    put_aside(folder)
    for name in FILES:
        (folder / name).write_text('')
    results = folder / FILES[0]
    begin = time.monotonic()
    found: list[report.Verdict] = []
    for number, part in enumerate(parts):
        spent = time.monotonic() - begin
        share = part.share * budget_s
        reserved = sum(later.reserved for later in parts[number + 1 :]) * budget_s
        limit = min(share, budget_s - spent - reserved)
        if limit < min(ENOUGH_S, share):
            line = {'part': part.name, 'ended': 'not begun: no time left', 'seconds': 0.0}
            with results.open('a') as file:
                file.write(json.dumps(line) + '\n')
        else:
            print(f'=== {part.name} (at {spent:.0f} s, at most {limit:.0f} s)', flush=True)
            run(part, limit, folder)
        found = told(folder)
    took = time.monotonic() - begin
    print(f'\n{report.summary(found)} in {took:.0f} s; figures: {folder / FILES[2]}')
    return 1 if any(verdict.outcome == 'FAIL' for verdict in found) else 0
