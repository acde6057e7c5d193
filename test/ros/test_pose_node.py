"""pose_node in a process of its own, against PoseEstimator called directly."""

import numpy as np
import pytest
from harness import clip_frame, detections_of, image_of
from visualization_msgs.msg import Marker

from vitpose_ros.core import SKELETONS, Frame, PoseEstimator

COCO = SKELETONS['coco']


@pytest.fixture(scope='module')
def estimator():
    return PoseEstimator.load('nano', 'cpu', precision='float32')


@pytest.fixture
def pose_node(start, probe):
    node = start('pose_node', device='cpu', precision='float32', tracking='detections')
    probe.wait_until_matched()
    return node


def points(subject):
    return np.stack((subject.x, subject.y), axis=1)


def test_keypoints_equal_those_of_the_estimator(pose_node, probe, estimator):
    pixels, people = clip_frame()
    boxes = np.array([person.box for person in people], dtype=np.float32)
    image = image_of(pixels)
    answer = probe.ask(image, detections_of(image, boxes, ids=['7', 'left', '']))

    assert answer.header == image.header
    assert (answer.image_width, answer.image_height) == (640, 480)
    assert 0 < answer.processing_time < probe.seconds_of_last_answer
    [poses] = estimator.predict([Frame(pixels, boxes, 'bgr')])
    assert len(answer.subjects) == len(poses) == 3
    for subject, pose, box in zip(answer.subjects, poses, boxes, strict=True):
        assert np.abs(points(subject) - pose.keypoints).max() < 1e-3
        assert np.allclose(subject.keypoint_score, pose.scores, atol=1e-5)
        assert subject.score == pytest.approx(pose.score, abs=1e-5)
        assert (subject.skeleton, subject.class_id) == ('coco', 'person')
        assert subject.detection_score == 0.75
        assert (subject.box_center_x, subject.box_width) == pytest.approx(
            ((box[0] + box[2]) / 2, box[2] - box[0])
        )
        assert len(subject.heatmap_spread) == 0
    assert [subject.track_id for subject in answer.subjects] == ['7', 'left', '']


def test_keypoints_lie_on_the_people_of_the_demo_clip(pose_node, probe):
    errors = []
    for index in (0, 30, 60):
        pixels, people = clip_frame(index)
        image = image_of(pixels)
        answer = probe.ask(image, detections_of(image, [person.box for person in people]))
        for person, subject in zip(people, answer.subjects, strict=True):
            seen = person.keypoints[:, 2] == 2
            distance = np.linalg.norm(points(subject) - person.keypoints[:, :2], axis=1)
            errors += (distance[seen] / (person.box[3] - person.box[1])).tolist()
    assert np.median(errors) < 0.03  # of the person's height


def test_a_frame_with_nobody_in_it_is_answered_too(pose_node, probe):
    image = image_of(np.zeros((48, 64, 3), np.uint8))
    answer = probe.ask(image, detections_of(image, []))
    assert answer.header == image.header
    assert answer.subjects == []


def test_the_skeleton_is_explained_to_late_subscribers(pose_node, probe):
    [message] = probe.skeletons
    assert message.model == 'nano'
    [info] = message.skeletons
    assert info.name == 'coco'
    assert tuple(info.keypoint_names) == COCO.keypoint_names
    assert list(info.edges) == [index for edge in COCO.edges for index in edge]
    assert list(info.flip_pairs) == [index for pair in COCO.flip_pairs for index in pair]
    assert list(info.sigmas) == pytest.approx(COCO.sigmas)


def test_padded_rows_and_other_encodings_give_the_same_keypoints(pose_node, probe):
    pixels, people = clip_frame()
    boxes = [person.box for person in people]
    image = image_of(pixels)
    expected = [points(s) for s in probe.ask(image, detections_of(image, boxes)).subjects]
    alpha = np.full((*pixels.shape[:2], 1), 9, np.uint8)
    others = [
        image_of(pixels, padding=31),
        image_of(pixels[..., ::-1], 'rgb8'),
        image_of(pixels[..., ::-1], 'rgb8', padding=2),
        image_of(np.dstack((pixels, alpha)), 'bgra8'),
        image_of(np.dstack((pixels[..., ::-1], alpha)), 'rgba8'),
        image_of(pixels, '8UC3'),
    ]
    for other in others:
        answer = probe.ask(other, detections_of(other, boxes))
        for subject, keypoints in zip(answer.subjects, expected, strict=True):
            assert np.abs(points(subject) - keypoints).max() < 1e-3, other.encoding


def test_markers_and_overlay_come_while_somebody_watches(pose_node, probe):
    pixels, people = clip_frame()
    boxes = [person.box for person in people]
    image = image_of(pixels)
    assert probe.set_parameter('labels', False).successful
    probe.watch()
    probe.ask(image, detections_of(image, boxes, ids=['5', '6', '7']))
    probe.wait(lambda: probe.markers and probe.overlays, 'markers and overlay')

    markers = probe.markers[-1].markers
    kinds = {(m.ns, m.type) for m in markers}
    assert kinds == {('limbs', Marker.LINE_LIST), ('joints', Marker.SPHERE_LIST)}
    assert {m.id for m in markers} == {5, 6, 7}
    assert all(m.header == image.header and m.action == Marker.ADD for m in markers)
    assert all(m.lifetime.nanosec == 500_000_000 for m in markers)
    assert all(point.z == 3.0 for m in markers for point in m.points)

    overlay = probe.overlays[-1]
    assert overlay.header == image.header
    assert overlay.encoding == 'bgr8'
    drawn = np.frombuffer(overlay.data, np.uint8).reshape(pixels.shape) != pixels
    inside = np.zeros(pixels.shape[:2], bool)
    for x_min, y_min, x_max, y_max in np.array(boxes, int):
        inside[y_min - 20 : y_max + 20, x_min - 20 : x_max + 20] = True
    assert drawn.any(axis=2)[inside].sum() > 500
    assert not drawn.any(axis=2)[~inside].any()

    image = image_of(pixels)
    probe.markers.clear()
    probe.ask(image, detections_of(image, boxes[:1], ids=['6']))
    probe.wait(lambda: probe.markers, 'markers')
    gone = {(m.ns, m.id) for m in probe.markers[-1].markers if m.action == Marker.DELETE}
    assert gone == {(ns, number) for ns in ('limbs', 'joints') for number in (5, 7)}
