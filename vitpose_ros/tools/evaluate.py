"""evaluate: the average precision of a network on images with known keypoints, as COCO defines it.

The figures are computed by pycocotools, over all images of the keypoint file. As in the authors'
evaluation, a pose scores the box's score times the mean score of its certain keypoints; see coco
for boxes and doubles.
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.geometry.crops import crop_regions
from vitpose_ros.core.jpeg import read_picture
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Frame, Pose
from vitpose_ros.tools import command
from vitpose_ros.tools.coco import (
    FIGURES,
    Dataset,
    Subjects,
    average_precision,
    read_annotations,
    without_doubles,
)
from vitpose_ros.tools.coco_json import DatasetError, Result, read_boxes
from vitpose_ros.tools.progress import Progress

BOX = ('image_id', 'category_id', 'bbox', 'score')  # what a box of a detector has
CERTAIN = 0.2  # score from which on a keypoint counts for the score of its pose


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; return the exit code."""
    return command.run(_parser(prog), _run, arguments)


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.partition(': ')[2])
    parser.add_argument('annotations', type=Path, help='a COCO keypoint file')
    parser.add_argument('images', type=Path, help="the folder that the file's names are in")
    command.add_model(parser)
    parser.add_argument('--keypoint-set', choices=SKELETONS, help="the network's first without it")
    parser.add_argument('--boxes', type=Path, help='a COCO results file; true boxes without it')
    parser.add_argument(
        '--box-threshold', type=command.number, default=0.0, help='least score of a box'
    )
    parser.add_argument('--no-flip-test', action='store_true', help='half the time, less precise')
    parser.add_argument('--limit', type=command.whole(1), help='only the first so many images')
    parser.add_argument(
        '--results',
        type=command.new_file,
        default='keypoint_results.json',
        help='the file to write; keypoint_results.json if left out',
    )
    names = ('device', 'backend', 'precision', 'threads', 'max_batch', 'cuda_graphs')
    command.add_options(parser, *names, precision='float32')
    return parser


def _run(chosen: argparse.Namespace) -> None:
    if importlib.util.find_spec('pycocotools') is None:
        raise DatasetError('pycocotools is missing: pip install pycocotools')
    command.keep('--results', chosen.results, filter(None, [chosen.annotations, chosen.boxes]))
    content = read_annotations(chosen.annotations)
    found = None if chosen.boxes is None else read_boxes(chosen.boxes, BOX)
    options = replace(
        command.read_options(chosen),
        keypoint_sets=chosen.keypoint_set,
        flip_test=not chosen.no_flip_test,
    )
    estimator = PoseEstimator.with_options(chosen.model, options)
    skeleton = estimator.skeletons[0]
    dataset = Dataset(
        chosen.annotations, chosen.images, skeleton, content=content, limit=chosen.limit
    )
    if found is None:
        subjects, boxes = dataset.with_true_boxes(), 'true boxes'
    else:
        subjects, boxes = dataset.with_boxes(found, chosen.box_threshold), chosen.boxes.name
    results: list[Result] = []
    if subjects:
        results = estimate(estimator, subjects)
        size = estimator.backend.config.image_size
        regions = np.concatenate([crop_regions(s.boxes, size) for s in subjects])
        results = without_doubles(results, regions[:, 2:].prod(axis=1), skeleton)
    elif found is None or any(box['score'] >= chosen.box_threshold for box in found):
        raise DatasetError(
            f'{chosen.boxes or chosen.annotations}: no box to look at; are its image_id and '
            f'category_id those of {chosen.annotations}?'
        )
    else:  # a detector may find nothing
        print(f'warning: {chosen.boxes}: no box, so everybody is missed', file=sys.stderr)
    try:
        chosen.results.write_text(json.dumps(results))
    except OSError as error:  # the figures are still worth something
        print(f'{chosen.results} cannot be written: {error}', file=sys.stderr)
    figures = average_precision(dataset.content, results, skeleton, dataset.image_ids)
    count = sum(len(s.boxes) for s in subjects)
    print(
        f"{chosen.model}, keypoint set '{skeleton.name}': {count} boxes ({boxes}) in "
        f'{len(subjects)} images; what counts: {dataset.people} people in '
        f'{len(dataset.image_ids)} images'
    )
    print('  '.join(f'{name:>6}' for name in FIGURES))
    # Figures of sizes that nobody has are -1.
    print('  '.join(f'{max(100 * figures[name], -1):6.1f}' for name in FIGURES))
    print(f'results: {chosen.results}')


def estimate(estimator: PoseEstimator, subjects: Sequence[Subjects]) -> list[Result]:
    """Estimate the poses of all subjects; returns results as COCO writes them, one per box."""
    results: list[Result] = []
    progress = Progress(len(subjects))
    for image in subjects:
        pixels = read_picture(image.path)
        if pixels is None:
            raise DatasetError(f'{image.path}: no image there that OpenCV reads')
        try:
            [poses] = estimator.predict([Frame(pixels, image.boxes, 'bgr')])
        except ValueError as error:
            raise DatasetError(f'{image.path}: {error}') from error
        for pose, score, category in zip(poses, image.scores, image.categories, strict=True):
            results.append(_result(image.image_id, category, pose, float(score)))
        progress.add()
    progress.close()
    return results


def _result(image_id: int, category: int, pose: Pose, box_score: float) -> Result:
    certain = pose.scores[pose.scores > CERTAIN]
    score = box_score * float(certain.mean() if len(certain) else 0.0)
    rows = np.column_stack((pose.keypoints, pose.scores)).astype(float)
    return {
        'image_id': image_id,
        'category_id': category,
        'keypoints': [round(value, 3) for value in rows.ravel().tolist()],
        'score': score,
    }
