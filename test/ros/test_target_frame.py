"""People in the frame that is asked for, by TF at the time of the image, and on TF."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from depth_stage import Stage, assert_is_near, depth_of, person_frame
from diagnostic_msgs.msg import DiagnosticStatus
from tf2_msgs.msg import TFMessage
from vitpose_ros.msg import Keypoints3D, Keypoints3DArray

WARN = DiagnosticStatus.WARN


@pytest.fixture(scope='module')
def frame():
    return person_frame()


@pytest.fixture
def stage_in_odom(start, ros, frame):
    node = start(
        'pose_node', depth='raw', depth_timeout_ms='3000.0', target_frame='odom',
        max_tf_bodies='2', smoothing_3d='"off"',
    )  # fmt: skip
    stage = Stage()
    stage.people, stage.bodies, stage.pose_node = [], [], node
    stage.create_subscription(Keypoints3DArray, 'pose_node/people', stage.people.append, 10)
    stage.create_subscription(
        TFMessage, '/tf', lambda message: stage.bodies.extend(message.transforms), 100
    )
    stage.wait_for_depth()
    height, width = frame[0].shape[:2]
    stage.tell_camera(width, height)
    stage.wait(lambda: stage.transforms.get_subscription_count() == 2, 'tf matched')
    stage.rest(0.5)
    yield stage
    stage.destroy_node()


def test_people_are_in_the_frame_that_is_asked_for(stage_in_odom, frame):
    stage = stage_in_odom
    # Nobody says where the camera is.
    answer, found = stage.ask_with_depth(frame, depth_of(frame), stamp=Time(sec=500))
    assert len(answer.subjects) == 1
    assert found.header.frame_id == 'odom'
    assert np.isnan(found.subjects[0].x).all()
    stage.wait_for_status(WARN, "no transform from 'some_optical_frame' to 'odom'")

    # Who has been missing for long is not waited for, until it comes again, however late.
    stage.rest(2.2)
    stamp = Time(sec=500, nanosec=100_000_000)
    _, found = stage.ask_with_depth(frame, depth_of(frame), stamp=stamp)
    assert np.isnan(found.subjects[0].x).all()
    stage.tell_place(0.0, stamp)
    found = stage.ask_before_its_place(frame, Time(sec=500, nanosec=200_000_000), 0.0)
    assert_is_near(found)

    # The transform of the time of the image counts, also where it comes after the image.
    for second, x in ((501, 1.0), (502, 2.0)):
        stage.tell_place(x, Time(sec=second))
    stage.rest(0.5)
    half = Time(sec=501, nanosec=500_000_000)
    _, found = stage.ask_with_depth(frame, depth_of(frame), stamp=half)
    assert_is_near(found, x=1.5)
    # An old driver's frames begin with a slash.
    newest = Time(sec=502)
    depth = depth_of(frame)
    _, found = stage.ask_with_depth(frame, depth, stamp=newest, frame_id='/some_optical_frame')
    assert_is_near(found, x=2.0)
    [subject] = found.subjects
    assert subject.state == Keypoints3D.TRACKED

    # It is on the list of all cameras and on TF.
    stage.wait(lambda: stage.people and stage.people[-1].header.stamp == newest, 'people')
    [person] = stage.people[-1].subjects
    assert (person.track_id, stage.people[-1].header.frame_id) == (subject.track_id, 'odom')
    body = f'body_{person.track_id}'

    def own_bodies():
        return [b for b in stage.bodies if (b.child_frame_id, b.header.stamp) == (body, newest)]

    stage.wait(own_bodies, 'body on TF')
    [own] = own_bodies()
    assert own.header.frame_id == 'odom'
    assert own.transform.translation.z == pytest.approx(person.position.z)

    # A transform that is late is waited for.
    assert_is_near(stage.ask_before_its_place(frame, Time(sec=503), 3.0), x=3.0)

    # A clock that jumps back begins anew, with the transforms, too.
    first = person.track_id
    stage.tell_place(7.0, Time(sec=100))
    stage.tell_place(7.0, Time(sec=101))
    stage.rest(0.5)
    for second in (100, 101):
        _, found = stage.ask_with_depth(frame, depth_of(frame), stamp=Time(sec=second))
    tracked = [own for own in found.subjects if own.state != Keypoints3D.LOST]
    assert [own.track_id != first for own in tracked] == [True]
    stage.wait(lambda: 'went back by 40' in stage.pose_node.log, 'a word on the clock in the log')
    lost = [
        own
        for message in stage.people
        for own in message.subjects
        if own.state == Keypoints3D.LOST
    ]
    assert [own.track_id for own in lost] == [first]
    assert lost[0].skeleton == 'coco' and np.isnan(lost[0].x).tolist() == [True] * 17
