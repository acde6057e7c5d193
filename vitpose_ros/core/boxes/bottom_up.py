"""Everybody in an image at once, with a bottom-up network: boxes and keypoints in one pass."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vitpose_ros.core.boxes.detector import LEAST_SCORE, rgb
from vitpose_ros.core.boxes.objects import Objects
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.runtime import Backend, Decoding, Options, open_backend
from vitpose_ros.core.runtime.options import DEFAULTS
from vitpose_ros.core.runtime.processor import torch_threads
from vitpose_ros.core.types import Frame
from vitpose_ros.core.weights import CheckpointError, load_network

LOG = logging.getLogger(__name__)

CLASS = 'person'


class BottomUp:
    """Finds everybody in images, whoever they are. For one thread at a time."""

    kind = 'bottom-up'

    def __init__(self, backend: Backend, most: int = 1) -> None:
        """Take what runs the network, and how many images one pass gets, at most.

        Raises DeviceError where its memory does not suffice.
        """
        self.backend = backend
        with backend.lock:
            self._most = backend.prepare(Decoding(), most)
        self.keypoint_set = backend.config.keypoint_sets[0]
        self.class_names = {0: CLASS}

    @classmethod
    def load(cls, model: str | Path, options: Options = DEFAULTS, *, most: int = 1) -> 'BottomUp':
        """Load a network: a known name, or a file.

        options: those of PoseEstimator; of the sizes of images that of the network counts. most:
        images in a pass. Raises the errors of PoseEstimator.with_options.
        """
        network = load_network(model)
        if not network.config.bottom_up:
            raise CheckpointError(
                f"weights '{model}' are of a top-down network, which needs boxes; give those of a "
                'bottom-up one'
            )
        return cls(open_backend(network, replace(options, max_batch=most)), most)

    @property
    def warning(self) -> str:
        """What its network could not have, and the remedy."""
        return self.backend.warning

    def find(self, frames: Sequence[Frame], min_score: float = LEAST_SCORE) -> list[Objects]:
        """Return who is in frames, with their poses; the boxes of the frames are not looked at."""
        objects: list[Objects] = []
        for start in range(0, len(frames), self._most):
            objects += self._find(frames[start : start + self._most], min_score)
        return objects

    def _find(self, frames: Sequence[Frame], min_score: float) -> list[Objects]:
        size = self.backend.config.image_size
        pictures = torch.zeros((len(frames), *size, 3), dtype=torch.uint8)
        scales = [
            _draw(frame, picture.numpy()) for frame, picture in zip(frames, pictures, strict=True)
        ]
        with self.backend.lock, torch_threads(self.backend.threads):
            found = self.backend.subjects(pictures)
        rows = (found.keypoints, found.scores, found.boxes, found.box_scores)
        return [
            self._objects(frame, scale, min_score, *(values.numpy() for values in own))
            for frame, scale, *own in zip(frames, scales, *rows, strict=True)
        ]

    def _objects(
        self,
        frame: Frame,
        scale: NDArray[np.float64],
        least: float,
        keypoints: NDArray[np.float32],
        scores: NDArray[np.float32],
        boxes: NDArray[np.float32],
        chances: NDArray[np.float32],
    ) -> Objects:
        """Return whom a frame shows of those who were found in its picture."""
        height, width = frame.image.shape[:2]
        boxes = (boxes / np.tile(scale, 2)).clip(0, [width, height, width, height])
        there = (chances >= max(least, np.finfo(np.float32).tiny)) & (
            (boxes[:, 2:] - boxes[:, :2]).min(axis=1) > 0
        )
        boxes, chances = boxes[there].astype(np.float32), chances[there]
        count = len(boxes)
        sets, names = [self.keypoint_set] * count, [CLASS] * count
        own = Frame(frame.image, boxes, frame.channels, sets, names, (), chances)
        poses = Poses.to_be_filled(own, sets)
        # Centres of pixels have whole numbers, in the image as in the picture.
        poses.keypoints[:] = (keypoints[there] + 0.5) / scale - 0.5
        poses.scores[:] = scores[there]
        return Objects(boxes, chances, names, poses=poses)


def options_beside(options: Options, backend: Backend) -> Options:
    """Return the options of a bottom-up network that runs beside another, where that one does.

    options: those that the other was opened with; backend: what became of them. Of the precision
    what the other got is kept, but int8, for which bottom-up networks have no calibration.
    """
    precision = options.precision
    if precision == 'int8':
        LOG.warning(
            'precision int8 is not for bottom-up networks, which have no calibration: this one '
            'runs in what auto gives'
        )
    if precision == 'int8' or precision != backend.precision:
        precision = 'auto'
    return replace(options, keypoint_sets=None, device=backend.place, precision=precision)


def _draw(frame: Frame, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Fit a frame into a black picture (h, w, 3) RGB, at its top left; return the scale (x, y)."""
    image = rgb(frame)
    size = np.array(image.shape[1::-1])
    scale = (np.array(picture.shape[1::-1]) / size).min()
    to = np.maximum(np.round(size * scale), 1).astype(int)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture[: to[1], : to[0]] = cv2.resize(image, to.tolist(), interpolation=way)
    return np.asarray(to / size)
