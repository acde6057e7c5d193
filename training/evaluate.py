"""Measure a network on rendered people that training never sees: other bodies and backgrounds.

Of crops of several kinds: whole people in their true boxes, also from so far that they are only a
few pixels high; hard ones, some of them cut, hidden, among others, in poor boxes and pictures; the
hardest, as training has them; people in sports, people so close that the image ends below the head
or lower, and people in closed clothes who look aside. Figures: mean OKS; AP, the share of people
whose OKS passes a threshold, over the thresholds 0.50, 0.55 to 0.95, and AP50 (as COCO defines
them, with a person a crop); PCK, the share of keypoints within 0.05 and 0.1 of the longer side of
the true box. Over all keypoints inside the crop, and OKS and AP also over those alone that nothing
of the own body hides.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.compose import HARD, HIDDEN, SEEN, WHOLE, Composer, Difficulty, Sample
from training.losses import pixels_a_cell
from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.geometry.heatmaps import decode
from vitpose_ros.core.model.config import PUBLIC_UDP
from vitpose_ros.core.runtime.int8 import calibration_of, calibration_path, round_products
from vitpose_ros.core.skeletons import AREA_OF_BOX, SKELETONS
from vitpose_ros.core.weights import load_network, read_checkpoint
from world import panoramas
from world.people import People
from world.views import PLAIN, Variety

Array = NDArray[Any]

SEED = 987_654  # no seed of training
DIFFICULTIES = {
    'whole': WHOLE,
    'hard': Difficulty(
        truncated=0.15, loose_box=0.2, turned=0.2, others=0.3, occluder=0.2, degraded=0.3
    ),
    'hardest': HARD,
}
# From afar: how many pixels the image has from top to bottom of a crop.
ROWS = {'128 px': 128, '64 px': 64}
VARIETIES = {
    'sports': Variety(sport=1),
    'close-ups': Variety(close=1),
    'covered': Variety(covered=1, glance=40.0),
}
KINDS = (*DIFFICULTIES, *ROWS, *VARIETIES)
FEET, HANDS = slice(17, 23), slice(91, 133)  # of WholeBody


class HeldOut:
    """Held-out people and the crops made of them."""

    def __init__(self, cache: Path | None, count: int = 400, seed: int = SEED) -> None:
        """Draw so many people; cache: where panoramas are kept, None: do without them."""
        self._scenes = [] if cache is None else panoramas.load(cache, held_out=True)
        self._people = People(self._scenes)
        self._seed = seed
        self._count = count
        self._composers: dict[Variety, Composer] = {}

    def samples(self, keypoint_set: str, kind: str) -> list[Sample]:
        """Return a crop of each person, of one of KINDS; the same each time."""
        rows = ROWS.get(kind)
        difficulty = DIFFICULTIES.get(kind, WHOLE)
        composer = self._composer(VARIETIES.get(kind, PLAIN))
        samples = [
            composer.sample(np.random.default_rng([self._seed, 1, i]), i, keypoint_set, difficulty)
            for i in range(self._count)
        ]
        return [_from_afar(sample, rows) for sample in samples] if rows else samples

    def _composer(self, variety: Variety) -> Composer:
        """Return what makes crops of people of a variety; they are drawn when first asked for."""
        if variety not in self._composers:
            views = [
                self._people.views(np.random.default_rng([self._seed, i]), 1, variety)[0]
                for i in range(self._count)
            ]
            self._composers[variety] = Composer(views, self._scenes)
        return self._composers[variety]


def _from_afar(sample: Sample, rows: int) -> Sample:
    height, width = sample.crop.shape[:2]
    small = cv2.resize(sample.crop, (rows * width // height, rows), interpolation=cv2.INTER_AREA)
    return replace(sample, crop=cv2.resize(small, (width, height)))


def predict(
    network: Callable[[Tensor], Tensor], samples: list[Sample], keypoint_set: str, batch: int = 32
) -> Array:
    """Return the keypoints that a network finds, (n, k, 2) in pixels of the crops."""
    udp = keypoint_set in PUBLIC_UDP
    found = []
    for start in range(0, len(samples), batch):
        crops = torch.from_numpy(np.stack([s.crop for s in samples[start : start + batch]]))
        with torch.inference_mode():
            points, _ = decode(network(normalise(crops)).float(), udp=udp)
        found.append(points.numpy())
    return np.concatenate(found) * pixels_a_cell(udp)


def measure(points: Array, samples: list[Sample], keypoint_set: str) -> dict[str, float]:
    """Return the figures of keypoints (n, k, 2) found in samples."""
    sigmas = np.array(SKELETONS[keypoint_set].sigmas)
    truth = np.stack([s.points for s in samples])
    states = np.stack([s.states for s in samples])
    areas = np.array([s.area for s in samples])
    sides = np.array([s.side for s in samples])
    squared = ((points - truth) ** 2).sum(axis=2)
    similar = np.exp(-squared / (2 * AREA_OF_BOX * areas[:, None] * (2 * sigmas) ** 2))
    near = np.sqrt(squared) / sides[:, None]
    figures: dict[str, Any] = {}
    for suffix, there in (('', np.isin(states, (SEEN, HIDDEN))), (' seen', states == SEEN)):
        some = there.any(axis=1)
        similarity = (similar * there).sum(axis=1)[some] / there.sum(axis=1)[some]
        figures[f'OKS{suffix}'] = similarity.mean()
        figures[f'AP{suffix}'] = (similarity[:, None] >= np.linspace(0.5, 0.95, 10)).mean()
        if not suffix:
            figures['AP50'] = (similarity >= 0.5).mean()
            figures['PCK.05'] = (near[there] < 0.05).mean()
            figures['PCK.1'] = (near[there] < 0.1).mean()
    if keypoint_set == 'wholebody':
        for name, rows in (('feet', FEET), ('hands', HANDS)):
            there = np.isin(states[:, rows], (SEEN, HIDDEN))
            figures[f'{name} PCK.05'] = (near[:, rows][there] < 0.05).mean()
            figures[f'{name} PCK.1'] = (near[:, rows][there] < 0.1).mean()
    return {name: round(float(value), 4) for name, value in figures.items()}


def evaluate(
    network: Callable[[Tensor], Tensor],
    held_out: HeldOut,
    keypoint_set: str,
    kinds: Sequence[str] = KINDS,
) -> dict[str, dict[str, float]]:
    """Return the figures of a network of one keypoint set: of each kind of crops."""
    figures = {}
    for kind in kinds:
        samples = held_out.samples(keypoint_set, kind)
        figures[kind] = measure(predict(network, samples, keypoint_set), samples, keypoint_set)
    return figures


def main() -> None:
    """Print the figures of a weight file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', type=Path, help='a weight file')
    parser.add_argument('--sets', help='keypoint sets, comma separated; all without it')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=KINDS, help='of crops')
    parser.add_argument('--count', type=int, default=400, help='people')
    parser.add_argument('--seed', type=int, default=SEED)
    parser.add_argument('--cache', type=Path, default=Path('training/cache'))
    parser.add_argument('--no-panoramas', action='store_true', help='other backgrounds alone')
    parser.add_argument('--int8', action='store_true', help='with products rounded to 8 bits')
    parser.add_argument('--json', type=Path, help='write the figures there, too')
    arguments = parser.parse_args()
    cache = None if arguments.no_panoramas else arguments.cache
    held_out = HeldOut(cache, arguments.count, arguments.seed)
    known = read_checkpoint(arguments.model).config.keypoint_sets
    sets = arguments.sets.split(',') if arguments.sets else known
    report = {}
    for name in sets:
        network = load_network(arguments.model, name)
        if arguments.int8:
            round_products(network, calibration_of(network, calibration_path(arguments.model)))
        report[name] = evaluate(
            lambda pixels, n=network: n(pixels)[0], held_out, name, arguments.kinds
        )
        for kind, figures in report[name].items():
            text = '  '.join(f'{key} {value:.3f}' for key, value in figures.items())
            print(f'{name:10} {kind:9} {text}', flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == '__main__':
    main()
