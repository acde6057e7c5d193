"""Depth images in, people in metres out; and what is wrong with them is said."""

from array import array

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from depth_stage import FOCAL, Stage, assert_is_near, depth_of, known, person_frame
from diagnostic_msgs.msg import DiagnosticStatus
from harness import detections_of, image_of
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from vitpose_ros.msg import Keypoints3D, Keypoints3DArray

from vitpose_ros.ros.depth_input import DepthInput
from vitpose_ros.ros.gathering import Gathering, Sources
from vitpose_ros.ros.stamps import nanoseconds_of

WARN = DiagnosticStatus.WARN


@pytest.fixture(scope='module')
def frame():
    return person_frame()


@pytest.fixture(scope='module')
def node(module_start, ros):
    return module_start('pose_node', depth='raw', depth_timeout_ms='3000.0')


@pytest.fixture
def stage(node, frame):
    stage = Stage()
    stage.wait_for_depth()
    height, width = frame[0].shape[:2]
    stage.tell_camera(width, height)
    stage.rest(0.3)
    yield stage
    stage.destroy_node()


@pytest.mark.parametrize(
    ('encoding', 'scale', 'holes'),
    [
        ('16UC1', 1.0, None),
        ('32FC1', 1.0, None),
        ('16UC1', 0.5, None),
        ('32FC1', 1.0, np.nan),
        ('16UC1', 1.0, 0),
    ],
)
def test_a_person_is_where_depth_has_it(stage, frame, encoding, scale, holes):
    depth = depth_of(frame, encoding=encoding, scale=scale, holes=holes)
    answer, found = stage.ask_with_depth(frame, depth)
    assert found.header.frame_id == 'some_optical_frame'
    assert_is_near(found)
    # Joints that are measured are on the rays of their keypoints.
    [subject], [flat] = found.subjects, answer.subjects
    assert subject.track_id == flat.track_id != ''
    points = np.stack((subject.x, subject.y, subject.z), axis=1)
    measured = np.asarray(subject.keypoint_state) == Keypoints3D.MEASURED
    height, width = frame[0].shape[:2]
    pixels = points[measured, :2] / points[measured, 2:] * FOCAL
    expected = np.stack((flat.x, flat.y), axis=1)[measured] - ((width - 1) / 2, (height - 1) / 2)
    # Calmed over time in space, and not in the image: the same frame again moves nothing.
    assert np.abs(pixels - expected).max() < 2.0


def test_an_empty_depth_image_is_said_and_the_keypoints_come(stage, frame):
    depth = depth_of(frame)
    depth.data = array('B', bytes(len(depth.data)))
    answer, found = stage.ask_with_depth(frame, depth)
    assert len(answer.subjects) == 1
    assert not (set(found.subjects[0].keypoint_state) & {Keypoints3D.MEASURED})
    stage.wait_for_status(WARN, 'the depth image is empty')


def test_a_depth_image_of_another_time_is_said(stage, frame):
    depth = depth_of(frame)
    depth.header.stamp = Time(sec=77)
    answer, found = stage.ask_with_depth(frame, depth)
    assert len(answer.subjects) == 1
    assert np.isnan(found.subjects[0].x).all()
    stage.wait_for_status(WARN, 'depth_slop_ms allows 20')


def test_an_encoding_that_is_no_depth_is_said(stage, frame):
    depth = depth_of(frame)
    depth.encoding = 'rgb8'
    answer, _ = stage.ask_with_depth(frame, depth)
    assert len(answer.subjects) == 1
    stage.wait_for_status(WARN, "encoding 'rgb8' is not supported")


def test_a_camera_info_of_zeros_is_said(stage, node, frame):
    height, width = frame[0].shape[:2]
    stage.tell_camera(width, height, focal=0)
    found = None
    while found is None or np.isfinite(found.subjects[0].x).any():  # until it has arrived
        answer, found = stage.ask_with_depth(frame, depth_of(frame))
    assert len(answer.subjects) == 1
    stage.wait_for_status(WARN, 'camera_info has no focal length (zeros)')
    assert 'camera_info has no focal length (zeros)' in node.log


def test_depth_that_comes_late_is_waited_for(stage, frame):
    pixels, boxes = frame
    stage.ask_with_depth(frame, depth_of(frame))
    image, depth = image_of(pixels), depth_of(frame)
    depth.header.stamp = image.header.stamp
    stage.send(image, detections_of(image, boxes))
    stage.rest(0.5)
    stage.depths.publish(depth)
    stamp = image.header.stamp
    stage.wait(lambda: any(found.header.stamp == stamp for found in stage.in_space), 'answer')
    assert_is_near(next(found for found in stage.in_space if found.header.stamp == stamp))


def test_work_that_stops_while_an_image_waits_for_its_depth_goes_on_again(stage, node, frame):
    pixels, boxes = frame
    for _ in range(6):
        stage.ask_with_depth(frame, depth_of(frame))
        image = image_of(pixels)
        stage.send(image, detections_of(image, boxes))
        stage.rest(0.05)
        assert stage.enable(False) and stage.enable(True)
        stage.wait_for_depth()
    assert node.alive


def test_people_of_the_only_camera_with_a_name_keep_their_joints_where_depth_comes_seldom(
    start, ros, frame
):
    start('pose_node', cameras='front', depth='raw', depth_timeout_ms='0.0', smoothing_3d='"off"')
    stage, people = Stage('front'), []
    stage.create_subscription(
        Keypoints3DArray, 'pose_node/people', people.append, QoSProfile(depth=100)
    )
    stage.wait_for_depth()
    stage.wait(lambda: stage.count_publishers('pose_node/people'), 'people')
    height, width = frame[0].shape[:2]
    stage.tell_camera(width, height)
    stage.rest(0.3)
    for tenth in range(15):
        stamp = Time(sec=100, nanosec=0) if tenth < 10 else Time(sec=101)
        stamp.nanosec = tenth % 10 * 100_000_000
        seldom = tenth in (0, 1, 2, 6)
        stage.ask_with_depth(frame, depth_of(frame) if seldom else None, stamp=stamp)
        stage.wait(lambda at=stamp: people and people[-1].header.stamp == at, 'people')
    assert people[-1].header.frame_id == 'some_optical_frame'
    joints = [len(known(own.subjects[0])) for own in people[-14:]]
    assert all(count > 0 for count in joints[1:11]), joints  # those of 0.4 s before
    assert joints[-1] == 0, joints  # which is too long ago
    stage.destroy_node()


def test_images_for_which_no_depth_is_foreseen_do_not_wait(ros):
    probe, ready = Stage('gathering'), []
    source = DepthInput(
        probe, 'rates/depth', lambda: None, compressed=False, slop_s=0.02, most=5, most_bytes=1e9
    )
    info = CameraInfo(width=640, height=480, k=np.array([500, 0, 320, 0, 500, 240, 0, 0, 1.0]))
    gathering = Gathering(
        probe,
        Sources(source, None, '', lambda: info, 'camera_info', 0.02),
        lambda image, _, space: ready.append((nanoseconds_of(image) / 1e9, space)),
        timeout_s=3600.0,
        max_bytes=1e9,
    )

    def stamped(seconds):
        message = Image()
        message.header.stamp = Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9))
        return message

    for index in range(10):  # 5 Hz; images have 15
        source._on_depth(stamped(index / 5))
    for seconds in (1.8, 1.867, 1.933):
        gathering.add(stamped(seconds), None)
    assert [seconds for seconds, _ in ready] == [1.8, 1.867, 1.933]
    assert [space.depth is not None for _, space in ready] == [True, False, False]
    assert [reason.kind for reason in ready[1][1].reasons] == ['depth']
    gathering.add(stamped(2.0), None)
    assert len(ready) == 3, 'it waits for the depth image of its time'
    source._on_depth(stamped(2.0))
    gathering.advance()
    assert ready[-1][0] == 2.0 and ready[-1][1].depth is not None
    gathering.close()
    source.close()
    probe.destroy_node()


def test_who_has_the_depth_of_another_rate_waits_only_for_what_may_come(ros):
    """Without a node that computes: by the stamps alone."""
    probe = Stage('rates')
    source = DepthInput(
        probe, 'rates/depth', lambda: None, compressed=False, slop_s=0.02, most=5, most_bytes=1e9
    )
    assert not source.nearest(0).is_final
    for index in range(10):  # 5 Hz
        message = Image()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(index * 200_000_000, 10**9)
        source._on_depth(message)
    newest = 1_800_000_000
    late = [source.nearest(newest + round(ms * 1e6)) for ms in (33, 66, 166, 200)]
    assert [near.is_final for near in late] == [True, True, False, False]
    assert source.nearest(10_000_000).is_gone and not source.nearest(newest).is_gone
    assert not source.nearest(-5_000_000_000).is_gone, 'of before depth began, or another clock'
    source.close()
    assert source.nearest(newest).message is None
    probe.destroy_node()
