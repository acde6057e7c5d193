"""Messages of several topics, brought together by the stamps in their headers.

A stand-in for the ROS package of this name, which PyPI lacks: the same classes, arguments and
semantics as its releases since January 2026 (Humble 4.3.12, Jazzy 4.11.10, Kilted 7.1.5, Rolling
7.3.5), as far as Subscriber, TimeSynchronizer and ApproximateTimeSynchronizer go.
"""

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.clock import ROSClock
from rclpy.logging import get_logger
from rclpy.node import Node


class SimpleFilter:
    """Something that gives out messages to whom registered for them."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:  # noqa: N802
        """Call cb(*messages, *args) from now on; return the number of the registration."""
        number = len(self.callbacks)
        self.callbacks[number] = (cb, args)
        return number

    def signalMessage(self, *msg: Any) -> None:  # noqa: N802
        """Give out messages."""
        for callback, arguments in list(self.callbacks.values()):
            callback(*msg, *arguments)


class Subscriber(SimpleFilter):
    """Gives out the messages of a subscription: Subscriber(node, type, topic, **options)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.node: Node = args[0]
        self.topic: str = args[2]
        kwargs.setdefault('qos_profile', 10)
        self.sub = self.node.create_subscription(*args[1:], self.callback, **kwargs)

    def callback(self, msg: Any) -> None:
        """Give out a message."""
        self.signalMessage(msg)

    def getTopic(self) -> str:  # noqa: N802
        """Return the topic, as it was given."""
        return self.topic

    def __getattr__(self, key: str) -> Any:
        """Answer for the subscription."""
        return getattr(self.__dict__['sub'], key)


class TimeSynchronizer(SimpleFilter):
    """Gives out one message of each filter together, once their stamps are equal.

    Each filter's newest queue_size messages, by stamp, wait for their counterparts, until a set
    with a later stamp has come out: what is older than that is forgotten.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:  # noqa: N802
        """Listen to these filters, with empty queues."""
        self.queues: list[dict[int, Any]] = [{} for _ in fs]  # stamp in nanoseconds → message
        self.input_connections = [
            f.registerCallback(self.add, queue, index)
            for index, (f, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Take in a message of one filter."""
        with self.lock:
            self._keep(msg, _nanoseconds(msg.header.stamp), my_queue)
            common = set(self.queues[0]).intersection(*self.queues[1:])
            for stamp in sorted(common):
                self._give_out([stamp] * len(self.queues))
                for queue in self.queues:
                    for older in [waiting for waiting in queue if waiting < stamp]:
                        del queue[older]

    def _keep(self, msg: Any, stamp: int, queue: dict[int, Any]) -> None:
        queue[stamp] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _give_out(self, stamps: Sequence[int]) -> None:
        pairs = list(zip(self.queues, stamps, strict=True))
        self.signalMessage(*(queue[stamp] for queue, stamp in pairs))
        for queue, stamp in pairs:
            del queue[stamp]


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Gives out one message of each filter together, once their stamps differ by less than slop.

    slop is in seconds. allow_headerless: a message without a header counts as of now.
    """

    def __init__(
        self,
        fs: Sequence[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
    ) -> None:
        super().__init__(fs, queue_size)
        self.slop = round(slop * 1e9)  # nanoseconds
        self.allow_headerless = allow_headerless

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Take in a message of one filter."""
        if hasattr(msg, 'header') and hasattr(msg.header, 'stamp'):
            stamp = _nanoseconds(msg.header.stamp)
        elif self.allow_headerless:
            stamp = ROSClock().now().nanoseconds
        else:
            get_logger('message_filters').warning(
                'a message without a header is left out; allow_headerless would let it in'
            )
            return
        with self.lock:
            self._keep(msg, stamp, my_queue)
            # For each filter the stamps within the slop, the nearest first.
            candidates = [
                [stamp]
                if index == my_queue_index
                else sorted(
                    (other for other in queue if abs(other - stamp) <= self.slop),
                    key=lambda other: abs(other - stamp),
                )
                for index, queue in enumerate(self.queues)
            ]
            for stamps in itertools.product(*candidates):
                kept = all(s in queue for queue, s in zip(self.queues, stamps, strict=True))
                if kept and max(stamps) - min(stamps) < self.slop:
                    self._give_out(stamps)
                    break


def _nanoseconds(stamp: Any) -> int:
    """Return the nanoseconds of a builtin_interfaces/Time, or of an rclpy.time.Time."""
    if hasattr(stamp, 'nanoseconds'):
        return int(stamp.nanoseconds)
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
