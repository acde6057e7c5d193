"""The facade: frames in, poses out."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vitpose_ros.core.geometry.crops import (
    covariances_to_image,
    crop_regions,
    heatmap_to_image,
)
from vitpose_ros.core.geometry.heatmaps import merge_flipped
from vitpose_ros.core.parts import Part, Parts
from vitpose_ros.core.runtime import Backend, Decoding, DeviceError, open_backend, open_onnx
from vitpose_ros.core.runtime.base import Found
from vitpose_ros.core.runtime.export import Say, silent
from vitpose_ros.core.runtime.faults import is_out_of_memory
from vitpose_ros.core.runtime.int8 import calibration_path
from vitpose_ros.core.skeletons import SKELETONS, Skeleton
from vitpose_ros.core.types import Frame, Pose
from vitpose_ros.core.weights import EMBEDDED_MODEL, load_network

MAX_BATCH = 16


@dataclass
class Outcome:
    """What became of one of the frames given to PoseEstimator.predict_each."""

    index: int  # of the frame, among those given
    poses: list[Pose] = field(default_factory=list)  # one a box
    error: Exception | None = None  # why there are no poses
    # The largest forward pass that the frame took part in: its crops, and the frames they are of.
    batch_size: int = 0
    batch_frames: int = 0
    # Seconds. Those of network and decoding are of whole passes, shared with other frames.
    crop_s: float = 0.0
    network_s: float = 0.0
    decode_s: float = 0.0


class PoseEstimator:
    """Estimates the poses of all subjects in one or several frames."""

    def __init__(
        self,
        backend: Backend,
        *,
        max_batch: int = MAX_BATCH,
        flip_test: bool = False,
        with_covariances: bool = False,
        hybrid_decoding: bool = False,
    ) -> None:
        """Take a backend and what to do with it.

        max_batch bounds the crops of one forward pass, and so the memory. flip_test averages
        with the mirrored crops, a little more accurate at twice the cost. with_covariances also
        measures how far the heatmaps spread. hybrid_decoding places keypoints near the border of
        a crop better than the reference code does; see heatmaps.decode.
        """
        self.backend = backend
        self.decoding = Decoding(flip_test, hybrid_decoding, with_covariances)
        self.max_batch = backend.prepare(self.decoding, max_batch)
        # What the network estimates, in the order of its heads. Frames that do not say which
        # set their boxes get, get the first.
        self.skeletons: tuple[Skeleton, ...] = tuple(
            SKELETONS[name] for name in backend.config.keypoint_sets
        )
        self._crops = backend.crops()

    @classmethod
    def load(
        cls,
        model: str | Path = EMBEDDED_MODEL,
        device: str = 'auto',
        *,
        backend: str = 'auto',
        precision: str = 'auto',
        threads: int = 0,
        keypoint_sets: str | Sequence[str] | None = None,
        image_size: tuple[int, int] | None = None,
        max_batch: int = MAX_BATCH,
        flip_test: bool = False,
        with_covariances: bool = False,
        hybrid_decoding: bool = False,
        cuda_graphs: str = 'auto',
        say: Say = silent,
    ) -> 'PoseEstimator':
        """Load a network: a known name, a file, or a Hugging Face directory.

        device: 'auto' (CUDA where there is some, and the processor where it fails; the backend's
        warning says why), 'cpu', 'cuda', 'cuda:N' or 'intel_gpu'.
        backend: 'torch', 'onnx', 'openvino', or 'auto'. precision: 'float32', 'bfloat16',
        'float16', 'int8' (with a calibration beside the weights, see int8), or 'auto'. threads:
        of the processor; 0 leaves one core free. keypoint_sets: which of the network's sets to
        use, its first if none is given; a single one runs fastest. image_size: height and width
        of the crops in pixels, multiples of 16, if not those that the network was trained with.
        cuda_graphs: 'auto', or 'off' to launch kernels one by one. say: gets a line about what
        takes long. The other arguments are those of the constructor. An ONNX file that models
        export wrote has its keypoint set, precision and image size in it.
        Raises CheckpointError for weights that do not fit, BackendError for a device that is not
        there and for what does not fit together.
        """

        def on(device: str, precision: str) -> PoseEstimator:
            opened: Backend
            if str(model).endswith('.onnx'):
                opened = open_onnx(
                    Path(model).expanduser(),
                    backend,
                    device=device,
                    precision=precision,
                    threads=threads,
                    keypoint_sets=keypoint_sets,
                    max_batch=max_batch,
                    say=say,
                )
            else:
                opened = open_backend(
                    load_network(model, keypoint_sets, image_size=image_size),
                    backend,
                    device=device,
                    precision=precision,
                    threads=threads,
                    max_batch=max_batch,
                    cuda_graphs=cuda_graphs,
                    calibration=calibration_path(model),
                    say=say,
                )
            return cls(
                opened,
                max_batch=max_batch,
                flip_test=flip_test,
                with_covariances=with_covariances,
                hybrid_decoding=hybrid_decoding,
            )

        try:
            return on(device, precision)
        except DeviceError as error:
            if device != 'auto':
                raise
            reason = f'{error}; the network runs on the CPU instead'
        say(reason)
        estimator = on('cpu', 'auto')  # what was asked for may be for a GPU alone
        estimator.backend.warning = '; '.join(filter(None, (reason, estimator.backend.warning)))
        return estimator

    def predict(self, frames: Sequence[Frame]) -> list[list[Pose]]:
        """Estimate the poses in the frames: for each frame one pose a box, in their order.

        All subjects of all frames go through the network together, in as few forward passes
        as max_batch allows, whatever their keypoint sets.
        """
        poses: list[list[Pose]] = [[] for _ in frames]
        for outcome in self.predict_each(frames):
            if outcome.error is not None:
                raise outcome.error
            poses[outcome.index] = outcome.poses
        return poses

    def predict_each(self, frames: Sequence[Frame]) -> Iterator[Outcome]:
        """Estimate the poses as predict does, and yield each frame as soon as it is done.

        An error costs the frame that causes it, and no other. Where memory runs out in a
        forward pass, and fewer crops would help, max_batch is halved, for good, and the crops go
        through in parts.
        """
        outcomes = [Outcome(index) for index in range(len(frames))]
        parts = Parts(len(frame.boxes) for frame in frames)
        together = True  # frames share forward passes
        relieved = False  # whether a pass of as many crops was tried again
        while parts:
            batch = parts.take(self.max_batch, together=together)
            try:
                self._run(batch, frames, outcomes)
            except Exception as error:
                count = fewer = sum(len(part) for part in batch)
                if is_out_of_memory(error):
                    error.__traceback__ = None  # which holds on to the memory
                    fewer = self.backend.relieve(count)
                if fewer < count:
                    self.max_batch = fewer
                    parts.give_back(batch)
                elif is_out_of_memory(error) and not relieved:
                    relieved = True
                    parts.give_back(batch)
                elif len(batch) > 1:  # one by one, to find the frame that causes it
                    together = False
                    parts.give_back(batch)
                else:
                    [failed] = batch
                    outcomes[failed.frame].error = error
                    outcomes[failed.frame].poses.clear()
                    parts.drop(failed.frame)
            yield from (outcomes[part.frame] for part in batch if part.frame not in parts)

    def heatmaps(
        self, crops: NDArray[np.uint8], counts: Sequence[int] | None = None
    ) -> list[torch.Tensor]:
        """Map crops (n, h, w, 3) uint8 RGB to heatmaps on the device, a tensor for each set.

        The crops stand in the order of skeletons; counts tells how many belong to each, and may
        be left out where there is one. Of each set the heatmaps are (count, k, h/4, w/4).
        """
        counts = [len(crops)] if counts is None else counts
        batch = torch.from_numpy(crops)
        heatmaps = self.backend.heatmaps(batch, counts)
        if self.decoding.flip_test:
            flipped = self.backend.heatmaps(batch.flip(2), counts)
            heatmaps = [
                merge_flipped(maps, mirrored, skeleton, udp=self._is_udp(skeleton))
                for maps, mirrored, skeleton in zip(heatmaps, flipped, self.skeletons, strict=True)
            ]
        return heatmaps

    def _is_udp(self, skeleton: Skeleton) -> bool:
        return skeleton.name in self.backend.config.udp

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

    def _run(
        self, batch: Sequence[Part], frames: Sequence[Frame], outcomes: Sequence[Outcome]
    ) -> None:
        """Estimate the poses of the subjects in a batch, and add them to the outcomes."""
        size = self.backend.config.image_size
        udp = np.array([self._is_udp(skeleton) for skeleton in self.skeletons])
        sets = [self._set_indices(frames[part.frame])[part.start : part.stop] for part in batch]
        order = np.argsort(np.concatenate(sets), kind='stable')
        # Where the subjects of each part stand among all, sorted by keypoint set.
        places = np.split(np.argsort(order), np.cumsum([len(own) for own in sets])[:-1])
        regions = np.empty((len(order), 4))
        self._crops.begin(len(order))
        times = [time.perf_counter()]
        for part, own_sets, own in zip(batch, sets, places, strict=True):
            frame = frames[part.frame]
            regions[own] = crop_regions(frame.boxes[part.start : part.stop], size)
            self._crops.cut(frame, regions[own], udp[own_sets], own)
            times.append(time.perf_counter())
        poses: list[Pose] = []
        network_s = decode_s = 0.0
        if len(order):
            counts = np.bincount(np.concatenate(sets), minlength=len(self.skeletons)).tolist()
            found, seconds = self.backend.keypoints(self._crops.batch(), counts, self.decoding)
            network_s = seconds.network
            for skeleton, own_found in zip(self.skeletons, found, strict=True):
                own_regions = regions[len(poses) : len(poses) + len(own_found.scores)]
                poses += self._poses(own_found, own_regions, skeleton)
            decode_s = time.perf_counter() - times[-1] - network_s
        for part, own, crop_s in zip(batch, places, np.diff(times).tolist(), strict=True):
            outcome = outcomes[part.frame]
            outcome.poses += [poses[place] for place in own]
            outcome.crop_s += crop_s
            if not len(own):
                continue
            outcome.network_s += network_s
            outcome.decode_s += decode_s
            if len(order) > outcome.batch_size:
                outcome.batch_size = len(order)
                outcome.batch_frames = sum(len(others) > 0 for others in places)

    def _poses(self, found: Found, regions: NDArray[np.float64], skeleton: Skeleton) -> list[Pose]:
        """Map the keypoints of one keypoint set to the image, a pose a region."""
        size = self.backend.config.heatmap_size
        udp = np.full(len(regions), self._is_udp(skeleton))
        keypoints = heatmap_to_image(found.points, regions, size, udp)
        spreads = [None] * len(regions)
        if found.covariances is not None:
            spreads = list(covariances_to_image(found.covariances, regions, size, udp))
        return [
            Pose(skeleton.name, *values)
            for values in zip(keypoints, found.scores, spreads, strict=True)
        ]
