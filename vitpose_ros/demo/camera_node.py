"""A camera for demonstrations and tests: publishes a video, a folder of images, or a device."""

import time
from array import array
from collections.abc import Iterator
from itertools import chain, islice, repeat
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
from vitpose_ros.demo.space import load_space
from vitpose_ros.ros.images import image_message

ACKNOWLEDGE_S = 4  # at the end, at most; a lost message may take 3 s to be repaired
SETTLING_S = 0.5  # after the subscribers are known; their side takes a moment, too


class CameraNode(Node):
    """Publishes image and camera_info at a set rate, each pair with the time of its capture.

    Where depth lies beside a clip, as with the demo clip, depth comes with them.
    """

    def __init__(self) -> None:
        super().__init__('camera_node')
        source = self.declare_parameter('source', DEMO).value
        rate = self.declare_parameter('rate', 0.0).value  # Hz; 0: the source's own
        self._loop = self.declare_parameter('loop', True).value
        frames = self.declare_parameter('frames', 0).value  # the most to publish; 0: no limit
        self._frame_id = self.declare_parameter('frame_id', 'camera_optical_frame').value
        # Nothing is published before so many nodes subscribe to image, camera_info and depth, so
        # that a recording is heard from its first frame.
        self._wait_for = self.declare_parameter('wait_for_subscribers', 0).value
        self._wait_for_info = self.declare_parameter(
            'wait_for_info_subscribers', min(self._wait_for, 1)
        ).value
        self._wait_for_depth = self.declare_parameter('wait_for_depth_subscribers', 0).value
        self._alone_s = time.monotonic()  # when they were too few, the last time
        if rate < 0:
            raise ValueError(f'rate is {rate} Hz; give a positive one, or 0 for the source')
        if frames < 0:
            raise ValueError(f'frames is {frames}; give a positive number, or 0 for no limit')

        self._source = ImageSource(source)
        self._space = load_space(self._source.path)
        self._frames = islice(self._play(), frames or None)
        overrides = QoSOverridingOptions.with_default_policies()
        self._image = self.create_publisher(
            Image, 'image', QoSProfile(depth=10), qos_overriding_options=overrides
        )
        self._camera_info = self.create_publisher(
            CameraInfo, 'camera_info', QoSProfile(depth=10), qos_overriding_options=overrides
        )
        self._depth: Any = None
        if self._space is not None:
            self._depth = self.create_publisher(
                Image, 'depth', QoSProfile(depth=10), qos_overriding_options=overrides
            )
        rate = rate or self._source.rate_hz
        self.create_timer(1 / rate, self._publish_next)
        self.get_logger().info(f"'{source}' at {rate:g} Hz")

    def _publish_next(self) -> None:
        if self._wait_for:
            now_s = time.monotonic()
            if not self._is_heard():
                self._alone_s = now_s
            if now_s - self._alone_s < SETTLING_S:
                return
            self._wait_for = 0
        image, depth = next(self._frames, (None, None))
        if image is None:
            self.get_logger().info('the last image is out')
            self._image.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))
            raise SystemExit
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        height, width = image.shape[:2]
        if depth is not None:
            self._depth.publish(depth_message(depth, header))
        self._image.publish(image_message(image, 'bgr8', header))
        camera = PinholeCamera.nominal(width, height)
        if self._space is not None:
            camera = self._space.camera
        self._camera_info.publish(camera_info(camera, width, height, header))

    def _play(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint16] | None]]:
        """Yield the images of the source with their depth, again and again if asked for."""
        again = True
        while again:
            again = False
            depths = () if self._space is None else self._space.depths
            for frame in zip(self._source.images(), chain(depths, repeat(None)), strict=False):
                again = self._loop
                yield frame

    def _is_heard(self) -> bool:
        """Tell whether as many nodes subscribe as are waited for."""
        wanted = [(self._image, self._wait_for), (self._camera_info, self._wait_for_info)]
        if self._depth is not None:
            wanted.append((self._depth, self._wait_for_depth))
        return all(self._listeners(publisher) >= least for publisher, least in wanted)

    def _listeners(self, publisher: Any) -> int:
        """Return how many nodes subscribe to a publisher's topic; 0 if not all hear it yet."""
        found = self.get_subscriptions_info_by_topic(publisher.topic_name)
        if publisher.get_subscription_count() < len(found):
            return 0
        return len({(listener.node_namespace, listener.node_name) for listener in found})


def depth_message(depth: NDArray[np.uint16], header: Header) -> Image:
    """Make the message of a depth image, (h, w) millimetres."""
    height, width = depth.shape
    return Image(
        header=header,
        height=height,
        width=width,
        encoding='16UC1',
        step=2 * width,
        data=array('B', depth.astype('<u2').tobytes()),
    )


def camera_info(camera: PinholeCamera, width: int, height: int, header: Header) -> CameraInfo:
    """Make the CameraInfo of a camera without distortion."""
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
