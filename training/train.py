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
from dataclasses import asdict, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from training import crowd_losses, processes
from training.losses import heatmap_loss, targets
from training.network import Trained, autocast, config, follow, hasten, write_network
from training.optimiser import Optimiser, cooling
from training.recipes import RECIPES, Recipe
from training.stream import CrowdStream, Stream, Views
from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.weights import read_checkpoint
from vitpose_ros.core.weights.folding import resize_positions
from world import panoramas
from world.panoramas import Panorama
from world.people import Variety


class Training:
    """A network in training, in one of several processes: one that sees a crop of each person."""

    FIGURES: tuple[str, ...] = ('error', 'entropy')  # of the loss, in the log

    def __init__(self, recipe: Recipe, folder: Path, cache: Path, process: int) -> None:
        self.recipe = recipe
        self.folder = folder
        self.process = process
        torch.manual_seed(recipe.seed)
        self.network, self.average = self._untrained(), self._untrained()
        self.average.load_state_dict(self.network.state_dict())
        self.step = 0
        self._restarted = 0  # the step of the last restart
        self._new_optimiser()
        scenes = panoramas.load(cache) if recipe.panoramas else []
        variety = Variety(recipe.sport, recipe.close, recipe.covered, recipe.glance, recipe.front)
        self._set_out(
            Views(scenes, recipe.seed, process, recipe.pool, recipe.reuse, variety), scenes
        )
        self.sums = dict.fromkeys(self.FIGURES, 0.0)
        self.seconds = 0.0

    def _untrained(self) -> Trained:
        """Return a network with first weights."""
        recipe = self.recipe
        return Trained(config(recipe.embed_dim, recipe.depth, recipe.sets), speaks_early=True)

    def _set_out(self, views: Views, scenes: list[Panorama]) -> None:
        """Take what samples are made of."""
        self.stream = Stream(views, scenes, self.recipe.styled)

    @property
    def samples(self) -> int:
        """How many samples all processes have seen."""
        return self.step * self.recipe.batch

    def train_step(self) -> None:
        """Train one batch."""
        recipe = self.recipe
        if any(self.samples <= at < self.samples + recipe.batch for at in recipe.restarts):
            self.restart()
        self.network.zero_grad(set_to_none=True)
        self._loss().backward()
        self._optimiser.step(self._rate())
        self.step += 1
        self._update_average()

    def _loss(self) -> Tensor:
        """Return the loss of a step's samples."""
        recipe = self.recipe
        counts_of = recipe.mixture.of(self.step)
        batch = self.stream.batch(self.step, counts_of, self._easy())
        batch = {name: batch.get(name, []) for name in recipe.sets}
        samples = [sample for part in batch.values() for sample in part]
        crops = torch.stack([torch.from_numpy(sample.crop) for sample in samples])
        counts = [len(part) for part in batch.values()]
        with autocast():
            heatmaps, early = self.network.forward_early(normalise(crops), counts)
        total = torch.zeros(())
        for maps, (name, part) in zip(heatmaps, batch.items(), strict=True):
            if not part:
                continue
            wanted, known = targets(part, name)
            error, entropy = heatmap_loss(maps.float(), wanted, known)
            loss = error + recipe.entropy * entropy
            if name == recipe.sets[0]:
                self.sums['error'] += float(error.detach())
                self.sums['entropy'] += float(entropy.detach())
                for maps in early:
                    error, entropy = heatmap_loss(maps.float(), wanted, known)
                    loss = loss + recipe.early * (error + recipe.entropy * entropy)
            total = total + len(part) / len(samples) * loss
        return total

    def _rate(self) -> float:
        """Return the learning rate, after a restart from zero."""
        recipe = self.recipe
        falling = cooling(self.samples / recipe.samples, recipe.cool_down)
        return recipe.rate * falling * min(1.0, (self.step - self._restarted + 1) / recipe.warm_up)

    def _easy(self) -> float:
        """Return the share of whole people: easy ones come first."""
        recipe = self.recipe
        left = max(0.0, 1 - self.samples / recipe.easy_until)
        return recipe.easy + (recipe.easy_first - recipe.easy) * left

    def _update_average(self) -> None:
        # At first the average follows closely.
        keep = min(self.recipe.averaging, (1 + self.step) / (10 + self.step))
        follow(self.average, self.network, keep)

    def restart(self) -> None:
        """Go on from the averaged weights, with a new optimiser."""
        self.network.load_state_dict(self.average.state_dict())
        self._restarted = self.step
        self._new_optimiser()

    def _new_optimiser(self) -> None:
        recipe = self.recipe
        self._optimiser = Optimiser(
            self.network,
            decay=recipe.decay,
            muon=recipe.muon,
            process=self.process,
            processes=recipe.processes,
        )

    def save(self) -> None:
        """Write the state to go on from, and the averaged network; called in all processes."""
        optimiser = self._optimiser.state()
        if self.process > 0:
            return
        state = {
            'recipe': asdict(self.recipe),
            'step': self.step,
            'restarted': self._restarted,
            'seconds': self.seconds,
            'network': self.network.state_dict(),
            'average': self.average.state_dict(),
            'optimiser': optimiser,
        }
        temporary = self.folder / 'state.tmp'
        torch.save(state, temporary)
        temporary.replace(self.folder / 'state.pt')
        write_network(self.average, self.folder / 'network.safetensors')

    def load(self) -> None:
        """Go on from the folder's state, if it has one."""
        path = self.folder / 'state.pt'
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        recipe = self.recipe
        old = asdict(Recipe(**state['recipe']))  # with what recipes have since then
        constant = (1 - recipe.cool_down) * min(old['samples'], recipe.samples)
        if state['step'] * recipe.batch <= constant:  # the rate has not begun to fall
            old['samples'] = recipe.samples
        if old != asdict(recipe):
            raise ValueError(f'{path} is of another recipe; give another folder, or delete it')
        self.step, self._restarted = state['step'], state['restarted']
        self.seconds = state['seconds']
        self.network.load_state_dict(state['network'])
        self.average.load_state_dict(state['average'])
        self._optimiser.load(state['optimiser'])

    def load_weights(self, path: Path, samples: int) -> None:
        """Go on from a network that was written after so many samples."""
        state = {f'model.{k}': v for k, v in read_checkpoint(path).state.items()}
        missing, _ = self.average.load_state_dict(state, strict=False)
        if any('num_batches' not in name and 'early.' not in name for name in missing):
            raise ValueError(f'{path} lacks {", ".join(missing)}')
        self.step = samples // self.recipe.batch
        self.restart()


class CrowdTraining(Training):
    """One that finds everybody in a picture."""

    FIGURES = ('peaks', 'centres', 'offsets', 'boxes')

    def _untrained(self) -> Trained:
        recipe = self.recipe
        shape = replace(
            config(recipe.embed_dim, recipe.depth, recipe.sets, recipe.picture),
            bottom_up=True,
            attention=tuple(islice(cycle(recipe.attention), recipe.depth)),
            window_size=recipe.window,
        )
        return Trained(shape)

    def _set_out(self, views: Views, scenes: list[Panorama]) -> None:
        self.crowds = CrowdStream(views, scenes, self.recipe.picture, self.recipe.styled)

    def _loss(self) -> Tensor:
        recipe = self.recipe
        crowds = self.crowds.batch(self.step, recipe.pictures)
        pixels = torch.stack([torch.from_numpy(crowd.picture) for crowd in crowds])
        with autocast():
            [maps] = self.network(normalise(pixels), [len(crowds)])
        parts = crowd_losses.losses(maps.float(), crowd_losses.targets(crowds))
        for name, part in parts.items():
            self.sums[name] += float(part.detach())
        return sum(recipe.weights[name] * part for name, part in parts.items())

    def load_weights(self, path: Path, samples: int) -> None:
        """Go on from a network of either kind; what it has not begins anew."""
        selected = read_checkpoint(path).select(self.recipe.sets)
        _, state = resize_positions(*selected, self.recipe.picture)
        model = self.average.model
        missing, unexpected = model.load_state_dict(state, strict=False)
        lacking = [n for n in missing if 'num_batches' not in n and '.grouping.' not in n]
        if lacking or unexpected:
            raise ValueError(f'{path} lacks {lacking}, or has {unexpected} more')
        self.step = samples // self.recipe.batch
        self.restart()


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
    kind = CrowdTraining if recipe.pictures else Training
    training = kind(recipe, folder, options['cache'], process)
    if options['weights']:
        training.load_weights(*options['weights'])
    training.load()
    last = recipe.samples if options['until'] is None else min(options['until'], recipe.samples)
    stop = _Stop(recipe.processes)
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
        if training.step % options['log_every'] == 0 or training.samples >= last:
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
        'cache': Path('training/cache'), 'until': None, 'weights': None, 'log_every': 50,
        'save_every': 1000, **options,
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
