"""Tracks carry boxes from one frame in which a detector looks to the next."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vitpose_ros import demo
from vitpose_ros.core import SKELETONS, Frame, OptionError, PoseEstimator
from vitpose_ros.core.boxes import carrying
from vitpose_ros.core.boxes.objects import Objects
from vitpose_ros.core.captures import Capture
from vitpose_ros.core.pipeline import PosePipeline
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.tracks.tracker import Tracker
from vitpose_ros.core.tracks.tracks import TrackIds
from vitpose_ros.core.types import NO_BOXES
from vitpose_ros.demo.accuracy import load_truth, match_poses, object_keypoint_similarity

STEP_NS = 100_000_000
SIZE = 640, 480
TRACKED = TrackOptions(tracking='on')


def poses_at(*boxes, ids=()):
    """Return poses whose keypoints are spread over their boxes, as (x, y, width, height)."""
    corners = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float32)
    frame = Frame(
        np.zeros((SIZE[1], SIZE[0], 3), np.uint8), corners, 'rgb', ['coco'] * len(boxes),
        ['person'] * len(boxes), list(ids), [0.8] * len(boxes),
    )  # fmt: skip
    poses = Poses.to_be_filled(frame, ['coco'] * len(boxes), with_spread=False)
    parts = np.random.default_rng(0).uniform(0, 1, (17, 2))
    for row, (x, y, w, h) in enumerate(boxes):
        poses.keypoints[row] = parts * (w, h) + (x, y)
        poses.scores[row] = 0.9
    return poses


def followed(*frames):
    """Return the tracks of the last of some frames, and its poses."""
    tracker = Tracker(TrackIds('r'), TRACKED)
    for index, poses in enumerate(frames):
        tracks = tracker.update(index * STEP_NS, poses)
    return tracks, tracks.named(poses)


def test_boxes_go_on_as_fast_as_they_went():
    frames = [poses_at((100 + 10 * i, 100, 50, 120), (400, 90, 60, 150)) for i in range(8)]
    tracks, poses = followed(*frames)
    found = carrying.expected(tracks, poses, 9 * STEP_NS)
    assert found.boxes[0] == pytest.approx([190, 100, 240, 220], abs=2)
    assert found.boxes[1] == pytest.approx([400, 90, 460, 240], abs=1)
    assert list(found.track_ids) == list(poses.track_ids) == ['r_1', 'r_2']
    assert found.class_names == ['person'] * 2 and found.scores == pytest.approx([0.8] * 2)


def test_who_leaves_the_image_is_not_looked_for():
    tracks, poses = followed(*[poses_at((480 + 40 * i, 100, 50, 120)) for i in range(3)])
    assert len(carrying.expected(tracks, poses, 3 * STEP_NS)) == 1
    assert len(carrying.expected(tracks, poses, 4 * STEP_NS)) == 0


def test_who_was_not_seen_last_is_not_looked_for():
    both = [poses_at((100, 100, 50, 120), (400, 90, 60, 150))] * 4
    tracks, poses = followed(*both, poses_at((100, 100, 50, 120)))
    assert len(tracks) == 2
    assert carrying.expected(tracks, poses, 5 * STEP_NS).boxes[:, 0] == pytest.approx([100], abs=1)


def test_who_has_too_low_a_score_for_a_track_is_looked_for_too():
    boxes = (100, 100, 50, 120), (400, 90, 60, 150)
    unsure = replace(poses_at(*boxes), box_scores=np.array([0.8, 0.35], np.float32))
    tracks, poses = followed(unsure, unsure)
    assert len(tracks) == 1 and list(poses.track_ids) == ['r_1', '']
    found = carrying.expected(tracks, poses, 2 * STEP_NS)
    assert found.boxes.round().tolist() == [[100, 100, 150, 220], [400, 90, 460, 240]]
    assert list(found.track_ids) == ['r_1', ''] and found.scores[1] == pytest.approx(0.35)


def test_a_box_moves_and_grows_with_the_keypoints():
    before = poses_at((100, 100, 50, 120), ids=['a'])
    after = poses_at((90, 110, 55, 132), ids=['a'])
    there = replace(after, boxes=np.array([[0, 0, 10, 10]], np.float32))
    assert carrying.moved(before, there).boxes[0] == pytest.approx(after.boxes[0], abs=0.01)


def test_a_box_whose_keypoints_tell_nothing_stays():
    before, after = (poses_at((100 + x, 100, 50, 120), ids=['a']) for x in (0, 30))
    for spoilt in (replace(after, scores=0.01 * after.scores), replace(after, track_ids=['b'])):
        assert carrying.moved(before, spoilt).boxes.tolist() == after.boxes.tolist()


def test_without_tracks_nothing_is_carried():
    with pytest.raises(OptionError, match=r'detector_every is 3, and tracking is .off.; set'):
        PosePipeline(None, TrackOptions(tracking='off'), detector=Scripted([]), detector_every=3)


class Scripted:
    """Tells of true boxes, and counts how many frames it looked at."""

    kind = 'scripted'
    warning = ''

    def __init__(self, boxes):
        self.boxes = boxes
        self.looked = 0

    def find(self, frames, min_score):  # noqa: ARG002 - as a detector has it
        self.looked += len(frames)
        found = [self.boxes[int(frame.image[0, 0, 0])] for frame in frames]
        return [
            Objects(own, np.full(len(own), 0.9, np.float32), ['person', 'person', 'chair'])
            for own in found
        ]


def images_of(count):
    """Return images that tell their number, and the boxes in them: two people and a chair."""
    images = [np.full((480, 640, 3), index, np.uint8) for index in range(count)]
    boxes = [
        np.array(
            [[100 + 5 * i, 100, 160 + 5 * i, 260], [300, 80, 380, 300], [0, 0, 50, 50]], np.float32
        )
        for i in range(count)
    ]
    return images, boxes


@pytest.mark.parametrize('every', [1, 3])
def test_a_detector_looks_at_every_nth_frame_of_each_camera(every):
    images, boxes = images_of(9)
    detector = Scripted(boxes)
    estimator = PoseEstimator.load('nano', 'cpu', backend='torch', precision='float32')
    pipeline = PosePipeline(estimator, TRACKED, detector=detector, detector_every=every, run='r')
    captures = [
        Capture(Frame(image, NO_BOXES), index * STEP_NS, camera)
        for index, image in enumerate(images)
        for camera in ('front', 'rear')
    ]
    sightings = pipeline.process(captures)
    assert detector.looked == 2 * 9 / every
    assert [sighting.camera for sighting in sightings] == ['front', 'rear'] * 9
    for index, sighting in enumerate(sightings):
        assert len(sighting.poses) == 2, 'a chair has no keypoints'
        if index // 2 % every == 0:
            assert sighting.poses.boxes.tolist() == boxes[index // 2][:2].tolist()
    assert len({name for own in sightings for name in own.poses.track_ids}) == 4


def test_an_error_of_the_detector_leaves_the_count_as_it_was():
    images, boxes = images_of(4)
    detector = Scripted(boxes)
    pipeline = PosePipeline(
        PoseEstimator.load('nano', 'cpu', backend='torch', precision='float32'), TRACKED,
        detector=detector, detector_every=2, run='r',
    )  # fmt: skip
    captures = [
        Capture(Frame(image, NO_BOXES), index * STEP_NS) for index, image in enumerate(images)
    ]
    pipeline.process(captures[:2])
    boxes[2] = None
    with pytest.raises(TypeError):
        pipeline.process(captures[2:3])
    boxes[2] = boxes[1]
    pipeline.process(captures[2:])
    assert detector.looked == 1 + 2


class Truthful(Scripted):
    """Tells of the true boxes of one frame after the other."""

    def find(self, frames, min_score):  # noqa: ARG002 - as a detector has it
        self.looked += len(frames)
        found = [self.boxes[frame.image.tobytes()] for frame in frames]
        return [
            Objects(own, np.full(len(own), 0.9, np.float32), ['person'] * len(own))
            for own in found
        ]


def test_carried_boxes_cost_hardly_any_accuracy():
    clip = Path(demo.__file__).parent / 'data' / 'demo_clip.mp4'
    truth = load_truth(clip.with_suffix('.json'))[:45]
    capture = cv2.VideoCapture(str(clip))
    images = [capture.read()[1] for _ in truth]
    step_ns = round(1e9 / capture.get(cv2.CAP_PROP_FPS))
    boxes = {
        image.tobytes(): np.array([person.box for person in people], np.float32).reshape(-1, 4)
        for image, people in zip(images, truth, strict=True)
    }
    estimator = PoseEstimator.load('nano', 'cpu', backend='torch', precision='float32')
    scores = {}
    for every in (1, 3):
        detector = Truthful(boxes)
        pipeline = PosePipeline(
            estimator, TRACKED, detector=detector, detector_every=every, run='r'
        )
        sightings = pipeline.process(
            [
                Capture(Frame(image, NO_BOXES, 'bgr'), index * step_ns)
                for index, image in enumerate(images)
            ]
        )
        assert detector.looked == -(-len(images) // every)
        likeness = []
        for people, sighting in zip(truth, sightings, strict=True):
            subjects = [
                SimpleNamespace(x=points[:, 0], y=points[:, 1], skeleton='coco')
                for points in sighting.poses.keypoints
            ]
            pairs = match_poses(people, subjects, SKELETONS)
            found = [
                object_keypoint_similarity(person, pose, SKELETONS['coco'])
                for person, pose in pairs
            ]
            likeness += found + [0.0] * (len(people) - len(found))
        scores[every] = np.mean(likeness)
    print(scores)
    assert scores[3] > scores[1] - 0.02 and scores[1] > 0.8
