"""Detection messages to objects, and what is to be said of those that get no keypoints."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vision_msgs.msg import Detection2D, ObjectHypothesis

from vitpose_ros.core.boxes.objects import Chosen, Filter, Objects, hulls
from vitpose_ros.ros import yolo
from vitpose_ros.ros.logs import InputError

NAN = float('nan')


def read_detections(message: Any) -> Objects:
    """Return what a detector found, in the order of the message.

    message: Detection2DArray, of which the likeliest class of each object counts, or one of
    yolo_msgs.
    """
    if yolo.is_one(message):
        return yolo.read(message)
    best = [_best(detection) for detection in message.detections]
    return Objects(
        _corners(message.detections),
        np.array([NAN if h is None else h.score for h in best], dtype=np.float32),
        ['' if h is None else h.class_id for h in best],
        [detection.id for detection in message.detections],
    )


def faults_of(objects: Objects, chosen: Chosen, wanted: Filter) -> list[InputError]:
    """Return what is to be said of objects that were wanted, and get no keypoints."""
    faults = [
        InputError(
            f'box {fault}',
            f'box of detection {row} (x_min, y_min, x_max, y_max: '
            f'{", ".join(f"{value:g}" for value in objects.boxes[row])}) {fault}; it is left out',
        )
        for row, fault in chosen.faults
    ]
    if chosen.left_out:
        count = len(chosen.objects) + chosen.left_out
        faults.append(
            InputError(
                'many subjects',
                f'{count} boxes in one frame, {chosen.left_out} more than max_subjects = '
                f'{wanted.max_subjects}; the smallest are left out',
            )
        )
    return faults


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
    return hulls(values)
