"""Detection messages to boxes: which subjects of a frame get keypoints, and which ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesis

from vitpose_ros.core.types import box_fault
from vitpose_ros.ros.classes import ClassNames
from vitpose_ros.ros.logs import InputError

NAN = float('nan')


@dataclass(frozen=True)
class Detections:
    """The subjects of one image, as parallel sequences, and what became of the others."""

    boxes: NDArray[np.float32]  # (n, 4) float32, pixels: x_min, y_min, x_max, y_max
    ids: Sequence[str]  # track ids, empty where there is none
    class_ids: Sequence[str]  # empty where the detector gave none
    scores: Sequence[float]  # NaN where the detector gave none
    faults: Sequence[InputError] = ()  # what is to be said of the others
    faulty: int = 0  # those that are no boxes in the image
    filtered: int = 0  # those of another class, or below the score
    left_out: int = 0  # those beyond max_subjects


@dataclass(frozen=True)
class Filter:
    """Which detections are wanted."""

    names: ClassNames
    classes: Sequence[str]  # names or numbers; empty: all
    min_score: float  # detections without a score pass
    max_subjects: int  # the largest ones

    def wants(self, best: ObjectHypothesis | None) -> bool:
        """Tell whether a detection is wanted, by its likeliest class."""
        if best is not None and self.min_score > 0 and best.score < self.min_score:
            return False
        class_id = best.class_id if best is not None else ''
        return not self.classes or self.names.is_one_of(class_id, self.classes)


def whole_image(width: int, height: int) -> Detections:
    """Return the one subject of an image that holds a single one, with the image as its box."""
    box = np.array([[0, 0, width, height]], dtype=np.float32)
    return Detections(box, [''], [''], [NAN])


def read_detections(
    message: Detection2DArray, wanted: Filter, *, width: int, height: int
) -> Detections:
    """Read the detections of an image of the given size; the order is that of the message."""
    best = [_best(detection) for detection in message.detections]
    chosen = [index for index, hypothesis in enumerate(best) if wanted.wants(hypothesis)]
    boxes = _corners([message.detections[index] for index in chosen])
    faults = []
    usable = []  # of those chosen
    for position, index in enumerate(chosen):
        fault = box_fault(boxes[position], width, height)
        if fault is None:
            usable.append(position)
        else:
            faults.append(_fault(message.detections[index], index, fault))
    faulty = len(faults)
    left_out = max(len(usable) - wanted.max_subjects, 0)
    if left_out:
        faults.append(
            InputError(
                'many subjects',
                f'{len(usable)} boxes in one frame, {left_out} more than '
                f'max_subjects = {wanted.max_subjects}; the smallest are left out',
            )
        )
        area = np.prod(boxes[usable, 2:] - boxes[usable, :2], axis=1)
        largest = np.argsort(-area, kind='stable')[: wanted.max_subjects]
        usable = sorted(usable[position] for position in largest)
    kept = [chosen[position] for position in usable]
    hypotheses = [best[index] for index in kept]
    return Detections(
        boxes=boxes[usable],
        ids=[message.detections[index].id for index in kept],
        class_ids=['' if h is None else h.class_id for h in hypotheses],
        scores=[NAN if h is None else h.score for h in hypotheses],
        faults=faults,
        faulty=faulty,
        filtered=len(best) - len(chosen),
        left_out=left_out,
    )


def _best(detection: Detection2D) -> ObjectHypothesis | None:
    hypotheses = (result.hypothesis for result in detection.results)
    return max(hypotheses, key=lambda hypothesis: hypothesis.score, default=None)


def _corners(detections: Sequence[Detection2D]) -> NDArray[np.float32]:
    """Return the boxes as corners, (n, 4); of turned ones, those of their upright hulls."""
    values = np.array(
        [
            (
                box.center.position.x,
                box.center.position.y,
                box.size_x,
                box.size_y,
                box.center.theta,
            )
            for box in (detection.bbox for detection in detections)
        ],
        dtype=np.float64,
    ).reshape(-1, 5)
    with np.errstate(invalid='ignore', over='ignore'):  # box_fault finds what comes of it
        cosine, sine = np.abs(np.cos(values[:, 4:])), np.abs(np.sin(values[:, 4:]))
        half = (values[:, 2:4] * cosine + values[:, 3:1:-1] * sine) / 2
        return np.hstack((values[:, :2] - half, values[:, :2] + half)).astype(np.float32)


def _fault(detection: Detection2D, index: int, fault: str) -> InputError:
    box = detection.bbox
    return InputError(
        f'box {fault}',
        f'box of detection {index} (centre {box.center.position.x:g}, '
        f'{box.center.position.y:g}, size {box.size_x:g} x {box.size_y:g}) {fault}; it is left '
        'out',
    )
