"""The parameters of pose_node: one table for node, configuration file, launch file and README."""

from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter


def _parameter(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    live: bool = False,
) -> Any:
    """Describe a parameter. live: a change takes effect at once, not at the next configure."""
    return field(
        default=default,
        metadata={
            'description': description,
            'minimum': minimum,
            'maximum': maximum,
            'live': live,
        },
    )


@dataclass(frozen=True)
class Parameters:
    """The table, and one reading of it."""

    model: str = _parameter(
        'nano',
        "Network: a known name ('nano' comes with the package, 'ros2 run vitpose_ros models "
        "list' shows the others), a file of weights, or a Hugging Face directory",
    )
    keypoint_sets: str = _parameter(
        '',
        "Keypoint sets to use, separated by commas, as in 'coco,ap10k'; each subject gets the "
        "first that fits its detection's class, else the first of all. Empty: the network's first",
    )
    device: str = _parameter(
        'auto', "Where the network runs: 'cpu', 'cuda', 'cuda:N', or 'auto' (cuda if there)"
    )
    autostart: bool = _parameter(
        True, 'Configure and activate at the start; false leaves that to a lifecycle manager'
    )
    max_subjects: int = _parameter(
        64,
        'Most subjects of a frame that get keypoints, the largest boxes first',
        minimum=1,
        maximum=1000,
        live=True,
    )
    sync_queue_size: int = _parameter(
        30,
        'Images, and detections, that wait for their counterpart; it must span the '
        "detector's delay",
        minimum=1,
        maximum=1000,
    )
    frame_queue_size: int = _parameter(
        1,
        'Complete frames that wait for the network; more than 1 only where every frame counts '
        'more than a short delay',
        minimum=1,
        maximum=100,
    )
    flip_test: bool = _parameter(
        False,
        'Average with the mirrored image, as published accuracies do; takes twice the time',
    )
    covariance: bool = _parameter(
        False, 'Fill in the covariance of each keypoint, in pixels squared'
    )
    min_keypoint_score: float = _parameter(
        0.25,
        'Markers and overlay leave out keypoints below this score; ~/keypoints has them all',
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    marker_lifetime: float = _parameter(
        0.5,
        'Seconds after which a marker disappears by itself; 0 keeps it',
        minimum=0.0,
        maximum=60.0,
        live=True,
    )
    marker_distance: float = _parameter(
        3.0,
        'Metres before the camera at which the markers stand; the keypoints have no depth',
        minimum=0.1,
        maximum=100.0,
        live=True,
    )

    @property
    def keypoint_set_names(self) -> list[str]:
        """The parameter keypoint_sets as a list."""
        return [name.strip() for name in self.keypoint_sets.split(',') if name.strip()]


def table() -> tuple[Field[Any], ...]:
    """Return the parameters as dataclass fields, in the order of the table."""
    return fields(Parameters)


def declare(node: Node) -> None:
    """Declare every parameter with its default, description, type and range."""
    for entry in table():
        node.declare_parameter(entry.name, entry.default, _descriptor(entry))


def read(node: Node) -> Parameters:
    """Read the parameters as they are now."""
    return Parameters(**{entry.name: node.get_parameter(entry.name).value for entry in table()})


def updated(values: Parameters, changes: Iterable[Parameter]) -> Parameters:
    """Return the values with those changes that concern the table."""
    known = {entry.name for entry in table()}
    return replace(values, **{c.name: c.value for c in changes if c.name in known})


def is_live(name: str) -> bool:
    """Tell whether a change of the parameter takes effect at once (unknown ones: yes)."""
    return all(entry.metadata['live'] for entry in table() if entry.name == name)


def _descriptor(entry: Field[Any]) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=entry.metadata['description'])
    low, high = entry.metadata['minimum'], entry.metadata['maximum']
    if isinstance(entry.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif low is not None:
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor
