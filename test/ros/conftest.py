"""Real nodes: each in a process of its own, all in a DDS domain of this test process."""

import os

# Before rclpy is imported anywhere. Away from 0, where a robot's own nodes live.
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
# dev/node_tests.py runs two files at a time, in lanes 1 and 2, beside what has no lane: they never
# share a domain.
os.environ['ROS_DOMAIN_ID'] = str(
    20 + os.getpid() % 27 * 3 + int(os.environ.get('TEST_LANE', '0')) % 3
)

from vitpose_ros.ros.large_images import publisher_environment

os.environ.update(publisher_environment())

import pytest
import rclpy
from harness import LIKE_POSE_NODE, Probe, RunningNode
from nursery import Nursery

NURSERY = Nursery()  # before there are threads


@pytest.fixture(scope='module')
def ros():
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def probe(ros):
    """A node of the test: publishes images and detections, keeps what pose_node publishes."""
    node = Probe()
    yield node
    node.destroy_node()


@pytest.fixture
def front_and_rear(ros):
    """Such nodes for two cameras."""
    nodes = [Probe('front'), Probe('rear')]
    yield nodes
    for node in nodes:
        node.destroy_node()


def starter(folder):
    """Start nodes of this package, as on a robot where cold; end them afterwards."""
    running = []

    def start_node(executable, *, arguments=(), environment=None, cold=False, **parameters):
        log = folder / f'{len(running)}_{executable}.log'
        nursery = NURSERY if executable in LIKE_POSE_NODE and not cold else None
        running.append(RunningNode(executable, parameters, log, arguments, environment, nursery))
        return running[-1]

    yield start_node
    for node in running:
        node.end()
        print(f'-- {node.name}\n{node.log[-3000:]}')  # pytest shows it if the test failed


@pytest.fixture
def start(tmp_path):
    """Start nodes of this package; end them with the test."""
    yield from starter(tmp_path)


@pytest.fixture(scope='module')
def module_start(tmp_path_factory):
    """Start nodes that all tests of a file share."""
    yield from starter(tmp_path_factory.mktemp('logs'))
