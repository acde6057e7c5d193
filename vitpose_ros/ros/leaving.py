"""What may be destroyed in any thread while an executor spins.

An executor collects what it is to wait for, asks for each whether its callback may run, and then
waits for those. rclpy raises InvalidHandle in the executor's thread over an event that another
thread has destroyed meanwhile, or whose callback a pool of threads was about to run.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.publisher import Publisher


@dataclass(frozen=True, eq=False)
class _Departure:
    parts: Sequence[Any]  # of what leaves
    unasked: set[Any]  # those of them for which the executor has not asked since
    destroy: Callable[[], object]


class LeavingGroup(CallbackGroup):
    """Entities of a node that are destroyed as soon as its executor has let go of them.

    To the executor it is the node's default group, except that what is to be destroyed may not
    run any more. Once the executor has asked for it and was told so, it waits for it no longer,
    and will not do so again.
    """

    def __init__(self, node: Node) -> None:
        """Take the node whose entities these are."""
        super().__init__()
        self._node = node
        self._default: CallbackGroup = node.default_callback_group
        self._lock = threading.Lock()
        # For good: the executor may come across what it has just been told not to wait for.
        self._leaving: WeakKeyDictionary[Any, _Departure | None] = WeakKeyDictionary()

    def destroy(self, entity: Any, how: Callable[[Any], object]) -> None:
        """Destroy a timer, subscription or publisher, soon; how: the function that does it.

        It is called in the executor's thread, or here where there is no executor.
        """
        parts = set(entity.event_handlers if hasattr(entity, 'event_handlers') else ())
        if not isinstance(entity, Publisher):  # for which no executor waits
            parts.add(entity)
        executor = self._node.executor
        if executor is None or not parts:
            how(entity)
            return
        departure = _Departure(tuple(parts), parts, partial(how, entity))
        with self._lock:
            self._leaving.update(dict.fromkeys(departure.parts, departure))
        executor.wake()

    def add_entity(self, entity: Any) -> None:
        """Add an entity, to the default group as well."""
        super().add_entity(entity)
        self._default.add_entity(entity)

    def can_execute(self, entity: Any) -> bool:
        """Return whether the executor may wait for an entity, and run its callback."""
        if entity not in self._leaving:
            return bool(self._default.can_execute(entity))
        with self._lock:
            departure = self._leaving[entity]
            if departure is None:
                return False
            departure.unasked.discard(entity)
            if departure.unasked:
                return False
            self._leaving.update(dict.fromkeys(departure.parts))
        departure.destroy()
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Return whether a callback may begin."""
        return entity not in self._leaving and bool(self._default.beginning_execution(entity))

    def ending_execution(self, entity: Any) -> None:
        """Note that a callback has ended."""
        self._default.ending_execution(entity)
