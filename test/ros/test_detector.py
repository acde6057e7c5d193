"""A detector inside the node: its boxes, its place in the turn, and what goes wrong with it."""

import json

import numpy as np
import pytest
from boxes.small_bottom_up import write as write_bottom_up
from boxes.small_detectors import write
from diagnostic_msgs.msg import DiagnosticStatus
from harness import START_LIMIT_S, clip_frame, detections_of, image_of

from vitpose_ros.core import Frame, Options, PoseEstimator
from vitpose_ros.core.boxes.bottom_up import BottomUp
from vitpose_ros.core.boxes.detector import LEAST_SCORE, Detector
from vitpose_ros.core.types import NO_BOXES

SETTINGS = {'device': 'cpu', 'backend': 'torch', 'precision': 'float32'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A detector of random weights, to which the clip looks like people and bicycles."""
    path = tmp_path_factory.mktemp('detector')
    write('rt_detr_v2', path)
    config = path / 'config.json'
    about = json.loads(config.read_text())
    about['id2label'].update({'0': 'dog', '2': 'person'})
    config.write_text(json.dumps(about))
    return path


def expected(folder, pixels):
    """What Python finds in an image."""
    [objects] = Detector.load(folder).find([Frame(pixels, NO_BOXES, 'bgr')], LEAST_SCORE)
    people = [row for row, name in enumerate(objects.class_names) if name == 'person']
    assert 0 < len(people) < len(objects)
    own = objects[people]
    estimator = PoseEstimator.load('nano', 'cpu', backend='torch', precision='float32')
    return own, estimator.predict([Frame(pixels, own.boxes, 'bgr')])[0]


def test_an_image_alone_gives_what_python_gives(folder, start, probe):
    settings = {**SETTINGS, 'backend': 'openvino'}
    node = start('pose_node', box_source='detector', detector=folder, **settings)
    pixels, _ = clip_frame()
    image = image_of(pixels)
    probe.wait(lambda: probe.skeletons, 'a node that is active', START_LIMIT_S)
    probe.wait(lambda: probe.images.get_subscription_count() == 1, 'its subscription')
    probe.rest(1.0)
    probe.images.publish(image)
    probe.wait(lambda: probe.keypoints, 'keypoints')
    [answer] = probe.keypoints
    objects, poses = expected(folder, pixels)
    assert len(answer.subjects) == len(poses)
    for subject, pose, score in zip(answer.subjects, poses, objects.scores, strict=True):
        points = np.stack((subject.x, subject.y), axis=1)
        assert np.abs(points - pose.keypoints).max() < 0.05
        assert subject.class_id == 'person'
        assert subject.detection_score == pytest.approx(score, abs=1e-4)
    assert 'and a rt_detr_v2 detector' in node.log
    values = probe.values()
    assert values['detect_median_ms'] > 0
    stages = ('arrival', 'wait', 'detect', 'crop', 'network', 'decode', 'publish')
    together = sum(values[f'{stage}_median_ms'] for stage in stages)
    assert together == pytest.approx(values['latency_median_ms'], rel=0.01)
    assert values['filtered'] > 0 and values['failed'] == 0


def test_cameras_with_and_without_share_a_node(folder, start, front_and_rear):
    start(
        'pose_node',
        cameras='front,rear',
        detector=folder,
        **SETTINGS,
        **{'front.box_source': 'detector'},
    )
    front, rear = front_and_rear
    rear.wait_until_matched()
    front.wait(lambda: front.images.get_subscription_count() == 1, 'its subscription')
    pixels, _ = clip_frame()
    front.images.publish(image_of(pixels))
    image = image_of(pixels)
    answer = rear.ask(image, detections_of(image, [[250, 150, 330, 300]]))
    assert len(answer.subjects) == 1
    front.wait(lambda: front.keypoints, 'keypoints without detections')
    assert len(front.keypoints[0].subjects) == len(expected(folder, pixels)[0])


@pytest.mark.parametrize('refine', [False, True])
def test_a_bottom_up_network_needs_no_boxes(refine, start, probe, tmp_path):
    model = tmp_path / 'small.safetensors'
    write_bottom_up(model)
    start(
        'pose_node',
        box_source='bottom_up',
        bottom_up_model=model,
        refine=refine,
        min_detection_score=0.1,
        **SETTINGS,
    )
    probe.wait(lambda: probe.skeletons, 'a node that is active', START_LIMIT_S)
    probe.wait(lambda: probe.images.get_subscription_count() == 1, 'its subscription')
    probe.rest(1.0)
    pixels, _ = clip_frame()
    probe.images.publish(image_of(pixels))
    probe.wait(lambda: probe.keypoints, 'keypoints')
    options = Options(**SETTINGS)
    [found] = BottomUp.load(model, options).find([Frame(pixels, NO_BOXES, 'bgr')], 0.1)
    poses = found.poses
    if refine:
        estimator = PoseEstimator.with_options('nano', options)
        [poses] = estimator.predict([Frame(pixels, found.boxes, 'bgr')])
    subjects = probe.keypoints[0].subjects
    assert len(subjects) == len(poses) > 0
    for subject, pose in zip(subjects, poses, strict=True):
        points = np.stack((subject.x, subject.y), axis=1)
        assert np.abs(points - pose.keypoints).max() < 0.05
    assert probe.values()['detect_median_ms'] > 0


def test_a_detector_that_cannot_be_is_a_failed_configure(start, probe, tmp_path):
    environment = {'VITPOSE_ROS_MODELS': str(tmp_path)}
    settings = {'box_source': 'bottom_up', 'autostart': False, **SETTINGS}
    node = start('pose_node', environment=environment, **settings)
    probe.wait_for_status(DiagnosticStatus.OK, '', 'network', START_LIMIT_S)
    for changes, words in (
        ({}, 'bottom_up_model is empty'),
        ({'bottom_up_model': 'nano'}, 'top-down network, which needs'),
        ({'box_source': 'detector', 'detector': '/nowhere/at/all'}, 'is no directory'),
        ({'detector': 'dfine-nan'}, "did you mean 'dfine-nano'?"),
        ({'detector': 'dfine-nano'}, 'ros2 run vitpose_ros models fetch dfine-nano'),
    ):
        for name, value in changes.items():
            assert probe.set_parameter(name, value).successful, name
        assert not probe.transition('configure')
        status = probe.wait_for_status(DiagnosticStatus.ERROR, words, 'network', START_LIMIT_S)
        assert 'cannot configure' in status.message
        assert node.alive and 'Traceback' not in node.log
    assert probe.set_parameter('tracking', 'off').successful
    refused = probe.set_parameter('detector_every', 3)
    assert not refused.successful and 'set tracking to on' in refused.reason
