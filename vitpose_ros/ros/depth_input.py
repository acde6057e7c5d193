"""The depth images of a camera: those that came lately, found by their stamps."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vitpose_ros.ros.camera_info import camera_info_topic
from vitpose_ros.ros.stamps import JUMP_S, nanoseconds_of
from vitpose_ros.ros.subscriptions import MatchedSubscription

AnyDepth: TypeAlias = Image | CompressedImage

LEAST_KEPT = 30  # depth images that are kept for colour images to come, if they are small
INTERVALS = 9  # the last ones between depth images, by which the next is foreseen
EARLY = 0.2  # intervals: by so much it may come earlier or later


@dataclass(frozen=True)
class Nearest:
    """What there is for an image."""

    message: AnyDepth | None  # the depth image within the slop
    is_final: bool  # whether no later one will be nearer
    is_gone: bool  # whether it may have come, and made room for newer ones
    apart_s: float  # how far the nearest of all is; infinite: there is none


class DepthInput:
    """Subscribes to the depth images of a camera, and to their camera_info."""

    def __init__(
        self,
        node: Node,
        topic: str,
        on_change: Callable[[], None],
        *,
        compressed: bool,
        slop_s: float,
        most: int,
        most_bytes: float,
    ) -> None:
        """Subscribe; on_change is called after something came.

        slop_s: how far stamps of image and depth image may differ. most, most_bytes: of the depth
        images that are kept.
        """
        self._on_change = on_change
        self.topic: str = node.resolve_topic_name(topic)
        self._info_topic = camera_info_topic(node, f'{topic}_camera_info', topic)
        if compressed:
            self.topic += '/compressedDepth'
        self.camera_info: CameraInfo | None = None
        self.images = 0
        self._slop_ns = round(slop_s * 1e9)
        self._most, self._most_bytes = most, most_bytes
        self._intervals: deque[int] = deque(maxlen=INTERVALS)
        self._kept: dict[int, AnyDepth] = {}  # by stamp, in the order in which they came
        self._newest_ns: int | None = None
        self._gone_ns: tuple[int, int] | None = None  # stamps of those that made room: from, to
        self._lock = threading.Lock()  # closed in another thread
        self._subscriptions = [
            MatchedSubscription(
                node, CompressedImage if compressed else Image, self.topic, self._on_depth
            ),
        ]
        try:
            self._subscriptions.append(
                MatchedSubscription(
                    node, CameraInfo, self._info_topic, self._on_camera_info, depth=1
                )
            )
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Unsubscribe, and forget what is kept."""
        for subscription in self._subscriptions:
            subscription.close()
        with self._lock:
            self._kept.clear()
            self._newest_ns = self._gone_ns = None

    @property
    def info_topic(self) -> str:
        """The full name of the topic of camera_info."""
        return self._info_topic

    @property
    def mismatch(self) -> str | None:
        """Why some publisher is not heard, if that is so."""
        return next((s.mismatch for s in self._subscriptions if s.mismatch), None)

    def nearest(self, stamp_ns: int) -> Nearest:
        """Return the depth image nearest to a time, of those that came."""
        with self._lock:
            if self._newest_ns is None or not self._kept:
                return Nearest(None, False, False, float('inf'))
            best = min(self._kept, key=lambda own: abs(own - stamp_ns))
            apart_ns = abs(best - stamp_ns)
            fits = apart_ns <= self._slop_ns
            return Nearest(
                self._kept[best] if fits else None,
                apart_ns == 0 or not self._may_come(stamp_ns - self._newest_ns),
                self._gone_ns is not None and self._gone_ns[0] <= stamp_ns <= self._gone_ns[1],
                apart_ns / 1e9,
            )

    def _may_come(self, later_ns: int) -> bool:
        """Whether one is foreseen near a time so much later than the newest."""
        if later_ns <= 0:
            return False
        if not self._intervals:
            return True
        interval_ns = median(self._intervals)
        steps = round(later_ns / interval_ns)
        off_ns = abs(later_ns - steps * interval_ns)
        return steps > 0 and off_ns <= self._slop_ns + EARLY * interval_ns

    def _on_depth(self, message: AnyDepth) -> None:
        stamp_ns = nanoseconds_of(message)
        with self._lock:
            self.images += 1
            if self._newest_ns is not None and stamp_ns < self._newest_ns - JUMP_S * 1e9:
                self._kept.clear()  # a recording began anew
                self._newest_ns, self._gone_ns = stamp_ns, None
            if self._newest_ns is not None and stamp_ns > self._newest_ns:
                self._intervals.append(stamp_ns - self._newest_ns)
            self._newest_ns = max(stamp_ns, self._newest_ns or stamp_ns)
            self._kept[stamp_ns] = message
            held = sum(len(image.data) for image in self._kept.values())
            while len(self._kept) > self._most or (
                held > self._most_bytes and len(self._kept) > 1
            ):
                oldest_ns = min(self._kept)
                held -= len(self._kept.pop(oldest_ns).data)
                low_ns, high_ns = self._gone_ns or (oldest_ns, oldest_ns)
                self._gone_ns = min(low_ns, oldest_ns), max(high_ns, oldest_ns)
        self._on_change()

    def _on_camera_info(self, message: CameraInfo) -> None:
        self.camera_info = message
        self._on_change()
