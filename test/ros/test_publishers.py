"""Whatever quality of service, transport and encoding cameras publish with, keypoints come."""

import itertools
import time
from array import array

import cv2
import numpy as np
import pytest
from harness import START_LIMIT_S, Probe, clip_frame, detections_of, image_of, new_stamp
from pictures import ENCODERS, LOSSLESS, encoded
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from vitpose_ros.msg import KeypointsArray

RELIABILITIES = {
    'reliable': ReliabilityPolicy.RELIABLE,
    'besteffort': ReliabilityPolicy.BEST_EFFORT,
}
DURABILITIES = {
    'volatile': DurabilityPolicy.VOLATILE,
    'latched': DurabilityPolicy.TRANSIENT_LOCAL,
}
KINDS = ['raw', 'png', 'jpeg']
ASK_LIMIT_S = 200  # for hangs
SMALLER = 0.5  # so that best effort brings most of them


def points(subjects):
    return np.array([np.stack((subject.x, subject.y), axis=1) for subject in subjects])


def scores(subjects):
    return np.array([subject.keypoint_score for subject in subjects])


def compressed(pixels, kind):
    if kind == 'png':
        _, data = cv2.imencode('.png', pixels)
    else:
        _, data = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    message = CompressedImage(
        format=f'bgr8; {kind} compressed bgr8', data=array('B', data.tobytes())
    )
    message.header.stamp = new_stamp()
    message.header.frame_id = 'some_optical_frame'
    return message


def ask_until_answered(probe, make, what):
    """Send frames until one is answered: a best-effort camera loses some."""
    sent, end = [], time.monotonic() + ASK_LIMIT_S
    while time.monotonic() < end:
        image, detections = make()
        sent.append(image.header)
        probe.send(image, detections)
        probe.rest(0.2)
        for answer in probe.keypoints:
            if answer.header in sent:
                return answer
    raise AssertionError(f'no keypoints for {what} within {ASK_LIMIT_S} s')


@pytest.fixture(scope='module')
def frame():
    pixels, people = clip_frame()
    small = cv2.resize(pixels, None, fx=SMALLER, fy=SMALLER, interpolation=cv2.INTER_AREA)
    return small, np.array([person.box for person in people]) * SMALLER


def test_every_quality_of_service_and_transport_is_heard(start, ros, frame):
    pixels, boxes = frame
    combinations = itertools.product(RELIABILITIES, DURABILITIES, KINDS)
    cases = {'_'.join(names): names for names in combinations}
    parameters = {
        f'{camera}.image_transport': 'compressed' for camera in cases if 'raw' not in camera
    }
    node = start('pose_node', device='cpu', cameras=','.join(cases), **parameters)
    expected = None
    for camera, (reliability, durability, kind) in cases.items():
        qos = QoSProfile(
            depth=5, reliability=RELIABILITIES[reliability], durability=DURABILITIES[durability]
        )
        raw = kind == 'raw'
        probe = Probe(
            camera,
            image_qos=qos,
            image_kind=Image if raw else CompressedImage,
            image_topic='image' if raw else 'image/compressed',
        )
        probe.wait(
            lambda probe=probe: probe.images.get_subscription_count(), 'subscribed', START_LIMIT_S
        )
        probe.rest(1.0)

        def make(kind=kind):
            image = image_of(pixels) if kind == 'raw' else compressed(pixels, kind)
            return image, detections_of(image, boxes)

        answer = ask_until_answered(probe, make, camera)
        assert (answer.image_width, answer.image_height) == (320, 240)
        if expected is None:
            expected = answer.subjects
        distance = np.linalg.norm(points(answer.subjects) - points(expected), axis=2)
        assert (distance.max() if kind != 'jpeg' else np.median(distance)) < 0.5, camera
        probe.wait(lambda probe=probe: len(settled(probe)) == 1, 'one subscription')
        [subscription] = settled(probe)
        assert subscription.qos_profile.reliability == qos.reliability
        assert subscription.qos_profile.durability == qos.durability
        probe.destroy_node()
    assert node.alive


def test_jpeg_files_that_stay_encoded_give_keypoints_and_overlay(start, ros, frame):
    """As where a GPU decodes them: to draw into them, they are decoded later."""
    pixels, boxes = frame
    node = start(
        'rigged_node.py', environment={'RIG': 'jpeg'}, device='cpu', image_transport='compressed'
    )
    probe = Probe(image_kind=CompressedImage, image_topic='image/compressed')
    probe.wait_until_matched()
    probe.watch()
    image, bad, nobody = (compressed(pixels, 'jpeg') for _ in range(3))
    answer = probe.ask(image, detections_of(image, boxes))
    assert (answer.image_width, answer.image_height) == (320, 240)
    assert len(answer.subjects) == len(boxes)
    probe.wait(lambda: probe.overlays, 'the overlay')
    data = np.frombuffer(image.data, np.uint8)
    drawn = np.frombuffer(probe.overlays[-1].data, np.uint8).reshape(pixels.shape)
    changed = (drawn != cv2.imdecode(data, cv2.IMREAD_COLOR)).any(axis=2)
    assert 100 < changed.sum() < 0.3 * changed.size
    # Nonsense in the tables: the header is whole, decoding fails.
    start_of_tables = bytes(bad.data).index(b'\xff\xc4') + 5
    bad.data[start_of_tables : start_of_tables + 16] = array('B', [255] * 16)
    probe.send(bad, detections_of(bad, boxes))
    # Before the next one comes, which would take its place if it still waited.
    probe.wait(lambda: 'JPEG of 320 x 240 pixels' in node.log, 'the damage in the log')
    probe.wait(lambda: probe.values()['failed'] == 1, 'the frame that failed, counted')
    assert probe.ask(nobody, detections_of(nobody, [])).subjects == []
    again = compressed(pixels, 'jpeg')
    assert len(probe.ask(again, detections_of(again, boxes)).subjects) == len(boxes)
    probe.destroy_node()


def settled(probe):
    return probe.get_subscriptions_info_by_topic(probe.images.topic_name)


def test_every_encoding_gives_the_keypoints_of_rgb8(start, probe, frame):
    pixels, boxes = frame
    rgb = np.ascontiguousarray(pixels[..., ::-1])
    node = start('pose_node', device='cpu')
    probe.wait_until_matched()

    def ask(picture, name, **options):
        message, shown = encoded(picture, name, **options)
        message.header.stamp = new_stamp()
        return probe.ask(message, detections_of(message, boxes)).subjects, shown

    for name in ENCODERS:
        for options in ({}, {'padding': 7, 'big_endian': True}):
            found, shown = ask(rgb, name, **options)
            expected, _ = ask(shown, 'rgb8')
            distance = np.linalg.norm(points(found) - points(expected), axis=2)
            if name in LOSSLESS:
                assert distance.max() < 0.5, (name, options)
            else:
                certain = scores(expected) > 0.5
                assert np.median(distance[certain]) < 1.0, (name, options)
    assert node.alive and '[ERROR]' not in node.log


def test_a_reliable_override_that_hears_nothing_is_named(start, ros, frame):
    probe = Probe(image_qos=QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT))
    override = 'qos_overrides./image.subscription.reliability'
    node = start('pose_node', device='cpu', **{override: 'reliable'})
    words = "'probe' publishes on '/image' with incompatible quality of service"
    probe.wait(lambda: words in node.log, 'the warning in the log', START_LIMIT_S)
    assert f"set {override} to 'match', or change the publisher" in node.log
    assert 'Best effort publisher and reliable subscription' in node.log
    probe.wait_for_status(b'\x01', 'incompatible quality of service')
    probe.destroy_node()


def test_a_depth_that_is_fixed_leaves_the_rest_to_match(start, probe, frame):
    pixels, boxes = frame
    topics = {'/image': 30, '/detections': 20}
    overrides = {f'qos_overrides.{t}.subscription.depth': depth for t, depth in topics.items()}
    node = start('pose_node', device='cpu', **overrides)
    probe.wait_until_matched()
    probe.rest(2.5)  # the publishers are looked at twice a second
    image = image_of(pixels)
    probe.ask(image, detections_of(image, boxes))
    for topic in topics:
        assert node.log.count(f"'{topic}' is subscribed") <= 1, node.log


def test_compressed_images_on_the_raw_topic_are_named(start, ros):
    probe = Probe(image_kind=CompressedImage)
    node = start('pose_node', device='cpu')
    words = 'but sensor_msgs/msg/CompressedImage instead of sensor_msgs/msg/Image'
    probe.wait(lambda: words in node.log, 'the warning in the log', START_LIMIT_S)
    assert 'set image_transport for compressed images' in node.log
    probe.destroy_node()


def test_publishers_may_change_their_minds(start, ros, frame):
    pixels, boxes = frame
    start('pose_node', device='cpu')
    for reliability in ('reliable', 'besteffort', 'reliable'):
        probe = Probe(image_qos=QoSProfile(depth=5, reliability=RELIABILITIES[reliability]))
        probe.wait(lambda probe=probe: probe.skeletons, 'pose_node active', START_LIMIT_S)

        def make():
            image = image_of(pixels)
            return image, detections_of(image, boxes)

        ask_until_answered(probe, make, reliability)
        probe.destroy_node()


def test_a_subscriber_that_asks_for_too_much_is_named(start, probe):
    node = start('pose_node', device='cpu')
    probe.wait_until_matched()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    probe.create_subscription(KeypointsArray, 'pose_node/keypoints', print, latched)
    words = "a subscriber of '/pose_node/keypoints' asks for more durability than is offered"
    probe.wait(lambda: words in node.log, 'the warning in the log')
    assert 'subscribe reliably and volatile' in node.log
