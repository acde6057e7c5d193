"""From messages to captures: images are read, and boxes are found for them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from vitpose_ros.core import Frame
from vitpose_ros.core.boxes.classes import KeypointSetChoice
from vitpose_ros.core.boxes.detector import LEAST_SCORE
from vitpose_ros.core.boxes.objects import Filter, Objects, choose, framed, whole_image
from vitpose_ros.core.captures import Capture
from vitpose_ros.core.pipeline import PosePipeline
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.realtime import Waiting
from vitpose_ros.core.types import NO_BOXES
from vitpose_ros.ros.camera import Camera
from vitpose_ros.ros.captures import capture_of
from vitpose_ros.ros.detections import faults_of, read_detections
from vitpose_ros.ros.gathering import Space
from vitpose_ros.ros.images import read_encoded, read_image
from vitpose_ros.ros.network import Network
from vitpose_ros.ros.pairing import AnyDetections, AnyImage
from vitpose_ros.ros.parameters import SOURCES_INSIDE
from vitpose_ros.ros.troubles import Troubles


@dataclass(frozen=True)
class Arrival:
    """A complete frame, as it came."""

    image: AnyImage
    detections: AnyDetections | None  # None: boxes come from elsewhere
    space: Space

    @property
    def size(self) -> int:
        """Its bytes."""
        depth = self.space.depth
        return len(self.image.data) + (0 if depth is None else len(depth.data))


@dataclass(frozen=True, eq=False)
class Pending:
    """A frame that was read and is not answered yet."""

    waiting: Waiting[Arrival]
    camera: Camera
    capture: Capture
    read_s: float  # how long reading took
    detect_s: float  # how long the detector took, for all frames that it looked at together
    poses: Poses | None = None  # that it has found, too


@dataclass(eq=False)
class _Opened:
    """A frame whose image was read."""

    waiting: Waiting[Arrival]
    camera: Camera
    frame: Frame  # without boxes
    read_s: float
    detect_s: float = 0.0
    objects: Objects | None = None  # that were looked for
    is_carried: bool = False
    is_lost: bool = False

    @property
    def bare(self) -> Capture:
        """The frame, without what tells of space."""
        return Capture(self.frame, self.waiting.stamp_ns, self.waiting.camera)


class Reader:
    """Reads the frames of a turn. For one thread."""

    def __init__(
        self,
        network: Network,
        cameras: Mapping[str, Camera],
        pipeline: PosePipeline,
        troubles: Troubles,
        is_ending: Callable[[], bool],
    ) -> None:
        """Take what runs, the cameras, what finds boxes, and where to say what is wrong.

        is_ending: whether no further pass of the detector is to begin.
        """
        self._estimator = network.estimator
        self._is_ending = is_ending
        self._keypoint_sets = network.keypoint_sets
        self._cameras = cameras
        self._pipeline = pipeline
        self._takes_ids = pipeline.options.tracking == 'detections'
        self._troubles = troubles
        decodes_jpeg = network.estimator.backend.decodes_jpeg and network.detector is None
        self._read_image = read_encoded if decodes_jpeg else read_image

    def read(self, arrived: Sequence[Waiting[Arrival]]) -> list[Pending]:
        """Return the frames of a turn with their boxes; says which are lost, and why.

        Those whose boxes were not looked for, because all ends, are counted as unfinished.
        """
        opened = [own for waiting in arrived if (own := self._open(waiting)) is not None]
        wanted = [own for own in opened if _is_detected(own.camera)]
        most = self._estimator.max_batch
        for start in range(0, len(wanted), most):
            self._detect(wanted[start : start + most])
        return [job for own in opened if (job := self._finished(own)) is not None]

    def _open(self, waiting: Waiting[Arrival]) -> _Opened | None:
        begin_s = time.monotonic()
        try:
            image, channels = self._read_image(waiting.item.image)
            frame = Frame(image, NO_BOXES, channels)
        except Exception as error:
            self._troubles.lost(waiting, error)
            return None
        camera = self._cameras[waiting.camera]
        return _Opened(waiting, camera, frame, time.monotonic() - begin_s)

    def _detect(self, opened: Sequence[_Opened]) -> None:
        """Look for boxes, in one pass; after an error in each frame by itself."""
        if self._is_ending():
            for own in opened:
                own.is_lost = True
                own.camera.tally.add(unfinished=1)
            return
        begin_s = time.monotonic()
        least = min(_filter(own.camera, self._keypoint_sets).min_score for own in opened)
        try:
            found = self._pipeline.find([own.bare for own in opened], least)
        except Exception as error:
            if len(opened) == 1:
                opened[0].is_lost = True
                self._troubles.lost(opened[0].waiting, error)
                return
            for own in opened:
                self._detect([own])
            return
        seconds = time.monotonic() - begin_s
        for own, (objects, is_carried) in zip(opened, found, strict=True):
            own.objects, own.is_carried, own.detect_s = objects, is_carried, seconds

    def _finished(self, opened: _Opened) -> Pending | None:
        """Return a frame with its boxes; None if it is lost."""
        if opened.is_lost:
            return None
        begin_s = time.monotonic()
        waiting, camera = opened.waiting, opened.camera
        try:
            chosen = self._chosen(opened)
            frame = framed(opened.frame, chosen, self._keypoint_sets)
            capture = self._capture(waiting, camera, frame)
        except Exception as error:
            self._troubles.lost(waiting, error)
            return None
        capture = replace(capture, is_carried=opened.is_carried)
        read_s = opened.read_s + time.monotonic() - begin_s
        return Pending(waiting, camera, capture, read_s, opened.detect_s, chosen.poses)

    def _chosen(self, opened: _Opened) -> Objects:
        """Return what gets keypoints; says what becomes of the rest."""
        camera, detections = opened.camera, opened.waiting.item.detections
        height, width = opened.frame.image.shape[:2]
        objects = opened.objects
        if objects is None:
            if detections is None:
                return whole_image(width, height)
            objects = read_detections(detections)
        wanted = _filter(camera, self._keypoint_sets)
        chosen = choose(objects, wanted, width, height)
        for fault in faults_of(objects, chosen, wanted):
            self._troubles.tell(camera, fault)
        camera.tally.add(
            filtered=chosen.filtered,
            left_out=chosen.left_out,
            faulty_boxes=len(chosen.faults),
        )
        if self._takes_ids or opened.is_carried:
            return chosen.objects
        return replace(chosen.objects, track_ids=())

    def _capture(self, waiting: Waiting[Arrival], camera: Camera, frame: Frame) -> Capture:
        """Add what tells of space to a frame; say what is missing."""
        capture, reason = capture_of(frame, waiting.stamp_ns, waiting.camera, waiting.item.space)
        if camera.parameters().depth == 'off':
            return capture
        camera.tally.add_space('' if reason is None else reason.text)
        if reason is not None:
            self._troubles.warn(camera, reason.kind, f'not in metres: {reason.text}')
        return capture


def _is_detected(camera: Camera) -> bool:
    return camera.parameters().box_source in SOURCES_INSIDE


def _filter(camera: Camera, sets: KeypointSetChoice) -> Filter:
    """Return which objects of a camera get keypoints.

    The detector inside finds much that has no keypoints, and what is hardly there.
    """
    wanted = camera.parameters().detection_filter
    if not _is_detected(camera):
        return wanted
    return replace(
        wanted,
        classes=wanted.classes or sets.fitting(),
        min_score=wanted.min_score or LEAST_SCORE,
    )
