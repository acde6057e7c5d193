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

import rclpy
from ament_index_python.packages import get_package_prefix
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from vitpose_ros.core.tracks.options import DEFAULTS, SMOOTHINGS
from vitpose_ros.demo.recording import Recording
from vitpose_ros.demo.report import arrival_lines, image_lines, read_truth, space_lines
from vitpose_ros.demo.sources import DEMO_CLIP, ImageSource
from vitpose_ros.demo.space import ClipInSpace, load_space
from vitpose_ros.msg import Keypoints3DArray, KeypointsArray, SkeletonInfoArray
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

    def __init__(self, recording: Recording, *, in_space: bool) -> None:
        """Subscribe to what is published; in_space: whether people in metres are, too."""
        super().__init__('demo')
        self.ready = False
        self.frames: list[Stamp] = []
        self.answers: dict[Stamp, KeypointsArray] = {}
        self.in_space: dict[Stamp, Keypoints3DArray] = {}
        self.latencies_ms: list[float] = []
        self.last_news_s = time.monotonic()
        self._recording = recording
        self._with_space = in_space
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        many = QoSProfile(depth=1000)
        self.create_subscription(
            SkeletonInfoArray, 'pose_node/skeletons', self._on_skeletons, latched
        )
        self.create_subscription(CameraInfo, 'camera_info', self._on_camera_info, many)
        self.create_subscription(KeypointsArray, 'pose_node/keypoints', self._on_keypoints, many)
        if in_space:
            self.create_subscription(
                Keypoints3DArray, 'pose_node/keypoints_3d', self._on_keypoints_3d, many
            )
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

    def _on_keypoints_3d(self, message: Keypoints3DArray) -> None:
        self.in_space[_stamp(message)] = message
        self.last_news_s = time.monotonic()

    def _on_overlay(self, message: Image) -> None:
        self._recording.add(read_image(message)[0])
        self.last_news_s = time.monotonic()

    @property
    def complete(self) -> bool:
        """Tell whether every frame has its keypoints and its picture."""
        return (
            set(self.frames) == set(self.answers)
            and self._recording.count >= len(self.frames)
            and (not self._with_space or set(self.frames) == set(self.in_space))
        )


def _stamp(message: CameraInfo | KeypointsArray | Keypoints3DArray) -> Stamp:
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


def play(
    video: Path, rate_hz: float, frames: int, recording: Recording, smoothing: str | None
) -> Listener:
    """Play a video, or so many frames of it, through the three nodes; return what arrived.

    smoothing: the parameter smoothing_3d of the node; None: there is no depth.
    """
    with_depth = smoothing is not None
    listener = Listener(recording, in_space=with_depth)
    processes = Processes()
    space = {'depth': 'raw', 'smoothing_3d': smoothing} if with_depth else {}
    try:
        processes.start('pose_node', frame_queue_size=QUEUE, **space)
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
            wait_for_depth_subscribers=1,
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


def report(listener: Listener, video: Path, space: ClipInSpace | None, smoothing: str) -> str:
    """Say what arrived, and how good it is where the truth is known."""
    answers = [listener.answers.get(stamp) for stamp in listener.frames]
    arrived = [answer for answer in answers if answer is not None]
    if not arrived:
        raise DemoError(f'no keypoints came for {len(listener.frames)} frames of the camera')
    lines = arrival_lines(len(answers), arrived, listener.latencies_ms)
    if truth := read_truth(video.with_suffix('.json'))[: len(answers)]:
        lines += image_lines(truth, answers)
        if space is not None:
            in_space = [listener.in_space.get(stamp) for stamp in listener.frames]
            lines += space_lines(space, truth, answers, in_space, smoothing)
    return '\n'.join(lines)


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--video', type=Path, default=DEMO_CLIP, help='default: the demo clip')
    parser.add_argument('--rate', type=float, default=4.0, help='frames a second (%(default)s)')
    parser.add_argument(
        '--seconds', type=float, default=60.0, help='play at most this long (%(default)s)'
    )
    parser.add_argument(
        '--smoothing-3d',
        choices=SMOOTHINGS,
        default=DEFAULTS.smoothing_3d,
        help='how much joints in metres are calmed, where the video has depth (%(default)s)',
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
        space = load_space(arguments.video)
        rclpy.init()
        frames = math.ceil(arguments.rate * arguments.seconds)
        smoothing = arguments.smoothing_3d
        listener = play(
            arguments.video, arguments.rate, frames, recording, smoothing if space else None
        )
        recording.close()
        print(report(listener, arguments.video, space, smoothing))
    except (DemoError, ValueError) as error:
        sys.exit(f'demo: {error}')
    print(f'pictures:  {recording.video_path}, {recording.sheet_path}')
    if missing := set(listener.frames) - set(listener.answers):
        sys.exit(
            f'demo: {len(missing)} of {len(listener.frames)} frames got no keypoints: too many '
            f'for this machine, or what else it does; give a rate below {arguments.rate:g}'
        )
    if (missing_pictures := len(listener.frames) - recording.count) > 0:
        sys.exit(
            f'demo: {missing_pictures} of {len(listener.frames)} frames got no picture: too many '
            f'for this machine, or what else it does; give a rate below {arguments.rate:g}'
        )


if __name__ == '__main__':
    main()
