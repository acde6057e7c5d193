"""What images cost pose_node: how many arrive, how late, and the processor's time for each.

Frames of several sizes with nobody in them come from another process, of best effort, over Fast
DDS as it is and with the profile of this package.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import rclpy
from ament_index_python.packages import get_package_share_directory
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile

from vitpose_ros.msg import KeypointsArray
from vitpose_ros.tools.bench import timing
from vitpose_ros.tools.bench.options import BenchOptions
from vitpose_ros.tools.bench.over_dds import camera_values, running_node, send
from vitpose_ros.tools.bench.tables import Cell, Table

SIZES = {  # width, height, Hz
    '640 x 480': (640, 480, 30.0),
    '1280 x 720': (1280, 720, 30.0),
    '1920 x 1080': (1920, 1080, 15.0),
    '3840 x 2160': (3840, 2160, 5.0),
}
CAMERA = 'camera'
FRAMES = 8  # a round
LIMIT_S = 60.0
IDLE_S = 5.0
# As in ros/large_images.py, which tools do not import. Distributions until Jazzy read the second.
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
OLDER_DISTRIBUTIONS = ('humble', 'iron', 'jazzy')
TRANSPORT_VARIABLES = (*PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS')


def images(options: BenchOptions, model: str) -> None:
    """Measure what becomes of images, and what they cost, for each size and transport."""
    with options.results.table(
        'images',
        'Images over DDS: best effort, to pose_node, nobody in them; ms an image',
        (
            'image',
            'MB',
            'Hz',
            'Fast DDS',
            'sent',
            'arrived',
            'stamp to keypoints',
            'p95',
            'processor',
            'page faults',
        ),
    ) as table:
        table.note = (
            'stamp to keypoints: of those that did not give way to newer ones, in another '
            'process, median. processor: time of the node, user and system, without what it takes '
            'idle (empty where it took no more). profile: config/fastdds.xml at the publisher.'
        )
        with running_node(options, model, cameras=CAMERA) as process:
            listener = Listener()
            listener.next_count()  # it is active
            usage = Usage(process.pid)
            before = usage.read()
            listener.spin(IDLE_S)
            idle = (usage.read()[0] - before[0]) / IDLE_S
            for size in SIZES:
                for transport in ('default', 'profile'):
                    with table.attempt(f'{size} {transport}'):
                        _measure(table, options, listener, usage, size, transport, idle)


def _measure(
    table: Table,
    options: BenchOptions,
    listener: 'Listener',
    usage: 'Usage',
    size: str,
    transport: str,
    idle: float,
) -> None:
    """Send the images of one size and add a row; idle: the node's share of a core without any."""
    width, height, rate = SIZES[size]
    count = FRAMES * options.rounds
    listener.latencies.clear()
    arrived_before = listener.next_count()
    before, begin = usage.read(), time.monotonic()
    with transports(transport == 'profile'):
        send({CAMERA: (width, height, rate, 'bgr8', 0.0)}, count / rate, listener.spin)
    after, seconds = usage.read(), time.monotonic() - begin
    arrived = listener.next_count() - arrived_before
    figures: list[Cell] = [None] * 4
    if arrived and listener.latencies:
        busy = after[0] - before[0] - idle * seconds
        figures = [
            1e3 * median(listener.latencies),
            1e3 * timing.percentile(listener.latencies, 95),
            1e3 * busy / arrived if busy > 0 else None,
            (after[1] - before[1]) / arrived,
        ]
    table.add(size, width * height * 3 / 1e6, rate, transport, count, arrived, *figures)


@contextmanager
def transports(with_profile: bool) -> Iterator[None]:
    """Let processes that begin meanwhile publish with the profile, or as Fast DDS is."""
    kept = {name: os.environ.pop(name) for name in TRANSPORT_VARIABLES if name in os.environ}
    profile = Path(get_package_share_directory('vitpose_ros')) / 'config' / 'fastdds.xml'
    if with_profile:
        older = os.environ.get('ROS_DISTRO') in OLDER_DISTRIBUTIONS
        os.environ[PROFILE_VARIABLES[older]] = str(profile)
    try:
        yield
    finally:
        for name in TRANSPORT_VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(kept)


class Usage:
    """What a process has used so far."""

    def __init__(self, pid: int) -> None:
        self._path = Path(f'/proc/{pid}/stat')

    def read(self) -> tuple[float, int]:
        """Return seconds of the processor, and page faults."""
        fields = self._path.read_text().rpartition(')')[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return ticks / os.sysconf('SC_CLK_TCK'), int(fields[7])


class Listener(Node):
    """Notes how old keypoints are when they come."""

    def __init__(self) -> None:
        super().__init__('bench')
        self.latencies: list[float] = []  # seconds
        self._count: int | None = None
        many = QoSProfile(depth=100)
        self.create_subscription(
            KeypointsArray, f'pose_node/{CAMERA}/keypoints', self._on_keypoints, many
        )
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def spin(self, seconds: float) -> None:
        """Take in what comes for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rclpy.spin_once(self, timeout_sec=0.05)

    def next_count(self) -> int:
        """Wait for diagnostics, and return how many images have arrived at the node so far."""
        self._count = None
        end = time.monotonic() + LIMIT_S
        while self._count is None:
            if time.monotonic() > end:
                raise TimeoutError(f'pose_node: no diagnostics within {LIMIT_S:.0f} s')
            self.spin(0.1)
        return self._count

    def _on_keypoints(self, message: KeypointsArray) -> None:
        stamp = message.header.stamp
        self.latencies.append(time.time() - stamp.sec - 1e-9 * stamp.nanosec)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        if values := camera_values(message, CAMERA):
            self._count = int(values['images'])
