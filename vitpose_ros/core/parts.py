"""The subjects of several frames, cut into batches."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Some subjects of a frame, which go through the network in one pass."""

    frame: int  # index
    start: int  # boxes of the frame
    stop: int

    def __len__(self) -> int:
        """Return the number of subjects."""
        return self.stop - self.start


class Parts:
    """The subjects of several frames that are still to be done, frame by frame."""

    def __init__(self, counts: Iterable[int]) -> None:
        """Take the number of subjects in each frame. Frames without any come first."""
        parts = [Part(frame, 0, count) for frame, count in enumerate(counts)]
        self._parts = deque(sorted(parts, key=lambda part: len(part) > 0))

    def __bool__(self) -> bool:
        """Tell whether something is left."""
        return bool(self._parts)

    def __contains__(self, frame: int) -> bool:
        """Tell whether something of the frame is left."""
        return any(part.frame == frame for part in self._parts)

    def take(self, most: int, *, together: bool) -> list[Part]:
        """Take the next subjects, at most so many; of one frame only, if not together."""
        batch: list[Part] = []
        while self._parts and most > 0 and (together or not batch):
            part = self._parts.popleft()
            stop = min(part.stop, part.start + most)
            batch.append(Part(part.frame, part.start, stop))
            if stop < part.stop:
                self._parts.appendleft(Part(part.frame, stop, part.stop))
            if stop == 0:  # nobody there: done already
                break
            most -= len(batch[-1])
        return batch

    def give_back(self, batch: Sequence[Part]) -> None:
        """Put what take returned back to its place."""
        for part in reversed(batch):
            stop = self._parts.popleft().stop if part.frame in self else part.stop
            self._parts.appendleft(Part(part.frame, part.start, stop))

    def drop(self, frame: int) -> None:
        """Leave out what is left of a frame."""
        self._parts = deque(part for part in self._parts if part.frame != frame)
