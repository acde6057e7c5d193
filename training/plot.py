"""Draw a training's log."""

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np

TITLES = {'error': 'squared error x 1000', 'entropy': 'cross-entropy'}


def read_log(path: Path) -> dict[str, list[float]]:
    """Return the columns of a log."""
    with path.open(newline='') as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def losses_of(path: Path) -> list[str]:
    """Return the names of the losses in a log."""
    return [name for name in read_log(path) if name not in ('samples', 'seconds')]


def plot(log: Path, picture: Path, *others: Path) -> None:
    """Draw the losses of a log over the samples, and those of other logs beside it."""
    names = losses_of(log)
    figure, axes = plt.subplots(1, len(names), figsize=(5 * len(names), 3.6))
    for path in (log, *others):
        columns = read_log(path)
        for ax, name in zip(axes, names, strict=True):
            values = np.array(columns[name])
            count = max(1, len(values) // 100)
            smooth = np.convolve(values, np.ones(count) / count, 'valid')
            ax.plot(columns['samples'][count - 1 :], smooth, label=path.parent.name)
            ax.set_title(TITLES.get(name, name))
            ax.set_xlabel('samples')
            ax.grid(alpha=0.3)
    if others:
        axes[0].legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def difference(log: Path, other: Path) -> dict[str, float]:
    """Return by what part the mean losses of another log are higher, where both have some."""
    mine, its = read_log(log), read_log(other)
    both = sorted(set(mine['samples']) & set(its['samples']))
    if not both:
        raise ValueError(f'{log} and {other} have no number of samples in common')
    rows, others = ([log['samples'].index(n) for n in both] for log in (mine, its))
    return {
        name: float(np.mean(np.array(its[name])[others]) / np.mean(np.array(mine[name])[rows]) - 1)
        for name in losses_of(log)
    }


def main() -> None:
    """Draw logs, and say how far the others are from the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('picture', type=Path)
    parser.add_argument('log', type=Path, nargs='+')
    arguments = parser.parse_args()
    plot(arguments.log[0], arguments.picture, *arguments.log[1:])
    for other in arguments.log[1:]:
        for name, part in difference(arguments.log[0], other).items():
            print(f'{other}: {name} {part:+.2%} from {arguments.log[0]}')


if __name__ == '__main__':
    main()
