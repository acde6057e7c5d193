"""Frames wait for what tells of space: depth image, camera_info, transforms; but not for long."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from vitpose_ros.ros.camera_info import intrinsics
from vitpose_ros.ros.depth_input import AnyDepth, DepthInput
from vitpose_ros.ros.leaving import LeavingGroup
from vitpose_ros.ros.pairing import AnyDetections, AnyImage
from vitpose_ros.ros.stamps import stamp_nanoseconds
from vitpose_ros.ros.transforms import Matrix, Missing, Transforms, frame_name

PERIOD_S = 0.005  # in which is looked again, while a frame waits
GIVE_UP_S = 2.0  # what is missing for so long is not waited for
CLOCKS_APART_S = 1.0  # depth that is farther from an image may be of another clock
SOON_S = 0.005  # a depth image that near is taken at once; else a nearer one may come
MOST_WAITING = 30
NEARER = 'nearer'  # depth images that may come; nothing is missing without


@dataclass(frozen=True)
class Reason:
    """Why something is not known of a frame."""

    kind: str  # 'depth', 'camera_info' or 'transform'
    text: str
    may_come: bool = True  # whether it is worth waiting for


@dataclass(frozen=True)
class Space:
    """What is known of space at the time of an image, besides its pixels."""

    info: CameraInfo | None = None
    pose: Matrix | None = None  # (4, 4) from the camera's optical frame to the target frame
    depth: AnyDepth | None = None
    depth_info: CameraInfo | None = None
    # (4, 4) from the depth camera's optical frame to that of the image; None: they are the same
    depth_pose: Matrix | None = None
    reasons: tuple[Reason, ...] = ()  # why something of that is missing
    since_s: float = 0.0  # when the image and its detections were here, on time.monotonic


@dataclass(frozen=True, eq=False)
class _Frame:
    image: AnyImage
    detections: AnyDetections | None
    since_s: float


OnReady = Callable[[AnyImage, AnyDetections | None, Space], None]


@dataclass(frozen=True)
class Sources:
    """Where it comes from."""

    depth: DepthInput | None
    transforms: Transforms | None
    target_frame: str | None  # empty: the camera's own, as it is the only one; None: none
    info: Callable[[], CameraInfo | None]
    info_topic: str
    slop_s: float


class Gathering:
    """Hands frames on, in their order, as soon as all is there, or it has waited long enough.

    Works in the node's executor; may be closed in any thread.
    """

    def __init__(
        self,
        node: Node,
        sources: Sources,
        on_ready: OnReady,
        *,
        timeout_s: float,
        max_bytes: float,
    ) -> None:
        self._sources = sources
        self._on_ready = on_ready
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._waiting: deque[_Frame] = deque()
        self._missing_s: dict[str, float] = {}  # kind → since when it is missing
        self._missed: Header | None = None  # of the last image that went without something
        self._lock = threading.RLock()
        self._closed = False
        self._node = node
        self._group = LeavingGroup(node)
        # Steady, because a simulated clock may stand still.
        self._timer = node.create_timer(
            PERIOD_S, self.advance, self._group, Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()

    def close(self) -> None:
        """Forget what waits."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._waiting.clear()
                self._group.destroy(self._timer, self._node.destroy_timer)

    def add(self, image: AnyImage, detections: AnyDetections | None) -> None:
        """Take a frame."""
        with self._lock:
            if self._closed:
                return
            if self._missed is not None and self._missing_s:
                self._note(self._look(self._missed))  # it may have come, only late
            self._waiting.append(_Frame(image, detections, time.monotonic()))
            self.advance()

    def advance(self) -> None:
        """Hand on what is ready."""
        with self._lock:
            if self._closed:
                return
            now_s = time.monotonic()
            held = sum(len(frame.image.data) for frame in self._waiting)
            while self._waiting:
                frame = self._waiting[0]
                space = self._look(frame.image.header)
                may_wait = (
                    now_s - frame.since_s < self._timeout_s
                    and len(self._waiting) <= MOST_WAITING
                    and (held <= self._max_bytes or len(self._waiting) == 1)
                )
                missing = self._note(space)
                if may_wait and any(
                    reason.may_come and now_s - self._missing_s.get(reason.kind, now_s) < GIVE_UP_S
                    for reason in space.reasons
                ):
                    break
                held -= len(self._waiting.popleft().image.data)
                for kind in missing - {NEARER}:
                    self._missing_s.setdefault(kind, now_s)
                    self._missed = frame.image.header
                reasons = tuple(reason for reason in space.reasons if reason.kind != NEARER)
                space = replace(space, reasons=reasons, since_s=frame.since_s)
                self._on_ready(frame.image, frame.detections, space)
            if not self._waiting:
                self._timer.cancel()
            elif self._timer.is_canceled():
                self._timer.reset()

    def _note(self, space: Space) -> set[str]:
        """Note what is there; return the kinds of what is missing."""
        missing = {reason.kind for reason in space.reasons}
        for kind in self._missing_s.keys() - missing:
            del self._missing_s[kind]
        return missing

    def _look(self, header: Header) -> Space:
        """Look for what tells of space at the time of an image with this header."""
        sources, frame, stamp = self._sources, frame_name(header.frame_id), header.stamp
        reasons: list[Reason] = []
        info = sources.info()
        pose = np.eye(4) if sources.target_frame == '' else None
        if sources.transforms is not None and sources.target_frame:
            found = sources.transforms.lookup(sources.target_frame, frame, stamp)
            if isinstance(found, Missing):
                reasons.append(Reason('transform', found.text))
            else:
                pose = found
        if sources.depth is None:
            return Space(info, pose, reasons=tuple(reasons))
        if fault := self._fault_of(info):
            reasons.append(Reason('camera_info', fault))
        depth, depth_pose = self._depth(stamp_nanoseconds(stamp), reasons), None
        source = '' if depth is None else frame_name(depth.header.frame_id)
        if depth is not None and source not in ('', frame):
            assert sources.transforms is not None
            found = sources.transforms.lookup(frame, source, depth.header.stamp)
            depth_info = sources.depth.camera_info
            if isinstance(found, Missing):
                reasons.append(Reason('transform', found.text))
                depth = None
            elif intrinsics(depth_info, 1, 1) is None:
                reasons.append(
                    Reason(
                        'camera_info',
                        f"depth images are of the frame '{source}', not '{frame}', and "
                        f'{_state_of(depth_info)} on {sources.depth.info_topic!r}; publish it, or '
                        'depth that is registered to the image',
                    )
                )
                depth = None
            else:
                depth_pose = found
        return Space(info, pose, depth, sources.depth.camera_info, depth_pose, tuple(reasons))

    def _fault_of(self, info: CameraInfo | None) -> str:
        """Return what is wrong with the intrinsics of the image; empty if nothing is."""
        if intrinsics(info, 1, 1) is not None:
            return ''
        return (
            f'{_state_of(info)} on {self._sources.info_topic!r}, without which depth is of no '
            "use; publish the camera's calibration there, or remap camera_info"
        )

    def _depth(self, stamp_ns: int, reasons: list[Reason]) -> AnyDepth | None:
        """Return the depth image for a time."""
        source = self._sources.depth
        assert source is not None
        near = source.nearest(stamp_ns)
        if near.message is not None and (near.is_final or near.apart_s <= SOON_S):
            return near.message
        if near.message is not None:
            # This one is better than none.
            reasons.append(Reason(NEARER, 'a nearer depth image may come'))
            return near.message
        if not source.images:
            text = (
                f'no depth images come on {source.topic!r}; is the camera running, and the topic '
                'remapped?'
            )
        elif near.apart_s == float('inf'):
            text = f'no depth images came lately on {source.topic!r}'
        elif near.is_gone:
            text = (
                f'the depth image of that time, on {source.topic!r}, made room for newer ones: '
                'the image waited too long for its detections (raise queue_mb and '
                'sync_queue_size), or the clock of the depth camera is ahead'
            )
        else:
            text = (
                f'no depth image on {source.topic!r} has the time of the image: the nearest is '
                f'{near.apart_s * 1e3:.0f} ms apart; depth_slop_ms allows '
                f'{self._sources.slop_s * 1e3:g}'
                f'{"; are both on one clock?" if near.apart_s > CLOCKS_APART_S else ""}'
            )
        reasons.append(Reason('depth', text, may_come=not near.is_final))
        return None


def _state_of(info: CameraInfo | None) -> str:
    return 'no camera_info comes' if info is None else 'camera_info has no focal length (zeros)'
