"""Measure a network that finds everybody, on pictures that training never sees.

Of other bodies, places and seeds; it sees them as the node's images, through its runtime. Figures:

- AP, AP50: by OKS as COCO defines them, of people of at least 60 pixels, over the keypoints that
  neither others nor things hide; those of smaller people count neither for nor against.
- AP with hidden: the same, over all keypoints inside the image.
- recall: the share of their boxes that are found at IoU 0.5, each by a box of its own.
- false: people found in a picture without anybody.
"""

import argparse
import contextlib
import io
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.optimize import linear_sum_assignment

from training.crowd_pictures import CrowdComposer
from training.crowds import COVERED, HIDDEN, SEEN, SIZE, Crowd, boxes_of
from vitpose_ros.core.boxes.bottom_up import BottomUp
from vitpose_ros.core.boxes.objects import Objects
from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.skeletons import AREA_OF_BOX
from vitpose_ros.core.types import NO_BOXES, Frame
from world import panoramas
from world.people import People
from world.views import Variety

Array = NDArray[Any]

SEED = 765_432  # no seed of training
VIEWS, PICTURES, THINGS = 1, 2, 3  # what random numbers are for
LEAST = 60  # pixels: the longer side of the box of who counts
VARIETY = Variety(sport=0.1, close=0.1, covered=0.5)
SURE = 0.3  # the score of who counts as found
LEAST_SCORE = 0.02  # of who counts for AP


def held_out(
    cache: Path | None,
    count: int,
    empty: int,
    seed: int = SEED,
    size: tuple[int, int] = SIZE,
) -> list[Crowd]:
    """Return so many pictures of people, and of things alone (empty); the same each time."""
    places = [] if cache is None else panoramas.load(cache, held_out=True)
    people = People(places)
    views = [
        view
        for index in range(max(8, count // 2))
        for view in people.views(np.random.default_rng([seed, VIEWS, index]), 2, VARIETY)
    ]
    things = [
        people.thing(np.random.default_rng([seed, THINGS, index])) for index in range(count // 3)
    ]
    composer = CrowdComposer(views, places, size, things=things)
    return [
        composer.picture(
            np.random.default_rng([seed, PICTURES, index]), None if index < count else 0
        )
        for index in range(count + empty)
    ]


def predict(
    network: BottomUp, crowds: Sequence[Crowd], refined: PoseEstimator | None = None
) -> list[Objects]:
    """Return whom a network finds in pictures; refined: what estimates their poses anew."""
    found = []
    for crowd in crowds:
        [objects] = network.find([Frame(crowd.picture, NO_BOXES, 'rgb')], LEAST_SCORE)
        if refined is not None and len(objects):
            [poses] = refined.predict([Frame(crowd.picture, objects.boxes, 'rgb')])
            objects = Objects(objects.boxes, objects.scores, objects.class_names, poses=poses)
        found.append(objects)
    return found


def measure(found: Sequence[Objects], crowds: Sequence[Crowd]) -> dict[str, float]:
    """Return the figures of what was found in pictures."""
    results = _results(found, crowds)
    figures: dict[str, float] = {}
    for name, states in (('', (SEEN, HIDDEN)), (' with hidden', (SEEN, HIDDEN, COVERED))):
        precision = _precision(_truth(crowds, states), results)
        figures[f'AP{name}'], figures[f'AP50{name}'] = precision.mean(), precision[0].mean()
    recalled, total, false, empty = 0, 0, 0, 0
    for one, crowd in zip(found, crowds, strict=True):
        sure = one.boxes[one.scores >= SURE]
        counted = _counted(crowd)
        if len(crowd.people) == 0 and len(crowd.ignored) == 0:
            empty, false = empty + 1, false + len(sure)
        total += len(counted)
        hits = overlaps(counted, sure) >= 0.5
        recalled += int(hits[linear_sum_assignment(hits, maximize=True)].sum())
    figures['recall'] = recalled / max(1, total)
    figures['false'] = false / max(1, empty)
    figures['people'], figures['empty'] = total, empty
    return {name: round(float(value), 4) for name, value in figures.items()}


def _precision(truth: dict[str, Any], results: list[dict[str, Any]]) -> Array:
    """Return COCO's precision at each OKS threshold and recall, (10, 101)."""
    if not results:
        return np.zeros((10, 101))
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = truth
        known.createIndex()
        scoring = COCOeval(known, known.loadRes(deepcopy(results)), 'keypoints')
        scoring.params.areaRng = [[0, 1e10]]
        scoring.params.areaRngLbl = ['all']
        scoring.evaluate()
        scoring.accumulate()
    return np.asarray(scoring.eval['precision'][:, :, 0, 0, 0])


def _is_large(boxes: Array) -> Array:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= LEAST)


def _counted(crowd: Crowd) -> Array:
    """Return the boxes of who counts, (n, 4)."""
    boxes = boxes_of(crowd.people)
    return boxes[_is_large(boxes)]


def overlaps(first: Array, second: Array) -> Array:
    """Return the IoU of boxes (n, 4) and (m, 4), (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (first, second)]
    return np.array(common / (areas[0][:, None] + areas[1] - common))


def _truth(crowds: Sequence[Crowd], states: Sequence[int]) -> dict[str, Any]:
    annotations = []
    for index, crowd in enumerate(crowds):
        for member in crowd.people:
            there = np.isin(member.states, states)
            marks = np.where(there, np.where(member.states == SEEN, 2, 1), 0)
            points = np.column_stack((np.where(there[:, None], member.points, 0), marks))
            ignored = not (_is_large(member.box[None])[0] and there.any())
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
        # Without keypoints to count, COCO's measure leaves somebody and who is found there out.
        'num_keypoints': 0 if ignored else int((points[:, 2] > 0).sum()),
        'iscrowd': 0,
    }


def _results(found: Sequence[Objects], crowds: Sequence[Crowd]) -> list[dict[str, Any]]:
    """Return what counts: who is too small, and is nobody who counts, does not."""
    results = []
    for index, (one, crowd) in enumerate(zip(found, crowds, strict=True)):
        is_of_counted = (overlaps(one.boxes, _counted(crowd)) >= 0.5).any(axis=1)
        assert isinstance(one.poses, Poses)
        for row in np.flatnonzero(_is_large(one.boxes) | is_of_counted).tolist():
            scores = one.poses.scores[row]
            points = np.column_stack((one.poses.keypoints[row], scores))
            results.append(
                {
                    'image_id': index,
                    'category_id': 1,
                    'keypoints': points.flatten().tolist(),
                    'score': float(one.scores[row] * scores.mean()),
                }
            )
    return results


def main() -> None:
    """Print the figures of a weight file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', type=Path, help='a weight file')
    parser.add_argument('--count', type=int, default=300, help='pictures of people')
    parser.add_argument('--empty', type=int, default=300, help='pictures without any')
    parser.add_argument('--seed', type=int, default=SEED)
    parser.add_argument('--refine', metavar='MODEL', help='estimate poses with this network')
    parser.add_argument('--cache', type=Path, default=Path('training/cache'))
    parser.add_argument('--no-panoramas', action='store_true', help='other backgrounds alone')
    arguments = parser.parse_args()
    network = BottomUp.load(arguments.model)
    refined = arguments.refine and PoseEstimator.load(arguments.refine)
    cache = None if arguments.no_panoramas else arguments.cache
    crowds = held_out(cache, arguments.count, arguments.empty, arguments.seed)
    figures = measure(predict(network, crowds, refined or None), crowds)
    print('  '.join(f'{name} {value:.3f}' for name, value in figures.items()))


if __name__ == '__main__':
    main()
