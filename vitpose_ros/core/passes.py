"""Forward passes: subjects of several frames go through crops, network and decoding together."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.crops import (
    covariances_to_image,
    crop_regions,
    heatmap_to_image,
)
from vitpose_ros.core.runtime import Backend, Decoding
from vitpose_ros.core.runtime.base import Found
from vitpose_ros.core.skeletons import SKELETONS, Skeleton
from vitpose_ros.core.types import Frame, Pose


@dataclass
class Outcome:
    """What became of a frame."""

    index: int  # of the frame: its number in Work, its place among those given to predict_each
    poses: list[Pose] = field(default_factory=list)  # one per box
    error: Exception | None = None  # why there are no poses
    # The largest forward pass that the frame took part in: its crops, and the frames they are of.
    batch_size: int = 0
    batch_frames: int = 0
    # Seconds. Those of network and decoding are of whole passes, shared with other frames.
    crop_s: float = 0.0
    network_s: float = 0.0
    decode_s: float = 0.0


@dataclass(frozen=True, eq=False)
class Part:
    """Some subjects of a frame, which go through the network in one pass."""

    frame: Frame
    start: int  # boxes of the frame
    stop: int
    outcome: Outcome  # of the frame; gets the poses

    def __len__(self) -> int:
        """Return the number of subjects."""
        return self.stop - self.start


class Passes:
    """Runs forward passes of one network, one at a time, whatever thread asks for them.

    Crops, network and decoding use the same memory in each pass. So the lock has to be held
    around run, and around whatever else uses the backend.
    """

    def __init__(self, backend: Backend, decoding: Decoding, max_batch: int) -> None:
        """Take a backend, what to do with its heatmaps, and the most crops of a pass."""
        self.backend = backend
        self.decoding = decoding
        self.lock = threading.Lock()
        self.max_batch = backend.prepare(decoding, max_batch)
        # What the network estimates, in the order of its heads.
        self.skeletons: tuple[Skeleton, ...] = tuple(
            SKELETONS[name] for name in backend.config.keypoint_sets
        )
        self._crops = backend.crops()

    def run(self, batch: Sequence[Part]) -> None:
        """Estimate the poses of the subjects in a batch, and add them to the outcomes."""
        size = self.backend.config.image_size
        udp = np.array([skeleton.udp for skeleton in self.skeletons])
        sets = [self._set_indices(part.frame)[part.start : part.stop] for part in batch]
        order = np.argsort(np.concatenate(sets), kind='stable')
        # Where the subjects of each part stand among all, sorted by keypoint set.
        places = np.split(np.argsort(order), np.cumsum([len(own) for own in sets])[:-1])
        regions = np.empty((len(order), 4))
        self._crops.begin(len(order))
        times = [time.perf_counter()]
        for part, own_sets, own in zip(batch, sets, places, strict=True):
            regions[own] = crop_regions(part.frame.boxes[part.start : part.stop], size)
            self._crops.cut(part.frame, regions[own], udp[own_sets], own)
            times.append(time.perf_counter())
        counts = np.bincount(np.concatenate(sets), minlength=len(self.skeletons)).tolist()
        found, seconds = self.backend.keypoints(self._crops.batch(), counts, self.decoding)
        poses: list[Pose] = []
        for skeleton, own_found in zip(self.skeletons, found, strict=True):
            own_regions = regions[len(poses) : len(poses) + len(own_found.scores)]
            poses += self._poses(own_found, own_regions, skeleton)
        decode_s = time.perf_counter() - times[-1] - seconds.network
        for part, own, crop_s in zip(batch, places, np.diff(times).tolist(), strict=True):
            outcome = part.outcome
            outcome.poses += [poses[place] for place in own]
            outcome.crop_s += crop_s
            outcome.network_s += seconds.network
            outcome.decode_s += decode_s
            if len(order) > outcome.batch_size:
                outcome.batch_size = len(order)
                outcome.batch_frames = len(batch)

    def _set_indices(self, frame: Frame) -> NDArray[np.int64]:
        """Return for each box of a frame the index of its keypoint set."""
        if frame.keypoint_sets is None:
            return np.zeros(len(frame.boxes), dtype=np.int64)
        loaded = self.backend.config.keypoint_sets
        for name in frame.keypoint_sets:
            if name not in loaded:
                raise ValueError(
                    f"keypoint set '{name}' is not loaded, only {', '.join(loaded)}; name it "
                    'when the network is loaded'
                )
        indices = [loaded.index(name) for name in frame.keypoint_sets]
        return np.array(indices, dtype=np.int64)

    def _poses(self, found: Found, regions: NDArray[np.float64], skeleton: Skeleton) -> list[Pose]:
        """Map the keypoints of one keypoint set to the image, a pose per region."""
        size = self.backend.config.heatmap_size
        udp = np.full(len(regions), skeleton.udp)
        keypoints = heatmap_to_image(found.points, regions, size, udp)
        spreads = [None] * len(regions)
        if found.covariances is not None:
            spreads = list(covariances_to_image(found.covariances, regions, size, udp))
        return [
            Pose(skeleton.name, *values)
            for values in zip(keypoints, found.scores, spreads, strict=True)
        ]
