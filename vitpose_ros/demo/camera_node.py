"""A camera for demonstrations and tests: publishes a video, a folder of images, or a device."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.demo.sources import DEMO, ImageSource
from vitpose_ros.ros.images import image_message

ACKNOWLEDGE_S = 4  # at the end, at most; a lost message may take 3 s to be repaired
SETTLING_S = 0.5  # after the subscribers are known; their side takes a moment, too


class CameraNode(Node):
    """Publishes image and camera_info at a set rate, each pair with the time of its capture."""

    def __init__(self) -> None:
        super().__init__('camera_node')
        source = self.declare_parameter('source', DEMO).value
        rate = self.declare_parameter('rate', 0.0).value  # Hz; 0: the source's own
        self._loop = self.declare_parameter('loop', True).value
        frames = self.declare_parameter('frames', 0).value  # the most to publish; 0: no limit
        self._frame_id = self.declare_parameter('frame_id', 'camera_optical_frame').value
        # Nothing is published before so many nodes subscribe to image, and to camera_info, so that
        # a recording is heard from its first frame.
        self._wait_for = self.declare_parameter('wait_for_subscribers', 0).value
        self._wait_for_info = self.declare_parameter(
            'wait_for_info_subscribers', min(self._wait_for, 1)
        ).value
        self._alone_s = time.monotonic()  # when they were too few, the last time
        if rate < 0:
            raise ValueError(f'rate is {rate} Hz; give a positive one, or 0 for the source')
        if frames < 0:
            raise ValueError(f'frames is {frames}; give a positive number, or 0 for no limit')

        self._source = ImageSource(source)
        self._images = islice(self._play(), frames or None)
        overrides = QoSOverridingOptions.with_default_policies()
        self._image = self.create_publisher(
            Image, 'image', QoSProfile(depth=10), qos_overriding_options=overrides
        )
        self._camera_info = self.create_publisher(
            CameraInfo, 'camera_info', QoSProfile(depth=10), qos_overriding_options=overrides
        )
        rate = rate or self._source.rate_hz
        self.create_timer(1 / rate, self._publish_next)
        self.get_logger().info(f"'{source}' at {rate:g} Hz")

    def _publish_next(self) -> None:
        if self._wait_for:
            now_s = time.monotonic()
            if (
                self._listeners(self._image) < self._wait_for
                or self._listeners(self._camera_info) < self._wait_for_info
            ):
                self._alone_s = now_s
            if now_s - self._alone_s < SETTLING_S:
                return
            self._wait_for = 0
        image = next(self._images, None)
        if image is None:
            self.get_logger().info('the last image is out')
            self._image.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))
            raise SystemExit
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        self._image.publish(image_message(image, 'bgr8', header))
        self._camera_info.publish(camera_info(image.shape[1], image.shape[0], header))

    def _play(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the images of the source, again and again if asked for."""
        again = True
        while again:
            again = False
            for image in self._source.images():
                again = self._loop
                yield image

    def _listeners(self, publisher: Any) -> int:
        """Return how many nodes subscribe to a publisher's topic; 0 if not all hear it yet."""
        found = self.get_subscriptions_info_by_topic(publisher.topic_name)
        if publisher.get_subscription_count() < len(found):
            return 0
        return len({(listener.node_namespace, listener.node_name) for listener in found})


def camera_info(width: int, height: int, header: Header) -> CameraInfo:
    """Make the CameraInfo of the nominal camera: no distortion."""
    camera = PinholeCamera.nominal(width, height)
    matrix = [camera.focal_x, 0.0, camera.centre_x, 0.0, camera.focal_y, camera.centre_y]
    return CameraInfo(
        header=header,
        width=width,
        height=height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[*matrix, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[*matrix[:3], 0.0, *matrix[3:], 0.0, 0.0, 0.0, 1.0, 0.0],
    )
