"""How many messages a subscription should have had, and has not."""

from collections.abc import Mapping
from typing import Any

from rclpy.subscription import Subscription

# Whether rclpy hands the number on that a publisher gave a message: from Iron on.
TELLS_NUMBERS = hasattr(Subscription, 'CallbackType')
MOST_PUBLISHERS = 64  # that are remembered


class Losses:
    """Counts them by what the middleware says, and by the numbers of their publishers.

    Fast DDS says nothing of those that make room for newer ones in the queue of a subscription,
    as they do while nobody takes them.
    """

    def __init__(self) -> None:
        self._told = 0
        self._missing = 0
        self._last: dict[bytes, int] = {}  # publisher → number of its last message

    @property
    def count(self) -> int:
        """How many are lost."""
        return max(self._told, self._missing)

    def tell(self, count: int) -> None:
        """Note that the middleware lost so many."""
        self._told += count

    def arrived(self, info: Mapping[str, Any], *, is_only: bool) -> None:
        """Note a message; info: as rclpy has it; is_only: of one subscription to the topic.

        Where another subscription may have heard those before, none of them counts.
        """
        number, publisher = info.get('publication_sequence_number'), info.get('publisher_gid')
        if number is None or publisher is None:  # not every middleware, not every rclpy tells
            return
        key = publisher['data']
        last = self._last.pop(key, number - 1)
        if is_only:
            self._missing += max(0, number - last - 1)
        self._last[key] = max(number, last)
        if len(self._last) > MOST_PUBLISHERS:
            del self._last[next(iter(self._last))]
