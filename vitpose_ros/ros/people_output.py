"""One list of people for all cameras, on ~/people and on TF."""

from array import array
from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from vitpose_ros.core.captures import Sighting
from vitpose_ros.core.tracks.people import People
from vitpose_ros.core.tracks.tracks import LOST, TRACKED
from vitpose_ros.msg import Keypoints3D, Keypoints3DArray
from vitpose_ros.ros.lifecycle import BusyLifecycleNode
from vitpose_ros.ros.outputs import create_publisher
from vitpose_ros.ros.space_messages import set_motion, set_place, set_unknown
from vitpose_ros.ros.stamps import JUMP_S, stamp_nanoseconds

FRESH_S = 0.5  # how old keypoints may be that stand for a person, where depth comes seldom


class PeopleOutput:
    """Publishes people. Its methods are for one thread."""

    def __init__(self, node: BusyLifecycleNode, max_bodies: Callable[[], int]) -> None:
        """Create the publisher; max_bodies returns how many people are to be on TF at present."""
        self._node = node
        self._max_bodies = max_bodies
        self._publisher = create_publisher(
            node, Keypoints3DArray, '~/people', QoSProfile(depth=10)
        )
        self._broadcaster: Any = None  # made when it is wanted first
        self._known: dict[str, None] = {}  # ids, those known longest first
        self._sent_ns = 0  # stamp of what is on TF
        # By camera and track: when its keypoints were known last, and which.
        self._views: dict[tuple[str, str], tuple[int, Keypoints3D]] = {}
        self._shown: dict[str, Keypoints3D] = {}  # by id: the last keypoints told of each

    def close(self) -> None:
        """Destroy the publishers, soon."""
        self._node.destroy_lifecycle_publisher(self._publisher)
        if (broadcaster := self._broadcaster) is not None:
            self._node.in_executor(lambda: self._node.destroy_publisher(broadcaster.pub_tf))

    def publish(self, message: Keypoints3DArray, sighting: Sighting) -> None:
        """Publish all people, given what a camera saw and the message of it."""
        camera, people = sighting.camera, sighting.people
        if people is None:
            return
        stamp_ns = stamp_nanoseconds(message.header.stamp)
        known = {key for keys in people.views for key in keys}
        self._views = {key: view for key, view in self._views.items() if key in known}
        for subject in message.subjects:
            key = camera, subject.track_id
            if not subject.track_id or subject.state != TRACKED:
                continue
            if any(subject.keypoint_state) or key not in self._views:
                self._views[key] = stamp_ns, subject
        told = Keypoints3DArray(
            header=Header(frame_id=message.header.frame_id),
            processing_time=message.processing_time,
        )
        told.header.stamp.sec, told.header.stamp.nanosec = divmod(people.stamp_ns, 10**9)
        for row in range(len(people)):
            told.subjects.append(self._subject(people, row))
        self._shown = {own.track_id: own for own in told.subjects if own.state != LOST}
        self._publisher.publish(told)
        self._send_bodies(told, people.stamp_ns)

    def _subject(self, people: People, row: int) -> Keypoints3D:
        """Return a person with the keypoints of the best view, at the time of the list."""
        keys = people.views[row]
        view = next((self._views[key] for key in keys if key in self._views), None)
        if view is None:
            subject = copy(self._shown.get(people.ids[row], Keypoints3D(score=float('nan'))))
            set_unknown(subject, len(subject.x))
        else:
            stamp_ns, seen = view
            subject = copy(seen)
            age_s = (people.stamp_ns - stamp_ns) / 1e9
            if age_s > FRESH_S:
                set_unknown(subject, len(seen.x))
            elif age_s:
                for name, speed in zip('xyz', people.velocities[row].tolist(), strict=True):
                    moved = np.asarray(getattr(seen, name)) + np.float32(speed * age_s)
                    setattr(subject, name, array('f', moved.tobytes()))
        subject.track_id, subject.state = people.ids[row], int(people.states[row])
        set_place(subject, people.positions[row], people.position_covariances[row])
        set_motion(subject, people.velocities[row], people.velocity_covariances[row])
        return subject

    def _send_bodies(self, told: Keypoints3DArray, stamp_ns: int) -> None:
        """Put those people on TF whose place is known, those known longest first."""
        present = {subject.track_id: subject for subject in told.subjects if subject.state != LOST}
        self._known = {name: None for name in (*self._known, *present) if name in present}
        most = self._max_bodies()
        # TF takes each stamp once; another camera may have told of the same time.
        if most <= 0 or 0 <= self._sent_ns - stamp_ns < JUMP_S * 1e9:
            return
        self._sent_ns = stamp_ns
        if self._broadcaster is None:
            from tf2_ros import TransformBroadcaster

            self._broadcaster = TransformBroadcaster(self._node)
        bodies: list[TransformStamped] = []
        for name in list(self._known)[:most]:
            subject = present[name]
            body = TransformStamped(header=told.header, child_frame_id=f'body_{subject.track_id}')
            place, shift = subject.position, body.transform.translation
            shift.x, shift.y, shift.z = place.x, place.y, place.z
            body.transform.rotation.w = 1.0
            bodies.append(body)
        if bodies:
            self._broadcaster.sendTransform(bodies)
