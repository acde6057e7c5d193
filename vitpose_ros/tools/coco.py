"""COCO's keypoint files: what to estimate, and the average precision of results.

The formats are cocodataset.org's, "Data format" and "Results format". Boxes and doubles are
treated as in the authors' evaluation (github.com/ViTAE-Transformer/ViTPose, on mmpose): true boxes
are cut to the image and lose a pixel on the right and below, those of a detector are taken as they
are, and of poses that are alike in the OKS the best counts.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.paths import is_file
from vitpose_ros.core.skeletons import Skeleton
from vitpose_ros.core.types import box_fault
from vitpose_ros.tools.coco_json import (
    DEFAULTED,
    PARTS,
    DatasetError,
    Result,
    check_entry,
    read_annotations,
)

ALIKE = 0.9  # OKS above which two poses are of one person
FIGURES = ('AP', 'AP50', 'AP75', 'APm', 'APl', 'AR', 'AR50', 'AR75', 'ARm', 'ARl')
NEEDED = ('id', 'image_id', 'category_id', 'bbox')  # of an annotation

Corners = tuple[float, float, float, float]  # x_min, y_min, x_max, y_max


@dataclass(frozen=True)
class Subjects:
    """What to estimate in an image."""

    image_id: int
    path: Path
    boxes: NDArray[np.float32]  # (n, 4) pixels: x_min, y_min, x_max, y_max
    scores: NDArray[np.float64]  # (n,) of the boxes
    categories: list[int]


def read_keypoint_file(path: Path) -> Result:
    """Read a COCO keypoint file. Raises DatasetError."""
    content = read_annotations(path)
    people = [entry for entry in content['annotations'] if 'keypoints' in entry]
    if not people:
        raise DatasetError(f'{path}: no annotation has keypoints')
    for entry in people:
        check_entry(f'{path}: an annotation', entry, NEEDED, (*PARTS, *DEFAULTED))
    return content


class Dataset:
    """The content of a COCO keypoint file, and the images that it is about."""

    def __init__(
        self,
        annotations: Path,
        images: Path,
        skeleton: Skeleton,
        *,
        content: Result | None = None,
        limit: int | None = None,
    ) -> None:
        """Take a file, and what it holds if that was read; limit: only the first so many images.

        Raises DatasetError.
        """
        self.images = images
        self.skeleton = skeleton
        content = read_keypoint_file(annotations) if content is None else content
        people = [entry for entry in content['annotations'] if 'keypoints' in entry]
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
        self._images = {entry['id']: entry for entry in content['images'][:limit]}

    @property
    def image_ids(self) -> list[int]:
        """All images that count, whether somebody found anything in them or not."""
        return list(self._images)

    @property
    def people(self) -> int:
        """How many people count: those in the images who have a keypoint and are no crowd."""
        return sum(
            bool(not p['iscrowd'] and p['num_keypoints'])
            for p in self.content['annotations']
            if p['image_id'] in self._images
        )

    def with_true_boxes(self) -> list[Subjects]:
        """Return the subjects in their true boxes: all that have a keypoint and are no crowd."""
        return self._subjects(
            (p['image_id'], self._clean(p), 1.0, p['category_id'])
            for p in self.content['annotations']
            if p['image_id'] in self._images
            and not p['iscrowd']
            and p['area'] > 0
            and any(v > 0 for v in p['keypoints'][2::3])
        )

    def with_boxes(self, boxes: Iterable[Result], threshold: float) -> list[Subjects]:
        """Return what a detector found with at least a score; boxes: as read_boxes gives them."""
        known = {p['category_id'] for p in self.content['annotations']}
        return self._subjects(
            (b['image_id'], (x, y, x + width, y + height), float(b['score']), b['category_id'])
            for b in boxes
            for x, y, width, height in [b['bbox']]
            if b['category_id'] in known and b['score'] >= threshold
        )

    def _clean(self, entry: Result) -> Corners:
        """Return a true box as the authors cut it."""
        image = self._images[entry['image_id']]
        x, y, width, height = entry['bbox']
        left, top = max(0, x), max(0, y)
        right = min(image.get('width', np.inf) - 1, left + max(0, width - 1))
        bottom = min(image.get('height', np.inf) - 1, top + max(0, height - 1))
        return left, top, right, bottom

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

    def _subjects(self, rows: Iterable[tuple[int, Corners, float, int]]) -> list[Subjects]:
        """Gather boxes by image, without those that no crop can be cut for."""
        of_image: dict[int, list[tuple[Corners, float, int]]] = {}
        for image_id, corners, score, category in rows:
            if image_id in self._images:
                image = self._images[image_id]
                box = np.array(corners, dtype=np.float32)
                if not box_fault(box, image.get('width', 1e6), image.get('height', 1e6)):
                    of_image.setdefault(image_id, []).append((corners, score, category))
        found = []
        for image_id, subjects in of_image.items():
            path = self.images / self._images[image_id]['file_name']
            if not is_file(path):
                raise DatasetError(f'{path}: no image there; is {self.images} the right folder?')
            boxes, scores, categories = zip(*subjects, strict=True)
            found.append(
                Subjects(
                    image_id,
                    path,
                    np.array(boxes, dtype=np.float32),
                    np.array(scores),
                    list(categories),
                )
            )
        return found


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

    image_ids: all images that count; people in them whom no result is about are missed. Figures
    of sizes that no subject has are -1, as in pycocotools.
    """
    from contextlib import redirect_stdout

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(sys.stderr):
        truth = COCO()
        truth.dataset = content
        truth.createIndex()
        found = truth.loadRes(results) if results else COCO()  # loadRes takes no empty list
        evaluation = COCOeval(truth, found, 'keypoints')
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
        evaluation.params.imgIds = list(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(FIGURES, (float(value) for value in evaluation.stats), strict=True))
