"""What a parameter may hold: described once, made of what a user wrote, and checked."""

from array import array
from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any, TypeAlias, cast

from vitpose_ros.core.option import check_value
from vitpose_ros.core.option import option as described
from vitpose_ros.core.runtime.options import table
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.ros.words import words_of

Value: TypeAlias = bool | int | float | str | tuple[str, ...]


def parameter(
    default: Value,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
    live: bool = False,
    per_camera: bool = False,
) -> Any:
    """Describe a parameter; its type is that of the default.

    live: a change takes effect at once, not at the next configure. per_camera:
    '<camera>.<parameter>' sets it for one camera, where there are several.
    """
    return described(
        default,
        description,
        minimum=minimum,
        maximum=maximum,
        choices=choices,
        live=live,
        per_camera=per_camera,
    )


def option(name: str, note: str = '') -> Any:
    """Describe a parameter that is an option of the core; note: what the node adds."""
    [entry] = (entry for entry in (*table(), *fields(TrackOptions)) if entry.name == name)
    about, default = entry.metadata, cast(Value, entry.default)
    return parameter(
        default,
        about['description'][:1].upper() + about['description'][1:] + note,
        minimum=about['minimum'],
        maximum=about['maximum'],
        choices=about['choices'],
    )


def of_type(entry: Field[Any], value: Any, name: str = '') -> Value:
    """Return a value in the type of a parameter. Raises ValueError where that cannot be.

    A text with commas becomes a list here. A whole number serves where a
    number is wanted, and a single word or number as a list of one. name: that of the parameter,
    if not the table's.
    """
    default: Any = entry.default
    kind = type(default)
    if kind is tuple:
        return _words(value, name or entry.name)
    if isinstance(value, bool) and 'off' in entry.metadata['choices']:
        # YAML reads off as false, and on as true.
        value = (default if default != 'off' else 'on') if value else 'off'
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        wanted = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text'}
        raise ValueError(
            f"{name or entry.name} is {value!r}, of type '{type(value).__name__}'; give "
            f'{wanted[kind]}'
        )
    plain: Value = value
    return plain


def _words(value: Any, name: str) -> tuple[str, ...]:
    """Return the words of a list; None, which ROS makes of an empty one, has none."""
    entries = list(value) if isinstance(value, (list, tuple, array)) else [value]
    if value is None:
        entries = []
    if not all(isinstance(entry, (str, int)) and not isinstance(entry, bool) for entry in entries):
        raise ValueError(f'{name} is {value!r}; give a list of words')
    return words_of(','.join(str(entry) for entry in entries))


def check(entry: Field[Any], value: Value, name: str = '') -> None:
    """Raise ValueError for a value that is none of the choices, or out of range.

    name: that of the parameter, if not the table's.
    """
    check_value(name or entry.name, value, entry.metadata)
