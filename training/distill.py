"""Knowledge transfer: a small student learns from a larger teacher, in ViTPose's two ways.

Xu et al., "ViTPose: Simple Vision Transformer Baselines for Human Pose Estimation"
(arXiv:2204.12484), section 3.3:

* output: the student's heatmaps are compared with the teacher's, too.
* token: tokens that join the patches are learned with the teacher frozen, to make the teacher
  better; then, frozen themselves, they join the patches of the student. (The paper has one. It
  does not say how tokens of one width serve networks of another. Here the student begins in the
  space of the teacher's patches: one linear map takes these, and the tokens among them, to its
  width. From there the student learns on.)

All students learn from the same samples, drawn once with what the teacher says of them. Those of
a seed see them in the same order, and begin with the same weights, but for what is the teacher's.
"""

import argparse
import functools
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
from vitpose_ros.core.vit import PATCH_PADDING, PATCH_SIZE

KINDS, FIGURES = ('whole', 'hard'), ('AP', 'OKS')  # that students are measured by
ENTROPY = 0.5  # weight of the cross-entropy of the peaks
RIDGE = 1e-3  # how much small filters are preferred to exact ones


class Help(NamedTuple):
    """What a student has of the teacher."""

    heatmaps: bool = False
    space: bool = False  # that of the patches
    tokens: bool = False


VARIANTS = {
    'no teacher': Help(),
    'output': Help(heatmaps=True),
    'token': Help(space=True, tokens=True),
    'output and token': Help(heatmaps=True, space=True, tokens=True),
    'token left out': Help(space=True),  # tells what of 'token' is not the tokens' doing
}


@dataclass(frozen=True)
class Plan:
    """What the students are, and how long they learn."""

    samples: int = 24_000
    parts: int = 2  # that the samples are drawn in
    epochs: int = 3  # how often students see each sample
    tokens: int = 32
    token_samples: int = 3_000  # that the tokens are learned with
    meeting: int = 512  # samples that students take over the teacher's space with
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
    samples=32,
    epochs=2,
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
        """Return what its blocks get of pixels of any size, (n, d, rows, columns)."""
        encoder = self._network.backbone
        with torch.no_grad():
            pixels = resize(pixels, self._network.config.image_size)
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
            maps = self.heatmaps_with_tokens(normalise(_crops(samples)))
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
    def enter(self, teacher: Teacher, pixels: Tensor) -> None:
        """Begin in the space of the teacher's patches.

        A patch of the student covers several of the teacher: their principal components, as many
        as the student is wide, are what it begins with, through the filters and places that make
        them best (ridge regression). A token counts as a place where all those patches are it.

        pixels: (n, 3, h, w) in the student's size, whose sides divide the teacher's.
        """
        encoder = self._network.model.backbone
        theirs = teacher.patches(pixels)
        span = theirs.shape[2] // encoder.grid_size[0]
        theirs = F.pixel_unshuffle(theirs, span).flatten(2).mT.flatten(0, 1)
        _, axes = torch.linalg.eigh(theirs.T @ theirs)  # the greatest come last
        axes = axes[:, -self._plan.embed_dim :]
        axes *= embed(encoder, pixels).std() / (theirs @ axes).std()
        filters, places = _filters(pixels, theirs @ axes)
        for network in (self._network, self.average):
            encoder = network.model.backbone
            convolution = encoder.patch_embed.proj
            convolution.weight.copy_(filters)
            assert convolution.bias is not None
            convolution.bias.zero_()
            encoder.pos_embed[:, :1] = 0
            encoder.pos_embed[:, 1:] = places
            if isinstance(network.token_in, nn.Linear):
                network.token_in.weight.copy_(axes.unflatten(0, (-1, span**2)).sum(1).T)
                network.token_in.bias.zero_()

    def learn(self, step: int, lessons: 'Lessons') -> None:
        """Learn from a batch: the truth, and what the teacher said."""
        pixels, wanted, known, said = lessons
        plan = self._plan
        with autocast():
            [maps] = self._network(normalise(pixels), [len(pixels)], self._tokens)
        error, entropy = heatmap_loss(maps.float(), wanted.float(), known)
        loss = error + ENTROPY * entropy
        if self._compare:
            error, entropy = transfer_loss(maps.float(), said.float())
            loss = loss + error + ENTROPY * entropy
        self._network.zero_grad(set_to_none=True)
        loss.backward()
        falling = cooling(step * plan.batch / plan.samples / plan.epochs, plan.cool_down)
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


class Lessons(NamedTuple):
    """Samples in the student's size: crops, wanted heatmaps, which are known, the teacher's."""

    crops: Tensor  # (n, h, w, 3), 0 to 255
    wanted: Tensor  # (n, k, h/4, w/4), float16
    known: Tensor  # (n, k)
    said: Tensor  # (n, k, h/4, w/4), float16


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images or heatmaps (n, c, h, w) to (height, width): corners stay, as COCO's crops."""
    return F.interpolate(images, size, mode='bilinear', align_corners=True, antialias=True)


def _filters(pixels: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the filters (d, 3, 16, 16) and places (t, d) that make the patches that are wanted.

    pixels: (n, 3, h, w); wanted: (n t, d), as nearly as least squares can.
    """
    patches = F.unfold(pixels, PATCH_SIZE, stride=PATCH_SIZE, padding=PATCH_PADDING)
    count = patches.shape[2]
    places = torch.eye(count).repeat(len(pixels), 1)
    inputs = torch.cat((patches.mT.flatten(0, 1), places), dim=1)
    ridge = RIDGE * len(inputs) * torch.eye(inputs.shape[1])
    solution = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ wanted)
    shape = (wanted.shape[1], pixels.shape[1], PATCH_SIZE, PATCH_SIZE)
    return solution[:-count].T.reshape(shape), solution[-count:]


def _crops(samples: list[Sample]) -> Tensor:
    return torch.stack([torch.from_numpy(sample.crop) for sample in samples])


class Transfer:
    """Trains and measures all students of a plan; what is done is kept in a folder."""

    def __init__(self, path: Path, plan: Plan, folder: Path, cache: Path) -> None:
        """Take the teacher's weight file, and where panoramas are kept."""
        self._path, self._plan, self._folder = path, plan, folder
        self._cache = cache if plan.panoramas else None

    def draw(self, part: int) -> None:
        """Draw a part of the samples."""
        plan = self._plan
        teacher = Teacher(self._path, plan.tokens)
        stream = self._stream(0, part, plan.pool)
        height, width = plan.image_size
        cells = (height // STRIDE, width // STRIDE)
        batches = []
        count = plan.samples // plan.parts // plan.batch
        for step in tqdm(range(count), disable=part > 0, mininterval=5):
            samples = stream.batch(step, {'coco': plan.batch}, plan.easy)['coco']
            crops = _crops(samples)
            small = resize(crops.movedim(3, 1).float(), plan.image_size).movedim(1, 3)
            wanted, known = targets(samples, 'coco')
            wanted, said = (
                resize(maps, cells).half() for maps in (wanted, teacher.heatmaps(normalise(crops)))
            )
            batches.append(Lessons(small.round().byte(), wanted, known, said))
        lessons = [torch.cat(parts) for parts in zip(*batches, strict=True)]
        unfinished = self._folder / f'lessons_{part}.tmp'
        torch.save(lessons, unfinished)
        unfinished.replace(self._folder / f'lessons_{part}.pt')

    def learn_tokens(self, seed: int) -> None:
        """Learn the tokens of a seed, and measure the teacher with and without them."""
        plan = self._plan
        torch.manual_seed(seed)
        teacher = Teacher(self._path, plan.tokens)
        teacher.learn_tokens(self._stream(seed, 0, plan.pool // 4), plan)
        self._measure(seed, 'teacher', teacher.heatmaps)
        self._measure(seed, 'teacher with tokens', teacher.heatmaps_with_tokens)
        torch.save(teacher.tokens.detach(), self._folder / f'tokens_{seed}.pt')

    def teach(self, seed: int, variant: str) -> None:
        """Train a student of a seed, and measure it."""
        plan = self._plan
        given = VARIANTS[variant]
        tokens = torch.load(self._folder / f'tokens_{seed}.pt') if given.tokens else None
        student = Student(plan, seed, tokens, compare=given.heatmaps)
        lessons = self._lessons()
        if given.space:
            first = normalise(lessons.crops[: plan.meeting])
            student.enter(Teacher(self._path, plan.tokens), first)
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(len(lessons.crops)) for _ in range(plan.epochs)]
        steps = np.concatenate(orders).reshape(-1, plan.batch)
        for step, rows in enumerate(steps):
            student.learn(step, Lessons(*(part[rows] for part in lessons)))
        self._measure(seed, variant, student)

    def summary(self) -> str:
        """Return a table of the figures of all seeds: means, from the least to the greatest."""
        heads = [f'{kind} {figure}' for kind in KINDS for figure in FIGURES]
        lines = [f'| network | {" | ".join(heads)} |', '| --- |' + ' --- |' * len(heads)]
        for name in ('teacher', 'teacher with tokens', *VARIANTS):
            runs = [json.loads(self.file(seed, name).read_text()) for seed in self._plan.seeds]
            cells = []
            for kind, figure in itertools.product(KINDS, FIGURES):
                values = [run[kind][figure] for run in runs]
                cells.append(f'{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})')
            lines.append(f'| {name} | {" | ".join(cells)} |')
        return '\n'.join(lines)

    def file(self, seed: int, name: str) -> Path:
        """Return where the figures of a network are written."""
        return self._folder / f'{name.replace(" ", "_")}_{seed}.json'

    def _measure(self, seed: int, name: str, network: Callable[[Tensor], Tensor]) -> None:
        figures = evaluate(network, _held_out(self._cache, self._plan.held_out), 'coco', KINDS)
        self.file(seed, name).write_text(json.dumps(figures, indent=1) + '\n')
        print(f'{name}, seed {seed}: {figures[KINDS[0]]}', flush=True)

    def _stream(self, seed: int, part: int, pool: int) -> Stream:
        scenes = panoramas.load(self._cache) if self._cache else []
        return Stream(scenes, seed, part, pool, self._plan.reuse)

    def _lessons(self) -> Lessons:
        files = [self._folder / f'lessons_{part}.pt' for part in range(self._plan.parts)]
        parts = [torch.load(file, mmap=True) for file in files]
        return Lessons(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


@functools.cache
def _held_out(cache: Path | None, count: int) -> HeldOut:
    return HeldOut(cache, count)


def distil(path: Path, plan: Plan, folder: Path, cache: Path) -> None:
    """Train and measure the students of all seeds, on all cores, but for what is done already."""
    folder.mkdir(parents=True, exist_ok=True)
    teacher = hashlib.sha256(path.read_bytes()).hexdigest()
    text = json.dumps({'teacher': teacher, **asdict(plan)}, indent=1) + '\n'
    kept = folder / 'plan.json'
    if kept.exists() and kept.read_text() != text:
        raise ValueError(f'{folder} is of another plan or teacher; give another, or delete it')
    kept.write_text(text)
    if plan.panoramas:
        panoramas.load(cache)
    work = Transfer(path, plan, folder, cache)
    parts, seeds = range(plan.parts), plan.seeds
    _share(work.draw, [(n,) for n in parts if not (folder / f'lessons_{n}.pt').exists()])
    _share(work.learn_tokens, [(s,) for s in seeds if not (folder / f'tokens_{s}.pt').exists()])
    students = itertools.product(seeds, VARIANTS)
    _share(work.teach, [student for student in students if not work.file(*student).exists()])
    print(work.summary())


def _share(function: Callable[..., None], tasks: Sequence[tuple[Any, ...]]) -> None:
    """Do all tasks, as many at once as there are cores."""
    if tasks:
        count = min(len(tasks), os.cpu_count() or 1)
        mp.spawn(_do, (function, tasks, count), count)


def _do(core: int, function: Callable[..., None], tasks: Sequence[Any], count: int) -> None:
    pin(core)
    hasten()
    for task in tasks[core::count]:
        function(*task)


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
