"""What messages tell of space: calibrations, transforms, people; no nodes."""

from array import array

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Transform, TransformStamped
from rclpy.time import Time as Moment
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_ros import Buffer
from visualization_msgs.msg import Marker
from vitpose_ros.msg import Keypoints3D, Keypoints3DArray, KeypointsArray

from vitpose_ros.core import SKELETONS, Frame
from vitpose_ros.core.captures import Sighting
from vitpose_ros.core.drawing import Style
from vitpose_ros.core.geometry.lifting import INFERRED, MEASURED, UNKNOWN, Joints
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.tracks.tracks import PREDICTED, TENTATIVE, TRACKED, Tracks
from vitpose_ros.ros.camera_info import intrinsics
from vitpose_ros.ros.captures import capture_of
from vitpose_ros.ros.conversions import keypoints_message
from vitpose_ros.ros.gathering import Reason, Space
from vitpose_ros.ros.markers import UP, UP_IN_IMAGES, MarkerMaker
from vitpose_ros.ros.space_messages import keypoints_3d_message
from vitpose_ros.ros.transforms import Missing, _Intake, matrix_of

K = [400.0, 0.0, 319.5, 0.0, 410.0, 239.5, 0.0, 0.0, 1.0]
P = [500.0, 0.0, 310.0, -25.0, 0.0, 510.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]
CAMERA = PinholeCamera(500.0, 500.0, 31.5, 23.5)


def info(*, k=None, p=None, width=640, height=480, **region):
    message = CameraInfo(width=width, height=height)
    message.k = k or message.k
    message.p = p or message.p
    for name, value in region.items():
        setattr(message.roi, name, value)
    return message


def test_the_projection_matrix_counts_and_else_the_camera_matrix():
    assert intrinsics(info(k=K, p=P), 640, 480) == PinholeCamera(500, 510, 310, 230, -25.0, 0)
    assert intrinsics(info(k=K), 640, 480) == PinholeCamera(400, 410, 319.5, 239.5)


@pytest.mark.parametrize(
    'message', [None, info(), info(k=[np.nan] * 9), info(k=K, width=0), info(p=[-1.0] * 12)]
)
def test_without_a_calibration_nothing_is_made_up(message):
    assert intrinsics(message, 640, 480) is None


def test_a_region_and_a_size_of_the_sensor_are_allowed_for():
    whole = intrinsics(info(k=K), 640, 480)
    part = info(k=K, x_offset=100, y_offset=40, width=640, height=480)
    part.roi.width, part.roi.height = 320, 240
    halved = intrinsics(part, 160, 120)
    point = np.array([[0.1, -0.05, 2.0]])
    x, y = whole.project(point)[0]
    # Pixel centres of the half-size image lie between those of the whole one.
    expected = ((x - 100 + 0.5) / 2 - 0.5, (y - 40 + 0.5) / 2 - 0.5)
    assert halved.project(point)[0] == pytest.approx(expected)


def transform(x=0.0, y=0.0, z=0.0, q=(0.0, 0.0, 0.0, 1.0)):
    message = Transform()
    message.translation.x, message.translation.y, message.translation.z = x, y, z
    rotation = message.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = q
    return message


def test_a_transform_turns_and_shifts():
    # A quarter turn about z, of a quaternion that is not quite of length one.
    found = matrix_of(transform(1, 2, 3, (0.0, 0.0, 0.72, 0.72)))
    assert found @ [1, 0, 0, 1] == pytest.approx([1, 3, 3, 1])
    # About x: y becomes z.
    half = np.sqrt(0.5)
    assert matrix_of(transform(q=(half, 0.0, 0.0, half))) @ [0, 1, 0, 1] == pytest.approx(
        [0, 0, 1, 1]
    )


def test_one_late_transform_clears_nothing_and_a_recording_that_begins_anew_does():
    buffer = Buffer()
    intake = _Intake(buffer)

    def tell(frame, second):
        transform = TransformStamped(header=Header(stamp=Time(sec=second), frame_id='odom'))
        transform.child_frame_id, transform.transform.rotation.w = frame, 1.0
        intake.set_transform(transform, 'test')

    def is_known(frame, second):
        return buffer.can_transform('odom', frame, Moment(seconds=second))

    for second in (100, 101):
        tell('camera', second)
        tell('body', second)
    tell('body', 90)
    assert is_known('camera', 101) and is_known('body', 101)
    for second in range(102, 105):
        tell('body', second)
    tell('camera', 50)
    assert is_known('body', 104)
    tell('camera', 51)
    assert not is_known('body', 104) and is_known('camera', 50) and is_known('camera', 51)
    for number in range(2000):
        tell(f'body_{number}', 60)
    assert len(intake._newest_ns) <= 1000


@pytest.mark.parametrize('wrong', [transform(q=(0.0,) * 4), transform(x=float('nan'))])
def test_a_transform_that_is_none_is_said(wrong):
    assert isinstance(matrix_of(wrong), Missing)


def depth_message(values, frame='colour'):
    values = np.asarray(values, np.float32)
    height, width = values.shape
    message = Image(
        height=height,
        width=width,
        encoding='32FC1',
        step=4 * width,
        data=array('B', values.tobytes()),
    )
    message.header.frame_id = frame
    return message


FRAME = Frame(np.zeros((48, 64, 3), np.uint8), [[10, 10, 30, 40]])
COLOUR = info(k=[500.0, 0.0, 31.5, 0.0, 500.0, 23.5, 0.0, 0.0, 1.0], width=64, height=48)


def test_depth_of_half_the_size_has_half_the_focal_length():
    space = Space(COLOUR, np.eye(4), depth_message(np.full((24, 32), 2.0)))
    capture, reason = capture_of(FRAME, 5, 'front', space)
    assert reason is None
    assert (capture.stamp_ns, capture.camera) == (5, 'front')
    assert capture.intrinsics == CAMERA
    assert capture.depth.camera == CAMERA.scaled(0.5, 0.5)


def test_depth_of_another_shape_needs_a_calibration_of_its_own():
    cut = depth_message(np.full((24, 64), 2.0))
    capture, reason = capture_of(FRAME, 0, '', Space(COLOUR, None, cut))
    assert capture.depth is None
    assert '64 x 24' in reason.text and 'depth_camera_info' in reason.text
    # That of the image, beside which they lie, is none of theirs.
    assert '64 x 24' in capture_of(FRAME, 0, '', Space(COLOUR, None, cut, COLOUR))[1].text
    own = info(k=[500.0, 0.0, 31.5, 0.0, 500.0, 11.5, 0.0, 0.0, 1.0], width=64, height=24)
    capture, reason = capture_of(FRAME, 0, '', Space(COLOUR, None, cut, own))
    assert reason is None and capture.depth.camera.centre_y == 11.5


def test_depth_of_another_camera_is_reprojected():
    moved = np.eye(4)
    moved[0, 3] = 0.1
    values = np.full((48, 64), np.nan)
    values[20:28, 28:36] = 2.0
    space = Space(COLOUR, None, depth_message(values, 'depth'), COLOUR, moved)
    capture, reason = capture_of(FRAME, 0, '', space)
    assert reason is None
    columns = np.flatnonzero(np.isfinite(capture.depth.values).any(axis=0))
    # 0.1 m at 2 m are 25 pixels, to the right; of what the boxes need not show nothing is kept.
    assert columns.min() == 28 + 25


def test_a_focal_length_that_no_depth_camera_has_beside_the_image_is_said():
    far = info(k=[50_000.0, 0.0, 31.5, 0.0, 50_000.0, 23.5, 0.0, 0.0, 1.0], width=64, height=48)
    depth = depth_message(np.full((48, 64), 2.0), 'depth')
    capture, reason = capture_of(FRAME, 0, '', Space(COLOUR, None, depth, far, np.eye(4)))
    assert capture.depth is None
    assert 'the focal length is 50000 pixels for the depth images, and 500' in reason.text


def test_what_is_missing_or_empty_is_the_reason():
    reasons = (Reason('depth', 'one'), Reason('transform', 'two'), Reason('depth', 'one'))
    _, reason = capture_of(FRAME, 0, '', Space(COLOUR, reasons=reasons))
    assert reason == Reason('depth', 'one; two')
    whole = depth_message(np.full((48, 64), 2.0))
    wide = info(k=list(COLOUR.k), width=64, height=36)
    _, reason = capture_of(FRAME, 0, '', Space(wide, None, whole))
    assert 'other proportions than 64 x 48' in reason.text


@pytest.mark.parametrize(
    ('value', 'encoding', 'words'),
    [
        (0.0, '32FC1', 'the depth image is empty'),
        (3000.0, '32FC1', '32FC1 is in metres'),
        (1.0, 'rgb8', "encoding 'rgb8' is not supported"),
    ],
)
def test_depth_of_no_use_costs_nothing_else(value, encoding, words):
    message = depth_message(np.full((48, 64), value))
    message.encoding = encoding
    capture, reason = capture_of(FRAME, 0, '', Space(COLOUR, np.eye(4), message))
    assert words in reason.text
    assert capture.depth is None
    assert capture.intrinsics == CAMERA
    np.testing.assert_array_equal(capture.pose, np.eye(4))


def sighting(*, joints=True):
    """Return somebody tracked, somebody new, somebody unnamed, and somebody hidden."""
    k = 17
    poses = Poses(
        64,
        48,
        np.tile(np.array([10, 10, 30, 40], np.float32), (3, 1)),
        ('coco',) * 3,
        np.zeros((3, k, 2), np.float32),
        np.full((3, k), 0.5, np.float32),
        class_names=['person', 'person', 'dog'],
        track_ids=['r_1', 'r_3', ''],
        box_scores=[0.5] * 3,
    )
    points = np.arange(3 * k * 3, dtype=np.float32).reshape(3, k, 3)
    states = np.full((3, k), MEASURED, np.uint8)
    states[:, 1], states[:, 2], points[:, 2] = INFERRED, UNKNOWN, np.nan
    spread = np.arange(9, dtype=np.float32).reshape(3, 3)
    found = Joints(
        points,
        states,
        np.tile(spread + spread.T, (3, k, 1, 1)),
        points[:, 0],
        np.tile(spread + spread.T, (3, 1, 1)),
    )
    m = 3
    tracks = Tracks(
        0,
        ('r_1', 'r_2', 'r_3'),
        np.array([TRACKED, PREDICTED, TENTATIVE], np.uint8),
        np.array([0, -1, 1]),
        np.zeros((m, 4), np.float32),
        np.zeros((m, 2), np.float32),
        np.zeros(m, np.float32),
        np.array([[1.0, 2, 3], [4, 5, 6], [np.nan] * 3]),
        np.tile(np.eye(3), (m, 1, 1)),
        np.array([[0.5, 0, 0], [0, 0.05, 0], [np.nan] * 3]),
        np.tile(np.eye(3) * 0.1, (m, 1, 1)),
    )
    kinds = (('person', 'coco'),) * 3
    return Sighting('', 0, poses, found if joints else None, tracks, kinds, None)


HEADER = Header(stamp=Time(sec=3), frame_id='odom')


def test_people_in_metres_are_the_poses_and_then_who_is_hidden():
    message = keypoints_3d_message(HEADER, sighting(), SKELETONS)
    assert message.header == HEADER
    named = [(subject.track_id, subject.state, subject.class_id) for subject in message.subjects]
    assert named == [
        ('r_1', Keypoints3D.TRACKED, 'person'),
        ('r_3', Keypoints3D.TENTATIVE, 'person'),
        ('', Keypoints3D.TRACKED, 'dog'),
        ('r_2', Keypoints3D.PREDICTED, 'person'),
    ]
    tracked, new, unnamed, hidden = message.subjects
    assert tracked.x[3] == 9 and tracked.y[3] == 10 and tracked.z[3] == 11
    assert np.isnan(tracked.x[2])
    assert list(tracked.keypoint_state[:3]) == [MEASURED, INFERRED, UNKNOWN]
    assert list(tracked.keypoint_covariance[:6]) == [0, 4, 8, 8, 12, 16], 'xx xy xz yy yz zz'
    # The track's place, and where it has none that of the joints.
    assert (tracked.position.x, tracked.velocity.x) == (1.0, 0.5)
    assert new.position.x == 51.0 and np.isnan(new.velocity.x)
    assert unnamed.position.x == 102.0
    assert (hidden.position.z, hidden.velocity.y) == (6.0, 0.05)
    assert np.isnan(hidden.x).all() and len(hidden.x) == len(hidden.keypoint_score) == 17
    assert len(hidden.keypoint_covariance) == 6 * 17
    assert not any(hidden.keypoint_state)


def test_without_depth_the_tracks_are_still_told():
    message = keypoints_3d_message(HEADER, sighting(joints=False), SKELETONS)
    tracked, new, _, _ = message.subjects
    assert tracked.position.x == 1.0 and np.isnan(tracked.x).all()
    assert np.isnan(new.position.x)


def markers_of(message, **options):
    seen = sighting()
    flat = keypoints_message(HEADER, seen.poses)
    assert isinstance(flat, KeypointsArray)
    maker = MarkerMaker([SKELETONS['coco']])
    return maker.markers(
        flat, CAMERA, style=Style(), lifetime=0.5, distance=3.0, in_space=message, **options
    ).markers


@pytest.mark.parametrize('up', [UP, UP_IN_IMAGES])
def test_markers_stand_where_people_are(up):
    message = keypoints_3d_message(HEADER, sighting(), SKELETONS)
    assert isinstance(message, Keypoints3DArray)
    markers = markers_of(message, up=up)
    assert {marker.header.frame_id for marker in markers} == {'odom'}
    by_space = {marker.ns: marker for marker in markers if marker.id == markers[0].id}
    joints = by_space['joints'].points
    assert len(joints) == 16, 'one is not known'
    assert (joints[0].x, joints[0].y, joints[0].z) == (0.0, 1.0, 2.0)
    label = by_space['labels'].pose.position
    heights = [np.dot((point.x, point.y, point.z), up) for point in joints]
    assert np.dot((label.x, label.y, label.z), up) > max(heights)
    # The way of a second, of those who move.
    arrow = by_space['velocities']
    assert arrow.type == Marker.ARROW
    assert [(point.x, point.y, point.z) for point in arrow.points] == [(1, 2, 3), (1.5, 2, 3)]
    assert [marker.ns for marker in markers].count('velocities') == 1
