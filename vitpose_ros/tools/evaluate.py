"""evaluate: the average precision of a network on images with known keypoints, as COCO defines it.

The figures are computed by pycocotools, over all images of the keypoint file. As in the authors'
evaluation, a pose scores the box's score times the mean score of its certain keypoints; see coco
for boxes and doubles. In int8 the same is done in float32, and the difference told.
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
from vitpose_ros.core.runtime import Options
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Frame, Pose
from vitpose_ros.tools import command
from vitpose_ros.tools.coco import (
    FIGURES,
    Dataset,
    Subjects,
    average_precision,
    read_keypoint_file,
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
    content = read_keypoint_file(chosen.annotations)
    found = None if chosen.boxes is None else read_boxes(chosen.boxes, BOX)
    options = replace(
        command.read_options(chosen),
        keypoint_sets=chosen.keypoint_set,
        flip_test=not chosen.no_flip_test,
    )
    # Whether int8 is faster here is another question.
    estimator = PoseEstimator.with_options(chosen.model, options, at_any_speed=True)
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
    if estimator.backend.precision == 'int8' and subjects:
        plain = _in_float32(chosen.model, options, estimator)
        if plain is None:
            print(f"'{chosen.model}' is in int8 alone: give the weights to compare with float32")
        else:
            others = average_precision(
                dataset.content, estimate(plain, subjects), skeleton, dataset.image_ids
            )
            print(f'{plain.backend.description}, of the same boxes, and what int8 adds to it:')
            print('  '.join(f'{max(100 * others[name], -1):6.1f}' for name in FIGURES))
            print('  '.join(_added(figures[name], others[name]) for name in FIGURES))
    print(f'results: {chosen.results}')


def _in_float32(model: str, options: Options, fast: PoseEstimator) -> PoseEstimator | None:
    """Return what runs a network in float32 as another does in int8; None: an ONNX file."""
    if model.endswith('.onnx'):
        return None
    backend = fast.backend.description.partition(' ')[0]
    return PoseEstimator.with_options(
        model, replace(options, backend=backend, precision='float32')
    )


def _added(figure: float, other: float) -> str:
    """Return a difference of two figures in percent; those that nobody has are -1."""
    return f'{"-":>6}' if min(figure, other) < 0 else f'{100 * (figure - other):+6.1f}'


def estimate(estimator: PoseEstimator, subjects: Sequence[Subjects]) -> list[Result]:
    """Estimate the poses of all subjects; returns results as COCO writes them, without doubles."""
    size = estimator.backend.config.image_size
    regions = np.concatenate([crop_regions(s.boxes, size) for s in subjects])
    results = _estimate(estimator, subjects)
    return without_doubles(results, regions[:, 2:].prod(axis=1), estimator.skeletons[0])


def _estimate(estimator: PoseEstimator, subjects: Sequence[Subjects]) -> list[Result]:
    """Return one result per box."""
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
