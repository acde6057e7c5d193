"""Tables of results: they print, and every row is passed on as it comes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Cell = str | int | float | None
Line = dict[str, Any]  # what goes into a line of JSON


def _nowhere(_: Line) -> None:
    """Pass nothing on."""


@dataclass
class Table:
    """One part of the results."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # what is missing, and why
    note: str = ''
    write: Callable[[Line], None] = field(default=_nowhere, repr=False, compare=False)

    def add(self, *cells: Cell) -> None:
        """Append a row."""
        assert len(cells) == len(self.columns), cells
        self.rows.append(cells)
        self.write({'table': self.name, 'row': dict(zip(self.columns, cells, strict=True))})

    def fail(self, what: str, error: Exception) -> None:
        """Note that something could not be measured."""
        self.failures.append(f'{what}: {explained(error)}')
        self.write({'table': self.name, 'failure': self.failures[-1]})

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Measure a part of the table; an error costs that part, and no other."""
        try:
            yield
        except Exception as error:
            self.fail(what, error)

    def column(self, name: str) -> int:
        """Return where a column stands."""
        return self.columns.index(name)

    def texts(self) -> list[list[str]]:
        """Return the cells as they are shown, the columns' names first."""
        return [list(self.columns), *([shown(cell) for cell in row] for row in self.rows)]

    def __str__(self) -> str:
        """Return the table for a terminal."""
        texts = self.texts()
        widths = [max(len(row[column]) for row in texts) for column in range(len(self.columns))]
        lines = [f'{self.title}']
        for row in texts:
            cells = [
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append('  ' + '  '.join(cells).rstrip())
        lines += [f'  not measured: {failure}' for failure in self.failures]
        if self.note:
            lines.append(f'  {self.note}')
        return '\n'.join(lines)

    def markdown(self) -> str:
        """Return the table as a section of a page."""
        name, _, rest = self.title.partition(':')
        head, *rows = self.texts()
        lines = [f'## {name}\n', f'{rest.strip()[:1].upper()}{rest.strip()[1:]}\n']
        lines += [f'| {" | ".join(head)} |', f'| {" | ".join("---" for _ in head)} |']
        lines += [f'| {" | ".join(row)} |' for row in rows]
        lines += [f'\nNot measured: {failure}' for failure in self.failures]
        if self.note:
            lines += ['', self.note]
        return '\n'.join(lines) + '\n'


def explained(error: Exception) -> str:
    """Return what an error says, in one line, with its kind where that is not ours to phrase."""
    text = ' '.join(str(error).split())[:300]
    if type(error).__module__.startswith('vitpose_ros'):
        return text
    return f'{type(error).__name__}: {text}'


def shown(cell: Cell) -> str:
    """Return a cell as text: numbers with about three digits."""
    if cell is None:
        return '-'
    if isinstance(cell, float):
        digits = 0 if abs(cell) >= 100 else 1 if abs(cell) >= 10 else 2 if abs(cell) >= 0.1 else 3
        return f'{cell:.{digits}f}' if abs(cell) >= 0.001 or cell == 0 else f'{cell:.1e}'
    return str(cell)
