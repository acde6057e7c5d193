"""What images cost pose_node: how many arrive, how late, and the processor's time for each.

Frames of several sizes with nobody in them come from another process, of best effort, over Fast
DDS as it is and with the profile of this package.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import rclpy
from ament_index_python.packages import get_package_share_directory
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from vitpose_ros.msg import KeypointsArray
from vitpose_ros.tools.bench import timing
from vitpose_ros.tools.bench.options import BenchOptions
from vitpose_ros.tools.bench.over_dds import camera_values, running_node
from vitpose_ros.tools.bench.resources import in_process
from vitpose_ros.tools.bench.tables import Cell, Table

SIZES = {  # width, height, Hz
    '640 x 480': (640, 480, 30.0),
    '1280 x 720': (1280, 720, 30.0),
    '1920 x 1080': (1920, 1080, 15.0),
    '3840 x 2160': (3840, 2160, 5.0),
}
FRAMES = 8  # a round
LIMIT_S = 60.0
SETTLING_S = 2.0
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
        with running_node(options, model) as process:
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
    with transports(transport == 'profile'), ThreadPoolExecutor() as pool:
        sending = pool.submit(in_process, _send, width, height, rate, count)
        while not sending.done():
            listener.spin(0.1)
        sending.result()
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
        self.create_subscription(KeypointsArray, 'pose_node/keypoints', self._on_keypoints, many)
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
        if values := camera_values(message):
            self._count = int(values['images'])


def _send(width: int, height: int, rate: float, count: int) -> None:
    """Publish images with empty detections, once the node hears both."""
    rclpy.init()
    node = rclpy.create_node('camera')
    best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    publishers = [
        node.create_publisher(Image, 'image', best_effort),
        node.create_publisher(Detection2DArray, 'detections', 10),
    ]
    end = time.monotonic() + LIMIT_S
    while not all(publisher.get_subscription_count() for publisher in publishers):
        if time.monotonic() > end:
            raise TimeoutError(f'pose_node does not subscribe within {LIMIT_S:.0f} s')
        time.sleep(0.1)
    time.sleep(SETTLING_S)
    image = Image(height=height, width=width, encoding='bgr8', step=3 * width)
    image.data.frombytes(bytes(3 * width * height))
    begin = time.monotonic()
    for index in range(count):
        time.sleep(max(0.0, begin + index / rate - time.monotonic()))
        image.header.stamp = node.get_clock().now().to_msg()
        publishers[0].publish(image)
        publishers[1].publish(Detection2DArray(header=image.header))
    time.sleep(SETTLING_S)  # so that the last ones arrive
    rclpy.shutdown()
