"""A node that is configured while other threads look at it."""

import sys
import threading

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from vitpose_ros.ros import camera, network
from vitpose_ros.ros.pose_node import PoseNode

CAMERAS = ('front', 'left', 'rear')
# With a quality of service that was asked for, cameras are opened once at configure.
OVERRIDE = {f'qos_overrides./{name}/image.subscription.depth': 3 for name in CAMERAS}


@pytest.fixture
def embedded(ros, monkeypatch):
    """A node in this process, whose network is loaded once."""
    loaded, load = [], network.load

    def load_once(*arguments, **options):
        if not loaded:
            loaded.append(load(*arguments, **options))
        return loaded[0]

    monkeypatch.setattr(network, 'load', load_once)
    nodes = []

    def make(**values):
        values = {
            'device': 'cpu',
            'backend': 'torch',
            'autostart': False,
            'cameras': CAMERAS,
            **values,
        }
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        nodes.append(PoseNode(parameter_overrides=overrides))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()


@pytest.fixture
def fine_switches():
    """Threads take turns so often that they meet everywhere."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize('overrides', [{}, OVERRIDE], ids=['plain', 'opened'])
def test_diagnostics_are_told_while_cameras_are_made(overrides, embedded, fine_switches):
    node = embedded(**overrides)
    failed, ended = [], threading.Event()

    def tell():
        while not ended.is_set():
            try:
                node._publish_diagnostics()
            except Exception as error:
                failed.append(error)
                return

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        for _ in range(20):
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    finally:
        ended.set()
        teller.join()
    assert not failed, failed


def test_cameras_that_are_tried_know_where_frames_are(embedded, monkeypatch):
    known = []

    class Gathering(camera.Gathering):
        def __init__(self, node, sources, *arguments, **options):
            known.append(sources.transforms)
            super().__init__(node, sources, *arguments, **options)

    monkeypatch.setattr(camera, 'Gathering', Gathering)
    node = embedded(depth='raw', **OVERRIDE)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert known == [node._transforms] * len(CAMERAS) and node._transforms is not None
