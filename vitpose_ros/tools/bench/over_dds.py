"""pose_node as a robot has it: from an image's stamp to the keypoints in another process."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import cv2
import rclpy
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray

from vitpose_ros.msg import KeypointsArray
from vitpose_ros.tools.bench import subjects, timing
from vitpose_ros.tools.bench.options import Options
from vitpose_ros.tools.bench.tables import Table

WIDTH, HEIGHT = 1280, 720
PEOPLE = 10
FRAMES = 6  # a round
LIMIT_S = 60.0
STAGES = ('arrival', 'wait', 'crop', 'network', 'decode', 'publish', 'latency')


def latency(options: Options, model: str) -> None:
    """Measure the stages of pose_node, by its own diagnostics, and the way to a subscriber."""
    with options.results.table(
        'ros',
        f'pose_node over DDS, {model}: {PEOPLE} people in a 720p frame, ms a frame',
        ('stage', 'median', 'p95'),
    ) as table:
        _measure(table, options, model)


@contextmanager
def running_node(options: Options, model: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start pose_node, and ROS in this process; end both."""
    os.environ.setdefault('ROS_DOMAIN_ID', str(20 + os.getpid() % 80))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    path = Path(get_package_prefix('vitpose_ros')) / 'lib' / 'vitpose_ros' / 'pose_node'
    parameters = {'model': model, 'device': options.device, 'threads': options.threads}
    arguments = [word for item in parameters.items() for word in ('-p', '{}:={}'.format(*item))]
    node = subprocess.Popen([str(path), '--ros-args', *arguments])
    try:
        rclpy.init()
        yield node
    finally:
        node.terminate()
        node.wait()
        rclpy.try_shutdown()


def _measure(table: Table, options: Options, model: str) -> None:
    """Start the node, send it frames, and add the rows."""
    with running_node(options, model):
        camera = Camera()
        camera.spin_until(lambda: bool(camera.values))  # it is active
        received = [camera.ask() for _ in range(FRAMES * options.rounds)]
        camera.values = {}
        camera.spin_until(lambda: bool(camera.values))  # the next ones
    for stage in STAGES:
        name = 'stamp to published' if stage == 'latency' else stage
        figures = (float(camera.values[f'{stage}_{kind}_ms']) for kind in ('median', 'p95'))
        table.add(name, *figures)
    table.add('stamp to received', 1e3 * median(received), 1e3 * timing.percentile(received, 95))
    table.note = (
        'Frames come one after the other. arrival: transport of the image, 2.8 MB; the stages '
        'to stamp to published are what the diagnostics of the node say.'
    )


class Camera(Node):
    """Sends a frame with its detections, and waits for the keypoints."""

    def __init__(self) -> None:
        super().__init__('bench')
        self._images = self.create_publisher(Image, 'image', 10)
        self._detections = self.create_publisher(Detection2DArray, 'detections', 10)
        self.create_subscription(KeypointsArray, 'pose_node/keypoints', self._on_keypoints, 10)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        picture = cv2.resize(subjects.frame(1).image, (WIDTH, HEIGHT))
        self._image = Image(height=HEIGHT, width=WIDTH, encoding='rgb8', step=3 * WIDTH)
        self._image.data.frombytes(picture.tobytes())
        self._boxes = [self._box(index) for index in range(PEOPLE)]
        self.values: dict[str, str] = {}
        self._answered_ns = 0

    @staticmethod
    def _box(index: int) -> Detection2D:
        detection = Detection2D()
        detection.bbox.center.position.x = WIDTH * (index + 0.5) / PEOPLE
        detection.bbox.center.position.y = HEIGHT / 2
        detection.bbox.size_x, detection.bbox.size_y = 160.0, 400.0
        return detection

    def ask(self) -> float:
        """Publish a frame, wait for its keypoints; return how many seconds that took."""
        begin = self.get_clock().now()
        self._image.header.stamp = begin.to_msg()
        self._answered_ns = 0
        self._images.publish(self._image)
        detections = Detection2DArray(header=self._image.header, detections=self._boxes)
        self._detections.publish(detections)
        self.spin_until(lambda: self._answered_ns > 0)
        return float(self._answered_ns - begin.nanoseconds) / 1e9

    def spin_until(self, condition: Callable[[], bool]) -> None:
        """Wait for something."""
        end = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f'pose_node: no answer within {LIMIT_S:.0f} s')
            rclpy.spin_once(self, timeout_sec=0.05)

    def _on_keypoints(self, message: KeypointsArray) -> None:
        if message.header.stamp == self._image.header.stamp:
            self._answered_ns = self.get_clock().now().nanoseconds

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == 'pose_node: camera':
                self.values = {entry.key: entry.value for entry in status.values}
