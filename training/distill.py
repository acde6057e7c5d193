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
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from training import processes
from training.compose import STRIDE
from training.evaluate import HeldOut, evaluate
from training.losses import targets
from training.network import hasten
from training.stream import Stream, Views
from training.students import Lessons, Plan, Student, Teacher, resize, stack_crops
from training.train import pin
from vitpose_ros.core.geometry.crops import normalise
from world import panoramas

KINDS, FIGURES = ('whole', 'hard'), ('AP', 'OKS')  # that students are measured by


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
            crops = stack_crops(samples)
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
        if not given.tokens:
            student.write(self.file(seed, variant).with_suffix('.safetensors'))
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
        return Stream(Views(scenes, seed, part, pool, self._plan.reuse), scenes)

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
        processes.join(processes.start(_do, (function, tasks, count), count))


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
