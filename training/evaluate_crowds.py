"""Measure a network that finds everybody, on pictures that training never sees.

Of other bodies, places and seeds. Figures: AP and AP50 by OKS as COCO defines them, of people of
at least 60 pixels, over the keypoints that neither others nor things hide; the share of their
boxes that are found at IoU 0.5; false people in pictures without anybody.
"""

import argparse
import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from training.crowds import HIDDEN, SEEN, SIZE, Crowd, CrowdComposer
from vitpose_ros.core.geometry.crops import normalise
from vitpose_ros.core.geometry.grouping import Subjects, find
from vitpose_ros.core.skeletons import AREA_OF_BOX, SKELETONS
from vitpose_ros.core.weights import load_network
from world import panoramas
from world.people import People, Variety

Array = NDArray[Any]

SEED = 765_432  # no seed of training
LEAST = 60  # pixels: the longer side of the box of who counts
VARIETY = Variety(sport=0.1, close=0.1, covered=0.5)
SURE = 0.3  # the score of who counts as found


def held_out(
    cache: Path | None, count: int, seed: int = SEED, size: tuple[int, int] = SIZE
) -> list[Crowd]:
    """Return so many pictures, of which every fifth has nobody in it; the same each time."""
    places = [] if cache is None else panoramas.load(cache, held_out=True)
    people = People(places)
    views = [
        view
        for index in range(max(40, count // 2))
        for view in people.views(np.random.default_rng([seed, index]), 2, VARIETY)
    ]
    composer = CrowdComposer(views, places, size)
    return [
        composer.picture(np.random.default_rng([seed, 1, index]), None if index % 5 else 0)
        for index in range(count)
    ]


def predict(network: Callable[[Tensor], Tensor], crowds: Sequence[Crowd]) -> list[Subjects]:
    """Return whom a network finds in pictures."""
    found = []
    for crowd in crowds:
        pixels = normalise(torch.from_numpy(crowd.picture[None]))
        with torch.inference_mode():
            found.append(find(network(pixels).float(), SKELETONS['coco']))
    return found


def measure(found: Sequence[Subjects], crowds: Sequence[Crowd]) -> dict[str, float]:
    """Return the figures of what was found in pictures."""
    truth, results = _truth(crowds), _results(found)
    figures: dict[str, float] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = truth
        known.createIndex()
        if results:
            scoring = COCOeval(known, known.loadRes(results), 'keypoints')
            scoring.params.areaRng = [[0, 1e10]]
            scoring.params.areaRngLbl = ['all']
            scoring.evaluate()
            scoring.accumulate()
            precision = scoring.eval['precision'][:, :, 0, 0, 0]
            figures['AP'], figures['AP50'] = precision.mean(), precision[0].mean()
    recalled, total, false, empty = 0, 0, 0, 0
    for one, crowd in zip(found, crowds, strict=True):
        sure = one.boxes[0][one.box_scores[0] >= SURE].numpy()
        counted = np.array([m.box for m in crowd.people if _counts(m.box)]).reshape(-1, 4)
        if len(crowd.people) == 0 and len(crowd.ignored) == 0:
            empty, false = empty + 1, false + len(sure)
        total += len(counted)
        recalled += int((_overlaps(counted, sure).max(axis=1, initial=0) >= 0.5).sum())
    figures['recall'] = recalled / max(1, total)
    figures['false'] = false / max(1, empty)
    figures['people'] = total
    return {name: round(float(value), 4) for name, value in figures.items()}


def _counts(box: Array) -> bool:
    return bool((box[2:] - box[:2]).max() >= LEAST)


def _overlaps(first: Array, second: Array) -> Array:
    """Return the IoU of boxes (n, 4) and (m, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (first, second)]
    return np.array(common / (areas[0][:, None] + areas[1] - common))


def _truth(crowds: Sequence[Crowd]) -> dict[str, Any]:
    annotations = []
    for index, crowd in enumerate(crowds):
        for member in crowd.people:
            there = np.isin(member.states, (SEEN, HIDDEN))
            marks = np.where(there, np.where(member.states == SEEN, 2, 1), 0)
            points = np.column_stack((np.where(there[:, None], member.points, 0), marks))
            ignored = not (_counts(member.box) and there.any())
            annotations.append(_annotation(index, member.box, points, ignored=ignored))
        for box in crowd.ignored:
            annotations.append(_annotation(index, box, np.zeros((17, 3)), ignored=True))
    for number, annotation in enumerate(annotations, start=1):
        annotation['id'] = number
    images = [{'id': index} for index in range(len(crowds))]
    return {'images': images, 'annotations': annotations, 'categories': [{'id': 1}]}


def _annotation(image: int, box: Array, points: Array, *, ignored: bool) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = (float(value) for value in box)
    return {
        'image_id': image,
        'category_id': 1,
        'bbox': [x_min, y_min, x_max - x_min, y_max - y_min],
        'area': AREA_OF_BOX * (x_max - x_min) * (y_max - y_min),
        'keypoints': points.flatten().tolist(),
        'num_keypoints': int((points[:, 2] > 0).sum()),
        'iscrowd': int(ignored),
        'ignore': int(ignored),
    }


def _results(found: Sequence[Subjects]) -> list[dict[str, Any]]:
    results = []
    for index, one in enumerate(found):
        for points, heights, score in zip(
            one.keypoints[0], one.scores[0], one.box_scores[0], strict=True
        ):
            if score < 0.02:
                continue
            rows = torch.cat((points, heights[:, None]), dim=1)
            results.append(
                {
                    'image_id': index,
                    'category_id': 1,
                    'keypoints': rows.flatten().tolist(),
                    'score': float(score * heights.mean()),
                }
            )
    return results


def main() -> None:
    """Print the figures of a weight file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', type=Path, help='a weight file')
    parser.add_argument('--count', type=int, default=300, help='pictures')
    parser.add_argument('--seed', type=int, default=SEED)
    parser.add_argument('--cache', type=Path, default=Path('training/cache'))
    parser.add_argument('--no-panoramas', action='store_true', help='other backgrounds alone')
    arguments = parser.parse_args()
    network = load_network(arguments.model, 'coco')
    cache = None if arguments.no_panoramas else arguments.cache
    crowds = held_out(cache, arguments.count, arguments.seed, network.config.image_size)
    found = predict(lambda pixels: network(pixels)[0], crowds)
    print('  '.join(f'{k} {v:.3f}' for k, v in measure(found, crowds).items()))


if __name__ == '__main__':
    main()
