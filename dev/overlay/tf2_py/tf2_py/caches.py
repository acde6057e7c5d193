"""What is kept of a frame."""

from bisect import bisect_left, bisect_right

from .exceptions import ExtrapolationException
from .links import Link, interpolated

MOST_TRANSFORMS = 20_000  # per frame: 10 s at 2 kHz; the real package has no such limit


class Moving:
    """The links of a frame that moves: the newest, and those at most cache_time older."""

    def __init__(self, cache_time: int) -> None:
        self.cache_time = cache_time
        self.stamps: list[int] = []  # rising; of equal ones the newest comes last
        self.links: list[Link] = []

    def insert(self, link: Link) -> bool:
        """Keep a link, or return False for one that is too old."""
        if self.stamps:
            oldest = self.stamps[-1] - self.cache_time
            outdated = bisect_left(self.stamps, oldest)
            outdated = max(outdated, len(self.stamps) + 1 - MOST_TRANSFORMS)
            del self.stamps[:outdated], self.links[:outdated]
            if link.stamp < oldest:
                return False
        first, place = bisect_left(self.stamps, link.stamp), bisect_right(self.stamps, link.stamp)
        if link not in self.links[first:place]:
            self.stamps.insert(place, link.stamp)
            self.links.insert(place, link)
        return True

    def latest(self) -> tuple[int, str | None]:
        """Return the newest stamp and the parent at that time; 0 and None for an empty one."""
        return (self.links[-1].stamp, self.links[-1].parent) if self.links else (0, None)

    def at(self, time: int) -> Link:
        """Return the link at a time, between two of one parent interpolated; 0: the newest."""
        if not self.links:
            raise outside(time, '', 'there is no data')
        first, last = self.stamps[0], self.stamps[-1]
        if time in (0, last):
            return self.links[-1]
        if time == first:
            return self.links[0]
        if len(self.links) == 1:
            raise outside(time, '', f'the only data is at time {seconds(last)}')
        if time > last:
            raise outside(time, ' into the future', f'the latest data is at time {seconds(last)}')
        if time < first:
            raise outside(time, ' into the past', f'the earliest data is at time {seconds(first)}')
        after = bisect_right(self.stamps, time)
        one, two = self.links[after - 1], self.links[after]
        return interpolated(one, two, time) if one.parent == two.parent else one


class Fixed:
    """The link of a frame that does not move."""

    link: Link

    def insert(self, link: Link) -> bool:
        """Take a link in place of the last one."""
        self.link = link
        return True

    def latest(self) -> tuple[int, str | None]:
        """Return 0, which stands for any time, and the parent."""
        return 0, self.link.parent

    def at(self, _time: int) -> Link:
        """Return the link."""
        return self.link


def outside(time: int, direction: str, reason: str) -> ExtrapolationException:
    """Return what to raise for a time at which nothing is known."""
    return ExtrapolationException(
        f'Lookup would require extrapolation{direction}: asked for time {seconds(time)}, {reason}'
    )


def seconds(time: int) -> str:
    """Return nanoseconds as seconds."""
    return f'{time / 1e9:.6f}'
