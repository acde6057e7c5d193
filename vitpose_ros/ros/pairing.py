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

PATIENCE_S = 3.0  # without a pair, while something arrives
SILENCE_S = 10.0  # while nothing arrives at all
REPEAT_S = 10.0  # between warnings


class PairWatch:
    """Notices when nothing pairs, and says what is missing. Time comes in as an argument."""

    def __init__(self, now_s: float, *, image_topic: str, detections_topic: str) -> None:
        self._image_topic = image_topic
        self._detections_topic = detections_topic
        self._images: list[Time] = []  # the newest stamp since the last pair, if any
        self._detections: list[Time] = []
        self._paired_s = now_s  # the last pair, or the start
        self._said_s = now_s - REPEAT_S

    def image(self, stamp: Time) -> None:
        """Note an image."""
        self._images = [stamp]

    def detections(self, stamp: Time) -> None:
        """Note detections."""
        self._detections = [stamp]

    def pair(self, now_s: float) -> None:
        """Note that an image and its detections met."""
        self._images.clear()
        self._detections.clear()
        self._paired_s = now_s

    def complaint(self, now_s: float) -> str | None:
        """Say what is wrong, if nothing has paired for long and it was not said just now."""
        patience_s = PATIENCE_S if self._images or self._detections else SILENCE_S
        if now_s - self._paired_s < patience_s or now_s - self._said_s < REPEAT_S:
            return None
        self._said_s = now_s
        if not self._images and not self._detections:
            return (
                f"nothing arrives on '{self._image_topic}' and '{self._detections_topic}'; are "
                'the camera and the detector running, and the topics remapped?'
            )
        if not self._detections:
            return (
                f"images arrive on '{self._image_topic}' but no detections on "
                f"'{self._detections_topic}'; is the detector running? It must publish an "
                'empty array, too, when it sees nobody'
            )
        if not self._images:
            return (
                f"detections arrive on '{self._detections_topic}' but no images on "
                f"'{self._image_topic}'; is the camera running, and does its QoS match?"
            )
        return (
            f"images on '{self._image_topic}' and detections on '{self._detections_topic}' do "
            f'not pair: newest image stamp {_seconds(self._images[0])}, newest detections stamp '
            f'{_seconds(self._detections[0])}; the detector must copy the header of its image, '
            'and sync_queue_size must span its delay'
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
        images.registerCallback(lambda message: self._watch.image(message.header.stamp))
        detections.registerCallback(lambda message: self._watch.detections(message.header.stamp))
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

    def _paired(self, image: Image, detections: Detection2DArray) -> None:
        self._watch.pair(time.monotonic())
        self._on_pair(image, detections)

    def _complain(self) -> None:
        complaint = self._watch.complaint(time.monotonic())
        if complaint is not None:
            self._node.get_logger().warning(complaint)


def _seconds(stamp: Time) -> str:
    return f'{stamp.sec}.{stamp.nanosec:09d}'
