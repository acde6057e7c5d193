"""evaluate: the average precision of a network on images with known keypoints, as COCO defines it.

Keypoint and box files are COCO's (cocodataset.org, "Data format" and "Results format"); the
figures are computed by pycocotools. What is done with boxes that a detector gave is what the
authors' evaluation does (github.com/ViTAE-Transformer/ViTPose, on mmpose): a pose scores the
box's score times the mean score of its certain keypoints, and of poses that are alike in the OKS
the best counts.
"""

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.errors import VitposeError
from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.geometry.crops import crop_regions
from vitpose_ros.core.skeletons import SKELETONS, Skeleton
from vitpose_ros.core.types import Frame, Pose, box_fault
from vitpose_ros.core.weights import EMBEDDED_MODEL
from vitpose_ros.tools.command import add_options, read_options, run

CERTAIN = 0.2  # score from which on a keypoint counts for the score of its pose
ALIKE = 0.9  # OKS above which two poses are of one person
FIGURES = ('AP', 'AP50', 'AP75', 'APm', 'APl', 'AR', 'AR50', 'AR75', 'ARm', 'ARl')
# COCO-WholeBody keeps its keypoints in lists of their own.
PARTS = ('keypoints', 'foot_kpts', 'face_kpts', 'lefthand_kpts', 'righthand_kpts')
REPORT_S = 10.0  # seconds between lines about the progress

Result = dict[str, Any]


class DatasetError(VitposeError):
    """A keypoint file, a box file or an image that can't be used; says which, and what to do."""


@dataclass(frozen=True)
class Subjects:
    """What to estimate in an image."""

    image_id: int
    path: Path
    boxes: NDArray[np.float32]  # (n, 4) pixels: x_min, y_min, x_max, y_max
    scores: NDArray[np.float64]  # (n,) of the boxes
    categories: list[int]


class Dataset:
    """A COCO keypoint file and the images that it is about."""

    def __init__(self, annotations: Path, images: Path, skeleton: Skeleton) -> None:
        """Read the file. Raises DatasetError."""
        self.images = images
        self.skeleton = skeleton
        content = _read(annotations)
        if not isinstance(content, dict) or not {'images', 'annotations'} <= content.keys():
            raise DatasetError(f'{annotations}: not a COCO keypoint file; it has no images')
        self._annotations = content['annotations']
        people = [entry for entry in self._annotations if 'keypoints' in entry]
        if not people:
            raise DatasetError(f'{annotations}: no annotation has keypoints')
        for entry in people:
            entry['keypoints'] = self._joined(entry, annotations)
            # Some sets have no outlines.
            entry.setdefault('area', float(np.prod(entry['bbox'][2:])))
            entry.setdefault('iscrowd', 0)
            entry.setdefault('num_keypoints', sum(v > 0 for v in entry['keypoints'][2::3]))
        content['annotations'] = people
        content.setdefault('categories', [{'id': i} for i in {p['category_id'] for p in people}])
        content.setdefault('info', {})
        self.content = content
        self._images = {entry['id']: entry for entry in content['images']}

    def with_true_boxes(self) -> list[Subjects]:
        """Return the subjects in their true boxes: all that have a keypoint and are no crowd."""
        return self._subjects(
            (p['image_id'], p['bbox'], 1.0, p['category_id'])
            for p in self.content['annotations']
            if not p['iscrowd'] and any(v > 0 for v in p['keypoints'][2::3])
        )

    def with_boxes(self, path: Path, threshold: float) -> list[Subjects]:
        """Return what a detector found, from a results file, with a score above a threshold."""
        boxes = _read(path)
        if not isinstance(boxes, list):
            raise DatasetError(f'{path}: not a COCO results file; it should be a list of boxes')
        known = {p['category_id'] for p in self.content['annotations']}
        try:
            rows = [
                (b['image_id'], b['bbox'], float(b['score']), b['category_id'])
                for b in boxes
                if b['category_id'] in known and b['score'] > threshold
            ]
        except (KeyError, TypeError) as error:
            raise DatasetError(f'{path}: a box without {error}') from error
        return self._subjects(iter(rows))

    def _joined(self, entry: Result, path: Path) -> list[float]:
        """Return the keypoints of an annotation as one list of x, y, visibility."""
        count = len(self.skeleton)
        keypoints: list[float] = list(entry['keypoints'])
        if len(keypoints) != 3 * count and all(part in entry for part in PARTS):
            keypoints = [value for part in PARTS for value in entry[part]]
        if len(keypoints) != 3 * count:
            raise DatasetError(
                f'{path}: annotation {entry.get("id")} has {len(keypoints) // 3} keypoints, the '
                f"network's set '{self.skeleton.name}' has {count}; choose another by "
                '--keypoint-set'
            )
        return keypoints

    def _subjects(self, rows: Iterator[tuple[int, Any, float, int]]) -> list[Subjects]:
        of_image: dict[int, list[tuple[Any, float, int]]] = {}
        for image_id, box, score, category in rows:
            if image_id in self._images:
                of_image.setdefault(image_id, []).append((box, score, category))
        found = []
        for image_id, subjects in of_image.items():
            image = self._images[image_id]
            corners = []
            for (x, y, width, height), _, _ in subjects:
                corners.append((x, y, x + width, y + height))
            boxes = np.array(corners, dtype=np.float32)
            if 'width' in image and 'height' in image:
                boxes = boxes.clip(0, [image['width'] - 1, image['height'] - 1] * 2)
            kept = [
                i for i, box in enumerate(boxes)
                if box_fault(box, image.get('width', 1e6), image.get('height', 1e6)) is None
            ]  # fmt: skip
            found.append(
                Subjects(
                    image_id,
                    self.images / image['file_name'],
                    boxes[kept],
                    np.array([subjects[i][1] for i in kept]),
                    [subjects[i][2] for i in kept],
                )
            )
        return [subjects for subjects in found if len(subjects.boxes)]


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = _parser(prog)
    chosen = parser.parse_args(arguments)
    return run(parser.prog, lambda: _run(chosen))


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.partition(': ')[2])
    parser.add_argument('annotations', type=Path, help='a COCO keypoint file')
    parser.add_argument('images', type=Path, help="the folder that the file's names are in")
    parser.add_argument(
        '--model', default=EMBEDDED_MODEL, help='a file, a directory, or a known name'
    )
    parser.add_argument('--keypoint-set', choices=SKELETONS, help="the network's first without it")
    parser.add_argument('--boxes', type=Path, help='a COCO results file; true boxes without it')
    parser.add_argument('--box-threshold', type=float, default=0.0, help='least score of a box')
    parser.add_argument('--no-flip-test', action='store_true', help='half the time, less precise')
    parser.add_argument('--limit', type=int, help='only the first so many images')
    parser.add_argument(
        '--results', type=Path, default=Path('keypoint_results.json'), help='the file to write'
    )
    names = ('device', 'backend', 'precision', 'threads', 'max_batch')
    add_options(parser, *names, precision='float32')
    return parser


def _run(chosen: argparse.Namespace) -> None:
    if importlib.util.find_spec('pycocotools') is None:
        raise DatasetError("pycocotools is missing: pip install 'vitpose_ros[evaluate]'")
    options = replace(
        read_options(chosen),
        keypoint_sets=chosen.keypoint_set,
        flip_test=not chosen.no_flip_test,
    )
    estimator = PoseEstimator.with_options(chosen.model, options)
    skeleton = estimator.skeletons[0]
    dataset = Dataset(chosen.annotations, chosen.images, skeleton)
    if chosen.boxes is None:
        subjects = dataset.with_true_boxes()
    else:
        subjects = dataset.with_boxes(chosen.boxes, chosen.box_threshold)
    subjects = subjects[: chosen.limit]
    if not subjects:
        raise DatasetError(f'{chosen.boxes or chosen.annotations}: no box to look at')
    results = estimate(estimator, subjects)
    if chosen.boxes is not None:
        size = estimator.backend.config.image_size
        regions = np.concatenate([crop_regions(s.boxes, size) for s in subjects])
        results = without_doubles(results, regions[:, 2:].prod(axis=1), skeleton)
    chosen.results.write_text(json.dumps(results))
    figures = average_precision(dataset.content, results, skeleton, [s.image_id for s in subjects])
    people = sum(len(s.boxes) for s in subjects)
    boxes = 'true boxes' if chosen.boxes is None else chosen.boxes.name
    print(f"{chosen.model}, keypoint set '{skeleton.name}': {people} boxes ({boxes}) in "
          f'{len(subjects)} images')  # fmt: skip
    print('  '.join(f'{name:>6}' for name in FIGURES))
    print('  '.join(f'{100 * figures[name]:6.1f}' for name in FIGURES))
    print(f'results: {chosen.results}')


def estimate(estimator: PoseEstimator, subjects: Sequence[Subjects]) -> list[Result]:
    """Estimate the poses of all subjects; returns results as COCO writes them, one a box."""
    results: list[Result] = []
    began = said = time.monotonic()
    for done, image in enumerate(subjects, 1):
        pixels = cv2.imread(str(image.path))
        if pixels is None:
            raise DatasetError(f'{image.path}: no image there that OpenCV reads')
        try:
            [poses] = estimator.predict([Frame(pixels, image.boxes, 'bgr')])
        except ValueError as error:
            raise DatasetError(f'{image.path}: {error}') from error
        for pose, score, category in zip(poses, image.scores, image.categories, strict=True):
            results.append(_result(image.image_id, category, pose, float(score)))
        if time.monotonic() - said > REPORT_S:
            said = time.monotonic()
            rate = done / (said - began)
            print(f'{done} of {len(subjects)} images, {rate:.1f}/s', file=sys.stderr, flush=True)
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


def without_doubles(
    results: Sequence[Result], areas: NDArray[np.float64], skeleton: Skeleton
) -> list[Result]:
    """Drop of poses that are alike all but the best: non-maximum suppression by the OKS.

    areas: (n,) square pixels, of the region that was cropped for each result.
    """
    points = [np.array(result['keypoints']).reshape(-1, 3)[:, :2] for result in results]
    spread = 2 * (2 * np.array(skeleton.sigmas)) ** 2
    kept: dict[int, list[int]] = {}
    for i in sorted(range(len(results)), key=lambda i: -results[i]['score']):
        others = kept.setdefault(results[i]['image_id'], [])
        for other in others:
            squared = ((points[i] - points[other]) ** 2).sum(axis=1)
            area = (areas[i] + areas[other]) / 2
            if np.exp(-squared / (spread * area)).mean() > ALIKE:
                break
        else:
            others.append(i)
    return [results[i] for others in kept.values() for i in others]


def average_precision(
    content: Result, results: list[Result], skeleton: Skeleton, image_ids: Sequence[int]
) -> dict[str, float]:
    """Return the figures, 0 to 1, that pycocotools gives for results on a keypoint file's content.

    Figures of sizes that no subject has are -1, as there.
    """
    from contextlib import redirect_stdout

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(sys.stderr):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), 'keypoints')
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
        evaluation.params.imgIds = list(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(FIGURES, (float(value) for value in evaluation.stats), strict=True))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise DatasetError(f'{path}: {error.strerror}') from error
    except ValueError as error:
        raise DatasetError(f'{path}: not JSON ({error})') from error
