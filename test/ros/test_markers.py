"""Markers frame after frame."""

from array import array

import numpy as np
import pytest
from visualization_msgs.msg import Marker
from vitpose_ros.msg import Keypoints, KeypointsArray

from vitpose_ros.core import SKELETONS
from vitpose_ros.core.drawing import Style
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.ros.markers import MarkerMaker

CAMERA = PinholeCamera.nominal(640, 480)


def subject(track='', skeleton='coco', score=1.0):
    count = len(SKELETONS[skeleton])
    places = array('f', np.linspace(100, 300, count).astype(np.float32).tobytes())
    scores = array('f', [score] * count)
    return Keypoints(
        track_id=track,
        class_id='person',
        skeleton=skeleton,
        x=places,
        y=places,
        keypoint_score=scores,
    )


def message(*subjects, second=0, nanosecond=0):
    array_of = KeypointsArray(image_width=640, image_height=480, subjects=list(subjects))
    array_of.header.stamp.sec, array_of.header.stamp.nanosec = second, nanosecond
    return array_of


@pytest.fixture
def make():
    maker = MarkerMaker([SKELETONS['coco'], SKELETONS['wholebody']])

    def markers(keypoints, *, lifetime=0.5, style=None, distance=3.0):
        style = style or Style()
        return maker.markers(
            keypoints, CAMERA, style=style, lifetime=lifetime, distance=distance
        ).markers

    return markers


def seconds(marker):
    return marker.lifetime.sec + 1e-9 * marker.lifetime.nanosec


def test_a_lifetime_outlasts_the_next_frames(make):
    assert {seconds(m) for m in make(message(subject(), second=10))} == {0.5}
    quick = make(message(subject(), second=10, nanosecond=33_000_000))
    assert {seconds(m) for m in quick} == {0.5}
    slow = make(message(subject(), second=12, nanosecond=33_000_000))
    assert all(seconds(m) == pytest.approx(6.0) for m in slow)
    assert {seconds(m) for m in make(message(subject(), second=13), lifetime=0.0)} == {0}
    back = make(message(subject(), second=3))  # a recording that begins anew
    assert {seconds(m) for m in back} == {0.5}


def test_those_who_left_are_removed_and_nobody_else(make):
    first = make(message(subject('3'), subject('4')))
    assert {m.action for m in first} == {Marker.ADD}
    second = make(message(subject('4')))
    removed = {(m.ns, m.id) for m in second if m.action == Marker.DELETE}
    assert removed == {(ns, 3) for ns in ('limbs', 'joints', 'labels')}
    assert all(m.action == Marker.ADD for m in make(message(subject('4'))))


def test_what_falls_below_the_threshold_is_removed(make):
    make(message(subject('3')))
    hidden = make(message(subject('3', score=0.1)))
    assert {m.action for m in hidden} == {Marker.DELETE} and len(hidden) == 3


def test_tracks_of_the_same_number_stay_apart(make):
    markers = make(message(subject('3'), subject('3'), subject('')))
    joints = [m.id for m in markers if m.ns == 'joints']
    assert len(set(joints)) == 3


def test_face_and_hands_have_smaller_markers(make):
    by_space = {m.ns: m for m in make(message(subject('3', 'wholebody')))}
    assert set(by_space) == {'limbs', 'joints', 'fine_limbs', 'fine_joints', 'labels'}
    assert len(by_space['joints'].points) == 23 and len(by_space['fine_joints'].points) == 110
    assert by_space['fine_joints'].scale.x < 0.5 * by_space['joints'].scale.x


def test_the_label_stands_above_the_head(make):
    [text] = [m for m in make(message(subject('3'))) if m.ns == 'labels']
    joints = next(m for m in make(message(subject('3'))) if m.ns == 'joints')
    assert text.text == 'person 3' and text.type == Marker.TEXT_VIEW_FACING
    assert text.pose.position.y < min(point.y for point in joints.points)
    assert text.pose.position.z == 3.0
