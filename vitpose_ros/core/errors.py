"""The error that all of this package's are, and what their texts share."""

from collections.abc import Sequence

LONGEST_QUOTE = 200  # characters of what a message quotes


class VitposeError(Exception):
    """What this package cannot do, with the thing, the value and the remedy in its text."""


def either(choices: Sequence[str]) -> str:
    """Return choices as a text: 'a, b or c'."""
    *most, last = choices
    return f'{", ".join(most)} or {last}' if most else last


def shorten(text: str) -> str:
    """Return what a file says, short enough for an error message."""
    return text if len(text) <= LONGEST_QUOTE else f'{text[:LONGEST_QUOTE]}…'
