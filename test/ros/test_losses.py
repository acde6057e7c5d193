"""Messages that are lost without a word of the middleware."""

import time

import pytest
import rclpy
from rclpy.qos import QoSProfile
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from vitpose_ros.ros.losses import TELLS_NUMBERS, Losses
from vitpose_ros.ros.subscriptions import MatchedSubscription

LIMIT_S = 60


def info(number, publisher=b'a'):
    return {'publication_sequence_number': number, 'publisher_gid': {'data': publisher}}


def test_gaps_between_the_numbers_of_each_publisher_count():
    losses = Losses()
    for number, publisher in ((5, b'a'), (6, b'a'), (1, b'b'), (9, b'a'), (2, b'b'), (4, b'b')):
        losses.arrived(info(number, publisher), is_only=True)
    assert losses.count == 2 + 1


def test_what_came_twice_or_late_or_over_another_subscription_counts_for_nothing():
    losses = Losses()
    for number, is_only in ((1, False), (4, False), (4, True), (3, True), (5, True)):
        losses.arrived(info(number), is_only=is_only)
    assert losses.count == 0


def test_one_that_both_tell_of_counts_once():
    losses = Losses()
    losses.arrived(info(1), is_only=True)
    losses.tell(2)
    losses.arrived(info(4), is_only=True)
    assert losses.count == 2
    losses.arrived({'publication_sequence_number': None}, is_only=True)
    assert losses.count == 2


@pytest.mark.skipif(not TELLS_NUMBERS, reason='this rclpy does not tell the numbers of messages')
def test_what_gives_way_while_nobody_takes_it_counts(ros):
    node, camera = rclpy.create_node('losing'), rclpy.create_node('camera')
    publisher = camera.create_publisher(Detection2DArray, 'lost', QoSProfile(depth=100))
    heard = []
    subscription = MatchedSubscription(
        node, Detection2DArray, 'lost', heard.append, depth=10, count_lost=True
    )
    deadline = time.monotonic() + LIMIT_S

    def publish(number):
        header = Header()
        header.stamp.sec = number
        publisher.publish(Detection2DArray(header=header))

    number = 0
    while not heard or publisher.get_subscription_count() != 1:
        assert time.monotonic() < deadline
        publish(number := number + 1)
        rclpy.spin_once(node, timeout_sec=0.1)
    before = subscription.lost
    for _ in range(50):
        publish(number := number + 1)
    while not heard or heard[-1].header.stamp.sec != number:
        assert time.monotonic() < deadline
        rclpy.spin_once(node, timeout_sec=0.1)
    assert subscription.lost - before == 40
    subscription.close()
    node.destroy_node()
    camera.destroy_node()
