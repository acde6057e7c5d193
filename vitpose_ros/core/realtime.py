"""Real-time batching: the newest frame of every camera, one turn after the other.

While the network works, each camera's mailbox keeps its newest frame; the next turn takes what
all mailboxes hold. So no frame waits longer than one turn before its own, however fast the
cameras are: no timer, no queue that can grow. Within a turn, the subjects of all frames share
forward passes.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
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
    steady, in seconds. size is how many frames a mailbox holds: the newest. max_age_ns may be
    changed at any time; 0 lets frames of any age pass.
    """

    def __init__(
        self,
        cameras: Iterable[str],
        *,
        size: int = 1,
        max_age_ns: int = 0,
        stamp_clock: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_age_ns = max_age_ns
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
            if not self._closed:
                box.append(Waiting(camera, item, stamp_ns, self._clock()))
                self._changed.notify()

    def take(self) -> list[Waiting[T]] | None:
        """Wait for a frame, then take one from every mailbox that holds some, the oldest.

        A camera that was first in this turn is last in the next. Returns None when the
        mailboxes were closed.
        """
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._closed or any(self._boxes.values()))
                if self._closed:
                    return None
                turn = [self._take_from(camera) for camera in self._order]
                self._order.rotate(-1)
                if taken := [waiting for waiting in turn if waiting is not None]:
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

    def close(self) -> None:
        """Drop what waits, and let take return None from now on."""
        with self._changed:
            self._closed = True
            for camera, box in self._boxes.items():
                self._counts[camera].overwritten += len(box)
                box.clear()
            self._changed.notify_all()
