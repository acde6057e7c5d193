"""A buffer of transforms that can be waited for."""

import threading
import time as clocks
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_py import BufferCore

NO_TIME = Duration()


class Buffer(BufferCore):
    """Keeps transforms, and waits for them.

    With a node it forgets those of moving frames when the node's clock jumps back by a second or
    more, or changes between simulated and system time.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        super().__init__(*([] if cache_time is None else [cache_time]))
        # Per future: returns the transform once there is one, and None before.
        self._waiting: list[tuple[Future, Callable[[], TransformStamped | None]]] = []
        self._waiting_lock = threading.RLock()
        self.clock = Clock() if node is None else node.get_clock()
        threshold = JumpThreshold(
            min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True
        )
        self.jump_handle = self.clock.create_jump_callback(
            threshold, post_callback=self.time_jump_callback
        )

    def time_jump_callback(self, time_jump: TimeJump) -> None:
        """Forget the transforms of frames that move."""
        get_logger('tf2_buffer').warning('the clock jumped: transforms are forgotten')
        self.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Keep a transform, and give it to those who wait."""
        super().set_transform(transform, authority)
        self._settle()

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Keep a transform for all times, and give it to those who wait."""
        super().set_transform_static(transform, authority)
        self._settle()

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Time, timeout: Duration = NO_TIME
    ) -> TransformStamped:
        """Return the pose of source_frame in target_frame, after waiting for it up to timeout."""
        self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = NO_TIME,
    ) -> TransformStamped:
        """Return the pose that source_frame had at source_time in target_frame at target_time."""
        where = target_frame, target_time, source_frame, source_time, fixed_frame
        self.can_transform_full(*where, timeout)
        return self.lookup_transform_full_core(*where)

    async def lookup_transform_async(
        self, target_frame: str, source_frame: str, time: Time
    ) -> TransformStamped:
        """Return the pose of source_frame in target_frame once it is known."""
        await self.wait_for_transform_async(target_frame, source_frame, time)
        return self.lookup_transform_core(target_frame, source_frame, time)

    async def lookup_transform_full_async(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
    ) -> TransformStamped:
        """Return what lookup_transform_full would, once it is known."""
        where = target_frame, target_time, source_frame, source_time, fixed_frame
        await self.wait_for_transform_full_async(*where)
        return self.lookup_transform_full_core(*where)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = NO_TIME,
        return_debug_tuple: bool = False,
    ) -> int | tuple[int, str]:
        """Return whether a lookup would succeed within timeout; with the reason if asked for."""
        can = wait(timeout, lambda: self.can_transform_core(target_frame, source_frame, time))
        return can if return_debug_tuple else can[0]

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
        timeout: Duration = NO_TIME,
        return_debug_tuple: bool = False,
    ) -> int | tuple[int, str]:
        """Return whether a lookup would succeed within timeout; with the reason if asked for."""
        where = target_frame, target_time, source_frame, source_time, fixed_frame
        can = wait(timeout, lambda: self.can_transform_full_core(*where))
        return can if return_debug_tuple else can[0]

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Time) -> Future:
        """Return a future of the pose of source_frame in target_frame."""
        where = target_frame, source_frame, time
        return self._wait(
            lambda: (
                self.lookup_transform_core(*where) if self.can_transform_core(*where)[0] else None
            )
        )

    def wait_for_transform_full_async(
        self,
        target_frame: str,
        target_time: Time,
        source_frame: str,
        source_time: Time,
        fixed_frame: str,
    ) -> Future:
        """Return a future of what lookup_transform_full would return."""
        where = target_frame, target_time, source_frame, source_time, fixed_frame
        return self._wait(
            lambda: (
                self.lookup_transform_full_core(*where)
                if self.can_transform_full_core(*where)[0]
                else None
            )
        )

    def _wait(self, look: Callable[[], TransformStamped | None]) -> Future:
        future = Future()
        with self._waiting_lock:
            transform = look()
            if transform is None:
                self._waiting.append((future, look))
            else:
                future.set_result(transform)
        return future

    def _settle(self) -> None:
        """Give their transforms to those for whom there is one now."""
        with self._waiting_lock:
            waiting, self._waiting = self._waiting, []
            for future, look in waiting:
                if future.done() or future.cancelled():
                    continue
                try:
                    transform = look()
                except Exception as error:  # between two looks it went away
                    future.set_exception(error)
                    continue
                if transform is None:
                    self._waiting.append((future, look))
                else:
                    future.set_result(transform)


def wait(timeout: Duration, can: Callable[[], tuple[int, str]]) -> tuple[Any, str]:
    """Return what `can` says once it is yes, or at the end of timeout.

    It is asked every 20 ms, as the real package does.
    """
    end = clocks.monotonic() + timeout.nanoseconds / 1e9
    while not (answer := can())[0] and clocks.monotonic() < end:
        clocks.sleep(0.02)
    return answer
