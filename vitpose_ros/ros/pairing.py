"""Images and the detections made from them, brought together by their stamps."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from builtin_interfaces.msg import Time
from message_filters import ApproximateTimeSynchronizer, SimpleFilter, TimeSynchronizer
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from vitpose_ros.ros.subscriptions import MatchedSubscription

PATIENCE_S = 3.0  # of arrivals without a pair, before a warning
SILENCE_S = 10.0  # without any arrival, before a warning
REPEAT_S = 10.0  # between warnings of the same kind
JUMP_S = 1.0  # a stamp that is earlier than the last by more than this: a recording began anew

AnyImage: TypeAlias = Image | CompressedImage
OnFrame: TypeAlias = Callable[[AnyImage, Detection2DArray | None], None]


@dataclass(frozen=True)
class Counts:
    """What came to one camera."""

    images: int = 0
    detections: int = 0
    paired: int = 0  # images handed on
    unpaired_images: int = 0  # gave up waiting for their detections
    unpaired_detections: int = 0


@dataclass(frozen=True)
class Trouble:
    """Why no frames come."""

    kind: str  # 'nothing', 'no images', 'no detections' or 'no pairs'
    text: str


class PairWatch:
    """Notices when nothing pairs, and says what is missing. Time comes in as an argument.

    Without a topic of detections, each image is a pair by itself.
    """

    def __init__(self, now_s: float, *, image_topic: str, detections_topic: str | None) -> None:
        self._image_topic = image_topic
        self._detections_topic = detections_topic
        self._newest: dict[str, tuple[Time, float]] = {}  # topic → stamp, arrival; since a pair
        self._since_s = now_s  # the last pair, or the first arrival after a silence
        self._said_s: dict[str, float] = {}  # kind of trouble → last complaint

    def arrived(self, topic: str, stamp: Time, now_s: float) -> None:
        """Note a message on one of the two topics."""
        if not self._newest:
            self._since_s = now_s
        self._newest[topic] = stamp, now_s

    def paired(self, now_s: float) -> None:
        """Note that an image and its detections met."""
        self._newest.clear()
        self._said_s.clear()
        self._since_s = now_s

    def trouble(self, now_s: float) -> Trouble | None:
        """Say what is wrong, if nothing has paired for long."""
        for topic, (_, arrival_s) in list(self._newest.items()):
            if now_s - arrival_s >= SILENCE_S:
                del self._newest[topic]
        if now_s - self._since_s < (PATIENCE_S if self._newest else SILENCE_S):
            return None
        return self._describe()

    def complaint(self, now_s: float) -> str | None:
        """Say what is wrong, if that was not said just now."""
        trouble = self.trouble(now_s)
        if trouble is None:
            return None
        if now_s - self._said_s.get(trouble.kind, now_s - REPEAT_S) < REPEAT_S:
            return None
        self._said_s[trouble.kind] = now_s
        return trouble.text

    def _describe(self) -> Trouble:
        images, detections = self._image_topic, self._detections_topic
        if detections is None:
            return Trouble(
                'no images',
                f"nothing arrives on '{images}'; is the camera running, and the topic remapped?",
            )
        if not self._newest:
            return Trouble(
                'nothing',
                f"nothing arrives on '{images}' and '{detections}'; are the camera and the "
                'detector running, and the topics remapped?',
            )
        if detections not in self._newest:
            return Trouble(
                'no detections',
                f"images arrive on '{images}' but no detections on '{detections}'; is the "
                'detector running? It must publish an empty array, too, when it sees nobody',
            )
        if images not in self._newest:
            return Trouble(
                'no images',
                f"detections arrive on '{detections}' but no images on '{images}'; is the "
                'camera running?',
            )
        return Trouble(
            'no pairs',
            f"images on '{images}' and detections on '{detections}' do not pair: newest image "
            f'stamp {_seconds(self._newest[images][0])}, newest detections stamp '
            f'{_seconds(self._newest[detections][0])}; the detector must copy the header of its '
            'image (or set sync_slop_ms), and sync_queue_size must span its delay',
        )


class CameraInput:
    """Subscribes to the images of a camera and their detections, and hands on what pairs."""

    def __init__(
        self,
        node: Node,
        on_frame: OnFrame,
        *,
        image_topic: str,
        detections_topic: str | None,
        compressed: bool = False,
        queue_size: int = 30,
        slop_s: float = 0.0,
    ) -> None:
        """Subscribe. Without a topic of detections, each image is handed on at once.

        Stamps must be equal, or with a slop_s above 0 differ by less than that. queue_size
        messages of each kind wait for their counterpart.
        """
        self._node = node
        self._on_frame = on_frame
        self._queue_size = queue_size
        self._slop_s = slop_s
        self._images = self._detections = self._pairs = 0
        self._newest_ns = [0, 0]  # stamps of images and detections
        if compressed:
            image_topic = f'{node.resolve_topic_name(image_topic)}/compressed'
        kind = CompressedImage if compressed else Image
        self._subscriptions = [MatchedSubscription(node, kind, image_topic, self._on_image)]
        if detections_topic is not None:
            self._subscriptions.append(
                MatchedSubscription(node, Detection2DArray, detections_topic, self._on_detections)
            )
        topics = [subscription.topic_name for subscription in self._subscriptions]
        self.image_topic = topics[0]
        self._detections_topic = topics[1] if len(topics) > 1 else None
        self._watch = PairWatch(
            time.monotonic(),
            image_topic=self.image_topic,
            detections_topic=self._detections_topic,
        )
        self._start_pairing()
        # Steady, because a simulated clock may stand still.
        self._timer = node.create_timer(
            0.5, self._complain, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            subscription.close()

    @property
    def counts(self) -> Counts:
        """What came so far."""
        if self._detections_topic is None:
            return Counts(images=self._images, paired=self._pairs)
        waiting = [len(queue) for queue in self._synchronizer.queues]
        return Counts(
            images=self._images,
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
    def mismatch(self) -> str | None:
        """Why some publisher is not heard, if that is so."""
        return next((s.mismatch for s in self._subscriptions if s.mismatch), None)

    def _start_pairing(self, waiting: Sequence[Sequence[Any]] = ()) -> None:
        """Pair with a new synchronizer; these images and detections wait already."""
        self._filters = SimpleFilter(), SimpleFilter()
        if self._slop_s > 0:
            self._synchronizer = ApproximateTimeSynchronizer(
                self._filters, self._queue_size, self._slop_s
            )
        else:
            self._synchronizer = TimeSynchronizer(self._filters, self._queue_size)
        self._synchronizer.registerCallback(self._paired)
        for messages, source in zip(waiting, self._filters, strict=False):
            for message in messages:
                source.signalMessage(message)

    def _jumped_back(self, index: int, stamp_ns: int) -> None:
        """Forget the later ones that wait of a topic: they would push out all that comes now."""
        waiting = [list(queue.values()) for queue in self._synchronizer.queues]
        waiting[index] = [m for m in waiting[index] if _nanoseconds_of(m) <= stamp_ns]
        self._start_pairing(waiting)

    def _on_image(self, message: AnyImage) -> None:
        self._images += 1
        if self._detections_topic is None:
            self._watch.arrived(self.image_topic, message.header.stamp, time.monotonic())
            self._paired(message, None)
        else:
            self._arrived(0, self.image_topic, message)

    def _on_detections(self, message: Detection2DArray) -> None:
        self._detections += 1
        assert self._detections_topic is not None
        self._arrived(1, self._detections_topic, message)

    def _arrived(self, index: int, topic: str, message: Any) -> None:
        self._watch.arrived(topic, message.header.stamp, time.monotonic())
        if message.header.stamp.sec < 0:  # message_filters raises over it
            return
        stamp_ns = _nanoseconds_of(message)
        if stamp_ns < self._newest_ns[index] - JUMP_S * 1e9:
            self._jumped_back(index, stamp_ns)
            self._newest_ns[index] = stamp_ns
        self._newest_ns[index] = max(stamp_ns, self._newest_ns[index])
        self._filters[index].signalMessage(message)

    def _paired(self, image: AnyImage, detections: Detection2DArray | None) -> None:
        self._pairs += 1
        self._watch.paired(time.monotonic())
        self._on_frame(image, detections)

    def _complain(self) -> None:
        complaint = self._watch.complaint(time.monotonic())
        if complaint is not None:
            self._node.get_logger().warning(complaint)


def stamp_nanoseconds(stamp: Time) -> int:
    """Return a stamp in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _nanoseconds_of(message: Any) -> int:
    return stamp_nanoseconds(message.header.stamp)


def _seconds(stamp: Time) -> str:
    return f'{stamp.sec}.{stamp.nanosec:09d}'
