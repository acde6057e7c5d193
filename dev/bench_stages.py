"""Measure what each stage of pose_node takes: its own diagnostics, for people in a 720p frame.

. dev/activate.bash && python dev/bench_stages.py [--people 10] [--core 1]
"""

import argparse
import os
import subprocess
import time
from pathlib import Path

import cv2
import rclpy
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray
from vitpose_ros.msg import KeypointsArray

from vitpose_ros.demo.sources import ImageSource
from vitpose_ros.ros.images import image_message

WIDTH, HEIGHT = 1280, 720
FRAMES = 100
LIMIT_S = 60.0
STAGES = ('arrival', 'wait', 'crop', 'network', 'decode', 'publish', 'latency')


class Bench(Node):
    """Sends a frame, waits for its keypoints, and sends the next."""

    def __init__(self, people: int) -> None:
        super().__init__('bench')
        self._images = self.create_publisher(Image, 'image', 10)
        self._detections = self.create_publisher(Detection2DArray, 'detections', 10)
        self.create_subscription(KeypointsArray, 'pose_node/keypoints', self._on_keypoints, 10)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        picture = cv2.resize(next(ImageSource('demo').images()), (WIDTH, HEIGHT))
        self._message = image_message(picture, 'bgr8', Header(frame_id='camera'))
        self._boxes = [self._box(index, people) for index in range(people)]
        self.values: dict[str, str] = {}
        self.answered = 0

    @staticmethod
    def _box(index: int, people: int) -> Detection2D:
        detection = Detection2D()
        detection.bbox.center.position.x = WIDTH * (index + 0.5) / people
        detection.bbox.center.position.y = HEIGHT / 2
        detection.bbox.size_x, detection.bbox.size_y = 160.0, 400.0
        return detection

    def send(self) -> None:
        """Publish a frame."""
        self._message.header.stamp = self.get_clock().now().to_msg()
        self._images.publish(self._message)
        detections = Detection2DArray(header=self._message.header, detections=self._boxes)
        self._detections.publish(detections)

    def spin_until(self, count: int) -> None:
        """Wait for so many answers."""
        end = time.monotonic() + LIMIT_S
        while self.answered < count:
            if time.monotonic() > end:
                raise TimeoutError(f'no keypoints within {LIMIT_S:.0f} s')
            rclpy.spin_once(self, timeout_sec=0.05)

    def _on_keypoints(self, _: KeypointsArray) -> None:
        self.answered += 1

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == 'pose_node: camera':
                self.values = {entry.key: entry.value for entry in status.values}


def main() -> None:
    """Run pose_node on one core and print its stages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--people', type=int, default=10)
    parser.add_argument('--core', type=int, default=1, help='the one that pose_node runs on')
    arguments = parser.parse_args()
    os.environ.setdefault('ROS_DOMAIN_ID', str(20 + os.getpid() % 80))
    path = Path(get_package_prefix('vitpose_ros')) / 'lib' / 'vitpose_ros' / 'pose_node'
    node = subprocess.Popen(
        [str(path), '--ros-args', '-p', 'device:=cpu'],
        preexec_fn=lambda: os.sched_setaffinity(0, {arguments.core}),
    )
    try:
        rclpy.init()
        bench = Bench(arguments.people)
        while not bench.values:  # active
            rclpy.spin_once(bench, timeout_sec=0.1)
        for count in range(1, FRAMES + 1):
            bench.send()
            bench.spin_until(count)
        bench.values = {}
        while not bench.values:  # the next ones
            rclpy.spin_once(bench, timeout_sec=0.1)
    finally:
        node.terminate()
        node.wait()
    for stage in STAGES:
        print(
            f'{stage:8}'
            + ''.join(
                f'  {name} {float(bench.values[f"{stage}_{name}_ms"]):7.1f} ms'
                for name in ('median', 'p95')
            )
        )
    rest = sum(
        float(bench.values[f'{s}_median_ms']) for s in ('wait', 'crop', 'decode', 'publish')
    )
    print(f'all but arrival and network, medians: {rest:.1f} ms')


if __name__ == '__main__':
    main()
