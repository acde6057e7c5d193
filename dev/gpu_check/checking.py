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


def check(parts: Sequence[Part], budget_s: float, folder: Path) -> int:
    """Run parts and report; return the exit code: 0 if all that was checked passed.

    A part gets its share of the budget, or what is left of it; with too little left it is not
    begun, which counts as a failure.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_text('')
    results = folder / FILES[0]
    begin = time.monotonic()
    found: list[report.Verdict] = []
    for part in parts:
        spent = time.monotonic() - begin
        share = part.share * budget_s
        limit = min(share, budget_s - spent)
        if limit < min(ENOUGH_S, share):
            line = {'part': part.name, 'ended': 'not begun: no time left', 'seconds': 0.0}
            with results.open('a') as file:
                file.write(json.dumps(line) + '\n')
        else:
            print(f'=== {part.name} (at {spent:.0f} s, at most {limit:.0f} s)', flush=True)
            run(part, limit, folder)
        lines = list(lines_of(results))
        found = report.verdicts(lines)
        (folder / FILES[2]).write_text(report.page(lines, found))
    took = time.monotonic() - begin
    print(f'\n{report.summary(found)} in {took:.0f} s; figures: {folder / FILES[2]}')
    return 1 if any(verdict.outcome == 'FAIL' for verdict in found) else 0
