"""Knowledge transfer: a small student learns from a larger teacher, in ViTPose's two ways.

Xu et al., "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation"
(arXiv:2204.12484), section 3.3:

* output: the student's heatmaps are compared with the teacher's, too.
* token: tokens that join the patches are learned with the teacher frozen, to make the teacher
  better; then, frozen themselves, they join the patches of the student. (The paper has one. It
  does not say how tokens of one width serve networks of another: here by a linear map, at first
  the one that takes the teacher's patches nearest to the student's; then the student learns it.)

Students of all variants train side by side, on the same batches, from the same first weights; so
they differ in the knowledge alone. A process trains a seed.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from training import panoramas
from training.compose import STRIDE, Sample
from training.evaluate import HeldOut, evaluate
from training.losses import heatmap_loss, targets, transfer_loss
from training.network import Trained, config, embed, encode, follow, hasten
from training.optimiser import Optimiser, cooling
from training.stream import Stream
from training.train import autocast, pin
from vitpose_ros.core.checkpoints import read_checkpoint
from vitpose_ros.core.crops import normalise

KINDS = ('whole', 'hard')  # of crops that students are measured on
VARIANTS = {
    'no teacher': (False, None),
    'output': (True, None),
    'token': (False, 'learned'),
    'output and token': (True, 'learned'),
    'random token': (False, 'random'),  # to tell knowledge from a few more tokens
}  # whether heatmaps are compared, which tokens join
ENTROPY = 0.5  # weight of the cross-entropy of the peaks
RIDGE = 1e-3  # how much shorter a map is preferred to a nearer one


@dataclass(frozen=True)
class Plan:
    """What the students are, and how long they learn."""

    samples: int = 24_000
    tokens: int = 32
    token_samples: int = 3_000  # that the tokens are learned with
    meeting: int = 256  # samples that students first see how the teacher takes patches in
    batch: int = 16
    easy: float = 0.75  # the share of whole people in true boxes
    embed_dim: int = 64
    depth: int = 4
    image_size: tuple[int, int] = (128, 96)  # height, width in pixels
    rate: float = 1.5e-3
    muon: float = 1.5  # the rate of Muon, in parts of that of AdamW
    warm_up: int = 60  # steps
    cool_down: float = 0.4  # the last part of the samples, in which the rate falls to zero
    decay: float = 0.05
    averaging: float = 0.995  # of the weights, a step
    pool: int = 1200
    reuse: int = 8
    held_out: int = 1000
    panoramas: bool = True
    seeds: tuple[int, ...] = (11, 12, 13)


SMOKE = Plan(
    samples=48,
    token_samples=16,
    meeting=16,
    warm_up=2,
    pool=16,
    held_out=8,
    panoramas=False,
    seeds=(11,),
)


class Teacher:
    """A trained network of the COCO set, and the tokens that were learned with it."""

    def __init__(self, path: Path, tokens: int) -> None:
        """Read a weight file; tokens: how many."""
        self._network = read_checkpoint(path).network('coco')
        self.tokens = nn.Parameter(0.1 * torch.randn(1, tokens, self._network.config.embed_dim))

    def patches(self, pixels: Tensor) -> Tensor:
        """Return what its blocks get of pixels, (n, d, h/16, w/16)."""
        encoder = self._network.backbone
        with torch.no_grad():
            return embed(encoder, pixels).transpose(1, 2).unflatten(2, encoder.grid_size)

    def heatmaps(self, pixels: Tensor) -> Tensor:
        """Return what the teacher says, (n, k, h, w)."""
        with torch.no_grad(), autocast():
            maps: Tensor = self._network(pixels)[0]
        return maps.float()

    def heatmaps_with_tokens(self, pixels: Tensor) -> Tensor:
        """Return what it says with the tokens among the patches, (n, k, h, w)."""
        with autocast():
            encoder = self._network.backbone
            features = encode(encoder, pixels, [len(pixels)], self.tokens)[-1]
            [head] = self._network.heads.values()
            maps: Tensor = head(features)
        return maps.float()

    def learn_tokens(self, stream: Stream, plan: Plan) -> None:
        """Learn the tokens: the teacher stays as it is."""
        for parameter in self._network.parameters():
            parameter.requires_grad_(False)
        optimiser = torch.optim.AdamW([self.tokens], lr=5e-3, weight_decay=0.0)
        for step in range(plan.token_samples // plan.batch):
            samples = stream.batch(step, {'coco': plan.batch}, plan.easy)['coco']
            maps = self.heatmaps_with_tokens(_pixels(samples))
            error, entropy = heatmap_loss(maps, *targets(samples, 'coco'))
            optimiser.zero_grad()
            (error + ENTROPY * entropy).backward()
            optimiser.step()
        self.tokens.requires_grad_(False)


class Student:
    """A small network that learns, with or without help."""

    def __init__(self, plan: Plan, seed: int, tokens: Tensor | None, *, compare: bool) -> None:
        """Take the tokens to learn with, and whether to compare heatmaps with the teacher's."""
        torch.manual_seed(seed)
        shape = config(plan.embed_dim, plan.depth, ('coco',), plan.image_size)
        self._tokens, self._compare, self._plan = tokens, compare, plan
        width = 0 if tokens is None else tokens.shape[-1]
        self._network = Trained(shape, width)
        self.average = Trained(shape, width)
        self.average.load_state_dict(self._network.state_dict())
        self._optimiser = Optimiser(
            self._network, decay=plan.decay, muon=plan.muon, process=0, processes=1
        )

    @torch.no_grad()
    def meet(self, teacher: Teacher, pixels: Tensor) -> None:
        """Begin with the linear map (ridge regression) of a teacher's patches to the own ones.

        pixels: (n, 3, h, w) in the teacher's size. Without tokens there is no map to begin with.
        """
        if self._tokens is None:
            return
        encoder = self._network.model.backbone
        mine = embed(encoder, resize(pixels, self._plan.image_size)).flatten(0, 1)
        theirs = F.adaptive_avg_pool2d(teacher.patches(pixels), encoder.grid_size)
        theirs = theirs.flatten(2).transpose(1, 2).flatten(0, 1)
        theirs = torch.cat((theirs, torch.ones(len(theirs), 1)), dim=1)
        ridge = RIDGE * len(theirs) * torch.eye(theirs.shape[1])
        solution = torch.linalg.solve(theirs.T @ theirs + ridge, theirs.T @ mine)
        for network in (self._network, self.average):
            if isinstance(network.token_in, nn.Linear):
                network.token_in.weight.copy_(solution[:-1].T)
                network.token_in.bias.copy_(solution[-1])

    def learn(
        self, step: int, pixels: Tensor, wanted: Tensor, known: Tensor, said: Tensor
    ) -> None:
        """Learn from a batch in the student's size: the truth, and what the teacher said."""
        plan = self._plan
        with autocast():
            [maps] = self._network(pixels, [len(pixels)], self._tokens)
        error, entropy = heatmap_loss(maps.float(), wanted, known)
        loss = error + ENTROPY * entropy
        if self._compare:
            error, entropy = transfer_loss(maps.float(), said)
            loss = loss + error + ENTROPY * entropy
        self._network.zero_grad(set_to_none=True)
        loss.backward()
        falling = cooling(step * plan.batch / plan.samples, plan.cool_down)
        self._optimiser.step(plan.rate * falling * min(1.0, (step + 1) / plan.warm_up))
        keep = min(plan.averaging, (1 + step) / (10 + step))
        follow(self.average, self._network, keep)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the averaged network's heatmaps of COCO (n, k, h/4, w/4) of larger pixels."""
        self.average.eval()
        with torch.no_grad():
            small = resize(pixels, self._plan.image_size)
            [maps] = self.average(small, [len(pixels)], self._tokens)
        height, width = pixels.shape[2:]
        return resize(maps, (height // STRIDE, width // STRIDE))


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images or heatmaps (n, c, h, w) to (height, width): corners stay, as COCO's crops."""
    return F.interpolate(images, size, mode='bilinear', align_corners=True, antialias=True)


def _pixels(samples: list[Sample]) -> Tensor:
    return normalise(torch.stack([torch.from_numpy(sample.crop) for sample in samples]))


def transfer(number: int, path: Path, plan: Plan, cache: Path, folder: Path) -> None:
    """Train the students of a seed, measure them, and write the figures."""
    pin(number)
    hasten()
    seed = plan.seeds[number]
    torch.manual_seed(seed)
    scenes = panoramas.load(cache) if plan.panoramas else []
    teacher = Teacher(path, plan.tokens)
    teacher.learn_tokens(Stream(scenes, seed, 1000, plan.pool // 4, plan.reuse), plan)
    stream = Stream(scenes, seed, 0, plan.pool, plan.reuse)
    learned = teacher.tokens.detach()
    random = learned.std() * torch.randn_like(learned)
    tokens = {None: None, 'learned': learned, 'random': random}
    students = {
        name: Student(plan, seed, tokens[kind], compare=output)
        for name, (output, kind) in VARIANTS.items()
    }
    first = _pixels(stream.batch(0, {'coco': plan.meeting}, plan.easy)['coco'])
    for student in students.values():
        student.meet(teacher, first)
    height, width = plan.image_size
    cells = (height // STRIDE, width // STRIDE)
    for step in tqdm(range(plan.samples // plan.batch), disable=number > 0, mininterval=5):
        samples = stream.batch(step, {'coco': plan.batch}, plan.easy)['coco']
        pixels = _pixels(samples)
        wanted, known = targets(samples, 'coco')
        wanted, said = (resize(maps, cells) for maps in (wanted, teacher.heatmaps(pixels)))
        pixels = resize(pixels, plan.image_size)
        for student in students.values():
            student.learn(step, pixels, wanted, known, said)
    held_out = HeldOut(cache if plan.panoramas else None, plan.held_out)
    measured: dict[str, Callable[[Tensor], Tensor]] = {
        'teacher': teacher.heatmaps,
        'teacher with tokens': teacher.heatmaps_with_tokens,
        **students,
    }
    figures = {
        name: evaluate(network, held_out, 'coco', KINDS) for name, network in measured.items()
    }
    (folder / f'seed_{seed}.json').write_text(json.dumps(figures, indent=1) + '\n')


def summary(folder: Path, plan: Plan) -> str:
    """Return a table of the figures of all seeds: means, and from the least to the greatest."""
    runs = [json.loads((folder / f'seed_{seed}.json').read_text()) for seed in plan.seeds]
    lines = ['| network | ' + ' | '.join(f'{kind} {f}' for kind in KINDS
             for f in ('AP', 'OKS')) + ' |', '| --- |' + ' --- |' * 4]  # fmt: skip
    for name in runs[0]:
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
