"""Results: tables that print, and that become JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any

Cell = str | int | float | None


@dataclass
class Table:
    """One section of the results."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    note: str = ''

    def add(self, *cells: Cell) -> None:
        """Append a row."""
        assert len(cells) == len(self.columns), cells
        self.rows.append(cells)

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
        if self.note:
            lines.append(f'  {self.note}')
        return '\n'.join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return what goes into JSON."""
        return asdict(self)


def shown(cell: Cell) -> str:
    """Return a cell as text: numbers with about three digits."""
    if cell is None:
        return '-'
    if isinstance(cell, float):
        digits = 0 if abs(cell) >= 100 else 1 if abs(cell) >= 10 else 2 if abs(cell) >= 0.1 else 3
        return f'{cell:.{digits}f}' if abs(cell) >= 0.001 or cell == 0 else f'{cell:.1e}'
    return str(cell)
