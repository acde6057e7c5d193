"""Several cameras in one node."""

import time

import cv2
import numpy as np
import pytest
from harness import START_LIMIT_S, Probe, clip_frame, detections_of, image_of, numbers
from rclpy.executors import SingleThreadedExecutor

CAMERAS = ['front', 'left', 'rear', 'right']


@pytest.fixture
def probes(ros):
    nodes = {name: Probe(name) for name in CAMERAS}
    yield nodes
    for node in nodes.values():
        node.destroy_node()


def points(subject):
    return np.stack((subject.x, subject.y), axis=1)


def test_each_camera_gets_its_own_keypoints_and_they_share_forward_passes(start, probes):
    node = start('pose_node', device='cpu', cameras=','.join(CAMERAS), max_batch=64)
    for probe in probes.values():
        probe.wait_until_matched()
    pixels, people = clip_frame()
    pixels = cv2.resize(pixels, None, fx=0.5, fy=0.5)
    boxes = np.array([person.box for person in people]) / 2
    everyone = SingleThreadedExecutor()
    for probe in probes.values():
        everyone.add_node(probe)

    def send_round():
        """Send a frame of each camera, and wait for the keypoints of all."""
        for probe in probes.values():
            image = image_of(pixels)
            probe.send(image, detections_of(image, boxes))
        target = {name: len(probe.keypoints) + 1 for name, probe in probes.items()}
        for _ in range(400):
            if all(len(probes[name].keypoints) >= n for name, n in target.items()):
                break
            everyone.spin_once(timeout_sec=0.05)

    def shared(name):
        """Tell whether, in the last diagnostics, a pass held two frames with three people each."""
        status = probes['front'].statuses.get(f'pose_node: {name}')
        values = numbers(status) if status else {}
        return values.get('batch_frames_max', 0) >= 2 and values.get('batch_size_max', 0) >= 6

    # A machine that is busy may deliver the frames of a round one by one, so that none can share.
    deadline = time.monotonic() + START_LIMIT_S
    missing, rounds = set(CAMERAS), 0
    while missing or rounds < 10:
        assert time.monotonic() < deadline, f'{missing} shared no pass in {rounds} rounds'
        send_round()
        rounds += 1
        missing = {name for name in missing if not shared(name)}
    answers = {name: probe.keypoints for name, probe in probes.items()}
    assert {name: len(found) for name, found in answers.items()} == dict.fromkeys(CAMERAS, rounds)
    first = answers['front'][0]
    for found in answers.values():
        for subject, expected in zip(found[-1].subjects, first.subjects, strict=True):
            assert np.abs(points(subject) - points(expected)).max() < 1e-2
    everyone.shutdown()

    for name, probe in probes.items():
        values = probe.values(name)
        assert values['images'] == values['paired'] == values['published'] == rounds
    assert node.alive


def test_wrong_names_are_refused(start, ros):
    probe = Probe()
    node = start('pose_node', device='cpu', cameras='front,front')
    probe.wait(lambda: 'not started' in node.log, 'the failed start in the log', START_LIMIT_S)
    assert "cannot configure: cameras has 'front'; give different names" in node.log
    assert not probe.set_parameter('palette', 'rainbow').successful
    assert probe.set_parameter('cameras', ['front', 'rear']).successful
    assert probe.transition('configure') and probe.transition('activate')
    probe.wait(lambda: probe.count_subscribers('/rear/image'), 'subscription of rear')
    probe.destroy_node()


def test_one_camera_may_differ_from_the_others(start, front_and_rear):
    start(
        'pose_node', device='cpu', cameras='front,rear', tracking='"off"',
        **{'rear.box_source': 'full_image'},
    )  # fmt: skip
    front, rear = front_and_rear
    front.wait_until_matched()
    rear.wait(lambda: rear.images.get_subscription_count(), 'rear subscribed')
    assert rear.detections.get_subscription_count() == 0
    pixels, people = clip_frame()
    image = image_of(pixels)
    assert len(front.ask(image, detections_of(image, [people[0].box])).subjects) == 1
    image = image_of(pixels)
    rear.images.publish(image)
    rear.wait(lambda: rear.keypoints, 'keypoints without detections')
    [subject] = rear.keypoints[0].subjects
    assert (subject.box_width, subject.box_height) == (640, 480)
    assert subject.class_id == subject.track_id == '' and np.isnan(subject.detection_score)


def test_camera_info_is_where_it_is_remapped_to_or_beside_the_image(start, probe):
    def remapped(**topics):
        return ['--ros-args', *(w for a, b in topics.items() for w in ('-r', f'{a}:={b}'))]

    cases = {
        '/cam/camera_info': remapped(image='/cam/image_raw'),
        '/elsewhere/info': remapped(image='/cam/image_raw', camera_info='/elsewhere/info'),
        '/own/info': remapped(camera_info='/own/info'),
    }
    for topic, arguments in cases.items():
        node = start('pose_node', arguments=arguments, device='cpu')
        probe.wait(lambda topic=topic: probe.count_subscribers(topic), topic, START_LIMIT_S)
        node.stop()
