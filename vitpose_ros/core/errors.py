"""The error that all of this package's are, and what their texts share."""

from collections.abc import Sequence


class VitposeError(Exception):
    """What this package cannot do, with the thing, the value and the remedy in its text."""


def either(choices: Sequence[str]) -> str:
    """Return choices as a text: 'a, b or c'."""
    *most, last = choices
    return f'{", ".join(most)} or {last}' if most else last
