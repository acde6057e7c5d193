"""The network of a configured node."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vitpose_ros.core import Frame, Options, PoseEstimator
from vitpose_ros.ros.classes import KeypointSetChoice
from vitpose_ros.ros.memory import release_memory
from vitpose_ros.ros.parameters import Parameters


class Logger(Protocol):
    """What is used of rclpy's logger."""

    info: Callable[[str], None]
    warning: Callable[[str], object]
    error: Callable[[str], object]


@dataclass(frozen=True)
class Network:
    """A network that is ready, and what is to be known of it."""

    model: str
    estimator: PoseEstimator
    keypoint_sets: KeypointSetChoice
    max_batch: int  # as asked for; the estimator's is less once memory ran out
    warning: str  # why it does not run as asked for

    @property
    def description(self) -> str:
        """Say what runs, and why so."""
        backend = self.estimator.backend
        sets = ', '.join(skeleton.name for skeleton in self.estimator.skeletons)
        return (
            f"network '{self.model}' is ready with {backend.description} ({backend.reason}), "
            f'for {sets}'
        )


def load(values: Parameters, log: Logger, *, with_depth: bool) -> Network:
    """Load the network that the parameters name, and run it once, so that what fails does so now.

    Without the device asked for, it runs on the CPU. with_depth: it measures how far heatmaps
    spread, by which errors in metres are told. Raises the errors of PoseEstimator.load, and
    ValueError for keypoint sets that are not in use.
    """
    options = Options(
        device=values.device,
        backend=values.backend,
        precision=values.precision,
        threads=values.threads,
        keypoint_sets=values.wanted_keypoint_sets(),
        max_batch=values.max_batch,
        flip_test=values.flip_test,
        heatmap_spread=values.heatmap_spread or with_depth,
        decode=values.decode,
        cuda_graphs=values.cuda_graphs,
    )
    estimator = PoseEstimator.with_options(values.model, options, cpu_instead=True)
    warning = estimator.backend.warning
    if warning:
        log.error(warning)
    release_memory(log.warning)  # what loading took
    estimator.predict([Frame(np.zeros((64, 64, 3), np.uint8), np.array([[0, 0, 64, 64]]))])
    keypoint_sets = KeypointSetChoice(
        values.numbered_class_names(),
        [skeleton.name for skeleton in estimator.skeletons],
        values.keypoint_sets_by_class(),
    )
    return Network(values.model, estimator, keypoint_sets, values.max_batch, warning)
