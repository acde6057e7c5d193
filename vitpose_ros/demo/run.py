"""The demonstration: camera, detector and pose node as processes of their own, over DDS.

Plays a video through them, prints what arrived, and writes the annotated pictures.
"""

import argparse
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from ament_index_python.packages import get_package_prefix
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from vitpose_ros.core import SKELETONS
from vitpose_ros.demo.accuracy import (
    Person,
    load_truth,
    match_subjects,
    object_keypoint_similarity,
)
from vitpose_ros.demo.recording import Recording
from vitpose_ros.demo.sources import DEMO_CLIP, ImageSource
from vitpose_ros.msg import KeypointsArray, SkeletonInfoArray
from vitpose_ros.ros.images import read_image
from vitpose_ros.ros.large_images import publisher_environment

START_LIMIT_S = 300.0  # for hangs
SILENCE_LIMIT_S = 5.0  # without a new result, once the camera has ended
QUEUE = 30  # frames: the demonstration shows them all, however slow the machine

Stamp = tuple[int, int]


class DemoError(RuntimeError):
    """The demonstration cannot go on."""


class Listener(Node):
    """Collects what camera and pose node publish."""

    def __init__(self, recording: Recording) -> None:
        super().__init__('demo')
        self.ready = False
        self.frames: list[Stamp] = []
        self.answers: dict[Stamp, KeypointsArray] = {}
        self.latencies_ms: list[float] = []
        self.last_news_s = time.monotonic()
        self._recording = recording
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        many = QoSProfile(depth=1000)
        self.create_subscription(
            SkeletonInfoArray, 'pose_node/skeletons', self._on_skeletons, latched
        )
        self.create_subscription(CameraInfo, 'camera_info', self._on_camera_info, many)
        self.create_subscription(KeypointsArray, 'pose_node/keypoints', self._on_keypoints, many)
        self.create_subscription(
            Image, 'pose_node/overlay', self._on_overlay, QoSProfile(depth=QUEUE)
        )

    def _on_skeletons(self, _: SkeletonInfoArray) -> None:
        self.ready = True

    def _on_camera_info(self, message: CameraInfo) -> None:
        self.frames.append(_stamp(message))
        self.last_news_s = time.monotonic()

    def _on_keypoints(self, message: KeypointsArray) -> None:
        stamp = _stamp(message)
        self.answers[stamp] = message
        self.latencies_ms.append((time.time() - stamp[0]) * 1e3 - stamp[1] * 1e-6)
        self.last_news_s = time.monotonic()

    def _on_overlay(self, message: Image) -> None:
        self._recording.add(read_image(message)[0])

    @property
    def complete(self) -> bool:
        """Tell whether every frame has its keypoints and its picture."""
        return set(self.frames) == set(self.answers) and self._recording.count >= len(self.frames)


def _stamp(message: CameraInfo | KeypointsArray) -> Stamp:
    return message.header.stamp.sec, message.header.stamp.nanosec


class Processes:
    """The nodes under way, by executable; each ends with the demonstration."""

    def __init__(self) -> None:
        self._folder = Path(get_package_prefix('vitpose_ros')) / 'lib' / 'vitpose_ros'
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, executable: str, **parameters: object) -> subprocess.Popen[bytes]:
        """Start a node with these parameters."""
        command = [str(self._folder / executable), '--ros-args']
        for name, value in parameters.items():
            command += ['-p', f'{name}:={value}']
        self._running[executable] = subprocess.Popen(command)
        return self._running[executable]

    def check(self) -> None:
        """Raise DemoError if a node has ended with an error."""
        for name, process in self._running.items():
            if process.poll():
                raise DemoError(f'{name} ended with exit code {process.returncode}')

    def stop(self) -> None:
        """Ask all to end; kill those that do not."""
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self._running.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def play(video: Path, rate_hz: float, frames: int, recording: Recording) -> Listener:
    """Play a video, or so many frames of it, through the three nodes; return what arrived."""
    listener = Listener(recording)
    processes = Processes()
    try:
        processes.start('pose_node', frame_queue_size=QUEUE)
        processes.start('hog_detector_node', queue_size=QUEUE)
        deadline = time.monotonic() + START_LIMIT_S
        while not listener.ready or not listener.count_publishers('detections'):
            rclpy.spin_once(listener, timeout_sec=0.1)
            processes.check()
            if time.monotonic() > deadline:
                raise DemoError(f'the nodes were not ready after {START_LIMIT_S:.0f} s')
        camera = processes.start(
            'camera_node',
            source=video,
            rate=rate_hz,
            frames=frames,
            loop='false',
            wait_for_subscribers=2,  # pose node and detector
            wait_for_info_subscribers=2,  # pose node and listener
        )
        listener.last_news_s = time.monotonic()
        while camera.poll() is None or not listener.complete:
            rclpy.spin_once(listener, timeout_sec=0.1)
            processes.check()
            silence_limit_s = START_LIMIT_S if camera.poll() is None else SILENCE_LIMIT_S
            if time.monotonic() - listener.last_news_s > silence_limit_s:
                break
    finally:
        processes.stop()
    return listener


def report(listener: Listener, truth_file: Path) -> str:
    """Say what arrived, and how good it is where the truth is known."""
    answers = [listener.answers[stamp] for stamp in listener.frames if stamp in listener.answers]
    if not answers:
        raise DemoError(f'no keypoints came for {len(listener.frames)} frames of the camera')
    people = sum(len(answer.subjects) for answer in answers)
    median, high = np.percentile(listener.latencies_ms, (50, 95))
    lines = [
        f'frames:    {len(listener.frames)} from the camera, {len(answers)} with keypoints',
        f'people:    {people} detected, {people / len(answers):.1f} a frame',
        f'latency:   {median:.0f} ms median, {high:.0f} ms 95th percentile, '
        'from image stamp to keypoints received',
    ]
    if truth := read_truth(truth_file):
        similarities, present = [], 0
        for stamp, persons in zip(listener.frames, truth, strict=False):
            present += len(persons)
            subjects = listener.answers[stamp].subjects if stamp in listener.answers else []
            for person, subject in match_subjects(persons, subjects):
                skeleton = SKELETONS[subject.skeleton]
                similarities.append(object_keypoint_similarity(person, subject, skeleton))
        mean = f'{np.mean(similarities):.2f}' if similarities else 'none'
        lines.append(
            f'accuracy:  {len(similarities)} of {present} people matched, mean OKS {mean}'
        )
    return '\n'.join(lines)


def read_truth(path: Path) -> list[list[Person]]:
    """Read the true people beside a video; nobody, if there is no such file."""
    if not path.is_file():
        return []
    try:
        return load_truth(path)
    except (KeyError, TypeError, ValueError):
        print(f'demo: {path} does not hold the true people of a clip; it is not used')
        return []


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--video', type=Path, default=DEMO_CLIP, help='default: the demo clip')
    parser.add_argument('--rate', type=float, default=4.0, help='frames a second (%(default)s)')
    parser.add_argument(
        '--seconds', type=float, default=60.0, help='play at most this long (%(default)s)'
    )
    parser.add_argument('--output', type=Path, default=Path('demo_output'))
    arguments = parser.parse_args()
    # Among themselves, whatever other nodes run on this machine.
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    os.environ.setdefault('ROS_DOMAIN_ID', str(20 + os.getpid() % 80))
    os.environ.update(publisher_environment())
    recording = Recording(arguments.output, arguments.rate)
    try:
        ImageSource(str(arguments.video))
        rclpy.init()
        frames = math.ceil(arguments.rate * arguments.seconds)
        listener = play(arguments.video, arguments.rate, frames, recording)
        recording.close()
        print(report(listener, arguments.video.with_suffix('.json')))
    except (DemoError, ValueError) as error:
        sys.exit(f'demo: {error}')
    print(f'pictures:  {recording.video_path}, {recording.sheet_path}')
    if missing := set(listener.frames) - set(listener.answers):
        sys.exit(
            f'demo: {len(missing)} of {len(listener.frames)} frames got no keypoints: too many '
            f'for this machine, or what else it does; give a rate below {arguments.rate:g}'
        )


if __name__ == '__main__':
    main()
