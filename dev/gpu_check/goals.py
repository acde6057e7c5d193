"""What the figures should reach on an H100; on another card they are only told."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from vitpose_ros.tools.bench.tables import Table, shown

PEER = 'transformers'
CARDS = ('H100', 'H200')  # as fast in what networks need
Tables = Mapping[str, Table]
Find = Callable[[Tables], float]


@dataclass(frozen=True)
class Goal:
    """A figure and its limit."""

    text: str
    unit: str
    find: Find  # raises LookupError where it was not measured
    at_least: float | None = None
    at_most: float | None = None
    needs: str = ''  # a module that need not be there

    def met(self, value: float) -> bool:
        """Tell whether a figure is good enough."""
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )

    def limit(self) -> str:
        """Return the limit in words."""
        if self.at_least is not None:
            return f'at least {shown(self.at_least)} {self.unit}'
        return f'at most {shown(self.at_most)} {self.unit}'


def cell(tables: Tables, table: str, column: str, **row: object) -> float:
    """Return a figure: from a table, of the row of PyTorch that has these values."""
    found = tables[table]
    for cells in found.rows:
        values = dict(zip(found.columns, cells, strict=True))
        if values['backend'] == 'torch' and all(values[key] == row[key] for key in row):
            value = values[column]
            if isinstance(value, (int, float)):
                return float(value)
    raise LookupError(f'{table}: {column} of {row}')


def milliseconds(model: str, batch: int) -> Find:
    """Return what finds the time of a pass on the device."""
    return lambda tables: cell(tables, f'network {model}', 'ms a pass on the device', batch=batch)


def rate(model: str, batch: int) -> Find:
    """Return what finds how many crops a second go through the device."""
    return lambda tables: 1e3 * batch / milliseconds(model, batch)(tables)


def end_to_end(column: str) -> Find:
    """Return what finds a figure of base with eight people in a frame of 1080p."""
    return lambda tables: cell(tables, 'end to end base', column, people=8)


GOALS = (
    Goal('base, batch 16, on the device', 'crops/s', rate('base', 16), at_least=9000),
    Goal('base, batch 1, on the device', 'ms', milliseconds('base', 1), at_most=0.6),
    Goal('large, batch 16, on the device', 'crops/s', rate('large', 16), at_least=3500),
    Goal('base, 8 people at 1080p, end to end', 'ms', end_to_end('median'), at_most=3),
    Goal(
        'the same, of transformers in float16',
        'times',
        end_to_end('ratio'),
        at_least=20,
        needs=PEER,
    ),
    Goal(
        'base, one set, memory beyond weights',
        'MB',
        lambda tables: cell(tables, 'backends base', 'beyond weights MB'),
        at_most=250,
    ),
)


def verdicts(tables: Tables, about: Mapping[str, str | int]) -> Iterator[tuple[str, str]]:
    """Yield of each goal whether it is met, PASS or FAIL, and the line.

    INFO on another card, or where what it compares with is not there. about: the machine.
    """
    gpu = str(about.get('gpu', ''))
    for goal in GOALS:
        there = not goal.needs or goal.needs in about
        counts = there and any(card in gpu for card in CARDS)
        try:
            value = goal.find(tables)
        except LookupError:
            yield 'FAIL' if counts else 'INFO', f'GOAL {goal.text}: not measured; {goal.limit()}'
            continue
        outcome = 'INFO' if not counts else 'PASS' if goal.met(value) else 'FAIL'
        yield outcome, f'GOAL {goal.text}: {shown(value)} {goal.unit}; {goal.limit()}'
