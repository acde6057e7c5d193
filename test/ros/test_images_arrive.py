"""Large images arrive, all of them, and cost the node no new memory each."""

import os
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from harness import START_LIMIT_S, detections_of, image_of

from vitpose_ros.ros import large_images

WIDTH, HEIGHT = 1920, 1080
FRAMES = 300
RATE = 30.0
PAGES = WIDTH * HEIGHT * 3 // 4096  # of an image
LATE = 4  # images by which the detector is behind


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    """A clip of 1080p that is quickly decoded."""
    path = tmp_path_factory.mktemp('video') / 'grey.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), RATE, (WIDTH, HEIGHT))
    for grey in range(30):
        writer.write(np.full((HEIGHT, WIDTH, 3), grey, np.uint8))
    writer.release()
    return path


def test_a_best_effort_camera_of_1080p_loses_nothing(start, probe, video):
    """In one of three clips: a busy machine may not let a process run for a sixth of a second."""
    start('pose_node', device='cpu')
    probe.wait_until_matched()
    arrived = []
    while len(arrived) < 3 and max(arrived, default=0) < 0.99 * FRAMES:
        before = probe.values()['images']
        camera = start(
            'camera_node',
            source=video,
            rate=RATE,
            frames=FRAMES,
            wait_for_subscribers=1,
            **{'qos_overrides./image.publisher.reliability': 'best_effort'},
        )
        probe.wait(lambda: probe.values()['images'] > before, 'the first image', START_LIMIT_S)  # noqa: B023
        images = [before]
        while len(images) < 3 or images[-1] > images[-3]:  # still coming
            images.append(probe.values()['images'])
        arrived.append(images[-1] - before)
        camera.end()
    print(f'{arrived} of {FRAMES} images')
    assert max(arrived) >= 0.99 * FRAMES


def test_the_memory_of_an_image_is_used_for_the_next(start, probe):
    """With a detector that is some images behind: glibc gives back what those held."""
    node = start('pose_node', device='cpu')
    probe.wait_until_matched()
    faults = [node.page_faults]
    for _ in range(8):
        images = [image_of(np.zeros((HEIGHT, WIDTH, 3), np.uint8)) for _ in range(LATE)]
        for image in images:
            probe.images.publish(image)
            probe.rest(0.1)
        for image in images:
            probe.detections.publish(detections_of(image, []))
            probe.wait(lambda: probe.keypoints, 'keypoints')
            probe.keypoints.clear()
        faults.append(node.page_faults)
    print('page faults', np.diff(faults))
    assert faults[-1] - faults[3] < LATE * PAGES, 'four times as many without'


def test_thresholds_of_the_user_stay(monkeypatch):
    called = []
    monkeypatch.setattr(
        large_images.ctypes, 'CDLL', lambda _: type('C', (), {'mallopt': called.append})
    )
    large_images.keep_memory({'MALLOC_TRIM_THRESHOLD_': '1000'})
    assert called == []


def test_without_mallopt_nothing_happens(monkeypatch):
    monkeypatch.setattr(large_images.ctypes, 'CDLL', lambda _: object())
    large_images.keep_memory({})


def test_the_profile_is_for_fast_dds_and_holds_images_in_shared_memory():
    root = ElementTree.parse(large_images.profile()).getroot()
    names = {'dds': 'http://www.eprosima.com'}
    kinds = {
        transport.findtext('dds:type', namespaces=names): transport
        for transport in root.iterfind('.//dds:transport_descriptor', names)
    }
    assert set(kinds) == {'SHM', 'UDPv4'}, 'and other hosts are still reached'
    assert int(kinds['SHM'].findtext('dds:segment_size', namespaces=names)) >= 2 * 3840 * 2160 * 3
    used = [entry.text for entry in root.iterfind('.//dds:userTransports/*', names)]
    assert used == [t.findtext('dds:transport_id', namespaces=names) for t in kinds.values()]
    assert root.findtext('.//dds:useBuiltinTransports', namespaces=names) == 'false'
    assert root.find('dds:participant', names).get('is_default_profile') == 'true'


@pytest.mark.parametrize(
    ('distribution', 'variable'),
    [
        ('humble', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('kilted', 'FASTDDS_DEFAULT_PROFILES_FILE'),
        ('', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ],
)
def test_publishers_get_the_profile_in_the_variable_of_their_distribution(distribution, variable):
    environment = large_images.publisher_environment({'ROS_DISTRO': distribution})
    assert environment == {variable: str(large_images.profile())}


@pytest.mark.parametrize('name', large_images.CHOICES)
def test_transports_of_the_user_stay(name):
    assert large_images.publisher_environment({name: ''}) == {}


def test_the_tests_themselves_publish_with_it():
    assert large_images.publisher_environment(os.environ) == {}
