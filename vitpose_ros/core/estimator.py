"""The facade: frames in, poses out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vitpose_ros.core.geometry.heatmaps import merge_flipped
from vitpose_ros.core.passes import Outcome, Passes
from vitpose_ros.core.runtime import Backend, Decoding, DeviceError, open_backend, open_onnx
from vitpose_ros.core.runtime.export import Say, silent
from vitpose_ros.core.runtime.int8 import calibration_path
from vitpose_ros.core.skeletons import Skeleton
from vitpose_ros.core.types import Frame, Pose
from vitpose_ros.core.weights import EMBEDDED_MODEL, load_network
from vitpose_ros.core.work import Work

MAX_BATCH = 16


class PoseEstimator:
    """Estimates the poses of all subjects in one or several frames.

    Any thread may use it: passes run one at a time.
    """

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
        self._passes = Passes(backend, self.decoding, max_batch)
        # What the network estimates, in the order of its heads. Frames that do not say which
        # set their boxes get, get the first.
        self.skeletons: tuple[Skeleton, ...] = self._passes.skeletons

    @property
    def max_batch(self) -> int:
        """The most crops of one forward pass; fewer than asked for where memory ran out."""
        return self._passes.max_batch

    @max_batch.setter
    def max_batch(self, count: int) -> None:
        self._passes.max_batch = count

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
        """Estimate the poses in the frames: for each frame one pose per box, in their order.

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

        An error costs the frame that causes it, and no other; see Work.
        """
        work = self.work()
        for frame in frames:
            work.add(frame)
        while work:
            yield from work.step()

    def work(self) -> Work:
        """Return what takes frames while others are on their way, pass by pass."""
        return Work(self._passes)

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
                merge_flipped(maps, mirrored, skeleton)
                for maps, mirrored, skeleton in zip(heatmaps, flipped, self.skeletons, strict=True)
            ]
        return heatmaps
