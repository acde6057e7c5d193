"""Train a ViTPose++ on rendered people: several keypoint sets at once, an expert and a head each.

As the paper does (Xu et al., "ViTPose++: Vision Transformer for Generic Body Pose Estimation",
arXiv:2212.04246): heatmap regression, each sample through the expert and the head of its set and
in its set's crop convention. A process a core, each with its own stream of samples; gradients are
averaged at each step. What is trained follows from the recipe, its seed and the number of
processes; a stopped training goes on where it was.
"""

import argparse
import csv
import json
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tqdm import tqdm

from training import processes
from training.crop_training import Training
from training.crowd_training import CrowdTraining
from training.network import hasten
from training.recipes import RECIPES, Recipe
from world import panoramas


def pin(process: int) -> None:
    """Give a process a core and a thread of its own."""
    if hasattr(os, 'sched_setaffinity'):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[process % len(cores)]})
    torch.set_num_threads(1)


def run(process: int, recipe: Recipe, folder: Path, options: dict[str, Any]) -> None:
    """Train, as one of the recipe's processes."""
    pin(process)
    hasten()
    if recipe.processes > 1:
        dist.init_process_group('gloo', rank=process, world_size=recipe.processes)
    kind = options['kind'] or (CrowdTraining if recipe.pictures else Training)
    training = kind(recipe, folder, options['cache'], process)
    if options['weights']:
        training.load_weights(*options['weights'])
    training.load()
    last = recipe.samples if options['until'] is None else min(options['until'], recipe.samples)
    stop = _Stop(recipe.processes)
    log_every = options['log_every'] or kind.LOG_EVERY
    bar = tqdm(
        total=recipe.samples,
        initial=training.samples,
        unit='',
        disable=process > 0,
        mininterval=5,
        smoothing=0.05,
    )
    logged, began = training.step, time.monotonic()
    while training.samples < last and not stop():
        training.train_step()
        bar.update(recipe.batch)
        if training.step % log_every == 0 or training.samples >= last:
            now = time.monotonic()
            training.seconds += now - began
            began = now
            steps = max(1, training.step - logged)
            figures = {name: value / steps for name, value in training.sums.items()}
            training.sums = dict.fromkeys(training.sums, 0.0)
            logged = training.step
            if process == 0:
                bar.set_postfix({k: f'{v:.3f}' for k, v in figures.items()})
                _log(folder / 'log.csv', training, figures)
        if training.step % options['save_every'] == 0:
            training.save()
    training.save()
    bar.close()
    if recipe.processes > 1:
        dist.barrier()
        dist.destroy_process_group()


class _Stop:
    """Whether to stop: some process got SIGTERM or SIGINT."""

    def __init__(self, processes: int) -> None:
        self._asked = False
        self._processes = processes
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def __call__(self) -> bool:
        if self._processes == 1:
            return self._asked
        asked = torch.tensor(float(self._asked))
        dist.all_reduce(asked)  # all processes stop at the same step
        return bool(asked > 0)


def _log(path: Path, training: Training, figures: dict[str, float]) -> None:
    new = not path.exists()
    with path.open('a', newline='') as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(['samples', 'seconds', *figures])
        values = (f'{value:.4f}' for value in figures.values())
        writer.writerow([training.samples, round(training.seconds), *values])


def train(recipe: Recipe, folder: Path, **options: Any) -> None:
    """Train a recipe into a folder: state.pt, network.safetensors, log.csv, recipe.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'recipe.json').write_text(json.dumps(asdict(recipe), indent=1) + '\n')
    options = {
        'cache': Path('training/cache'), 'until': None, 'weights': None, 'log_every': None,
        'save_every': 250, 'kind': None, **options,
    }  # fmt: skip
    if options['cache'] and recipe.panoramas:
        panoramas.load(options['cache'])  # fetched once, before the processes need it
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', str(29500 + os.getpid() % 1000))
    if recipe.processes == 1:
        run(0, recipe, folder, options)
    else:
        context = processes.start(run, (recipe, folder, options), recipe.processes)
        try:
            processes.join(context)
        except KeyboardInterrupt:  # they got it too, and save
            processes.join(context)
            raise SystemExit(128 + signal.SIGINT) from None  # what comes after shall not begin


def main() -> None:
    """Train a recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('recipe', choices=RECIPES)
    parser.add_argument('--folder', type=Path, help='where state, network and log go')
    parser.add_argument('--until', type=int, help='stop after so many samples')
    parser.add_argument(
        '--weights', nargs=2, metavar=('FILE', 'SAMPLES'),
        help='go on from a network that was written after so many samples',
    )  # fmt: skip
    arguments = parser.parse_args()
    weights = arguments.weights and (Path(arguments.weights[0]), int(arguments.weights[1]))
    folder = arguments.folder or Path('training/runs') / arguments.recipe
    train(RECIPES[arguments.recipe], folder, until=arguments.until, weights=weights)


if __name__ == '__main__':
    main()
