"""When the pairing of images and detections is complained about, with a clock of the test."""

import pytest
from builtin_interfaces.msg import Time

from vitpose_ros.ros.pairing import PairWatch

IMAGE, DETECTIONS = '/image', '/detections'


@pytest.fixture
def watch():
    return PairWatch(100.0, image_topic=IMAGE, detections_topic=DETECTIONS)


def play(watch, begin, end, *topics, pair=False):
    """Let messages arrive ten times a second; return (time, complaint) pairs."""
    complaints = []
    for tick in range(round(begin * 10), round(end * 10)):
        now = tick / 10
        for offset, topic in enumerate(topics):
            watch.arrived(topic, Time(sec=tick, nanosec=offset), now)
        if pair:
            watch.paired(now)
        if text := watch.complaint(now):
            complaints.append((now, text))
    return complaints


def test_pairs_give_no_complaint(watch):
    assert play(watch, 100, 150, IMAGE, DETECTIONS, pair=True) == []


def test_stamps_that_differ_are_named_soon_and_repeated_seldom(watch):
    complaints = play(watch, 100, 180, IMAGE, DETECTIONS)
    assert [now for now, _ in complaints] == pytest.approx([103, 113, 133, 173], abs=0.2)
    assert '1030.000000000, newest detections stamp 1030.000000001' in complaints[0][1]


def test_an_earlier_complaint_of_another_kind_does_not_hold_one_back(watch):
    [(now, text)] = play(watch, 100, 111)
    assert now == pytest.approx(110, abs=0.2) and 'nothing arrives' in text
    [(now, text)] = play(watch, 111, 115, IMAGE)
    assert now == pytest.approx(114, abs=0.2) and 'no detections' in text
    [(now, text)] = play(watch, 115, 117, IMAGE, DETECTIONS)
    assert 'do not pair' in text


def test_a_camera_that_starts_late_gets_its_time(watch):
    play(watch, 100, 200)
    assert play(watch, 200, 202.5, IMAGE) == []


@pytest.mark.parametrize(
    ('topic', 'words'),
    [
        (IMAGE, "no detections on '/detections'"),
        (DETECTIONS, "no images on '/image'"),
        (None, 'nothing arrives'),
    ],
)
def test_what_stops_after_it_worked_is_named(topic, words, watch):
    play(watch, 100, 120, IMAGE, DETECTIONS, pair=True)
    complaints = play(watch, 120, 135, *([topic] if topic else []))
    assert words in complaints[0][1]
    assert complaints[0][0] < (124 if topic else 131)


def test_without_a_detector_only_images_are_missed():
    watch = PairWatch(100.0, image_topic=IMAGE, detections_topic=None)
    assert play(watch, 100, 109.5, IMAGE, pair=True) == []
    [(_, text)] = play(watch, 109.5, 121)
    assert "nothing arrives on '/image'; is the camera running" in text


def test_the_trouble_stands_while_it_is_not_repeated(watch):
    play(watch, 100, 105, IMAGE)
    assert watch.complaint(105) is None
    assert watch.trouble(105).kind == 'no detections'
    play(watch, 105, 106, IMAGE, DETECTIONS, pair=True)
    assert watch.trouble(106) is None


def test_what_lasts_is_said_ever_more_seldom_but_anew_after_a_pair(watch):
    hour = play(watch, 100, 3700)
    assert 5 <= len(hour) <= 12
    play(watch, 3700, 3701, IMAGE, DETECTIONS, pair=True)
    [(now, _), *_] = play(watch, 3701, 3712)
    assert now == pytest.approx(3711, abs=0.2)


def test_images_that_make_room_too_soon_are_the_reason():
    watch = PairWatch(0.0, image_topic='/image', detections_topic='/detections')
    for topic in ('/image', '/detections'):
        watch.arrived(topic, Time(sec=1), 3.0)
    watch.crowded('queue_mb = 64 holds 2 of these images', 3.0)
    assert watch.crowding(5.0) and not watch.crowding(20.0)
    for topic in ('/image', '/detections'):
        watch.arrived(topic, Time(sec=2), 6.5)
    trouble = watch.trouble(6.6)
    assert trouble.kind == 'no pairs'
    assert 'queue_mb = 64 holds 2' in trouble.text and 'header' not in trouble.text
