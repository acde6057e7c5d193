"""The hand-over from what receives frames to what works on them."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar('T')


class Mailbox(Generic[T]):
    """Holds the newest items for one worker thread; older ones make room and are counted."""

    def __init__(self, size: int = 1) -> None:
        self.overwritten = 0  # items that were dropped for newer ones
        self._items: deque[T] = deque(maxlen=size)
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T) -> None:
        """Leave an item; never waits."""
        with self._changed:
            if len(self._items) == self._items.maxlen:
                self.overwritten += 1
            self._items.append(item)
            self._changed.notify()

    def take(self) -> T | None:
        """Wait for an item and return the oldest; None when the mailbox was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed)
            return None if self._closed else self._items.popleft()

    def close(self) -> None:
        """Drop what waits, and let take return None from now on."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
