"""The demo camera and the demo detector."""

import signal

import cv2
import numpy as np
import pytest
from harness import START_LIMIT_S, clip_frame
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection2DArray

from vitpose_ros.demo.accuracy import iou
from vitpose_ros.demo.sources import DEMO_CLIP
from vitpose_ros.demo.space import load_space
from vitpose_ros.ros.camera_info import intrinsics
from vitpose_ros.ros.depth_images import read_depth


class Heard:
    """What camera and detector published."""

    def __init__(self, probe):
        self.images, self.infos, self.detections = [], [], []
        many = QoSProfile(depth=100)
        probe.create_subscription(Image, 'image', self.images.append, many)
        probe.create_subscription(CameraInfo, 'camera_info', self.infos.append, many)
        probe.create_subscription(Detection2DArray, 'detections', self.detections.append, many)


def test_the_camera_plays_a_folder_once_and_ends(start, probe, tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for index in range(5):
        image = np.full((30, 40, 3), 20 * index, np.uint8)
        cv2.imwrite(str(folder / f'{index}.png'), image)
    heard = Heard(probe)
    camera = start(
        'camera_node',
        source=folder,
        rate=20.0,
        loop='false',
        frame_id='eye',
        wait_for_subscribers=1,
    )
    probe.wait(
        lambda: len(heard.images) == 5 and len(heard.infos) == 5, 'all images', START_LIMIT_S
    )
    assert camera.process.wait(START_LIMIT_S) == 0
    assert [image.data[0] for image in heard.images] == [0, 20, 40, 60, 80]
    assert [image.header for image in heard.images] == [info.header for info in heard.infos]
    assert heard.images[0].header.frame_id == 'eye'
    assert (heard.infos[0].width, heard.infos[0].height) == (40, 30)
    assert heard.infos[0].k[0] > 0
    stamps = [
        image.header.stamp.sec * 10**9 + image.header.stamp.nanosec for image in heard.images
    ]
    assert np.median(np.diff(stamps)) == pytest.approx(0.05e9, rel=0.5)


def test_the_camera_loops(start, probe, tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    cv2.imwrite(str(folder / 'only.png'), np.zeros((30, 40, 3), np.uint8))
    heard = Heard(probe)
    camera = start('camera_node', source=folder, rate=20.0)
    probe.wait(lambda: len(heard.images) >= 5, 'the image again and again', START_LIMIT_S)
    assert camera.stop(signal.SIGINT) == (0, pytest.approx(0, abs=2))


def test_depth_comes_with_the_images_of_the_demo_clip(start, probe):
    heard, depths = Heard(probe), []
    probe.create_subscription(Image, 'depth', depths.append, QoSProfile(depth=100))
    start(
        'camera_node',
        rate=4.0,
        loop='false',
        frames=5,
        wait_for_subscribers=1,
        wait_for_depth_subscribers=1,
    )
    probe.wait(
        lambda: len(depths) == len(heard.images) == len(heard.infos) == 5, 'all', START_LIMIT_S
    )
    assert [depth.header for depth in depths] == [image.header for image in heard.images]
    space = load_space(DEMO_CLIP)
    for message, expected in zip(depths, space.depths[:5], strict=True):
        assert message.encoding == '16UC1'
        metres = read_depth(message)
        assert np.array_equal(np.isfinite(metres), expected > 0)
        assert metres[expected > 0] == pytest.approx(expected[expected > 0] / 1000)
    assert intrinsics(heard.infos[0], 640, 480) == space.camera


def test_an_image_source_without_depth_has_no_depth_topic(start, probe, tmp_path):
    cv2.imwrite(str(tmp_path / 'only.png'), np.zeros((30, 40, 3), np.uint8))
    heard = Heard(probe)
    start('camera_node', source=tmp_path, rate=20.0)
    probe.wait(lambda: heard.images, 'an image', START_LIMIT_S)
    assert not probe.count_publishers('depth')


@pytest.mark.parametrize('kind', ['absent', 'empty folder', 'not a video'])
def test_a_source_that_cannot_be_read_is_named(kind, start, tmp_path):
    source = tmp_path / 'source'
    if kind == 'empty folder':
        source.mkdir()
    elif kind == 'not a video':
        source.write_text('hello')
    camera = start('camera_node', source=source)
    assert camera.process.wait(START_LIMIT_S) == 1
    assert f"source '{source}'" in camera.log
    assert 'Traceback' not in camera.log


def people_in(image):
    """Return the true people in an image of the demo clip."""
    for index in range(20):
        pixels, people = clip_frame(index)
        if np.array_equal(pixels.ravel(), image.data):
            return people
    raise AssertionError('none of the first 20 frames of the clip')


def test_the_detector_finds_people_and_answers_every_image(start, probe):
    start('hog_detector_node', queue_size=30)  # 1, the default, skips images
    heard = Heard(probe)
    start('camera_node', rate=4.0, loop='false', wait_for_subscribers=2)
    probe.wait(lambda: len(heard.detections) >= 8, 'detections', START_LIMIT_S)
    # The first answers may come before this process is known to the detector.
    first = heard.detections[0]
    answered = [message.header for message in heard.detections]
    images = [message.header for message in heard.images]
    begin = images.index(first.header)
    assert answered == images[begin : begin + len(answered)]
    people = people_in(heard.images[begin])
    boxes = [
        np.array(
            [
                d.bbox.center.position.x - d.bbox.size_x / 2,
                d.bbox.center.position.y - d.bbox.size_y / 2,
                d.bbox.center.position.x + d.bbox.size_x / 2,
                d.bbox.center.position.y + d.bbox.size_y / 2,
            ]
        )
        for d in first.detections
    ]
    found = [max(iou(person.box, box) for box in boxes) > 0.5 for person in people]
    assert sum(found) >= 2
    assert all(d.results[0].hypothesis.class_id == 'person' for d in first.detections)
    assert all(0 <= d.results[0].hypothesis.score <= 1 for d in first.detections)
