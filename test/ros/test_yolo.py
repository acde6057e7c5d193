"""Detections in the messages of yolo_ros, where they are installed."""

import sys
from copy import deepcopy

import numpy as np
import pytest
from harness import clip_frame, detections_of, image_of

from vitpose_ros.ros import yolo
from vitpose_ros.ros.detections import read_detections

yolo_msgs = pytest.importorskip('yolo_msgs.msg')
BOXES = [[250, 150, 330, 300], [100.5, 50, 160, 230]]


def detections(image):
    """Detections of an image: a person and a chair."""
    message = yolo_msgs.DetectionArray(header=deepcopy(image.header))
    for (x_min, y_min, x_max, y_max), name in zip(BOXES, ('person', 'chair'), strict=True):
        one = yolo_msgs.Detection(class_id=0, class_name=name, score=0.5, id='7')
        one.bbox.center.position.x = (x_min + x_max) / 2.0
        one.bbox.center.position.y = (y_min + y_max) / 2.0
        one.bbox.size.x, one.bbox.size.y = float(x_max - x_min), float(y_max - y_min)
        message.detections.append(one)
    return message


def test_objects_are_those_of_the_message():
    found = read_detections(detections(image_of(np.zeros((480, 640, 3), np.uint8))))
    assert found.boxes.tolist() == BOXES
    assert found.class_names == ['person', 'chair'] and found.track_ids == ['7', '7']
    assert found.scores.tolist() == [0.5, 0.5]


def test_turned_boxes_become_their_hulls():
    message = detections(image_of(np.zeros((480, 640, 3), np.uint8)))
    [turned, _] = message.detections
    turned.bbox.size.x, turned.bbox.size.y, turned.bbox.center.theta = 200.0, 40.0, np.pi / 2
    assert read_detections(message).boxes[0] == pytest.approx([270, 125, 310, 325], abs=0.01)


def test_a_class_without_a_name_is_its_number():
    message = detections(image_of(np.zeros((480, 640, 3), np.uint8)))
    message.detections[0].class_name = ''
    assert read_detections(message).class_names == ['0', 'chair']


def test_where_they_are_not_installed_they_are_not_expected(monkeypatch):
    assert yolo.message_types() == (yolo_msgs.DetectionArray,)
    monkeypatch.setitem(sys.modules, 'yolo_msgs.msg', None)
    assert yolo.message_types() == ()


def test_the_type_of_the_topic_tells_which_messages_come(start, probe):
    node = start('pose_node', device='cpu', detection_classes='person')
    probe.wait_until_matched()
    pixels, _ = clip_frame()
    image = image_of(pixels)
    assert len(probe.ask(image, detections_of(image, BOXES)).subjects) == 2

    probe.destroy_publisher(probe.detections)
    probe.detections = probe.create_publisher(yolo_msgs.DetectionArray, 'detections', 10)
    words = "'/detections' (yolo_msgs/msg/DetectionArray) is subscribed"
    probe.wait(lambda: words in node.log, 'the other type of detections')
    probe.wait_until_matched()
    image = image_of(pixels)
    [subject] = probe.ask(image, detections(image)).subjects
    assert (subject.class_id, subject.detection_score) == ('person', 0.5)
    assert 'nothing arrives' not in node.log

    probe.destroy_publisher(probe.detections)
    vision = type(detections_of(image, BOXES))
    probe.detections = probe.create_publisher(vision, 'detections', 10)
    probe.wait(lambda: "'/detections' (vision_msgs/msg/Detection2DArray)" in node.log, 'the first')
    probe.wait_until_matched()
    image = image_of(pixels)
    assert len(probe.ask(image, detections_of(image, BOXES)).subjects) == 2
