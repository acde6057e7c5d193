"""Large images: what is lost is told, and what waits is bounded."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from harness import detections_of, image_of
from rclpy.node import Node

from vitpose_ros.ros import large_images
from vitpose_ros.ros.logs import ThrottledLog
from vitpose_ros.ros.pairing import CameraInput, Limits
from vitpose_ros.tools.bench import images as bench

LIMIT_S = 120
# The transports as the middleware has them without a profile, whatever the shell says.
DEFAULTS = {'FASTDDS_DEFAULT_PROFILES_FILE': None, 'FASTRTPS_DEFAULT_PROFILES_FILE': None}


def test_lost_images_are_counted_and_a_warning_names_the_remedy(start, probe):
    node = start('pose_node', device='cpu', box_source='full_image', max_batch=1)
    probe.wait(lambda: probe.skeletons, 'pose_node active', LIMIT_S)
    start(
        'sending_node.py',
        arguments=['', '30', '40', '1920', '1080', 'best_effort', 'without_detections'],
        environment=DEFAULTS,
    )
    status = probe.wait_for_status(DiagnosticStatus.WARN, 'the middleware lost', limit_s=LIMIT_S)
    values = {entry.key: entry.value for entry in status.values}
    assert int(values['lost_images']) > 0
    assert 'export FASTDDS_DEFAULT_PROFILES_FILE=' in status.message
    assert 'config/fastdds.xml' in status.message
    probe.wait(lambda: 'the middleware lost' in node.log, 'it in the log')
    assert 'config/fastdds.xml' in node.log


def test_without_a_detector_a_4k_camera_costs_bounded_memory(start, probe):
    node = start('pose_node', device='cpu')
    probe.wait(lambda: probe.skeletons, 'pose_node active', LIMIT_S)
    probe.rest(2.0)
    before, own_before = node.memory_mb, node.own_memory_mb
    start(
        'sending_node.py',
        arguments=['', '2', '60', '3840', '2160', 'without_detections'],
    )
    peak = own = 0.0

    def enough():
        nonlocal peak, own
        peak = max(peak, node.memory_mb - before)
        own = max(own, node.own_memory_mb - own_before)
        return probe.values()['images'] >= 14

    probe.wait(enough, '14 images of 4K', LIMIT_S)
    values = probe.values()
    print(f'{peak:.0f} MB, {own:.0f} MB of its own, for {values["images"]:.0f} images')
    assert values['images'] - values['unpaired_images'] == 64_000_000 // (3840 * 2160 * 3)
    assert own < 200


@pytest.mark.parametrize(('megabytes', 'fit'), [(1, 1), (7, 2), (10, 3), (100, 8)])
def test_the_newest_images_wait_as_many_as_the_bytes_allow(megabytes, fit, ros):
    node = Node('camera_input')
    frames = []
    camera = CameraInput(
        node,
        lambda image, _: frames.append(image.header.stamp),
        ThrottledLog(node.get_logger()),
        image_topic='image',
        detections_topic='detections',
        limits=Limits(messages=8, image_bytes=megabytes * 1e6),
    )
    images = [image_of(np.zeros((1000, 1000, 3), np.uint8)) for _ in range(9)]
    for image in images:
        camera._on_image(image)
    assert camera.counts.unpaired_images == 9 - fit
    for image in images:
        camera._on_detections(detections_of(image, []))
    assert frames == [image.header.stamp for image in images[-fit:]]
    camera.close()
    node.destroy_node()


def test_the_benchmark_knows_the_same_variables():
    """Its room of the package does not import that of the nodes."""
    assert bench.PROFILE_VARIABLES == large_images.PROFILE_VARIABLES
    assert bench.OLDER_DISTRIBUTIONS == large_images.OLDER_DISTRIBUTIONS
    assert set(bench.TRANSPORT_VARIABLES) == set(large_images.CHOICES)
