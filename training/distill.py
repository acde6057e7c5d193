"""Knowledge transfer: a small student learns from a larger teacher, in ViTPose's two ways.

Xu et al., "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation"
(arXiv:2204.12484), section 3.3:

* output: the student's heatmaps are compared with the teacher's, too.
* token: a token that joins the patches is learned with the teacher frozen, to make the teacher
  better; then, frozen itself, it joins the patches of the student. (The paper does not say how
  tokens of one width serve networks of another; here the student learns a linear map.)

Students of all variants train side by side, on the same batches, from the same first weights; so
they differ in the knowledge alone. A process trains a seed.
"""

import argparse
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn
from tqdm import tqdm

from training import panoramas
from training.compose import Sample
from training.evaluate import HeldOut, evaluate
from training.losses import heatmap_loss, targets
from training.network import Trained, config, encode, hasten
from training.stream import Stream
from training.train import autocast, pin
from vitpose_ros.core.checkpoints import read_checkpoint
from vitpose_ros.core.crops import normalise

KINDS = ('whole', 'hard')  # of crops that students are measured on
VARIANTS = {
    'no teacher': (False, False),
    'output': (True, False),
    'token': (False, True),
    'output and token': (True, True),
}  # whether heatmaps are compared, whether the token joins


@dataclass(frozen=True)
class Plan:
    """What the students are, and how long they learn."""

    samples: int = 24_000
    token_samples: int = 3_000  # that the token is learned with
    batch: int = 8
    embed_dim: int = 128
    depth: int = 4
    rate: float = 1.2e-3
    warm_up: int = 100
    decay: float = 0.05
    averaging: float = 0.995
    pool: int = 1200
    reuse: int = 8
    held_out: int = 1000
    panoramas: bool = True
    seeds: tuple[int, ...] = (11, 12, 13)


SMOKE = Plan(
    samples=48, token_samples=16, warm_up=2, pool=16, held_out=8, panoramas=False, seeds=(11,)
)


class Teacher:
    """A trained network of the COCO set, and the token that was learned with it."""

    def __init__(self, path: Path) -> None:
        """Read a weight file."""
        network = read_checkpoint(path).network('coco')
        self.width = network.config.embed_dim
        self._network = network
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, self.width))

    def heatmaps(self, pixels: Tensor) -> Tensor:
        """Return what the teacher says, (n, k, h, w)."""
        with torch.inference_mode(), autocast():
            maps: Tensor = self._network(pixels)[0]
        return maps.float().clone()

    def learn_token(self, stream: Stream, plan: Plan) -> None:
        """Learn the token: the teacher stays as it is."""
        for parameter in self._network.parameters():
            parameter.requires_grad_(False)
        optimiser = torch.optim.AdamW([self.token], lr=5e-3, weight_decay=0.0)
        for step in range(plan.token_samples // plan.batch):
            samples = stream.batch(step, {'coco': plan.batch}, 0.25)['coco']
            with autocast():
                features = encode(
                    self._network.backbone, _pixels(samples), [len(samples)], self.token
                )[-1]
                [head] = self._network.heads.values()
                maps = head(features)
            error, entropy = heatmap_loss(maps.float(), *targets(samples, 'coco'))
            optimiser.zero_grad()
            (error + 0.5 * entropy).backward()
            optimiser.step()
        self.token.requires_grad_(False)


class Student:
    """A small network that learns, with or without help."""

    def __init__(self, plan: Plan, seed: int, token: Tensor | None, *, compare: bool) -> None:
        torch.manual_seed(seed)
        shape = config(plan.embed_dim, plan.depth, ('coco',))
        self._token, self._compare, self._plan = token, compare, plan
        width = 0 if token is None else token.shape[-1]
        self._network = Trained(shape, width)
        self.average = Trained(shape, width)
        self.average.load_state_dict(self._network.state_dict())
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(), betas=(0.9, 0.99), weight_decay=plan.decay, fused=True
        )

    def learn(
        self, step: int, pixels: Tensor, wanted: Tensor, known: Tensor, said: Tensor
    ) -> None:
        """Learn from a batch: the truth, and what the teacher said."""
        plan = self._plan
        done = step * plan.batch / plan.samples
        rate = plan.rate * (0.51 + 0.49 * float(np.cos(np.pi * done)))
        for group in self._optimiser.param_groups:
            group['lr'] = rate * min(1, (step + 1) / plan.warm_up)
        with autocast():
            [maps] = self._network(pixels, [len(pixels)], self._token)
        error, entropy = heatmap_loss(maps.float(), wanted, known)
        loss = error + 0.5 * entropy
        if self._compare:
            error, entropy = heatmap_loss(maps.float(), said.clamp(min=0), known)
            loss = loss + error + 0.5 * entropy
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimiser.step()
        keep = min(plan.averaging, (1 + step) / (10 + step))
        with torch.no_grad():
            new = self._network.state_dict()
            for name, value in self.average.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(new[name], 1 - keep)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the averaged network's heatmaps of COCO, (n, k, h, w)."""
        self.average.eval()
        [maps] = self.average(pixels, [len(pixels)], self._token)
        return maps


def _pixels(samples: list[Sample]) -> Tensor:
    return normalise(torch.stack([torch.from_numpy(sample.crop) for sample in samples]))


def transfer(number: int, path: Path, plan: Plan, cache: Path, folder: Path) -> None:
    """Train the students of a seed, measure them, and write the figures."""
    pin(number)
    hasten()
    seed = plan.seeds[number]
    torch.manual_seed(seed)
    scenes = panoramas.load(cache) if plan.panoramas else []
    teacher = Teacher(path)
    teacher.learn_token(Stream(scenes, seed, 1000, plan.pool // 4, plan.reuse), plan)
    stream = Stream(scenes, seed, 0, plan.pool, plan.reuse)
    students = {
        name: Student(plan, seed, teacher.token if token else None, compare=output)
        for name, (output, token) in VARIANTS.items()
    }
    for step in tqdm(range(plan.samples // plan.batch), disable=number > 0, mininterval=5):
        samples = stream.batch(step, {'coco': plan.batch}, 0.25)['coco']
        pixels = _pixels(samples)
        wanted, known = targets(samples, 'coco')
        said = teacher.heatmaps(pixels)
        for student in students.values():
            student.learn(step, pixels, wanted, known, said)
    held_out = HeldOut(cache if plan.panoramas else None, plan.held_out)
    with torch.inference_mode():
        figures = {
            name: evaluate(student, held_out, 'coco', KINDS) for name, student in students.items()
        }
    (folder / f'seed_{seed}.json').write_text(json.dumps(figures, indent=1) + '\n')


def summary(folder: Path, plan: Plan) -> str:
    """Return a table of the figures of all seeds: means, and from the least to the greatest."""
    runs = [json.loads((folder / f'seed_{seed}.json').read_text()) for seed in plan.seeds]
    lines = ['| student | ' + ' | '.join(f'{kind} {f}' for kind in KINDS
             for f in ('AP', 'OKS')) + ' |', '| --- |' + ' --- |' * 4]  # fmt: skip
    for name in VARIANTS:
        cells = []
        for kind in KINDS:
            for figure in ('AP', 'OKS'):
                values = [run[name][kind][figure] for run in runs]
                cells.append(f'{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})')
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def distil(path: Path, plan: Plan, folder: Path, cache: Path) -> None:
    """Train and measure the students of all seeds, as many at once as there are cores."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'plan.json').write_text(json.dumps(asdict(plan), indent=1) + '\n')
    if plan.panoramas:
        panoramas.load(cache)
    waiting = [n for n, s in enumerate(plan.seeds) if not (folder / f'seed_{s}.json').exists()]
    context: Any = mp.get_context('spawn')
    with context.Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        pool.starmap(transfer, [(n, path, plan, cache, folder) for n in waiting], chunksize=1)
    print(summary(folder, plan))


def main() -> None:
    """Compare the ways of knowledge transfer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('teacher', type=Path, help='a weight file with the COCO set')
    parser.add_argument('--folder', type=Path, default=Path('training/runs/distil'))
    parser.add_argument('--cache', type=Path, default=Path('training/cache'))
    arguments = parser.parse_args()
    distil(arguments.teacher, Plan(), arguments.folder, arguments.cache)


if __name__ == '__main__':
    main()
