"""Real-time batching: the newest frame of every camera, one turn after the other.

While the network works, each camera's mailbox keeps its newest frame. Between two forward passes
the worker takes one from every camera that has none under way: no timer, no queue that can grow,
and no camera waits for the crowd before another. The subjects of all frames share the passes.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar('T')


@dataclass
class Counts:
    """What became of the frames of one camera."""

    received: int = 0
    overwritten: int = 0  # made room for newer ones
    too_old: int = 0  # older than max_age_ns when their turn came


@dataclass(frozen=True)
class Waiting(Generic[T]):
    """A frame in a mailbox."""

    camera: str
    item: T
    stamp_ns: int  # when it was taken, on the clock of the stamps
    arrived_s: float  # when it was put here, on the steady clock


class Mailboxes(Generic[T]):
    """One mailbox per camera, all of them for one worker thread.

    stamp_clock tells the present time on the clock of the stamps, in nanoseconds; clock is
    steady, in seconds. A mailbox holds the newest frames: at most size, and at most max_bytes of
    them as bytes_of counts, but one in any case. max_age_ns may be changed at any time; 0 lets
    frames of any age pass.
    """

    def __init__(
        self,
        cameras: Iterable[str],
        *,
        size: int = 1,
        max_bytes: float = math.inf,
        bytes_of: Callable[[T], int] = lambda _: 0,
        max_age_ns: int = 0,
        stamp_clock: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_age_ns = max_age_ns
        self._max_bytes = max_bytes
        self._bytes_of = bytes_of
        self._stamp_clock = stamp_clock
        self._clock = clock
        self._boxes: dict[str, deque[Waiting[T]]] = {c: deque(maxlen=size) for c in cameras}
        self._counts = {camera: Counts() for camera in self._boxes}
        self._order = deque(self._boxes)
        self._changed = threading.Condition()
        self._closed = False

    def put(self, camera: str, item: T, stamp_ns: int) -> None:
        """Leave a frame of a camera; never waits."""
        box, counts = self._boxes[camera], self._counts[camera]
        with self._changed:
            counts.received += 1
            if self._closed or len(box) == box.maxlen:
                counts.overwritten += 1
            if self._closed:
                return
            box.append(Waiting(camera, item, stamp_ns, self._clock()))
            held = sum(self._bytes_of(waiting.item) for waiting in box)
            while held > self._max_bytes and len(box) > 1:
                held -= self._bytes_of(box.popleft().item)
                counts.overwritten += 1
            self._changed.notify()

    def take(self, busy: Collection[str] = ()) -> list[Waiting[T]] | None:
        """Take a frame, the oldest, from every mailbox that holds some, but those of busy cameras.

        Waits for one, unless some camera is busy. A camera that was first this time is last the
        next. Returns None when the mailboxes were closed.
        """
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._closed or busy or any(self._boxes.values()))
                if self._closed:
                    return None
                turn = [self._take_from(camera) for camera in self._order if camera not in busy]
                self._order.rotate(-1)
                taken = [waiting for waiting in turn if waiting is not None]
                if taken or busy:
                    return taken

    def _take_from(self, camera: str) -> Waiting[T] | None:
        box = self._boxes[camera]
        while box:
            waiting = box.popleft()
            if not 0 < self.max_age_ns < self._stamp_clock() - waiting.stamp_ns:
                return waiting
            self._counts[camera].too_old += 1
        return None

    def counts(self, camera: str) -> Counts:
        """Return what became of the frames of a camera so far."""
        with self._changed:
            counts = self._counts[camera]
            return Counts(counts.received, counts.overwritten, counts.too_old)

    @property
    def closed(self) -> bool:
        """Whether nothing is taken any more."""
        return self._closed

    def close(self) -> None:
        """Drop what waits, and let take return None from now on."""
        with self._changed:
            self._closed = True
            for camera, box in self._boxes.items():
                self._counts[camera].overwritten += len(box)
                box.clear()
            self._changed.notify_all()
