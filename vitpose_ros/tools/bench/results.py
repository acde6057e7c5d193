"""The results of a run: printed table by table, and written to a file line by line.

Each line is an object of JSON, written at once, so that a run that is cut off keeps what it had:
{"about": {...}}, then of each table {"table", "title", "columns"}, a {"table", "row"} for each
figure, {"table", "failure"} for what could not be measured, and {"table", "note"}.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vitpose_ros.tools.bench.tables import Line, Table, explained


@dataclass
class Results:
    """Where results go."""

    file: Path | None = None  # lines of JSON; what it has is lost
    prog: str = 'bench'
    failed: int = 0  # how much could not be measured

    def __post_init__(self) -> None:
        """Empty the file."""
        if self.file is not None:
            self.file.write_text('')

    def about(self, facts: Mapping[str, str | int]) -> None:
        """Say what the figures belong to."""
        print(', '.join(f'{name} {value}' for name, value in facts.items()), flush=True)
        self._write({'about': dict(facts)})

    @contextmanager
    def table(self, name: str, title: str, columns: tuple[str, ...]) -> Iterator[Table]:
        """Fill a table; it is printed at the end, and an error costs only what is missing then."""
        table = Table(name, title, columns, write=self._write)
        self._write({'table': name, 'title': title, 'columns': columns})
        try:
            with table.attempt(name):
                yield table
        finally:
            if table.note:
                self._write({'table': name, 'note': table.note})
            print(f'\n{table}', flush=True)
            for failure in table.failures:
                self._complain(failure)

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Go on after an error in what no table is about."""
        try:
            yield
        except Exception as error:
            failure = f'{what}: {explained(error)}'
            self._write({'failure': failure})
            self._complain(failure)

    def leave_out(self, what: str) -> None:
        """Say what nobody asked for and is not to be had."""
        print(f'left out: {what}', flush=True)
        self._write({'left out': what})

    def _complain(self, failure: str) -> None:
        self.failed += 1
        print(f'{self.prog}: {failure}', file=sys.stderr, flush=True)

    def _write(self, line: Line) -> None:
        if self.file is not None:
            with self.file.open('a') as file:
                file.write(json.dumps(line) + '\n')


def read(lines: Iterator[Line]) -> tuple[dict[str, str | int], dict[str, Table]]:
    """Return what the figures belong to, and the tables by their names, out of lines of JSON."""
    about: dict[str, str | int] = {}
    tables: dict[str, Table] = {}
    for line in lines:
        about.update(line.get('about', {}))
        if 'title' in line:
            tables[line['table']] = Table(line['table'], line['title'], tuple(line['columns']))
        elif 'table' in line:
            table = tables[line['table']]
            if 'row' in line:
                table.add(*line['row'].values())
            elif 'failure' in line:
                table.failures.append(line['failure'])
            else:
                table.note = line['note']
    return about, tables


def lines_of(file: Path) -> Iterator[Line]:
    """Yield the objects of a file of JSON lines; a last line that was cut off is left out."""
    for text in file.read_text().splitlines():
        try:
            line: Line = json.loads(text)
        except json.JSONDecodeError:
            return
        yield line
