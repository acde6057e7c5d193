"""Write docs/performance.md and its plot: what bench measured, within dev/performance.md.

python dev/write_performance.py RESULTS.jsonl        all but what a GPU gave
python dev/write_performance.py --gpu RESULTS.jsonl  what gpu-check measured on one, into the page
"""

import argparse
from pathlib import Path

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
PLOTTED = ('crop', 'decode', 'network small', 'network base', 'people small')


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
    missing = [name for name in PLOTTED if name not in tables or not tables[name].rows]
    if missing:
        print(f'no new plot: {", ".join(missing)} was not measured')
    else:
        plot(tables, DOCS / 'performance.png')
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
    """Draw what a person costs: by stage against the peer, and by people in the frame."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), width_ratios=(3, 2))
    stages = [
        ('crop', *cells(tables['crop'], (8,), 1, 2)),
        ('decode\n17', *cells(tables['decode'], (17, 'DARK', 8), 3, 4)),
        ('decode\n133', *cells(tables['decode'], (133, 'DARK', 8), 3, 4)),
    ]
    for name in ('small', 'base'):
        rows = [row for row in tables[f'network {name}'].rows if row[2] == 4]
        fastest = min(row[3] for row in rows if row[0] != PEER)
        stages.append((f'network\n{name}', fastest, *(r[3] for r in rows if r[0] == PEER)))
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

    people = tables['people small']
    count = [row[0] for row in people.rows]
    for column, name in ((1, 'all'), (3, 'network'), (2, 'crop'), (4, 'decode')):
        right.plot(count, [row[column] for row in people.rows], marker='o', ms=4, label=name)
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


def cells(table: Table, key: tuple[object, ...], *columns: int) -> tuple[float, ...]:
    """Return cells of the row that begins with a key."""
    [row] = [row for row in table.rows if tuple(row[: len(key)]) == key]
    return tuple(float(row[column] or 0) for column in columns)


if __name__ == '__main__':
    main()
