"""How many images of several different cameras one pose_node answers; nobody is in them."""

import time
from collections.abc import Collection
from typing import TypeAlias

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from vitpose_ros.tools.bench import sender
from vitpose_ros.tools.bench.images import transports
from vitpose_ros.tools.bench.options import BenchOptions
from vitpose_ros.tools.bench.over_dds import (
    LIMIT_S,
    Sender,
    camera_values,
    running_node,
    send,
)

# Name → width, height, Hz, encoding, and by how many seconds its detections are late.
CAMERAS: dict[str, Sender] = {
    'uhd': (3840, 2160, 5.0, 'bgr8', 0.0),
    'hd': (1920, 1080, 15.0, 'bgr8', 0.0),
    'infrared': (640, 480, 15.0, 'mono16', 0.0),
    'compressed': (1280, 720, 20.0, sender.JPEG, 0.0),
    'late': (640, 480, 15.0, 'bgr8', 0.5),
}
SECONDS = 1.0  # a round

Values: TypeAlias = dict[str, dict[str, str]]  # of the diagnostics: camera → name → value


def cameras(options: BenchOptions, model: str) -> None:
    """Send the images of all cameras at once, and add a row for each."""
    with options.results.table(
        'cameras',
        f'{len(CAMERAS)} cameras at one pose_node over DDS, all at once; nobody in the images',
        ('camera', 'image', 'encoding', 'Hz', 'sent', 'arrived', 'answered', 'answered, %'),
    ) as table:
        table.note = (
            'Best effort, each from a process of its own, with config/fastdds.xml at the '
            f'publishers. The detections of late come {CAMERAS["late"][-1]} s after its images.'
        )
        transport = {
            f'{name}.image_transport': 'compressed'
            for name, about in CAMERAS.items()
            if about[3] == sender.JPEG
        }
        with running_node(options, model, cameras=','.join(CAMERAS), **transport):
            listener = Listener()
            listener.next_values(CAMERAS)  # all are active
            with transports(True):
                sent = send(CAMERAS, SECONDS * options.rounds, listener.spin)
            values = listener.next_values(CAMERAS)
        for name, (width, height, rate, encoding, _) in CAMERAS.items():
            arrived, answered = (int(values[name][key]) for key in ('images', 'published'))
            share = 100 * answered / sent[name]
            image = f'{width} x {height}'
            table.add(name, image, encoding, rate, sent[name], arrived, answered, share)


class Listener(Node):
    """Keeps what the node says of its cameras."""

    def __init__(self) -> None:
        super().__init__('bench')
        self._values: Values = {}
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def spin(self, seconds: float) -> None:
        """Take in what comes for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rclpy.spin_once(self, timeout_sec=0.05)

    def next_values(self, names: Collection[str]) -> Values:
        """Wait for the next diagnostics, and return what they say of all cameras."""
        self._values = {}
        end = time.monotonic() + LIMIT_S
        while not set(names) <= set(self._values):
            if time.monotonic() > end:
                raise TimeoutError(f'pose_node: no diagnostics within {LIMIT_S:.0f} s')
            self.spin(0.1)
        return self._values

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for name in CAMERAS:
            if values := camera_values(message, name):
                self._values[name] = values
