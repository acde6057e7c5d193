"""Options: described once, and checked wherever a value for one comes in."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from numbers import Integral, Real
from typing import Any

from vitpose_ros.core.errors import VitposeError, either


class OptionError(VitposeError, ValueError):
    """A value that an option does not take."""


def option(
    default: Any,
    description: str,
    *,
    choices: Sequence[str] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    **more: Any,
) -> Any:
    """Return a field of a dataclass that holds an option: with choices, or a number of a range.

    The number is a whole one where the minimum is. more: for the field's metadata, too.
    """
    about = {
        'description': description,
        'choices': choices,
        'minimum': minimum,
        'maximum': maximum,
        **more,
    }
    return field(default=default, metadata=about)


def check_value(name: str, value: Any, about: Mapping[str, Any]) -> None:
    """Raise OptionError for a value that is none of the choices, or out of range.

    about: choices, minimum and maximum, as the metadata of an option has them; whole numbers
    where the minimum is one.
    """
    choices, least, most = about['choices'], about['minimum'], about['maximum']
    if choices and not (isinstance(value, str) and value in choices):
        raise OptionError(f'{name} is {value!r}; give {either(choices)}')
    is_whole = isinstance(least, int)
    is_number = is_whole_number(value) if is_whole else isinstance(value, Real)
    if least is not None and not (is_number and least <= value <= most):
        what = 'a whole number, ' if is_whole and not is_number else ''
        raise OptionError(f'{name} is {value!r}; give {what}{least} to {most}')


def is_whole_number(value: Any) -> bool:
    """Tell whether a value is a whole number; truth values are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)
