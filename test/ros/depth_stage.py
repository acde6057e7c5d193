"""A camera with depth for the tests: what it publishes, and what is to come of it."""

import struct
from array import array

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from harness import Probe, clip_frame, detections_of, image_of
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage
from vitpose_ros.msg import Keypoints3D, Keypoints3DArray

FOCAL = 500.0
NEAR_M, FAR_M = 3.0, 6.0
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def person_frame():
    """Return a frame of the clip, (h, w, 3), and the box (1, 4) of a person."""
    pixels, people = clip_frame(60)
    return pixels, np.array([person.box for person in people])[:1]


class Stage(Probe):
    """A camera with depth; publishes what it is told to, and keeps what comes of it."""

    def __init__(self, camera='', *, compressed=False):
        super().__init__(camera)
        self.in_space = []
        self.compressed = compressed
        kind, topic = (
            (CompressedImage, 'depth/compressedDepth') if compressed else (Image, 'depth')
        )
        self.depths = self.create_publisher(kind, f'{self.prefix}{topic}', 10)
        self.infos = self.create_publisher(CameraInfo, f'{self.prefix}camera_info', LATCHED)
        self.transforms = self.create_publisher(TFMessage, '/tf', 10)
        self.create_subscription(
            Keypoints3DArray,
            f'pose_node/{self.prefix}keypoints_3d',
            self.in_space.append,
            QoSProfile(depth=100),
        )

    def wait_for_depth(self):
        self.wait_until_matched()
        self.wait(lambda: self.depths.get_subscription_count() == 1, 'depth matched')
        self.wait(lambda: self.count_publishers(f'pose_node/{self.prefix}keypoints_3d'), '3d')

    def tell_camera(self, width, height, *, focal=FOCAL):
        """Publish camera_info; a focal length of 0 makes all numbers zero."""
        info = CameraInfo(width=width, height=height)
        info.header.frame_id = 'some_optical_frame'
        if focal:
            x, y = (width - 1) / 2, (height - 1) / 2
            info.k = [focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0]
            info.p = [focal, 0.0, x, 0.0, 0.0, focal, y, 0.0, 0.0, 0.0, 1.0, 0.0]
        self.infos.publish(info)

    def tell_place(self, x, stamp, parent='odom', child='some_optical_frame'):
        transform = TransformStamped(child_frame_id=child)
        transform.header.frame_id, transform.header.stamp = parent, stamp
        transform.transform.translation.x = x
        transform.transform.rotation.w = 1.0
        self.transforms.publish(TFMessage(transforms=[transform]))

    def ask_before_its_place(self, frame, stamp, x):
        """Send a frame, and where its camera is a while later; return the answer in space."""
        pixels, boxes = frame
        image, depth = image_of(pixels), depth_of(frame)
        image.header.stamp = depth.header.stamp = stamp
        self.depths.publish(depth)
        self.send(image, detections_of(image, boxes))
        self.rest(0.3)
        self.tell_place(x, stamp)
        self.wait(lambda: self.in_space[-1].header.stamp == stamp, 'keypoints_3d')
        return self.in_space[-1]

    def ask_with_depth(self, frame, depth, *, stamp=None, frame_id=None):
        """Send image, depth and detections; return the answers in the image and in space."""
        pixels, boxes = frame
        image = image_of(pixels)
        image.header.frame_id = frame_id or image.header.frame_id
        if stamp is not None:
            image.header.stamp = stamp
        if depth is not None:
            if depth.header.stamp == Time():
                depth.header.stamp = image.header.stamp
            self.depths.publish(depth)
        answer = self.ask(image, detections_of(image, boxes))
        stamp = image.header.stamp
        self.wait(
            lambda: any(found.header.stamp == stamp for found in self.in_space), 'keypoints_3d'
        )
        return answer, next(found for found in self.in_space if found.header.stamp == stamp)


def depth_of(frame, *, encoding='16UC1', scale=1.0, holes=None, near=NEAR_M):
    """Make a depth image: the person near, all else far; some pixels hold the value `holes`."""
    pixels, [(x_min, y_min, x_max, y_max)] = frame[0], np.rint(frame[1]).astype(int)
    metres = np.full(pixels.shape[:2], FAR_M)
    metres[max(y_min, 0) : y_max, max(x_min, 0) : x_max] = near
    if scale != 1:
        size = round(metres.shape[1] * scale), round(metres.shape[0] * scale)
        metres = cv2.resize(metres, size, interpolation=cv2.INTER_NEAREST)
    values = (metres * 1000).astype('<u2') if encoding == '16UC1' else metres.astype('<f4')
    if holes is not None:
        values[np.random.default_rng(0).random(values.shape) < 0.3] = holes
    height, width = values.shape
    message = Image(
        height=height,
        width=width,
        encoding=encoding,
        step=values.strides[0],
        data=array('B', values.tobytes()),
    )
    message.header.frame_id = 'some_optical_frame'
    return message


def compressed_depth(raw):
    values = np.frombuffer(raw.data, '<u2').reshape(raw.height, raw.width)
    _, file = cv2.imencode('.png', values)
    data = struct.pack('<iff', 0, 0.0, 0.0) + file.tobytes()
    message = CompressedImage(format='16UC1; compressedDepth png', data=array('B', data))
    message.header.frame_id = 'some_optical_frame'
    return message


def known(subject):
    """Return the joints that are known, (m, 3)."""
    points = np.stack((subject.x, subject.y, subject.z), axis=1)
    return points[np.asarray(subject.keypoint_state) != Keypoints3D.UNKNOWN]


def assert_is_near(found, *, x=0.0):
    """Check that the person is where depth and pixels have it, x metres to the right."""
    [subject] = found.subjects
    measured = np.asarray(subject.keypoint_state) == Keypoints3D.MEASURED
    assert measured.sum() >= 8, f'{measured.sum()} measured'
    points = known(subject) - (x, 0, 0)
    assert np.isfinite(points).all()
    assert (points[:, 2] > NEAR_M - 0.1).all() and (points[:, 2] < NEAR_M + 0.4).all()
    assert subject.position.z == pytest.approx(NEAR_M + 0.1, abs=0.2)
