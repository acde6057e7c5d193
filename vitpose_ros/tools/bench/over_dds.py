"""pose_node as a robot has it: from an image's stamp to the keypoints in another process."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TypeAlias

import cv2
import rclpy
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray

from vitpose_ros.msg import KeypointsArray
from vitpose_ros.tools.bench import sender, subjects, timing
from vitpose_ros.tools.bench.options import BenchOptions
from vitpose_ros.tools.bench.tables import Table

Sender: TypeAlias = tuple[int, int, float, str, float]  # as sender.py takes it after seconds
Spin: TypeAlias = Callable[[float], None]  # seconds

WIDTH, HEIGHT = 1280, 720
PEOPLE = 10
FRAMES = 6  # a round
LIMIT_S = 60.0
MEETING_S = 1.0  # between frames until one is answered
STAGES = ('arrival', 'wait', 'crop', 'network', 'decode', 'publish', 'latency')


def latency(options: BenchOptions, model: str) -> None:
    """Measure the stages of pose_node, by its own diagnostics, and the way to a subscriber."""
    with options.results.table(
        'ros',
        f'pose_node over DDS, {model}: {PEOPLE} people in a 720p frame, ms a frame',
        ('stage', 'median', 'p95'),
    ) as table:
        _measure(table, options, model)


@contextmanager
def running_node(
    options: BenchOptions, model: str, **others: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Start pose_node, and ROS in this process; end both. others: further parameters."""
    os.environ.setdefault('ROS_DOMAIN_ID', str(20 + os.getpid() % 80))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    path = Path(get_package_prefix('vitpose_ros')) / 'lib' / 'vitpose_ros' / 'pose_node'
    parameters = {'model': model, 'device': options.device, 'threads': options.threads, **others}
    arguments = [word for item in parameters.items() for word in ('-p', '{}:={}'.format(*item))]
    node = subprocess.Popen([str(path), '--ros-args', *arguments])
    try:
        rclpy.init()
        yield node
    finally:
        node.terminate()
        node.wait()
        rclpy.try_shutdown()


def send(cameras: Mapping[str, Sender], seconds: float, spin: Spin) -> dict[str, int]:
    """Let all cameras send at once, each from a process; return how many images each has sent.

    The node has to know them by name. spin: called again and again meanwhile.
    """
    file = sender.__file__  # what the package would import takes seconds
    processes = {
        name: subprocess.Popen(
            [sys.executable, file, name, str(seconds), *map(str, about)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, about in cameras.items()
    }
    try:
        while any(process.poll() is None for process in processes.values()):
            spin(0.1)
    finally:
        for process in processes.values():
            process.kill()
    said = {name: process.communicate()[0] for name, process in processes.items()}
    for name, process in processes.items():
        if process.returncode:
            raise RuntimeError(f"camera '{name}' ended with {process.returncode}")
    return {name: int(text) for name, text in said.items()}


def _measure(table: Table, options: BenchOptions, model: str) -> None:
    """Start the node, send it frames, and add the rows."""
    with running_node(options, model):
        camera = Camera()
        camera.get_through()
        received = [camera.ask() for _ in range(FRAMES * options.rounds)]
        values = camera.next_values()
    for stage in STAGES:
        name = 'stamp to published' if stage == 'latency' else stage
        figures = (float(values[f'{stage}_{kind}_ms']) for kind in ('median', 'p95'))
        table.add(name, *figures)
    table.add('stamp to received', 1e3 * median(received), 1e3 * timing.percentile(received, 95))
    table.note = (
        'Frames come one after the other. arrival: transport of the image, 2.8 MB; the stages '
        'to stamp to published are what the diagnostics of the node say.'
    )


def camera_values(message: DiagnosticArray, name: str = 'camera') -> dict[str, str]:
    """Return what diagnostics say of a camera of an active pose_node; nothing of another."""
    for status in message.status:
        if status.name == f'pose_node: {name}':
            values = {entry.key: entry.value for entry in status.values}
            if 'images_hz' in values:  # only while it is active
                return values
    return {}


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
        self._values: dict[str, str] = {}
        self._answered_ns = 0

    @staticmethod
    def _box(index: int) -> Detection2D:
        detection = Detection2D()
        detection.bbox.center.position.x = WIDTH * (index + 0.5) / PEOPLE
        detection.bbox.center.position.y = HEIGHT / 2
        detection.bbox.size_x, detection.bbox.size_y = 160.0, 400.0
        return detection

    def get_through(self) -> None:
        """Publish frames until one is answered: what is sent before all have met is lost."""
        end = time.monotonic() + LIMIT_S
        while not self._answered_ns:
            if time.monotonic() > end:
                raise TimeoutError(f'pose_node: no answer within {LIMIT_S:.0f} s')
            self._publish()
            self._spin_until(lambda: self._answered_ns > 0, MEETING_S)

    def ask(self) -> float:
        """Publish a frame, wait for its keypoints; return how many seconds that took."""
        begin_ns = self._publish()
        if not self._spin_until(lambda: self._answered_ns > 0, LIMIT_S):
            raise TimeoutError(f'pose_node: no answer within {LIMIT_S:.0f} s')
        return float(self._answered_ns - begin_ns) / 1e9

    def next_values(self) -> dict[str, str]:
        """Wait for the next diagnostics, and return what they say of the camera."""
        self._values = {}
        if not self._spin_until(lambda: bool(self._values), LIMIT_S):
            raise TimeoutError(f'pose_node: no diagnostics within {LIMIT_S:.0f} s')
        return self._values

    def _publish(self) -> int:
        """Publish a frame and its detections; return its stamp in nanoseconds."""
        begin = self.get_clock().now()
        self._image.header.stamp = begin.to_msg()
        self._answered_ns = 0
        self._images.publish(self._image)
        detections = Detection2DArray(header=self._image.header, detections=self._boxes)
        self._detections.publish(detections)
        return int(begin.nanoseconds)

    def _spin_until(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Wait for something; return whether it came."""
        end = time.monotonic() + limit_s
        while not condition() and time.monotonic() < end:
            rclpy.spin_once(self, timeout_sec=0.05)
        return condition()

    def _on_keypoints(self, message: KeypointsArray) -> None:
        if message.header.stamp == self._image.header.stamp:
            self._answered_ns = self.get_clock().now().nanoseconds

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._values = camera_values(message) or self._values
