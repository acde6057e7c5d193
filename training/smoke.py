"""Run all of the training once, small.

Train, stop, go on, transfer knowledge, evaluate, plot; and a network that finds everybody.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from training import distill, evaluate_crowds
from training.evaluate import HeldOut, evaluate
from training.plot import plot, read_log
from training.recipes import RECIPES, Recipe
from training.train import train
from vitpose_ros.core.boxes.bottom_up import BottomUp
from vitpose_ros.core.weights import load_network


def main() -> None:
    """Do so, in a folder; fail where something does not do what it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--folder', type=Path, default=Path('training/runs/smoke'))
    folder = parser.parse_args().folder
    recipe = RECIPES['smoke']
    _train(recipe, folder, ('error', 'entropy'))
    network = folder / 'network.safetensors'
    held_out = HeldOut(None, count=8)
    for name in recipe.sets:
        loaded = load_network(network, name)
        print(name, evaluate(lambda pixels, n=loaded: n(pixels)[0], held_out, name))
    distill.distil(network, distill.SMOKE, folder / 'distil', folder)
    student = load_network(folder / 'distil' / 'output_11.safetensors', 'coco')
    assert student.config.image_size == distill.SMOKE.image_size, student.config
    everybody = folder / 'crowd'
    _train(RECIPES['crowd-smoke'], everybody, ('centres', 'boxes'), (network, 0))
    crowds = evaluate_crowds.held_out(None, 4, 2, size=(128, 192))
    found = evaluate_crowds.predict(BottomUp.load(everybody / 'network.safetensors'), crowds)
    print('everybody', evaluate_crowds.measure(found, crowds))


def _train(
    recipe: Recipe, folder: Path, falling: Sequence[str], weights: tuple[Path, int] | None = None
) -> None:
    """Train a recipe with a stop half way; fail unless parts of its loss fall."""
    half = recipe.samples // 2
    train(recipe, folder, until=half, log_every=4, weights=weights)
    train(recipe, folder, log_every=4)
    log = read_log(folder / 'log.csv')
    assert log['samples'][-1] == recipe.samples, log['samples']
    assert half in log['samples'], log['samples']
    quarter = max(1, len(log['samples']) // 4)
    for name in falling:
        first = sum(log[name][:quarter]) / quarter
        last = sum(log[name][-quarter:]) / quarter
        print(f'{name}: {first:.3f} at first, {last:.3f} at last')
        assert last < first, f'{name} does not fall'
    plot(folder / 'log.csv', folder / 'log.png')


if __name__ == '__main__':
    main()
