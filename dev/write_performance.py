"""Write docs/performance.md and its plot: what bench measured, within dev/performance.md.

python dev/write_performance.py RESULTS.jsonl        all but what a GPU gave
python dev/write_performance.py --gpu RESULTS.jsonl  what gpu-check measured on one, into the page
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use('Agg')
import matplotlib.pyplot as plt

from vitpose_ros.tools.bench.results import lines_of, read
from vitpose_ros.tools.bench.tables import Table

DOCS = Path(__file__).parents[1] / 'docs'
TEXT = Path(__file__).with_name('performance.md')  # ABOUT and TABLES stand for the figures
GPU_BEGIN, GPU_END = '<!-- what a GPU gave -->\n', '<!-- to here -->\n'
OURS, THEIRS = '#1f6f8b', '#c9a25d'
PEER = 'transformers'


def main() -> None:
    """Read the results and write page and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('results', type=Path)
    parser.add_argument('--gpu', action='store_true', help='of gpu-check: only what a GPU gave')
    chosen = parser.parse_args()
    about, tables = read(lines_of(chosen.results))
    facts = ', '.join(f'{name} {value}' for name, value in about.items())
    figures = '\n'.join(table.markdown() for table in tables.values())
    DOCS.mkdir(exist_ok=True)
    page = DOCS / 'performance.md'
    if chosen.gpu:
        if 'gpu' not in about:
            parser.error(f'{chosen.results} has no GPU in it')
        text = f'\nMeasured: {facts}.\n\n{figures}'.replace('\n## ', '\n### ')
        page.write_text(with_gpu(page.read_text(), text))
        return
    try:
        plot(tables, DOCS / 'performance.png')
    except LookupError as error:
        print(f'no new plot: {error.args[0]} was not measured')
    text = TEXT.read_text().replace('ABOUT', facts).replace('TABLES', figures)
    if page.is_file():  # what a GPU gave stays
        text = with_gpu(text, gpu_part(page.read_text()) or gpu_part(text))
    page.write_text(text)


def gpu_part(page: str) -> str:
    """Return what stands between the marks of what a GPU gave."""
    return page.partition(GPU_BEGIN)[2].partition(GPU_END)[0]


def with_gpu(page: str, text: str) -> str:
    """Return a page with something else there."""
    before, _, rest = page.partition(GPU_BEGIN)
    return f'{before}{GPU_BEGIN}{text}{GPU_END}{rest.partition(GPU_END)[2]}'


def plot(tables: dict[str, Table], path: Path) -> None:
    """Draw what a person costs: by stage against the peer, and by people in the frame.

    Raises LookupError, which names it, for what was not measured.
    """
    both = ('vitpose_ros', PEER)
    dark = {'method': 'DARK', 'people': 8}
    stages = [
        ('crop', *figures_of(tables, 'crop', both, people=8)),
        ('decode\n17', *figures_of(tables, 'decode', both, keypoints=17, **dark)),
        ('decode\n133', *figures_of(tables, 'decode', both, keypoints=133, **dark)),
    ]
    for name in ('small', 'base'):
        # What is as accurate as the peer; the rest is in the tables.
        exact = {'precision': 'float32', 'batch': 4}
        times = {
            row['backend']: float(row['median'])
            for row in rows_of(tables, f'network {name}', **exact)
        }
        theirs = times.pop(PEER, None)
        if theirs is None or not times:
            raise LookupError(f'network {name} against {PEER}')
        stages.append((f'network\n{name}', min(times.values()), theirs))
    by_people = rows_of(tables, 'people small')
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), width_ratios=(3, 2))
    for offset, column, colour, label in (
        (-0.2, 1, OURS, 'vitpose_ros'),
        (0.2, 2, THEIRS, PEER),
    ):
        places = [place + offset for place in range(len(stages))]
        bars = left.bar(places, [s[column] for s in stages], 0.4, color=colour, label=label)
        left.bar_label(bars, fmt='{:.3g}', fontsize=8)
    left.set_xticks(range(len(stages)), [stage[0] for stage in stages])
    left.set_yscale('log')
    left.set_ylim(top=left.get_ylim()[1] * 2)
    left.set_ylabel('ms a person')
    left.set_title('Stages, 8 people (network: batch 4)', fontsize=10)
    left.legend(frameon=False, fontsize=9)

    count = [row['people'] for row in by_people]
    for name in ('all', 'network', 'crop', 'decode'):
        right.plot(count, [row[name] for row in by_people], marker='o', ms=4, label=name)
    right.set_xscale('log', base=2)
    right.set_yscale('log')
    right.set_xticks(count, [str(number) for number in count])
    right.set_xlabel('people in the frame')
    right.set_title('Cost of a person, network small', fontsize=10)
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.spines[['top', 'right']].set_visible(False)
        axes.grid(axis='y', alpha=0.3)
        axes.set_axisbelow(True)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def rows_of(tables: dict[str, Table], name: str, **wanted: object) -> list[dict[str, Any]]:
    """Return the rows of a table that have some values, by column; at least one."""
    table = tables.get(name)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows] if table else []
    found = [row for row in rows if wanted.items() <= row.items()]
    if not found:
        raise LookupError(' '.join([name, *map(str, wanted.values())]))
    return found


def figures_of(
    tables: dict[str, Table], name: str, columns: Sequence[str], **wanted: object
) -> list[float]:
    """Return figures of the row that has some values."""
    [row] = rows_of(tables, name, **wanted)
    if any(row[column] is None for column in columns):
        raise LookupError(f'{name} against {PEER}')
    return [float(row[column]) for column in columns]


if __name__ == '__main__':
    main()
