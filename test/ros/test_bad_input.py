"""What cannot be used costs a clear line in the log, and nothing else."""

import numpy as np
import pytest
from harness import clip_frame, detections_of, image_of, new_stamp


@pytest.fixture(scope='module')
def pose_node(module_start, ros):
    """One node for all of it: whatever came before, the next is handled well."""
    return module_start('pose_node', device='cpu')


@pytest.fixture
def probe(probe, pose_node):
    probe.wait_until_matched()
    return probe


@pytest.fixture
def good_frame():
    pixels, people = clip_frame()

    def make():
        image = image_of(pixels)
        return image, detections_of(image, [person.box for person in people])

    return make


def broken_image(kind):
    image = image_of(np.zeros((48, 64, 3), np.uint8))
    if kind == 'encoding':
        image.encoding = 'foo16'
    elif kind == 'short':
        image.data = image.data[:-1]
    elif kind == 'no pixels':
        image.width = image.height = image.step = 0
        image.data = image.data[:0]
    elif kind == 'step':
        image.step = 100
    return image


@pytest.mark.parametrize(
    ('kind', 'words'),
    [
        ('encoding', "image encoding 'foo16' is not supported; use one of rgb8"),
        ('short', 'image has 9215 bytes of data, expected 9216'),
        ('no pixels', 'image has no pixels: it is 0 x 0'),
        ('step', 'step of 100 bytes, expected at least 192'),
    ],
)
def test_a_broken_image_is_named_and_the_next_is_answered(
    kind, words, pose_node, probe, good_frame
):
    image = broken_image(kind)
    probe.send(image, detections_of(image, [[5, 5, 30, 40]]))
    probe.wait(lambda: words in pose_node.log, f'"{words}" in the log')
    assert len(probe.ask(*good_frame()).subjects) == 3
    assert '[ERROR]' in pose_node.log and pose_node.alive


NAN, INF = float('nan'), float('inf')
BAD_BOXES = {
    'NaN': ([NAN, 10, 50, 60], 'is not finite'),
    'infinite': ([10, 10, INF, 60], 'is not finite'),
    'zero size': ([30, 30, 30, 60], 'has no positive size'),
    'negative size': ([50, 10, 30, 60], 'has no positive size'),
    'outside': ([-90, 10, -40, 60], 'lies wholly outside the image of 640 x 480 pixels'),
    'huge': ([-1e9, 10, 1e9, 60], 'is larger than'),
}


@pytest.mark.parametrize('kind', BAD_BOXES)
def test_a_bad_box_is_named_and_the_others_are_answered(kind, pose_node, probe, good_frame):
    box, words = BAD_BOXES[kind]
    image, detections = good_frame()
    expected = probe.ask(image, detections).subjects
    image, detections = good_frame()
    bad = detections_of(image, [box])
    detections.detections.insert(1, bad.detections[0])
    answer = probe.ask(image, detections)
    assert [list(s.x) for s in answer.subjects] == [list(s.x) for s in expected]
    probe.wait(lambda: words in pose_node.log, f'"{words}" in the log')
    assert 'box of detection 1' in pose_node.log


def test_five_hundred_boxes_give_the_largest(pose_node, probe):
    pixels, _ = clip_frame()
    image = image_of(pixels)
    boxes = [[10 + i % 40, 20, 30 + i % 40 + i / 10, 60 + i / 5] for i in range(500)]
    answer = probe.ask(image, detections_of(image, boxes))
    assert len(answer.subjects) == 64
    assert min(subject.box_height for subject in answer.subjects) > 126
    words = '500 boxes in one frame, 436 more than max_subjects = 64'
    probe.wait(lambda: words in pose_node.log, f'"{words}" in the log')


def test_detections_without_a_class_are_answered(pose_node, probe, good_frame):
    image, detections = good_frame()
    for detection in detections.detections:
        detection.results = []
    answer = probe.ask(image, detections)
    assert [subject.class_id for subject in answer.subjects] == [''] * 3
    assert all(np.isnan(subject.detection_score) for subject in answer.subjects)


def test_trouble_that_repeats_does_not_flood_the_log(pose_node, probe, good_frame):
    for _ in range(20):
        image = broken_image('encoding')
        image.encoding = 'bar8'
        image.header.stamp = new_stamp()
        probe.send(image, detections_of(image, []))
        probe.rest(0.05)
    probe.ask(*good_frame())
    assert 1 <= pose_node.log.count("encoding 'bar8'") <= 2
