"""Detections of yolo_ros, in messages of its own (package yolo_msgs), where that is installed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vitpose_ros.core.boxes.objects import Objects, hulls


def message_types() -> Sequence[type]:
    """Return the type of its messages; none where it is not installed."""
    try:
        from yolo_msgs.msg import DetectionArray
    except ImportError:
        return ()
    return (DetectionArray,)


def is_one(message: Any) -> bool:
    """Tell whether a message is one of its."""
    return type(message).__module__.startswith('yolo_msgs.')


def read(message: Any) -> Objects:
    """Return what a message tells of; of turned boxes, their upright hulls."""
    found = message.detections
    values = [
        (
            d.bbox.center.position.x,
            d.bbox.center.position.y,
            d.bbox.size.x,
            d.bbox.size.y,
            d.bbox.center.theta,
        )
        for d in found
    ]
    return Objects(
        hulls(np.array(values, dtype=np.float64).reshape(-1, 5)),
        np.array([d.score for d in found], dtype=np.float32),
        [d.class_name or str(d.class_id) for d in found],
        [d.id for d in found],
    )
