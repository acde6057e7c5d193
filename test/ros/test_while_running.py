"""What can be changed and what can happen while the node runs."""

import time

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from harness import clip_frame, detections_of, image_of
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo
from visualization_msgs.msg import Marker

BOXES = [[40 + 120 * i, 60, 120 + 120 * i, 300 + 20 * i] for i in range(5)]
CLASSES = ['person', '0', 'dog', '56', 'Person']  # of COCO, 0 is person and 56 chair


@pytest.fixture
def pose_node(start, probe):
    node = start('pose_node', device='cpu', tracking='detections')
    probe.wait_until_matched()
    return node


def frame(classes=CLASSES, ids=None, stamp=None):
    image = image_of(clip_frame()[0])
    if stamp is not None:
        image.header.stamp = stamp
    return image, detections_of(image, BOXES[: len(classes)], classes=classes, ids=ids)


def kept(answer):
    """Return which of the boxes got keypoints."""
    lefts = [box[0] for box in BOXES]
    return [lefts.index(round(s.box_center_x - s.box_width / 2)) for s in answer.subjects]


def test_filters_and_limits_change_at_once(pose_node, probe):
    assert kept(probe.ask(*frame())) == [0, 1, 2, 3, 4]
    assert probe.set_parameter('detection_classes', 'person').successful
    assert kept(probe.ask(*frame())) == [0, 1, 4]
    assert probe.set_parameter('detection_classes', ['16', 'chair']).successful
    assert kept(probe.ask(*frame())) == [2, 3]
    assert probe.set_parameter('detection_classes', '').successful

    image, detections = frame()
    for index, detection in enumerate(detections.detections):
        detection.results[0].hypothesis.score = 0.2 * index
    detections.detections[1].results = []
    assert probe.set_parameter('min_detection_score', 0.5).successful
    assert kept(probe.ask(image, detections)) == [1, 3, 4], 'one without a score passes'
    assert probe.set_parameter('min_detection_score', 0).successful, 'a whole number will do'

    assert probe.set_parameter('max_subjects', 2).successful
    assert kept(probe.ask(*frame())) == [3, 4], 'the largest'
    values = probe.values()
    assert (values['filtered'], values['left_out']) == (7, 3)


def test_changes_that_cannot_be_are_refused_with_the_reason(pose_node, probe):
    for name, value, words in (
        ('palette', 'rainbow', "palette is 'rainbow'; give side or id"),
        ('max_age_ms', -1, 'max_age_ms is -1.0; give 0.0 to 3600000.0'),
        ('max_age_ms', 'long', "max_age_ms is 'long', of type 'str'; give a number"),
        ('max_batch', 4, 'max_batch is read when the node is configured: deactivate and clean up'),
        ('cameras', 'front', 'cameras is read when the node is configured'),
        ('class_keypoint_sets', 'dog', 'class_keypoint_sets is read when the node is configured'),
    ):
        result = probe.set_parameter(name, value)
        assert not result.successful and words in result.reason


def test_enable_stops_and_starts_the_work_of_the_active_node(pose_node, probe):
    probe.ask(*frame())
    assert probe.enable(False)
    assert probe.state() == 'active'
    probe.wait(lambda: probe.images.get_subscription_count() == 0, 'unsubscribed')
    probe.wait_for_status(b'\x00', 'disabled by ~/enable', 'network')
    probe.wait_for_status(b'\x00', 'disabled by ~/enable', 'camera')
    before = len(probe.keypoints)
    probe.send(*frame())
    probe.rest(0.5)
    assert len(probe.keypoints) == before
    assert probe.enable(True)
    probe.wait_until_matched()
    probe.ask(*frame())

    assert probe.transition('deactivate') and probe.enable(False)
    assert probe.transition('activate')
    probe.rest(0.5)
    assert probe.images.get_subscription_count() == 0, 'it counts in the next activation'
    assert probe.enable(True)
    probe.wait_until_matched()
    probe.ask(*frame())


def test_a_recording_that_begins_anew_is_survived(start, probe):
    start('pose_node', device='cpu', use_sim_time='true', max_age_ms=500, sync_queue_size=5)
    probe.wait_until_matched()
    clock = probe.create_publisher(Clock, '/clock', 10)
    probe.rest(1.0)
    for loop in range(3):
        answered = 0
        for index in range(60):
            now = Time(sec=100 + index // 10, nanosec=index % 10 * 100_000_000)
            clock.publish(Clock(clock=now))
            image, detections = frame(['person'], stamp=now)
            probe.images.publish(image)
            if index % 3 == 0:  # a slow detector: most images wait in vain
                before = len(probe.keypoints)
                probe.detections.publish(detections)
                deadline = time.monotonic() + 1
                while len(probe.keypoints) == before and time.monotonic() < deadline:
                    probe.rest(0.02)
                answered += len(probe.keypoints) > before
        assert answered >= 18, f'loop {loop}: {answered} of 20 frames'
    values = probe.values()
    assert values['unpaired_images'] > 60 and values['too_old'] == 0


def test_near_stamps_pair_within_the_slop(start, probe):
    start('pose_node', device='cpu', sync_slop_ms=50)
    probe.wait_until_matched()
    sent = {}
    for offset_ms in (30, 80, -40):
        image, detections = frame(['person'])
        stamp = image.header.stamp
        nanoseconds = stamp.sec * 10**9 + stamp.nanosec + offset_ms * 10**6
        detections.header.stamp.sec, detections.header.stamp.nanosec = divmod(nanoseconds, 10**9)
        probe.send(image, detections)
        sent[offset_ms] = image.header
        if offset_ms != 80:
            probe.wait(
                lambda header=image.header: any(a.header == header for a in probe.keypoints),
                f'keypoints of detections {offset_ms} ms later',
            )
    assert not any(answer.header == sent[80] for answer in probe.keypoints)


def test_markers_lie_on_the_people_through_the_cameras_intrinsics(pose_node, probe):
    probe.watch()
    infos = probe.create_publisher(CameraInfo, 'camera_info', 10)
    probe.wait(infos.get_subscription_count, 'subscription of camera_info')
    fx, fy, cx, cy, shift = 800.0, 810.0, 300.0, 250.0, -40.0
    # Of twice the size: the image was scaled down after the calibration.
    info = CameraInfo(width=1280, height=960)
    info.p = [
        2 * fx,
        0.0,
        2 * cx + 0.5,
        2 * shift,
        0.0,
        2 * fy,
        2 * cy + 0.5,
        0.0,
        0.0,
        0.0,
        1.0,
        0.0,
    ]
    infos.publish(info)
    probe.rest(0.5)
    assert probe.set_parameter('marker_distance', 5.0).successful
    assert probe.set_parameter('min_keypoint_score', 0.0).successful
    image, detections = frame(['person', 'dog'], ids=['12', 'rex'])
    answer = probe.ask(image, detections)
    probe.wait(lambda: probe.markers, 'markers')
    by_place = {(m.ns, m.id): m for m in probe.markers[-1].markers}
    for subject, number in zip(answer.subjects, (12, None), strict=True):
        joints = [
            m for (ns, i), m in by_place.items() if ns == 'joints' and (i == 12) == bool(number)
        ]
        projected = [
            ((fx * p.x + shift) / p.z + cx, fy * p.y / p.z + cy) for p in joints[0].points
        ]
        expected = np.stack((subject.x, subject.y), axis=1)
        assert np.abs(np.array(projected) - expected).max() < 1e-2
        assert {p.z for p in joints[0].points} == {5.0}
    assert {m.text for m in by_place.values()} == {'', 'person 12', 'dog rex'}


def test_markers_and_overlay_change_their_looks_at_once(pose_node, probe):
    probe.watch()

    def look():
        probe.markers.clear(), probe.overlays.clear()
        probe.ask(*frame(['person'], ids=['3']))
        probe.wait(lambda: probe.markers and probe.overlays, 'markers and overlay')
        shown = {m.ns: m for m in probe.markers[-1].markers if m.action == Marker.ADD}
        return shown, np.frombuffer(probe.overlays[-1].data, np.uint8)

    def colours(marker):
        return {(c.r, c.g, c.b) for c in marker.colors}

    assert probe.set_parameter('min_keypoint_score', 0.0).successful
    first, overlay = look()
    assert len(colours(first['joints'])) == 3 and 'labels' in first
    for name, value in (('palette', 'id'), ('thickness', 2.0), ('labels', False)):
        assert probe.set_parameter(name, value).successful
        shown, changed = look()
        assert (changed != overlay).any(), name
        overlay = changed
    assert len(colours(shown['joints'])) == 1 and 'labels' not in shown
    assert shown['joints'].scale.x == pytest.approx(2 * first['joints'].scale.x)
    assert probe.set_parameter('min_keypoint_score', 1.0).successful
    shown, _ = look()
    assert 'joints' not in shown and 'limbs' not in shown
    removed = {m.ns for m in probe.markers[-1].markers if m.action == Marker.DELETE}
    assert removed == {'joints', 'limbs'}


def test_markers_go_when_the_work_stops(pose_node, probe):
    probe.watch()
    probe.ask(*frame(['person'], ids=['3']))
    probe.wait(lambda: probe.markers, 'markers')
    shown = {(m.ns, m.id) for m in probe.markers[-1].markers}
    probe.markers.clear()
    assert probe.enable(False)
    probe.wait(lambda: probe.markers, 'their removal')
    assert {(m.ns, m.id) for m in probe.markers[-1].markers} == shown
    assert all(m.action == Marker.DELETE for m in probe.markers[-1].markers)
