"""What is destroyed while an executor spins, in another thread than its own."""

import os
import subprocess
import sys

import pytest
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.waitable import NumberOfEntities, Waitable
from sensor_msgs.msg import Image

from vitpose_ros.ros.leaving import LeavingGroup
from vitpose_ros.ros.lifecycle import BusyLifecycleNode
from vitpose_ros.ros.outputs import create_publisher
from vitpose_ros.ros.pose_node import PoseNode
from vitpose_ros.ros.subscriptions import MatchedSubscription

BOTH = pytest.mark.parametrize('kind', [SingleThreadedExecutor, MultiThreadedExecutor])

OF_A_USER = """
import sys
import threading
import time

import rclpy
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from vitpose_ros.ros.pose_node import PoseNode

CAMERAS = ['a', 'b', 'c']

rclpy.init()
values = {'autostart': False, 'device': 'cpu', 'backend': 'torch', 'cameras': CAMERAS}
sender = Node('sender')
publishers = [
    sender.create_publisher(kind, f'{camera}/{topic}', 5)
    for camera in CAMERAS
    for kind, topic in ((Image, 'image'), (Detection2DArray, 'detections'))
]


def send():
    while True:
        image = Image(width=64, height=48, step=192, encoding='bgr8', data=bytes(64 * 48 * 3))
        image.header.stamp = sender.get_clock().now().to_msg()
        detections = Detection2DArray(header=image.header)
        for publisher in publishers:
            publisher.publish(image if publisher.msg_type is Image else detections)
        time.sleep(0.002)


threading.Thread(target=send, daemon=True).start()
for kind in (SingleThreadedExecutor, MultiThreadedExecutor):
    node = PoseNode(
        parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
    )
    executor = kind()
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin, daemon=True)
    spinning.start()
    node.trigger_configure()
    sys.setswitchinterval(1e-5)  # so that threads meet everywhere
    for _ in range(15):
        node.trigger_activate()
        time.sleep(0.02)
        node.trigger_deactivate()
        assert spinning.is_alive()
    node.trigger_cleanup()
    sys.setswitchinterval(0.005)
    while list(node.subscriptions):
        time.sleep(0.01)
    executor.shutdown()
    spinning.join()  # shutdown does not wait for it, and nodes of executors that spin stay
    node.destroy_node()
print('well', flush=True)
"""


def test_pose_node_stops_and_starts_in_the_executor_of_a_user_under_traffic(tmp_path):
    script = tmp_path / 'user.py'
    script.write_text(OF_A_USER)
    ended = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=600,
    )
    assert 'Error' not in ended.stderr and 'InvalidHandle' not in ended.stderr, ended.stderr
    assert ended.stdout.strip() == 'well', ended.stderr


def test_a_node_that_another_thread_destroys_says_no_more(ros):
    """Its timer may be about to run in the executor's thread."""
    node = PoseNode(parameter_overrides=[Parameter('autostart', value=False)])
    node._publish_diagnostics()
    node.destroy_node()
    node._publish_diagnostics()


class Meanwhile(Waitable):
    """Does something when an executor has collected what it will wait for, as a thread may."""

    def __init__(self, node, act):
        super().__init__(node.default_callback_group)
        self._node, self._act = node, act
        node.add_waitable(self)

    def __enter__(self):
        self._node.remove_waitable(self)
        self._act()

    def __exit__(self, *_):
        pass

    def get_num_entities(self):
        return NumberOfEntities()

    def is_ready(self, _):
        return False

    def add_to_wait_set(self, _):
        pass


@BOTH
def test_a_subscription_that_is_closed_while_the_executor_is_about_to_wait(kind, ros):
    node, executor = Node('meanwhile'), kind()
    executor.add_node(node)
    before = len(list(node.waitables)), len(list(node.timers))
    subscription = MatchedSubscription(node, Image, 'image', print, count_lost=True)
    Meanwhile(node, subscription.close)
    for _ in range(3):
        executor.spin_once(timeout_sec=0)
    assert list(node.subscriptions) == []
    assert (len(list(node.waitables)), len(list(node.timers))) == before
    executor.shutdown()
    node.destroy_node()


@BOTH
def test_a_publisher_that_is_destroyed_while_the_executor_is_about_to_wait(kind, ros):
    node, executor = BusyLifecycleNode('meanwhile'), kind()
    executor.add_node(node)
    before = len(list(node.waitables)), len(list(node.publishers))
    publisher = create_publisher(node, Image, 'image', 1)
    Meanwhile(node, lambda: node.destroy_lifecycle_publisher(publisher))
    for _ in range(3):
        executor.spin_once(timeout_sec=0)
    assert (len(list(node.waitables)), len(list(node.publishers))) == before
    executor.shutdown()
    node.end_background()
    node.destroy_node()


def test_what_leaves_does_not_run_and_is_destroyed_once_the_executor_has_asked(ros):
    node, executor = Node('leaving'), SingleThreadedExecutor()
    executor.add_node(node)
    group = LeavingGroup(node)
    timer = node.create_timer(1e-3, print, group)
    assert group.can_execute(timer) and group.beginning_execution(timer)
    group.ending_execution(timer)
    group.destroy(timer, node.destroy_timer)
    assert timer in list(node.timers), 'the executor may wait for it'
    assert not group.beginning_execution(timer), 'though a thread was about to'
    assert not group.can_execute(timer)
    assert timer not in list(node.timers)
    assert not group.can_execute(timer), 'asked again, by one who had it in hand'
    executor.shutdown()
    node.destroy_node()


def test_without_an_executor_it_is_destroyed_at_once(ros):
    node = Node('leaving')
    subscription = MatchedSubscription(node, Image, 'image', print)
    subscription.close()
    assert list(node.subscriptions) == []
    node.destroy_node()
