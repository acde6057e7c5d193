"""The parameters of a running node: declared, read and changed as the table has them."""

from array import array
from collections.abc import Iterable
from dataclasses import Field, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from vitpose_ros.ros.parameters import Parameters, not_a_choice, table


def declare(node: Node) -> None:
    """Declare every parameter with its default, description, type and range."""
    for entry in table():
        node.declare_parameter(entry.name, entry.default, _descriptor(entry))


def read(node: Node) -> Parameters:
    """Read the parameters as they are now. Raises ValueError for one that is not usable."""
    values = {entry.name: node.get_parameter(entry.name).value for entry in table()}
    return Parameters(**{name: _plain(name, value) for name, value in values.items()})


def read_for_camera(node: Node, camera: str, values: Parameters) -> Parameters:
    """Read what is set for one camera, and for the rest keep the values.

    The parameters '<camera>.<name>' are declared at the first call. Raises ValueError.
    """
    own = {}
    for entry in table():
        name = f'{camera}.{entry.name}'
        if not entry.metadata['per_camera'] or not camera:
            continue
        if not node.has_parameter(name):
            description = f"'{entry.name}' of this camera; empty: that of all"
            node.declare_parameter(name, '', ParameterDescriptor(description=description))
        if value := node.get_parameter(name).value:
            if value not in entry.metadata['choices']:
                raise ValueError(not_a_choice(name, value, entry.metadata['choices']))
            own[entry.name] = value
    return replace(values, **own)


def updated(values: Parameters, changes: Iterable[Parameter]) -> Parameters:
    """Return the values with those changes that concern the table. Raises ValueError."""
    known = {entry.name for entry in table()}
    return replace(values, **{c.name: _plain(c.name, c.value) for c in changes if c.name in known})


def is_live(name: str) -> bool:
    """Tell whether a change of the parameter takes effect at once (foreign ones: yes)."""
    name = name.rpartition('.')[2] if not name.startswith('qos_overrides.') else ''
    return all(entry.metadata['live'] for entry in table() if entry.name == name)


def _plain(name: str, value: Any) -> Any:
    """Return a value as the table has it: a list of words as one string, 3 as 3.0."""
    [entry] = (entry for entry in table() if entry.name == name)
    if isinstance(value, bool) and 'off' in entry.metadata['choices']:
        return entry.default if value else 'off'
    if isinstance(entry.default, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"parameter {name} is '{value}'; give a number")
        return float(value)
    if not entry.metadata['names']:
        return value
    if isinstance(value, (list, tuple, array)):
        return ','.join(str(word) for word in value)
    return '' if value is None else str(value)


def _descriptor(entry: Field[Any]) -> ParameterDescriptor:
    data = entry.metadata
    descriptor = ParameterDescriptor(
        description=data['description'],
        additional_constraints=' or '.join(data['choices']),
        # A list is a string, a number or an array; 3 is as good as 3.0; off is false in YAML.
        dynamic_typing=data['names']
        or isinstance(entry.default, float)
        or 'off' in data['choices'],
    )
    if isinstance(entry.default, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=data['minimum'], to_value=data['maximum'])
        ]
    elif data['minimum'] is not None:
        descriptor.integer_range = [
            IntegerRange(from_value=data['minimum'], to_value=data['maximum'], step=1)
        ]
    return descriptor
