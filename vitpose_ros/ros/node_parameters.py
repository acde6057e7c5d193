"""The parameters of a running node: declared, read and changed as the table has them."""

import difflib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, replace
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from vitpose_ros.core.errors import either
from vitpose_ros.ros.parameter import Value, check, of_type
from vitpose_ros.ros.parameters import Parameters, table

QOS = 'qos_overrides.'  # begins the names of parameters for qualities of service
TABLE: Mapping[str, Field[Any]] = {entry.name: entry for entry in table()}


class NodeParameters:
    """Declares the parameters of a node, and keeps their values, which are always usable.

    A wrong value at the start is no reason to end: the parameter has its default then, and
    prepare raises ValueError with what is wrong, until it is set anew.
    """

    def __init__(self, node: Node, on_change: Callable[[], None]) -> None:
        """Declare the parameters; on_change is called when their values have changed."""
        self.values = Parameters()
        self.locked = False  # whether only changes that take effect at once are taken
        self._node = node
        self._on_change = on_change
        self._faults: dict[str, str] = {}  # parameter → what is wrong with its first value
        self._of_cameras: dict[str, dict[str, Value]] = {}  # camera → what differs for it
        self._merged: Mapping[str, Parameters] = {}  # camera → values
        self._fresh = ''  # a parameter that is being declared
        # Those of the topics are declared in the thread that configures, while others are set.
        self._lock = threading.RLock()
        # rclpy offers no other way to see values for parameters that nobody declares.
        self._given: Mapping[str, Any] = getattr(node, '_parameter_overrides', {})
        first: dict[str, Value] = {}
        for entry in TABLE.values():
            default: Any = entry.default
            first[entry.name] = self._declare(entry, entry.name, default)
        self._begin_with(first)
        node.add_on_set_parameters_callback(self._on_set)
        if hasattr(node, 'add_pre_set_parameters_callback'):  # from Iron on
            node.add_pre_set_parameters_callback(self._in_their_types)

    def _begin_with(self, first: Mapping[str, Value]) -> None:
        """Take the first values, in an order in which each fits those before, if there is one."""
        left = dict(first)
        while left:
            reasons: dict[str, str] = {}
            for name, value in left.items():
                try:
                    self.values = _with(self.values, {name: value})
                except ValueError as error:
                    reasons[name] = str(error)
            if len(reasons) == len(left):
                self._faults |= reasons
                break
            left = {name: left[name] for name in reasons}

    def prepare(self) -> Parameters:
        """Declare the parameters of single cameras, lock the others, and return the values.

        Warns of values that are for no parameter. Raises ValueError for a wrong first value.
        """
        for camera in filter(None, self.values.camera_names()):
            own = self._of_cameras.setdefault(camera, {})
            for entry in TABLE.values():
                name = f'{camera}.{entry.name}'
                if entry.metadata['per_camera'] and not self._node.has_parameter(name):
                    default: Any = entry.default
                    value = self._declare(entry, name, type(default)())
                    if value:
                        own[entry.name] = value
        with self._lock:
            self._merge()
            self.locked = True
        self._warn_of_unknown()
        if faults := [text for name, text in self._faults.items() if self._counts(name)]:
            raise ValueError('; '.join(faults))
        return self.values

    def of(self, camera: str) -> Callable[[], Parameters]:
        """Return what returns the values for one camera at present."""
        return lambda: self._merged.get(camera, self.values)

    @property
    def overrides_qos(self) -> bool:
        """Whether the user gave values for qualities of service."""
        return any(name.startswith(QOS) for name in self._given)

    def _counts(self, name: str) -> bool:
        """Return whether a parameter is for all cameras, or for one that is there."""
        camera = name.rpartition('.')[0]
        return not camera or camera in self.values.camera_names()

    def _merge(self) -> None:
        self._merged = {
            camera: _with(self.values, own) for camera, own in self._of_cameras.items() if own
        }

    def _declare(self, entry: Field[Any], name: str, neutral: Value) -> Value:
        """Declare a parameter with the value that the user gave, or else the neutral one.

        A parameter is '<camera>.<name of the table>' where it is for one camera.
        """
        self._fresh = name
        # First only to see what the user gave: it may be of any type.
        given = self._node.declare_parameter(
            name, _plain(neutral), ParameterDescriptor(dynamic_typing=True)
        ).value
        self._node.undeclare_parameter(name)
        try:
            value = of_type(entry, given, name)
            if value or name == entry.name:
                check(entry, value, name)
        except ValueError as error:
            self._faults[name] = str(error)
            value = neutral
        description = '' if name == entry.name else f'For one camera; {neutral!r}: as for all. '
        self._node.declare_parameter(
            name,
            _plain(value),
            _descriptor(entry, description, least=neutral),
            ignore_override=True,
        )
        if value == ():  # of an empty list, no type can be told
            self._node.set_parameters([_as_ros(name, value)])
        self._fresh = ''
        return value

    def warn_of_unknown_qos(self) -> None:
        """Warn of qualities of service that no topic has, once all are opened."""
        declared = self._node.get_parameters_by_prefix('qos_overrides')
        for name in self._given:
            if name.startswith(QOS) and not self._node.has_parameter(name):
                self._warn_of(
                    name, difflib.get_close_matches(name, [QOS + p for p in declared], 1)
                )

    def _warn_of_unknown(self) -> None:
        for name in self._given:
            if self._node.has_parameter(name) or name.startswith(QOS):
                continue
            camera, dot, own = name.rpartition('.')
            known = TABLE if camera in ('', *self._of_cameras) else ()
            near = difflib.get_close_matches(own, known, 1)
            self._warn_of(name, [f'{camera}{dot}{word}' for word in near])

    def _warn_of(self, name: str, near: Sequence[str]) -> None:
        hint = f', did you mean {near[0]}?' if near else ''
        self._node.get_logger().warning(f"parameter '{name}' is not known and has no effect{hint}")

    def _entry(self, name: str) -> tuple[str, Field[Any] | None]:
        """Return the camera and the entry of the table that a parameter is of, if any."""
        camera, _, own = name.rpartition('.')
        entry = TABLE.get(own)
        if entry is None or (camera and camera not in self._of_cameras):
            return '', None
        return camera, entry

    def _in_their_types(self, changes: Sequence[Parameter]) -> list[Parameter]:
        """Return changes with values of the right types, as far as they are usable."""
        return [self._in_its_type(change) for change in changes]

    def _in_its_type(self, change: Parameter) -> Parameter:
        _, entry = self._entry(change.name)
        if entry is None:
            return change
        try:
            value = of_type(entry, change.value, change.name)
            check(entry, value, change.name)
        except ValueError:
            return change  # refused in the next step, with the reason
        return _as_ros(change.name, value)

    def _on_set(self, changes: Sequence[Parameter]) -> SetParametersResult:
        if [change.name for change in changes] == [self._fresh]:
            return SetParametersResult(successful=True)
        try:
            self._change(changes)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _change(self, changes: Sequence[Parameter]) -> None:
        """Take changes, all or none. Raises ValueError."""
        with self._lock:
            self._take(changes)
        self._on_change()

    def _take(self, changes: Sequence[Parameter]) -> None:
        common: dict[str, Value] = {}
        of_cameras: list[tuple[str, str, Value]] = []
        for change in changes:
            camera, entry = self._entry(change.name)
            if entry is None:
                continue
            if self.locked and not entry.metadata['live']:
                raise ValueError(
                    f'{change.name} is read when the node is configured: deactivate and clean '
                    'up, then set it and configure again'
                )
            value = of_type(entry, change.value, change.name)
            if not camera:
                common[entry.name] = value
                continue
            if value:
                check(entry, value, change.name)
            of_cameras.append((camera, entry.name, value))
        self.values = _with(self.values, common)
        for camera, name, value in of_cameras:
            self._of_cameras[camera].pop(name, None)
            if value:
                self._of_cameras[camera][name] = value
        self._merge()
        for change in changes:
            self._faults.pop(change.name, None)


def _with(values: Parameters, changed: Mapping[str, Any]) -> Parameters:
    return replace(values, **changed)


def _plain(value: Value) -> bool | int | float | str | list[str]:
    """Return a value as a parameter is declared with it."""
    return list(value or ('',)) if isinstance(value, tuple) else value


def _as_ros(name: str, value: Value) -> Parameter:
    if isinstance(value, tuple):
        return Parameter(name, Parameter.Type.STRING_ARRAY, list(value))
    return Parameter(name, value=value)


def _descriptor(entry: Field[Any], description: str, *, least: Value) -> ParameterDescriptor:
    """Describe a parameter to others; least: a value below the minimum that is allowed, too."""
    data = entry.metadata
    descriptor = ParameterDescriptor(
        description=description + data['description'],
        additional_constraints=either(data['choices']) if data['choices'] else '',
        # What users give is brought into its type: 3 is as good as 3.0, a word as a list of one.
        dynamic_typing=True,
    )
    if data['minimum'] is None:
        return descriptor
    if isinstance(entry.default, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=data['minimum'], to_value=data['maximum'])
        ]
    else:
        begin = min(data['minimum'], least)
        descriptor.integer_range = [
            IntegerRange(from_value=begin, to_value=data['maximum'], step=1)
        ]
    return descriptor
