"""What all results amount to: lines of PASS, FAIL and INFO, and a page with the tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpu_check import goals
from vitpose_ros.tools.bench.results import read
from vitpose_ros.tools.bench.tables import Line, Table, shown

WIDTH = 200  # characters of a line
LENGTH = 9000  # characters of all lines together: what a terminal's last page shows
HEADLINES = (1, 16)  # batches
ORDER = ('INFO', 'PASS', 'FAIL')  # what matters most comes last, where it is seen


@dataclass(frozen=True)
class Verdict:
    """One line of the report."""

    outcome: str  # PASS, FAIL or INFO
    text: str

    def __str__(self) -> str:
        """Return the line."""
        return f'{self.outcome}  {self.text}'[:WIDTH]


def verdicts(lines: Sequence[Line]) -> list[Verdict]:
    """Return what became of each check, each part and each goal."""
    about, tables, faults = _figures(lines)
    found = [Verdict('INFO', ', '.join(f'{name} {value}' for name, value in about.items()))]
    found += [Verdict('FAIL', fault) for fault in faults]
    found += _attempted('tests', lambda: _checks(lines))
    for line in lines:
        if 'failure' in line:
            table = f'{line["table"]}: ' if 'table' in line else ''
            found.append(Verdict('FAIL', f'{line["part"]}: {table}{line["failure"]}'))
    found += _ends(lines, found)
    found += _attempted('figures', lambda: [Verdict('INFO', text) for text in _headlines(tables)])
    found += _attempted(
        'goals', lambda: [Verdict(*goal) for goal in goals.verdicts(tables, about)]
    )
    return found


def _attempted(what: str, tell: Callable[[], list[Verdict]]) -> list[Verdict]:
    """Return what is told, or a line on why it cannot be."""
    try:
        return tell()
    except Exception as error:
        return [Verdict('FAIL', f'report: {what}: {error!r}')]


def _figures(
    lines: Sequence[Line],
) -> tuple[dict[str, str | int], dict[str, Table], list[str]]:
    """Return what the figures belong to, the tables, and what of the parts cannot be read."""
    about: dict[str, str | int] = {}
    tables: dict[str, Table] = {}
    faults = []
    for part in dict.fromkeys(line.get('part', '') for line in lines):
        try:
            own_about, own_tables = read(line for line in lines if line.get('part', '') == part)
            for table in own_tables.values():
                table.markdown()
        except Exception as error:
            faults.append(f'{part}: its figures cannot be read: {error!r}')
        else:
            about.update(own_about)
            tables.update(own_tables)
    return about, tables, faults


def _headlines(tables: Mapping[str, Table]) -> Iterator[str]:
    """Yield the figures of networks that matter most."""
    for name, table in tables.items():
        if not name.startswith('network '):
            continue
        for cells in table.rows:
            row = dict(zip(table.columns, cells, strict=True))
            if row['batch'] in HEADLINES:
                on_device = row['ms a pass on the device']
                share = row['of the matrix product']
                yield (
                    f'{name} {row["precision"]}, batch {row["batch"]}: {shown(on_device)} ms on '
                    f'the device, {shown(row["crops/s"])} crops/s by the clock, {shown(share)} of '
                    'the matrix product'
                )


def _checks(lines: Sequence[Line]) -> list[Verdict]:
    """Return a line for each test; one that was begun and has no outcome failed."""
    last: dict[tuple[str, str], Line] = {}
    for line in lines:
        if 'check' in line:
            last[line['part'], line['check']] = line
    found = []
    for line in last.values():
        figures = ''.join(
            f', {name} {shown(value)}' for name, value in line.get('figures', {}).items()
        )
        outcome, why = line['outcome'], line.get('why', '')
        if outcome == 'BEGUN':
            outcome, why = 'FAIL', 'the process ended meanwhile'
        elif outcome == 'SKIP':
            outcome, why = 'INFO', f'skipped: {why}'
        text = f'{line["part"]}: {line["check"]}{figures}{": " if why else ""}{why}'
        found.append(Verdict(outcome, text))
    return found


def _ends(lines: Sequence[Line], found: Sequence[Verdict]) -> list[Verdict]:
    """Return a line for each part that did not run, or ended badly with no line that says why."""
    ends = []
    for line in lines:
        if 'ended' not in line or line['ended'] == 'exit code 0':
            continue
        told = any(v.outcome == 'FAIL' and v.text.startswith(f'{line["part"]}: ') for v in found)
        if line['ended'] != 'exit code 1' or not told:
            ends.append(Verdict('FAIL', f'{line["part"]}: {line["ended"]}'))
    return ends


def summary(found: Sequence[Verdict]) -> str:
    """Return the lines, what failed last; the first ones are left out where they are too many."""
    ordered = [str(v) for outcome in ORDER for v in found if v.outcome == outcome]
    left_out = 0
    while sum(len(line) + 1 for line in ordered) > LENGTH:
        ordered.pop(0)
        left_out += 1
    if left_out:
        ordered.insert(0, f'... {left_out} lines more in report.md')
    counts = {outcome: sum(v.outcome == outcome for v in found) for outcome in ORDER}
    ordered.append(f'gpu-check: {counts["PASS"]} passed, {counts["FAIL"]} failed')
    return '\n'.join(ordered)


def page(lines: Sequence[Line], found: Sequence[Verdict]) -> str:
    """Return a page of Markdown: the machine, the verdicts, the tables."""
    about, tables, _ = _figures(lines)
    facts = '\n'.join(f'- {name}: {value}' for name, value in about.items())
    told = '\n'.join(f'- {verdict}' for verdict in found[1:])
    figures = '\n'.join(table.markdown() for table in tables.values())
    return f'# gpu-check\n\n{facts}\n\n## Verdicts\n\n{told}\n\n{figures}'
