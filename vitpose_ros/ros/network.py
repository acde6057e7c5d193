"""The network of a configured node."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitpose_ros.core import Frame, Options, PoseEstimator
from vitpose_ros.core.boxes.bottom_up import BottomUp, options_beside
from vitpose_ros.core.boxes.classes import KeypointSetChoice
from vitpose_ros.core.boxes.detector import LEAST_SCORE
from vitpose_ros.core.boxes.known import load_detector
from vitpose_ros.core.boxes.objects import Finder
from vitpose_ros.core.types import NO_BOXES
from vitpose_ros.ros.logs import Logger
from vitpose_ros.ros.memory import release_memory
from vitpose_ros.ros.parameters import SOURCES_INSIDE, Parameters


@dataclass(frozen=True)
class Network:
    """A network that is ready, and what is to be known of it."""

    model: str
    estimator: PoseEstimator
    keypoint_sets: KeypointSetChoice
    detector: Finder | None  # None: boxes come from elsewhere
    max_batch: int  # as asked for; the estimator's is less once memory ran out

    @property
    def warning(self) -> str:
        """Say why it does not run as asked for, or not any more; nothing where it does."""
        own = self.estimator.backend.warning
        other = '' if self.detector is None else self.detector.warning
        beside = f'beside it, {other}' if other and other != own else ''
        return '; '.join(filter(None, (own, beside)))

    @property
    def description(self) -> str:
        """Say what runs, and why so."""
        backend = self.estimator.backend
        beside = '' if self.detector is None else f', and a {self.detector.kind} detector'
        sets = ', '.join(skeleton.name for skeleton in self.estimator.skeletons)
        return (
            f"network '{self.model}' is ready with {backend.description} ({backend.reason}), "
            f'for {sets}{beside}'
        )


def load(
    values: Parameters, log: Logger, *, with_depth: bool, box_sources: Sequence[str] = ()
) -> Network:
    """Load the network that the parameters name, and run it once, so that what fails does so now.

    Without the device asked for, it runs on the CPU. with_depth: it measures how far heatmaps
    spread, by which errors in metres are told. box_sources: those of all cameras. Raises the
    errors of PoseEstimator.load, Detector.load and BottomUp.load, and ValueError for what does
    not go together.
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
    if estimator.backend.warning:
        log.error(estimator.backend.warning)
    release_memory(log.warning)  # what loading took
    black = np.zeros((64, 64, 3), np.uint8)
    estimator.predict([Frame(black, np.array([[0, 0, 64, 64]]))])
    detector = _finder(values, options, estimator, box_sources, log)
    if detector is not None:
        detector.find([Frame(black, NO_BOXES)], LEAST_SCORE)
        if detector.warning not in ('', estimator.backend.warning):
            log.error(detector.warning)
    keypoint_sets = KeypointSetChoice(
        values.numbered_class_names(),
        [skeleton.name for skeleton in estimator.skeletons],
        values.keypoint_sets_by_class(),
    )
    return Network(values.model, estimator, keypoint_sets, detector, values.max_batch)


def _finder(
    values: Parameters,
    options: Options,
    estimator: PoseEstimator,
    box_sources: Sequence[str],
    log: Logger,
) -> Finder | None:
    """Return what looks for boxes inside the node, if some camera wants that."""
    inside = [name for name in SOURCES_INSIDE if name in box_sources]
    if len(inside) > 1:
        raise ValueError(
            f'box_source is {inside[0]} of some cameras, and {inside[1]} of others; give all the '
            'same'
        )
    if 'detector' in inside:
        return load_detector(values.detector, estimator.backend)
    if 'bottom_up' not in inside:
        return None
    if not values.bottom_up_model:
        raise ValueError('bottom_up_model is empty; give the file of a bottom-up network')
    if options.heatmap_spread and not values.refine:
        log.warning(
            'bottom_up tells no heatmap_spread: errors of keypoints, and of joints in metres, are '
            'taken to be those of a usual network; set refine, and that of model tells it'
        )
    beside = options_beside(options, estimator.backend)
    most = min(box_sources.count('bottom_up'), values.max_batch)
    found = BottomUp.load(values.bottom_up_model, beside, most=most)
    known = [skeleton.name for skeleton in estimator.skeletons]
    if found.keypoint_set not in known:
        raise ValueError(
            f'keypoint_sets has {", ".join(known)}, and bottom_up_model gives '
            f"'{found.keypoint_set}'; add that to keypoint_sets"
        )
    return found
