"""What the tests with real nodes share."""

import os
import re
import signal
import subprocess
import sys
import time
from array import array
from collections import defaultdict
from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import rclpy
from ament_index_python.packages import get_package_prefix
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from nursery import die_with_parent
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose
from visualization_msgs.msg import MarkerArray
from vitpose_ros.msg import KeypointsArray, SkeletonInfoArray

from vitpose_ros.demo.accuracy import load_truth
from vitpose_ros.demo.sources import DEMO_CLIP

START_LIMIT_S = 300  # for hangs, as all of these
ANSWER_LIMIT_S = 100
LIKE_POSE_NODE = ('pose_node', 'rigged_node.py')  # with the same imports


class RunningNode:
    """A node of the package, or a script of this folder, in a process of its own.

    environment: variables to change; None removes one. nursery: what starts pose_node, where
    that may have imported beforehand.
    """

    def __init__(self, executable, parameters, log, arguments=(), environment=None, nursery=None):
        changed = set(environment or {})
        environment = {**os.environ, **(environment or {})}
        environment = {name: value for name, value in environment.items() if value is not None}
        path = Path(get_package_prefix('vitpose_ros')) / 'lib' / 'vitpose_ros' / executable
        command = [str(path)]
        if executable.endswith('.py'):
            command = [sys.executable, str(Path(__file__).with_name(executable))]
        command += [*arguments, '--ros-args']
        for name, value in parameters.items():
            command += ['-p', f'{name}:={value}']
        self.name = executable
        self._log = log
        # Libraries read most variables while they are imported.
        if nursery is not None and changed <= {'RIG'}:
            script = command[1:] if executable.endswith('.py') else command
            self.process = nursery.start(script, environment, log)
            return
        with log.open('w') as file:
            self.process = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                preexec_fn=die_with_parent,
            )

    @property
    def memory_mb(self):
        """The memory that the process occupies, in megabytes."""
        pages = int(Path(f'/proc/{self.process.pid}/statm').read_text().split()[1])
        return pages * os.sysconf('SC_PAGE_SIZE') / 1e6

    @property
    def page_faults(self):
        """How often the process got a page of memory from the system so far."""
        fields = Path(f'/proc/{self.process.pid}/stat').read_text().rpartition(')')[2].split()
        return int(fields[7])

    @property
    def own_memory_mb(self):
        """The memory that the process has to itself: without the middleware's shared memory."""
        status = Path(f'/proc/{self.process.pid}/status').read_text()
        return int(re.search(r'RssAnon:\s+(\d+) kB', status)[1]) / 1e3

    @property
    def log(self):
        return self._log.read_text()

    @property
    def alive(self):
        return self.process.poll() is None

    def frames(self, what):
        """What rigged_node.py printed of frames that 'arrived', or were 'answered'.

        By camera and stamp: how many forward passes had begun.
        """
        told = defaultdict(dict)
        for line in self.log.splitlines():
            if line.startswith(f'{what} '):
                _, camera, stamp, passes = line.split()
                told[camera][int(stamp)] = int(passes)
        return told

    def passes(self):
        """Return the seconds that the forward passes of rigged_node.py took, by their numbers."""
        told = (line.split() for line in self.log.splitlines() if line.startswith('took '))
        return {int(number): float(seconds) for _, number, seconds in told}

    def stop(self, number=signal.SIGTERM, *, limit_s=10):
        """Send a signal; return the exit code and the seconds that it took."""
        begin = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(limit_s)
        return code, time.monotonic() - begin

    def end(self):
        """End the process, with time to say goodbye: others wait for a silent one's services."""
        try:
            self.stop(limit_s=3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Probe(Node):
    """Publishes images and detections, and keeps what pose_node makes of them."""

    def __init__(self, camera='', *, image_qos=10, image_kind=Image, image_topic='image'):
        """camera: its name, where pose_node has several."""
        super().__init__(f'probe_{camera}' if camera else 'probe')
        self.prefix = f'{camera}/' if camera else ''
        self.keypoints, self.skeletons, self.markers, self.overlays = [], [], [], []
        self.statuses = {}  # of /diagnostics: name → the newest DiagnosticStatus
        self.seconds_of_last_answer = 0.0
        self._clients_of = {}  # service name → client
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.images = self.create_publisher(image_kind, f'{self.prefix}{image_topic}', image_qos)
        self.detections = self.create_publisher(Detection2DArray, f'{self.prefix}detections', 10)
        self.create_subscription(
            KeypointsArray,
            f'pose_node/{self.prefix}keypoints',
            self.keypoints.append,
            QoSProfile(depth=100),
        )
        self.create_subscription(
            SkeletonInfoArray, 'pose_node/skeletons', self.skeletons.append, latched
        )
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def _on_diagnostics(self, message):
        self.statuses.update({status.name: status for status in message.status})

    def watch(self):
        """Subscribe to markers and overlay too, and wait until pose_node knows."""
        kept = {'markers': (MarkerArray, self.markers), 'overlay': (Image, self.overlays)}
        for topic, (kind, messages) in kept.items():
            self.create_subscription(kind, f'pose_node/{self.prefix}{topic}', messages.append, 10)
        for topic in kept:
            self.wait(
                lambda topic=topic: self.count_publishers(f'pose_node/{self.prefix}{topic}'),
                f'publisher of {topic}',
            )
        self.rest(1.0)

    def values(self, name='camera'):
        """Return what the next diagnostics say of a camera, as numbers."""
        self.statuses.clear()
        name = f'pose_node: {name}'
        self.wait(lambda: name in self.statuses, f'diagnostics of {name}')
        return numbers(self.statuses[name])

    def wait_for_status(self, level, words, name='camera', limit_s=ANSWER_LIMIT_S):
        """Wait until the diagnostics judge so, and say so; return the status."""
        name = f'pose_node: {name}'

        def there():
            status = self.statuses.get(name)
            return status is not None and status.level == level and words in status.message

        self.wait(there, f"'{words}' in the diagnostics of {name}", limit_s)
        return self.statuses[name]

    def wait(self, condition, what, limit_s=ANSWER_LIMIT_S):
        """Spin until the condition holds; fail, naming what was missing, after the limit."""
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f'{what}: not within {limit_s} s'
            rclpy.spin_once(self, timeout_sec=0.05)

    def rest(self, seconds):
        """Spin for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rclpy.spin_once(self, timeout_sec=0.05)

    def wait_until_matched(self):
        """Wait until pose_node hears this node and is heard by it."""
        self.wait(
            lambda: (
                self._settled(self.images)
                and self._settled(self.detections)
                and self.count_publishers(f'pose_node/{self.prefix}keypoints')
                and self.skeletons
            ),
            'pose_node active and matched',
            START_LIMIT_S,
        )

    def _settled(self, publisher):
        """Return whether one subscription, as the publisher offers it, is left and matched.

        While pose_node changes from two subscriptions to one, a message may be lost.
        """
        offered = publisher.qos_profile.reliability
        found = self.get_subscriptions_info_by_topic(publisher.topic_name)
        return publisher.get_subscription_count() == 1 and (
            [subscription.qos_profile.reliability for subscription in found] == [offered]
        )

    def send(self, image, detections):
        self.images.publish(image)
        self.detections.publish(detections)

    def ask(self, image, detections):
        """Send a frame; return the keypoints that answer it."""
        stamp, begin_s = image.header.stamp, time.monotonic()
        self.send(image, detections)
        self.wait(
            lambda: any(answer.header.stamp == stamp for answer in self.keypoints),
            f'keypoints for the frame of {stamp.sec}.{stamp.nanosec:09d}',
        )
        self.seconds_of_last_answer = time.monotonic() - begin_s
        return next(answer for answer in self.keypoints if answer.header.stamp == stamp)

    def call(self, kind, name, request):
        if name not in self._clients_of:
            self._clients_of[name] = self.create_client(kind, name)
        client = self._clients_of[name]
        if not client.service_is_ready():
            assert client.wait_for_service(START_LIMIT_S), f'no service {name}'
            self.rest(0.5)  # until the server knows the client, too, or its answer is lost
        future = client.call_async(request)
        rclpy.spin_until_future_complete(self, future, timeout_sec=START_LIMIT_S)
        assert future.result() is not None, f'no answer from {name}'
        return future.result()

    def transition(self, label):
        """Ask pose_node for a lifecycle transition; return whether it succeeded."""
        request = ChangeState.Request()
        request.transition.label = label
        return self.call(ChangeState, '/pose_node/change_state', request).success

    def state(self):
        return self.call(GetState, '/pose_node/get_state', GetState.Request()).current_state.label

    def set_parameter(self, name, value):
        """Set a parameter of pose_node; return the result."""
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        return self.call(SetParameters, '/pose_node/set_parameters', request).results[0]

    def enable(self, data):
        """Call ~/enable of pose_node; return whether it succeeded."""
        return self.call(SetBool, '/pose_node/enable', SetBool.Request(data=data)).success


def numbers(status):
    """Return the values of a camera's DiagnosticStatus as numbers."""
    return {entry.key: float(entry.value) for entry in status.values}


_next_stamp = [1_000]


def new_stamp():
    """Return a stamp that no other frame of this process has."""
    _next_stamp[0] += 1
    return Time(sec=_next_stamp[0], nanosec=123_456_789)


def image_of(pixels, encoding='bgr8', *, padding=0):
    """Make an image message, with padded rows if asked for."""
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    if padding:
        rows = np.hstack((rows, np.full((height, padding), 77, np.uint8)))
    message = Image(
        height=height,
        width=width,
        encoding=encoding,
        step=rows.shape[1],
        data=array('B', rows.tobytes()),
    )
    message.header.stamp = new_stamp()
    message.header.frame_id = 'some_optical_frame'
    return message


def detections_of(image, boxes, ids=None, classes=None):
    """Make the detections of an image from boxes (x_min, y_min, x_max, y_max)."""
    message = Detection2DArray(header=deepcopy(image.header))
    # Plain floats: rclpy ends the process over a numpy.float32.
    for index, (x_min, y_min, x_max, y_max) in enumerate(np.array(boxes, float).tolist()):
        detection = Detection2D(id=ids[index] if ids else '')
        detection.bbox.center.position.x = (x_min + x_max) / 2
        detection.bbox.center.position.y = (y_min + y_max) / 2
        detection.bbox.size_x = x_max - x_min
        detection.bbox.size_y = y_max - y_min
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = classes[index] if classes else 'person'
        result.hypothesis.score = 0.75
        detection.results.append(result)
        message.detections.append(detection)
    return message


def clip_frame(index=0):
    """Return a frame of the demo clip, (h, w, 3) BGR, and the true people in it."""
    capture = cv2.VideoCapture(str(DEMO_CLIP))
    for _ in range(index + 1):
        ok, pixels = capture.read()
        assert ok
    return pixels, load_truth(DEMO_CLIP.with_suffix('.json'))[index]


def end_by_pid(node):
    """Kill a node as if it had crashed."""
    os.kill(node.process.pid, signal.SIGKILL)
    node.process.wait()
