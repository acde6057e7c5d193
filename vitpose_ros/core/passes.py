"""Forward passes: subjects of several frames go through crops, network and decoding together."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.crops import (
    Cuts,
    crop_regions,
    heatmap_to_image,
    spread_to_image,
)
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.runtime import Backend, Decoding
from vitpose_ros.core.runtime.base import HeatmapKeypoints
from vitpose_ros.core.runtime.processor import torch_threads
from vitpose_ros.core.skeletons import SKELETONS, Skeleton
from vitpose_ros.core.types import Frame, FrameError


@dataclass
class Outcome:
    """What became of a frame."""

    index: int  # of the frame: its number in Work, its place among those given to predict_each
    poses: Poses  # empty after an error
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
    sets: NDArray[np.int64]  # of each box of the frame the index of its keypoint set
    start: int  # boxes of the frame
    stop: int
    outcome: Outcome  # of the frame; its poses are filled in

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
        self.lock = backend.lock  # several estimators may share it
        with self.lock:
            self.max_batch = self._ready = backend.prepare(decoding, max_batch)
            self._crops = backend.crops()  # which may write into the memory of passes
        # What the network estimates, in the order of its heads.
        self.skeletons: tuple[Skeleton, ...] = tuple(
            SKELETONS[name] for name in backend.config.keypoint_sets
        )
        # The convention of each.
        self._udp = np.array([s.name in backend.config.udp for s in self.skeletons])

    def resize(self, max_batch: int) -> None:
        """Let passes have at most so many crops; where memory runs out, fewer.

        Raises DeviceError where the backend does not get ready for more; all stays as it was.
        """
        with self.lock:
            if max_batch > self._ready:
                self._ready = self.backend.prepare(self.decoding, max_batch)
                self._crops = self.backend.crops()  # into the memory of that many
            self.max_batch = min(max_batch, self._ready)

    def sets_of(self, frame: Frame) -> NDArray[np.int64]:
        """Return for each box of a frame the index of its keypoint set.

        Raises FrameError for a set that is not loaded.
        """
        if frame.keypoint_sets is None:
            return np.zeros(len(frame.boxes), dtype=np.int64)
        loaded = self.backend.config.keypoint_sets
        for name in frame.keypoint_sets:
            if name not in loaded:
                raise FrameError(
                    f"keypoint set '{name}' is not loaded, only {', '.join(loaded)}; name it "
                    'when the network is loaded'
                )
        indices = [loaded.index(name) for name in frame.keypoint_sets]
        return np.array(indices, dtype=np.int64)

    def unfilled(self, frame: Frame, sets: NDArray[np.int64]) -> Poses:
        """Return the poses of a frame, without numbers yet."""
        skeletons = [self.skeletons[index].name for index in sets.tolist()]
        return Poses.to_be_filled(
            frame,
            skeletons,
            with_spread=self.decoding.heatmap_spread,
            of_nobody=self.skeletons[0].name,
        )

    def run(self, batch: Sequence[Part]) -> None:
        """Estimate the poses of the subjects in a batch, and fill them in."""
        with torch_threads(self.backend.threads):
            self._run(batch)

    def _run(self, batch: Sequence[Part]) -> None:
        size = self.backend.config.image_size
        sets = [part.sets[part.start : part.stop] for part in batch]
        order = np.argsort(np.concatenate(sets), kind='stable')
        # Where the subjects of each part stand among all, sorted by keypoint set.
        places = np.split(np.argsort(order), np.cumsum([len(own) for own in sets])[:-1])
        regions = np.empty((len(order), 4))
        self._crops.begin(len(order))
        times = [time.perf_counter()]
        for part, own_sets, own in zip(batch, sets, places, strict=True):
            regions[own] = crop_regions(part.frame.boxes[part.start : part.stop], size)
            self._crops.cut(part.frame, Cuts(regions[own], self._udp[own_sets], own))
            times.append(time.perf_counter())
        counts = np.bincount(np.concatenate(sets), minlength=len(self.skeletons)).tolist()
        found, seconds = self.backend.keypoints(self._crops.batch(), counts, self.decoding)
        first = 0
        for index, count in enumerate(counts):
            own_regions = regions[first : first + count]
            in_image = self._to_image(found[index], own_regions, index)
            for part, own_sets, own in zip(batch, sets, places, strict=True):
                own_set = own_sets == index
                _fill(part, np.flatnonzero(own_set), in_image, own[own_set] - first)
            first += count
        decode_s = time.perf_counter() - times[-1] - seconds.network
        for part, crop_s in zip(batch, np.diff(times).tolist(), strict=True):
            outcome = part.outcome
            outcome.crop_s += crop_s
            outcome.network_s += seconds.network
            outcome.decode_s += decode_s
            if len(order) > outcome.batch_size:
                outcome.batch_size = len(order)
                outcome.batch_frames = len(batch)

    def _to_image(
        self, found: HeatmapKeypoints, regions: NDArray[np.float64], index: int
    ) -> HeatmapKeypoints:
        """Map the keypoints of one keypoint set to image pixels."""
        size = self.backend.config.heatmap_size
        udp = np.full(len(regions), self._udp[index])
        points = heatmap_to_image(found.points, regions, size, udp)
        spread = found.heatmap_spread
        if spread is not None:
            spread = spread_to_image(spread, regions, size, udp)
        return HeatmapKeypoints(points, found.scores, spread)


def _fill(
    part: Part, subjects: NDArray[np.int64], found: HeatmapKeypoints, places: NDArray[np.int64]
) -> None:
    """Copy what was found at some places to subjects of a part."""
    if not len(subjects):
        return
    poses, rows, k = part.outcome.poses, part.start + subjects, found.scores.shape[1]
    poses.keypoints[rows, :k] = found.points[places]
    poses.scores[rows, :k] = found.scores[places]
    if poses.heatmap_spread is not None and found.heatmap_spread is not None:
        poses.heatmap_spread[rows, :k] = found.heatmap_spread[places]
