"""Two cameras with depth, one of another frame, one compressed, make one list of people."""

from array import array

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from depth_stage import (
    FAR_M,
    FOCAL,
    NEAR_M,
    Stage,
    compressed_depth,
    depth_of,
    known,
    person_frame,
)
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage
from vitpose_ros.msg import Keypoints3D, Keypoints3DArray

RIGHT_M = 0.06  # of the colour camera, where the depth camera is


@pytest.fixture(scope='module')
def frame():
    return person_frame()


@pytest.fixture
def stages(start, ros, frame):
    start(
        'pose_node', cameras='front,left', target_frame='base', depth_timeout_ms='3000.0',
        max_tf_bodies='5',
        **{'front.depth': 'raw', 'left.depth': 'compressed'},
    )  # fmt: skip
    found = [Stage('front'), Stage('left', compressed=True)]
    height, width = frame[0].shape[:2]
    for stage in found:
        stage.wait_for_depth()
        stage.tell_camera(width, height)
    yield found
    for stage in found:
        stage.destroy_node()


def of_depth_camera(frame):
    """Return the depth that a camera of half the size sees, which stands to the right."""
    message = depth_of(frame, scale=0.5)
    values = np.frombuffer(message.data, '<u2').reshape(message.height, message.width)
    near = values == NEAR_M * 1000
    shift = round(RIGHT_M * FOCAL / 2 / NEAR_M)  # pixels to the left, of what is near
    moved = np.full(values.shape, FAR_M * 1000, np.uint16)
    moved[:, :-shift][near[:, shift:]] = NEAR_M * 1000
    message.data = array('B', moved.tobytes())
    message.header.frame_id = 'depth_frame'
    return message


def test_the_same_person_in_two_cameras_is_one(stages, frame):
    front, left = stages
    people, bodies = [], []
    front.create_subscription(TFMessage, '/tf', lambda tf: bodies.extend(tf.transforms), 100)
    front.create_subscription(
        Keypoints3DArray, 'pose_node/people', people.append, QoSProfile(depth=100)
    )
    front.wait(lambda: front.count_publishers('pose_node/people'), 'people')
    depth = of_depth_camera(frame)  # its camera_info is that of the image, beside it
    for second in range(1, 9):
        stamp = Time(sec=100, nanosec=100_000_000 * second)
        for child, parent, x in (
            ('some_optical_frame', 'base', 0.0),
            ('depth_frame', 'some_optical_frame', RIGHT_M),
        ):
            front.tell_place(x, stamp, parent, child)
        depth.header.stamp = stamp
        _, in_front = front.ask_with_depth(frame, depth, stamp=stamp)
        other = compressed_depth(depth_of(frame))
        other.header.stamp = stamp
        _, in_left = left.ask_with_depth(frame, other, stamp=stamp)
    for found in (in_front, in_left):
        assert found.header.frame_id == 'base'
        [subject] = found.subjects
        points = known(subject)
        assert len(points) >= 8
        assert NEAR_M - 0.1 < np.median(points[:, 2]) < NEAR_M + 0.3
    ids = {found.subjects[0].track_id for found in (in_front, in_left)}
    assert len(ids) == 2, 'each camera has a track of its own'
    front.wait(lambda: people[-1].header.stamp == stamp and len(people) >= 16, 'all people')
    [person] = people[-1].subjects
    assert person.track_id in ids and person.state == Keypoints3D.TRACKED
    assert person.position.z == pytest.approx(NEAR_M + 0.1, abs=0.2)
    assert len(known(person)) >= 8
    # TF takes a stamp once, whoever of the cameras tells of it.
    body = f'body_{person.track_id}'
    sent = [
        (own.header.stamp.sec, own.header.stamp.nanosec)
        for own in bodies
        if own.child_frame_id == body
    ]
    assert len(sent) == len(set(sent)) >= 4
