"""Transforms between frames over time: kept as they come, looked up between any two frames.

A stand-in for the ROS package of this name, which PyPI lacks: the same classes, arguments and
semantics as its releases since 2024, without lookupVelocity, _chain and _allFramesAsDot.
"""

import math
import threading
from typing import Any

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import TransformStamped
from rclpy.logging import get_logger
from rclpy.time import Time

from .caches import Fixed, Moving, seconds
from .exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TimeoutException,
    TransformException,
)
from .links import Link, composed, identity, inverse, normalized

__all__ = [
    'BufferCore',
    'ConnectivityException',
    'ExtrapolationException',
    'InvalidArgumentException',
    'LookupException',
    'TimeoutException',
    'TransformException',
]

CACHE_TIME = 10_000_000_000  # ns
MOST_PARENTS = 1000  # of a frame, up to the root; with more it must be a loop


class BufferCore:
    """Keeps transforms, and looks up those between any two frames."""

    def __init__(self, cache_time: Any = None) -> None:
        self._cache_time = CACHE_TIME if cache_time is None else nanoseconds(cache_time)
        # Each name that was heard of → what its parent is; None for one that has none.
        self._frames: dict[str, Moving | Fixed | None] = {}
        self._authorities: dict[str, str] = {}
        self._lock = threading.RLock()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Keep a transform; log an error for an invalid one, and leave it out."""
        self._keep(transform, authority, fixed=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Keep a transform for all times; log an error for an invalid one, and leave it out."""
        self._keep(transform, authority, fixed=True)

    def _keep(self, transform: TransformStamped, authority: str, *, fixed: bool) -> None:
        parent = transform.header.frame_id.removeprefix('/')
        child = transform.child_frame_id.removeprefix('/')
        t, r = transform.transform.translation, transform.transform.rotation
        rotation = normalized(r.x, r.y, r.z, r.w)
        invalid = None
        if not child or not parent:
            invalid = 'it lacks frame_id or child_frame_id'
        elif child == parent:
            invalid = 'its frame_id and child_frame_id are the same'
        elif rotation is None:
            invalid = f'its rotation is x {r.x}, y {r.y}, z {r.z}, w {r.w}'
        elif any(map(math.isnan, (t.x, t.y, t.z))):
            invalid = f'its translation is x {t.x}, y {t.y}, z {t.z}'
        if invalid or rotation is None:
            get_logger('tf2').error(
                f"transform of '{child}' in '{parent}' from '{authority}' is left out: {invalid}"
            )
            return
        link = Link(nanoseconds(transform.header.stamp), parent, rotation, (t.x, t.y, t.z))
        with self._lock:
            cache = self._frames.get(child)
            if cache is None or isinstance(cache, Fixed) != fixed:
                cache = self._frames[child] = Fixed() if fixed else Moving(self._cache_time)
            self._frames.setdefault(parent, None)
            if cache.insert(link):
                self._authorities[child] = authority
                return
        get_logger('tf2').warning(
            f"transform of '{child}' in '{parent}' from '{authority}' is left out: its time "
            f'{seconds(link.stamp)} is older than what is kept'
        )

    def clear(self) -> None:
        """Forget the transforms of frames that move."""
        with self._lock:
            for frame, cache in self._frames.items():
                if isinstance(cache, Moving):
                    self._frames[frame] = Moving(self._cache_time)

    def lookup_transform_core(
        self, target_frame: str, source_frame: str, time: Any
    ) -> TransformStamped:
        """Return the pose of source_frame in target_frame at a time, or the newest for time 0."""
        wanted = nanoseconds(time)
        with self._lock:
            if target_frame != source_frame:
                self._check('target_frame', target_frame)
                self._check('source_frame', source_frame)
            found = self._lookup(target_frame, source_frame, wanted)
        return message(target_frame, source_frame, found)

    def lookup_transform_full_core(
        self,
        target_frame: str,
        target_time: Any,
        source_frame: str,
        source_time: Any,
        fixed_frame: str,
    ) -> TransformStamped:
        """Return the pose that source_frame had at source_time in target_frame at target_time.

        fixed_frame is the one that stood still in between.
        """
        times = nanoseconds(target_time), nanoseconds(source_time)
        with self._lock:
            self._check('target_frame', target_frame)
            self._check('source_frame', source_frame)
            self._check('fixed_frame', fixed_frame)
            source = self._lookup(fixed_frame, source_frame, times[1])
            target = self._lookup(target_frame, fixed_frame, times[0])
        return message(target_frame, source_frame, composed(target, source))

    # Numbers, as in the real package, which messages don't take in place of True and False.

    def can_transform_core(
        self, target_frame: str, source_frame: str, time: Any
    ) -> tuple[int, str]:
        """Return 1 and nothing if a lookup would succeed, else 0 and the reason."""
        try:
            self.lookup_transform_core(target_frame, source_frame, time)
        except TransformException as error:
            return 0, str(error)
        return 1, ''

    def can_transform_full_core(
        self,
        target_frame: str,
        target_time: Any,
        source_frame: str,
        source_time: Any,
        fixed_frame: str,
    ) -> tuple[int, str]:
        """Return 1 and nothing if a lookup would succeed, else 0 and the reason."""
        try:
            self.lookup_transform_full_core(
                target_frame, target_time, source_frame, source_time, fixed_frame
            )
        except TransformException as error:
            return 0, str(error)
        return 1, ''

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the newest time at which there is a transform; 0 between frames that stand."""
        with self._lock:
            self._check('target_frame', target_frame)
            self._check('source_frame', source_frame)
            try:
                return Time(nanoseconds=self._common_time(target_frame, source_frame))
            except TransformException as error:
                raise TransformException(str(error)) from error

    def all_frames_as_string(self) -> str:
        """Return a line per frame that has a parent."""
        with self._lock:
            return ''.join(
                f'Frame {frame} exists with parent {cache.latest()[1] or "NO_PARENT"}.\n'
                for frame, cache in self._frames.items()
                if cache is not None
            )

    def all_frames_as_yaml(self) -> str:
        """Return what is kept of each frame that has a parent."""
        with self._lock:
            if not self._frames:
                return '[]'
            lines = []
            for frame, cache in self._frames.items():
                if cache is None or (parent := cache.latest()[1]) is None:
                    continue
                stamps = cache.stamps if isinstance(cache, Moving) else [0]
                duration = stamps[-1] - stamps[0]
                lines += [
                    f'{frame}: ',
                    f"  parent: '{parent}'",
                    f"  broadcaster: '{self._authorities[frame]}'",
                    f'  rate: {len(stamps) / max(duration, 100_000) * 1e9:.3f}',
                    f'  most_recent_transform: {seconds(stamps[-1])}',
                    f'  oldest_transform: {seconds(stamps[0])}',
                    f'  buffer_length: {duration / 1e9:.3f}',
                ]
            return ''.join(line + '\n' for line in lines)

    def _frameExists(self, frame_id_str: str) -> bool:  # noqa: N802
        return frame_id_str in self._frames

    def _getFrameStrings(self) -> list[str]:  # noqa: N802
        with self._lock:
            return list(self._frames)

    def _check(self, argument: str, frame: str) -> None:
        """Raise for a frame that cannot be looked up."""
        if not frame or frame.startswith('/'):
            wrong = 'starts with a slash' if frame else 'is empty'
            raise InvalidArgumentException(f'{argument} "{frame}" {wrong}')
        if frame not in self._frames:
            raise LookupException(f'{argument} "{frame}" does not exist')

    def _lookup(self, target: str, source: str, time: int) -> Link:
        """Return the pose of source in target; its stamp is the time that was looked up."""
        if target == source:
            return identity(time or self._common_time(target, source))
        time = time or self._common_time(target, source)
        in_top, top, failure = self._climb(source, time, target)
        if top == target:
            return in_top._replace(stamp=time)
        target_in_end, end, later_failure = self._climb(target, time, top, source)
        if end == source:
            return inverse(target_in_end)._replace(stamp=time)
        if end == top:
            return composed(inverse(target_in_end), in_top)._replace(stamp=time)
        failure = later_failure or failure
        if failure is not None:
            raise ExtrapolationException(f'{failure}, from frame [{source}] to frame [{target}]')
        raise self._unconnected(target, source)

    def _climb(
        self, frame: str, time: int, *ends: str
    ) -> tuple[Link, str, ExtrapolationException | None]:
        """Follow parents up to one of some frames, to the root, or as far as there is data.

        Return the pose of frame in that one, its name, and what is wrong with the data there.
        """
        pose = identity(time)
        for _ in range(MOST_PARENTS + 1):
            cache = self._frames[frame]
            if frame in ends or cache is None:
                return pose, frame, None
            try:
                link = cache.at(time)
            except ExtrapolationException as failure:
                return pose, frame, failure
            pose, frame = composed(link, pose), link.parent
        raise self._loop()

    def _common_time(self, target: str, source: str) -> int:
        """Return the newest time at which each link between two frames has data; 0 is any time."""
        if target == source:
            cache = self._frames.get(source)
            return 0 if cache is None else cache.latest()[0]
        above_source = self._newest_links(source, target)
        if above_source and above_source[-1][1] == target:
            return earliest(above_source)
        parents = [parent for _, parent in above_source]
        above_target = self._newest_links(target, source, *parents)
        last = above_target[-1][1] if above_target else None
        if last in parents:
            return earliest(above_target + above_source[: parents.index(last) + 1])
        if last == source:
            return earliest(above_target)
        raise self._unconnected(target, source)

    def _newest_links(self, frame: str, *ends: str) -> list[tuple[int, str]]:
        """Return the stamps and parents above a frame, up to one of some frames or to the root."""
        links: list[tuple[int, str]] = []
        while (cache := self._frames[frame]) is not None:
            stamp, parent = cache.latest()
            if parent is None:
                break
            links.append((stamp, parent))
            if parent in ends:
                break
            if len(links) > MOST_PARENTS:
                raise self._loop()
            frame = parent
        return links

    def _loop(self) -> LookupException:
        return LookupException(f'The tree has a loop.\n{self.all_frames_as_string()}')

    def _unconnected(self, target: str, source: str) -> ConnectivityException:
        return ConnectivityException(
            f"'{target}' and '{source}' are not connected: they are parts of different trees"
        )


def earliest(links: list[tuple[int, str]]) -> int:
    """Return the first stamp; 0 if none is bound to a time."""
    return min((stamp for stamp, _ in links if stamp), default=0)


def message(target_frame: str, source_frame: str, link: Link) -> TransformStamped:
    """Return a link as a message."""
    out = TransformStamped(child_frame_id=source_frame)
    out.header.frame_id = target_frame
    sec, nanosec = divmod(link.stamp, 1_000_000_000)
    out.header.stamp = TimeMessage(sec=sec, nanosec=nanosec)
    translation, rotation = out.transform.translation, out.transform.rotation
    translation.x, translation.y, translation.z = link.translation
    proper = normalized(*link.rotation)
    if proper is not None:
        rotation.x, rotation.y, rotation.z, rotation.w = proper
    return out


def nanoseconds(time: Any) -> int:
    """Return the nanoseconds of an rclpy Time or Duration, or of a message of these."""
    if hasattr(time, 'sec') and hasattr(time, 'nanosec'):
        return int(time.sec) * 1_000_000_000 + int(time.nanosec)
    if hasattr(time, 'nanoseconds'):
        return int(time.nanoseconds)
    raise TypeError(f'{time!r} has neither sec and nanosec nor nanoseconds: give a Time')
