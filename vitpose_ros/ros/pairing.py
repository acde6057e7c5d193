"""Images and the detections made from them, brought together by their stamps."""

import time
from collections.abc import Callable

from builtin_interfaces.msg import Time
from message_filters import TimeSynchronizer
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from vitpose_ros.ros.subscriptions import MatchedSubscriber

PATIENCE_S = 3.0  # of arrivals without a pair, before a warning
SILENCE_S = 10.0  # without any arrival, before a warning
REPEAT_S = 10.0  # between warnings of the same kind


class PairWatch:
    """Notices when nothing pairs, and says what is missing. Time comes in as an argument."""

    def __init__(self, now_s: float, *, image_topic: str, detections_topic: str) -> None:
        self._image_topic = image_topic
        self._detections_topic = detections_topic
        self._newest: dict[str, tuple[Time, float]] = {}  # topic → stamp, arrival; since a pair
        self._since_s = now_s  # the last pair, or the first arrival after a silence
        self._said_s: dict[tuple[str, ...], float] = {}  # topics that arrive → last warning

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

    def complaint(self, now_s: float) -> str | None:
        """Say what is wrong, if nothing has paired for long and it was not said just now."""
        for topic, (_, arrival_s) in list(self._newest.items()):
            if now_s - arrival_s >= SILENCE_S:
                del self._newest[topic]
        kind = tuple(sorted(self._newest))
        if now_s - self._since_s < (PATIENCE_S if kind else SILENCE_S):
            return None
        if now_s - self._said_s.get(kind, now_s - REPEAT_S) < REPEAT_S:
            return None
        self._said_s[kind] = now_s
        return self._describe()

    def _describe(self) -> str:
        images, detections = self._image_topic, self._detections_topic
        if not self._newest:
            return (
                f"nothing arrives on '{images}' and '{detections}'; are the camera and the "
                'detector running, and the topics remapped?'
            )
        if detections not in self._newest:
            return (
                f"images arrive on '{images}' but no detections on '{detections}'; is the "
                'detector running? It must publish an empty array, too, when it sees nobody'
            )
        if images not in self._newest:
            return (
                f"detections arrive on '{detections}' but no images on '{images}'; is the "
                'camera running?'
            )
        return (
            f"images on '{images}' and detections on '{detections}' do not pair: newest image "
            f'stamp {_seconds(self._newest[images][0])}, newest detections stamp '
            f'{_seconds(self._newest[detections][0])}; the detector must copy the header of its '
            'image, and sync_queue_size must span its delay'
        )


class PairedInput:
    """Subscribes to images and detections, and hands on those with equal stamps."""

    def __init__(
        self,
        node: Node,
        on_pair: Callable[[Image, Detection2DArray], None],
        *,
        queue_size: int,
    ) -> None:
        self._node = node
        self._on_pair = on_pair
        self._subscribers = [
            MatchedSubscriber(node, Image, 'image'),
            MatchedSubscriber(node, Detection2DArray, 'detections'),
        ]
        images, detections = self._subscribers
        self._watch = PairWatch(
            time.monotonic(),
            image_topic=images.topic_name,
            detections_topic=detections.topic_name,
        )
        for subscriber in self._subscribers:
            subscriber.registerCallback(self._arrived, subscriber.topic_name)
        self._synchronizer = TimeSynchronizer(self._subscribers, queue_size)
        self._synchronizer.registerCallback(self._paired)
        # Steady, because a simulated clock may stand still.
        self._timer = node.create_timer(
            0.5, self._complain, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_timer(self._timer)
        for subscriber in self._subscribers:
            subscriber.close()

    def _arrived(self, message: Image | Detection2DArray, topic: str) -> None:
        self._watch.arrived(topic, message.header.stamp, time.monotonic())

    def _paired(self, image: Image, detections: Detection2DArray) -> None:
        self._watch.paired(time.monotonic())
        self._on_pair(image, detections)

    def _complain(self) -> None:
        complaint = self._watch.complaint(time.monotonic())
        if complaint is not None:
            self._node.get_logger().warning(complaint)


def _seconds(stamp: Time) -> str:
    return f'{stamp.sec}.{stamp.nanosec:09d}'
