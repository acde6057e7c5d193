"""Where frames are, by TF."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.time import Time as Moment

from vitpose_ros.ros.lifecycle import BusyLifecycleNode
from vitpose_ros.ros.stamps import JUMP_S, nanoseconds_of

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Missing:
    """Why there is no transform."""

    text: str


class Transforms:
    """Listens to TF; its callbacks run in the node's executor."""

    def __init__(self, node: BusyLifecycleNode) -> None:
        """Subscribe. Raises ImportError with a remedy where tf2_ros is not installed."""
        try:
            from tf2_ros import Buffer, TransformListener
        except ImportError as error:
            raise ImportError(
                'depth and target_frame need tf2_ros, which is not installed '
                '(apt install ros-$ROS_DISTRO-tf2-ros-py)'
            ) from error
        self._node = node
        self._buffer = Buffer()
        intake = _Intake(self._buffer)
        self._listener = TransformListener(intake, node, spin_thread=False)

    def close(self) -> None:
        """Unsubscribe, soon."""
        self._node.in_executor(self._listener.unregister)

    def lookup(self, target: str, source: str, stamp: Time) -> Matrix | Missing:
        """Return the pose (4, 4) of source in target at a time, or why it is not known."""
        target, source = frame_name(target), frame_name(source)
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


MOST_FRAMES = 1000  # whose newest stamps are remembered


class _Intake:
    """Takes transforms in; when their time jumps back, it forgets those that were later.

    A buffer by itself drops what is older than it keeps. A single transform of a frame that is
    late tells nothing; with the second in a row a recording began anew.
    """

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer
        self._newest_ns: dict[str, int] = {}  # of each frame
        self._late: dict[str, TransformStamped] = {}  # of frames whose last one was late

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take in the transform of a frame that moves."""
        frame, stamp_ns = transform.child_frame_id, nanoseconds_of(transform)
        newest_ns = self._newest_ns.get(frame, stamp_ns)
        is_late = stamp_ns < newest_ns - JUMP_S * 1e9
        before = self._late.pop(frame, None)
        if is_late and before is None:
            self._late[frame] = transform
            return
        if is_late:
            self._buffer.clear()  # of all that moves
            self._newest_ns.clear()
            newest_ns = stamp_ns
            self._buffer.set_transform(before, authority)
        self._newest_ns[frame] = max(stamp_ns, newest_ns)
        if len(self._newest_ns) > MOST_FRAMES:
            oldest = min(self._newest_ns, key=self._newest_ns.__getitem__)
            del self._newest_ns[oldest]
            self._late.pop(oldest, None)
        self._buffer.set_transform(transform, authority)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take in the transform of a frame that stands."""
        self._buffer.set_transform_static(transform, authority)


def frame_name(frame_id: str) -> str:
    """Return the name of a frame as TF takes it: without the slash that old drivers begin with."""
    return frame_id.removeprefix('/')


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
