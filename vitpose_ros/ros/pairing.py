"""Images and the detections made from them, brought together by their stamps."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from message_filters import ApproximateTimeSynchronizer, SimpleFilter, TimeSynchronizer
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from vitpose_ros.core.tracks.tracker import JUMP_BACK_S
from vitpose_ros.ros import yolo
from vitpose_ros.ros.leaving import LeavingGroup
from vitpose_ros.ros.logs import ThrottledLog
from vitpose_ros.ros.pair_watch import PairWatch, Trouble
from vitpose_ros.ros.stamps import JUMP_S, nanoseconds_of
from vitpose_ros.ros.subscriptions import MatchedSubscription

CHECK_PERIOD_S = 0.5

AnyImage: TypeAlias = Image | CompressedImage
AnyDetections: TypeAlias = Any  # Detection2DArray, or yolo_msgs' own
OnFrame: TypeAlias = Callable[[AnyImage, AnyDetections | None], None]


@dataclass(frozen=True)
class Limits:
    """How far stamps may differ, and what may wait for its counterpart."""

    slop_s: float = 0.0  # 0: stamps must be equal; else they differ by less
    messages: int = 30  # images, and as many detections
    image_bytes: float = 64e6
    seconds: float = 10.0


@dataclass(frozen=True)
class Arrivals:
    """What came to one camera."""

    images: int = 0
    lost_images: int = 0  # by the middleware, as far as it tells
    detections: int = 0
    paired: int = 0  # images handed on
    unpaired_images: int = 0  # gave up waiting for their detections
    unpaired_detections: int = 0


class CameraInput:
    """Subscribes to the images of a camera and their detections, and hands on what pairs."""

    def __init__(
        self,
        node: Node,
        on_frame: OnFrame,
        log: ThrottledLog,
        *,
        image_topic: str,
        detections_topic: str | None,
        compressed: bool = False,
        limits: Limits,
    ) -> None:
        """Subscribe. Without a topic of detections, each image is handed on at once."""
        self._node = node
        self._on_frame = on_frame
        self._log = log
        self._limits = limits
        self._images = self._detections = self._pairs = 0
        self._newest_ns = [0, 0]  # stamps of images and detections
        self._last_image_ns: int | None = None
        self._since_s: list[dict[Any, float]] = [{}, {}]  # key in a queue → since when it waits
        self._lock = threading.RLock()  # on the queues: they are closed in another thread
        self.image_topic: str = node.resolve_topic_name(image_topic)
        if compressed:
            self.image_topic += '/compressed'
        self._detections_topic: str | None = None
        if detections_topic is not None:
            self._detections_topic = node.resolve_topic_name(detections_topic)
        self._watch = PairWatch(
            time.monotonic(),
            image_topic=self.image_topic,
            detections_topic=self._detections_topic,
        )
        self._start_pairing()
        self._group = LeavingGroup(node)
        self._timer = node.create_timer(
            CHECK_PERIOD_S,
            self._check,
            self._group,
            # Steady, because a simulated clock may stand still.
            Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._subscriptions: list[MatchedSubscription] = []
        try:
            self._subscribe(CompressedImage if compressed else Image)
        except Exception:
            self.close()
            raise

    def _subscribe(self, kind: type) -> None:
        """Subscribe to images of this kind, and to detections; last, because they may come now."""
        self._subscriptions.append(
            MatchedSubscription(
                self._node, kind, self.image_topic, self._on_image, count_lost=True
            )
        )
        if self._detections_topic is not None:
            self._subscriptions.append(
                MatchedSubscription(
                    self._node,
                    Detection2DArray,
                    self._detections_topic,
                    self._on_detections,
                    others=yolo.message_types(),
                )
            )

    def close(self) -> None:
        """Unsubscribe, and forget what waits."""
        self._group.destroy(self._timer, self._node.destroy_timer)
        for subscription in self._subscriptions:
            subscription.close()
        with self._lock:
            for queue in self._synchronizer.queues:
                queue.clear()

    @property
    def counts(self) -> Arrivals:
        """What came so far."""
        lost = self._subscriptions[0].lost
        if self._detections_topic is None:
            return Arrivals(images=self._images, lost_images=lost, paired=self._pairs)
        with self._lock:
            waiting = [len(queue) for queue in self._synchronizer.queues]
        return Arrivals(
            images=self._images,
            lost_images=lost,
            detections=self._detections,
            paired=self._pairs,
            unpaired_images=self._images - self._pairs - waiting[0],
            unpaired_detections=self._detections - self._pairs - waiting[1],
        )

    @property
    def trouble(self) -> Trouble | None:
        """Why no frames come, if that is so."""
        return self._watch.trouble(time.monotonic())

    @property
    def crowding(self) -> str:
        """Which images do not wait long enough for their detections, if that is so lately."""
        return self._watch.crowding(time.monotonic())

    @property
    def mismatch(self) -> str | None:
        """Why some publisher is not heard, if that is so."""
        return next((s.mismatch for s in self._subscriptions if s.mismatch), None)

    def _start_pairing(self, waiting: Sequence[Sequence[Any]] = ()) -> None:
        """Pair with a new synchronizer; these images and detections wait already."""
        self._filters = SimpleFilter(), SimpleFilter()
        count, slop_s = self._limits.messages, self._limits.slop_s
        if slop_s > 0:
            self._synchronizer = ApproximateTimeSynchronizer(self._filters, count, slop_s)
        else:
            self._synchronizer = TimeSynchronizer(self._filters, count)
        self._synchronizer.registerCallback(self._paired)
        for messages, source in zip(waiting, self._filters, strict=False):
            for message in messages:
                source.signalMessage(message)

    def _jumped_back(self, index: int, stamp_ns: int) -> None:
        """Forget the later ones that wait of a topic: they would push out all that comes now."""
        waiting = [list(queue.values()) for queue in self._synchronizer.queues]
        waiting[index] = [m for m in waiting[index] if nanoseconds_of(m) <= stamp_ns]
        self._start_pairing(waiting)

    def _on_image(self, message: AnyImage) -> None:
        self._images += 1
        self._look_at_clock(nanoseconds_of(message))
        if self._detections_topic is None:
            self._watch.arrived(self.image_topic, message.header.stamp, time.monotonic())
            self._paired(message, None)
        else:
            self._arrived(0, self.image_topic, message)

    def _look_at_clock(self, stamp_ns: int) -> None:
        """Say that the time of the images goes back, if by so much that tracks begin anew."""
        last_ns, self._last_image_ns = self._last_image_ns, stamp_ns
        if last_ns is not None and stamp_ns < last_ns - JUMP_BACK_S * 1e9:
            self._log.warning(
                f'clock of {self.image_topic}',
                f"the stamps on '{self.image_topic}' went back by "
                f'{(last_ns - stamp_ns) / 1e9:.1f} s: a recording began anew, or a clock was '
                'set; whoever was followed gets a new id',
            )

    def _on_detections(self, message: AnyDetections) -> None:
        self._detections += 1
        assert self._detections_topic is not None
        self._arrived(1, self._detections_topic, message)

    def _arrived(self, index: int, topic: str, message: Any) -> None:
        stamp = message.header.stamp
        self._watch.arrived(topic, stamp, time.monotonic())
        if stamp.sec < 0:  # message_filters raises over it
            self._log.error(
                f'negative stamp on {topic}',
                f"a message on '{topic}' has the stamp {stamp.sec}.{stamp.nanosec:09d}, before "
                '1970, and is dropped: it cannot be paired; set the clock of its publisher',
            )
            return
        stamp_ns = nanoseconds_of(message)
        with self._lock:
            if stamp_ns < self._newest_ns[index] - JUMP_S * 1e9:
                self._jumped_back(index, stamp_ns)
                self._newest_ns[index] = stamp_ns
            self._newest_ns[index] = max(stamp_ns, self._newest_ns[index])
            if index == 0:
                self._make_room(len(message.data))
            self._filters[index].signalMessage(message)

    def _make_room(self, size: int) -> None:
        """Forget the oldest images that wait, as far as a new one makes too many bytes."""
        images = self._synchronizer.queues[0]
        held = size + sum(len(image.data) for image in images.values())
        if held <= self._limits.image_bytes:
            return
        while held > self._limits.image_bytes and images:
            held -= len(images.pop(min(images)).data)
        oldest_ns = min(map(nanoseconds_of, images.values()), default=self._newest_ns[0])
        self._watch.crowded(
            f'queue_mb = {self._limits.image_bytes / 1e6:g} holds {len(images) + 1} of these '
            f'images, {(self._newest_ns[0] - oldest_ns) / 1e9:.2f} s of them; raise it until it '
            "spans the detector's delay",
            time.monotonic(),
        )

    def _drop_beyond_seconds(self, now_s: float) -> None:
        """Forget what has waited too long."""
        with self._lock:
            for index, queue in enumerate(self._synchronizer.queues):
                known = self._since_s[index]
                self._since_s[index] = {key: known.get(key, now_s) for key in list(queue)}
                for key, since_s in self._since_s[index].items():
                    if now_s - since_s > self._limits.seconds:
                        queue.pop(key, None)

    def _paired(self, image: AnyImage, detections: AnyDetections | None) -> None:
        self._pairs += 1
        self._watch.paired(time.monotonic())
        self._on_frame(image, detections)

    def _check(self) -> None:
        now_s = time.monotonic()
        self._drop_beyond_seconds(now_s)
        complaint = self._watch.complaint(now_s)
        if complaint is not None:
            self._node.get_logger().warning(complaint)
