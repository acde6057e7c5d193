"""The facade: frames in, poses out."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vitpose_ros.core.errors import either
from vitpose_ros.core.jpeg import Jpeg
from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.passes import Outcome, Passes
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.runtime import (
    Backend,
    Decoding,
    DeviceError,
    OptionError,
    Options,
    open_backend,
    open_onnx,
)
from vitpose_ros.core.runtime.choice import ON_CPU_INSTEAD
from vitpose_ros.core.runtime.int8 import calibration_path
from vitpose_ros.core.runtime.options import DEFAULTS, table
from vitpose_ros.core.skeletons import Skeleton
from vitpose_ros.core.types import (
    NO_BOXES,
    Channels,
    Frame,
    FrameError,
    as_boxes,
    box_fault,
    per_box,
    usual_channels,
)
from vitpose_ros.core.weights import EMBEDDED_MODEL, CheckpointError, load_network
from vitpose_ros.core.work import Work

LOG = logging.getLogger(__name__)


class PoseEstimator:
    """Estimates the poses of all subjects in one or several frames.

    Any thread may use it: passes run one at a time.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        max_batch: int = DEFAULTS.max_batch,
        decoding: Decoding = DEFAULTS.decoding,
    ) -> None:
        """Take a backend and what to do with it.

        max_batch bounds the crops of one forward pass, and so the memory.
        """
        self.backend = backend
        self.decoding = decoding
        self._passes = Passes(backend, decoding, Options(max_batch=max_batch).max_batch)
        # What the network estimates, in the order of its heads. Frames that do not say which
        # set their boxes get, get the first.
        self.skeletons: tuple[Skeleton, ...] = self._passes.skeletons

    @property
    def max_batch(self) -> int:
        """The most crops of one forward pass; fewer than asked for where memory ran out.

        More than before makes the backend get ready anew, which waits for the pass that runs.
        """
        return self._passes.max_batch

    @max_batch.setter
    def max_batch(self, count: int) -> None:
        self._passes.resize(Options(max_batch=count).max_batch)

    @classmethod
    def load(
        cls,
        model: str | Path = EMBEDDED_MODEL,
        device: str | torch.device = 'auto',
        **options: Any,
    ) -> 'PoseEstimator':
        """Load a network: a known name, a file, or a Hugging Face directory.

        device: 'auto', 'cpu', 'cuda', 'cuda:N' or 'intel_gpu'. options: the others of Options by
        name, as keypoint_sets='coco,aic'. Errors are those of with_options.
        """
        known = [entry.name for entry in table()]
        for name in options:
            if name not in known:
                raise OptionError(f"there is no option '{name}'; give {either(known)}")
        return cls.with_options(model, Options(**{'device': device, **options}))

    @classmethod
    def with_options(
        cls,
        model: str | Path = EMBEDDED_MODEL,
        options: Options = DEFAULTS,
        *,
        cpu_instead: bool = False,
        at_any_speed: bool = False,
    ) -> 'PoseEstimator':
        """Load a network: a known name, a file, or a Hugging Face directory.

        Where the device is 'auto' and the GPU fails, it is the processor, with cpu_instead
        whatever the device is; the backend's warning says why. at_any_speed: int8 also where it
        is no faster, as for its accuracy. What takes long is logged. An ONNX
        file that models export wrote has its keypoint set, precision and image size in it.
        Raises CheckpointError for weights that do not fit, DeviceError for a device that is not
        there, BackendError for what does not fit together or is not installed, ExportError where
        graphs for a backend cannot be written; all are VitposeError.
        """
        if not isinstance(model, (str, PathLike)):
            raise OptionError(
                f'model is {model!r}; give a known name, a file, or a Hugging Face directory'
            )
        if not isinstance(options, Options):
            raise OptionError(f'options is {options!r}; give Options, or use load')
        try:
            return cls._opened(model, options, at_any_speed=at_any_speed)
        except DeviceError as error:
            if options.device != 'auto' and not cpu_instead:
                raise
            reason = f'{error}; {ON_CPU_INSTEAD}'
        LOG.info(reason)
        # What was asked for of the precision may be for a GPU alone.
        estimator = cls._opened(model, replace(options, device='cpu', precision='auto'))
        estimator.backend.warning = '; '.join(filter(None, (reason, estimator.backend.warning)))
        return estimator

    @classmethod
    def _opened(
        cls, model: str | Path, options: Options, *, at_any_speed: bool = False
    ) -> 'PoseEstimator':
        """Load a network on the device that the options name."""
        if str(model).endswith('.onnx'):
            backend = open_onnx(Path(model).expanduser(), options)
            _check_manner(model, backend.config)
        else:
            network = load_network(model, options.keypoint_sets, image_size=options.image_size)
            _check_manner(model, network.config)
            backend = open_backend(
                network,
                options,
                calibration=calibration_path(model),
                at_any_speed=at_any_speed,
            )
        return cls(backend, max_batch=options.max_batch, decoding=options.decoding)

    def estimate(
        self,
        image: NDArray[np.uint8] | Jpeg,
        boxes: Any = None,
        *,
        channels: Channels | None = None,
        keypoint_sets: Sequence[str] | None = None,
        class_names: Any = None,
        track_ids: Any = None,
        box_scores: Any = None,
        on_bad_box: Literal['raise', 'skip'] = 'raise',
    ) -> Poses:
        """Estimate the poses of the subjects in one image.

        image: uint8, (h, w, 3) RGB, or as channels says. boxes: (n, 4), or (4,) of one: x_min,
        y_min, x_max, y_max in pixels; None: the whole image is one subject. The others as in
        Frame. on_bad_box: 'skip' leaves out boxes that are not finite, empty or outside the
        image, and what was said of them. Raises FrameError for what cannot be used.
        """
        if on_bad_box not in ('raise', 'skip'):
            raise FrameError(f"on_bad_box is '{on_bad_box}'; give raise or skip")
        about: dict[str, Any] = {
            'keypoint_sets': keypoint_sets,
            'class_names': class_names,
            'track_ids': track_ids,
            'box_scores': box_scores,
        }
        channels = usual_channels(image, channels)
        height, width = Frame(image, NO_BOXES, channels).image.shape[:2]
        corners = as_boxes((0, 0, width, height) if boxes is None else boxes)
        if on_bad_box == 'skip':
            good = [i for i, box in enumerate(corners) if box_fault(box, width, height) is None]
            for name, values in about.items():
                said = per_box(name, values, len(corners))
                about[name] = said and [said[index] for index in good]
            corners = corners[good]
        [poses] = self.predict([Frame(image, corners, channels, **about)])
        return poses

    def predict(self, frames: Iterable[Frame]) -> list[Poses]:
        """Estimate the poses in the frames: of each frame one per box, in their order.

        All subjects of all frames go through the network together, in as few forward passes
        as max_batch allows, whatever their keypoint sets.
        """
        frames = _checked(frames)
        poses: dict[int, Poses] = {}
        for outcome in self.predict_each(frames):
            if outcome.error is not None:
                raise outcome.error
            poses[outcome.index] = outcome.poses
        return [poses[index] for index in range(len(frames))]

    def predict_each(self, frames: Iterable[Frame]) -> Iterator[Outcome]:
        """Estimate the poses as predict does, and yield each frame as soon as it is done.

        An error costs the frame that causes it, and no other; see Work.
        """
        work = self.work()
        for frame in _checked(frames):
            work.add(frame)
        while work:
            yield from work.step()

    def work(self) -> Work:
        """Return what takes frames while others are on their way, pass by pass."""
        return Work(self._passes)


def _check_manner(model: str | Path, config: ViTPoseConfig) -> None:
    """Refuse a network that finds subjects instead of looking at boxes."""
    if config.bottom_up:
        raise CheckpointError(
            f"weights '{model}' are of a bottom-up network, which takes no boxes; give those of a "
            'top-down one'
        )


def _checked(frames: Iterable[Frame]) -> list[Frame]:
    """Return the frames as a list. Raises FrameError for what is none, with the remedy."""
    if isinstance(frames, Frame):
        raise FrameError('frames is one Frame; give a list of them, or use estimate(image, boxes)')
    try:
        found = list(frames)
    except TypeError as error:
        raise FrameError(f'frames is {type(frames).__name__}; give a list of Frame') from error
    for index, frame in enumerate(found):
        if not isinstance(frame, Frame):
            raise FrameError(
                f'frames[{index}] is {type(frame).__name__}; give Frame(image, boxes), or use '
                'estimate(image, boxes)'
            )
    return found
