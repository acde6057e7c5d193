"""Stamps of messages."""

from typing import Any

from builtin_interfaces.msg import Time

JUMP_S = 1.0  # a stamp that is earlier than the last by more than this: a recording began anew


def stamp_nanoseconds(stamp: Time) -> int:
    """Return a stamp in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def nanoseconds_of(message: Any) -> int:
    """Return the stamp of a message with a header in nanoseconds."""
    return stamp_nanoseconds(message.header.stamp)
