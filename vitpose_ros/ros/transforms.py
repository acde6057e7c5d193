"""Where frames are, by TF."""

from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time as Moment

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Missing:
    """Why there is no transform."""

    text: str


class Transforms:
    """Listens to TF; its callbacks run in the node's executor."""

    def __init__(self, node: Node) -> None:
        """Subscribe. Raises ImportError with a remedy where tf2_ros is not installed."""
        try:
            from tf2_ros import Buffer, TransformListener
        except ImportError as error:
            raise ImportError(
                'depth and target_frame need tf2_ros, which is not installed '
                '(apt install ros-$ROS_DISTRO-tf2-ros-py)'
            ) from error
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node, spin_thread=False)

    def close(self) -> None:
        """Unsubscribe."""
        self._listener.unregister()

    def forget(self) -> None:
        """Forget what moves: the clock of the stamps began anew."""
        self._buffer.clear()

    def lookup(self, target: str, source: str, stamp: Time) -> Matrix | Missing:
        """Return the pose (4, 4) of source in target at a time, or why it is not known."""
        if target == source:
            return np.eye(4)
        # Not at module level: the package may be missing.
        from tf2_ros import TransformException

        try:
            found = self._buffer.lookup_transform(target, source, Moment.from_msg(stamp))
        except TransformException as error:
            return Missing(f"no transform from '{source}' to '{target}': {error}")
        except ValueError as error:  # a negative stamp
            return Missing(f'no transform at {stamp.sec}.{stamp.nanosec:09d} s: {error}')
        return matrix_of(found.transform)


def matrix_of(transform: object) -> Matrix | Missing:
    """Return a geometry_msgs/Transform as a (4, 4) matrix, or what is wrong with it."""
    shift, turn = transform.translation, transform.rotation  # type: ignore[attr-defined]
    q = np.array([turn.x, turn.y, turn.z, turn.w])
    length = np.linalg.norm(q)
    values = np.array([shift.x, shift.y, shift.z])
    if not np.isfinite(values).all() or not np.isfinite(length) or length < 1e-6:
        return Missing('a transform on /tf is not finite, or its rotation is zero')
    x, y, z, w = q / length
    found = np.eye(4)
    found[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    found[:3, 3] = values
    return found
