"""From images and depth to people: what the parts make together."""

from dataclasses import replace

import numpy as np
import pytest
from geometry.beads import CAMERA, SIZE, joints_of, person, plane, poses_of

from vitpose_ros.core import Frame, FrameError, PoseEstimator
from vitpose_ros.core.captures import Capture
from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import MEASURED
from vitpose_ros.core.pipeline import PosePipeline
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.tracks.tracks import LOST, PREDICTED, TRACKED

STEP_NS = 66_666_667
IMAGE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
PLAIN = TrackOptions(smoothing_3d='off')


def pose_of(x, y=0.0, z=0.0, *, turned=0.0):
    """Return the pose (4, 4) of a camera: where it is, and how far it is turned to its right."""
    c, s = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    found = np.eye(4)
    found[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    found[:3, 3] = x, y, z
    return found


def seen_by(pose, *people):
    """Return the joints (k, 3) of people in the optical frame of a camera."""
    inverse = np.linalg.inv(pose)
    return [joints @ inverse[:3, :3].T + inverse[:3, 3] for joints in people]


def capture_of(index, people, *, camera='', pose=None, depth=True):
    """Return a capture of people (joints in the world), and their poses."""
    own = seen_by(np.eye(4) if pose is None else pose, *people)
    images = [plane(6.0)] + [person(joints) for joints in own]
    capture = Capture(
        Frame(IMAGE, np.zeros((0, 4))),
        index * STEP_NS,
        camera,
        CAMERA,
        Depth(np.minimum.reduce(images), CAMERA) if depth else None,
        pose,
    )
    return capture, poses_of(*own)


def pipeline(options=PLAIN):
    return PosePipeline(None, options, run='r1')


def test_a_walker_has_joints_a_lasting_id_and_a_velocity():
    follow, ids = pipeline(), set()
    for index in range(15):
        joints = joints_of(at=(-0.7 + 0.08 * index, 0.2, 2.5))
        sighting = follow.follow(*capture_of(index, [joints], pose=np.eye(4)))
        ids.add(sighting.poses.track_ids[0])
        measured = sighting.joints.states[0] == MEASURED
        errors = np.linalg.norm(sighting.joints.points[0] - joints, axis=1)[measured]
        assert measured.sum() >= 13 and errors.max() < 0.06
    assert ids == {'r1_1'}
    assert sighting.kinds == (('', 'coco'),)
    assert sighting.tracks.space_velocities[0] == pytest.approx([1.2, 0, 0], abs=0.1)
    assert sighting.people.ids == ('r1_1',)


def test_joints_are_in_the_fixed_frame():
    joints = joints_of(at=(0.3, 0.2, 2.8))
    for x, turned in ((0.0, 0.0), (0.5, -10.0)):
        pose = pose_of(x, turned=turned)
        found = pipeline().follow(*capture_of(0, [joints], pose=pose)).joints
        assert np.nanmedian(np.linalg.norm(found.points[0] - joints, axis=1)) < 0.04


def test_who_is_hidden_is_told_with_class_and_skeleton():
    follow = pipeline()
    people = [joints_of(at=(-0.6, 0.2, 2.5)), joints_of(at=(0.6, 0.2, 2.5))]
    for index in range(5):
        follow.follow(*capture_of(index, people, pose=np.eye(4)))
    sighting = follow.follow(*capture_of(5, people[:1], pose=np.eye(4)))
    assert sorted(sighting.tracks.states.tolist()) == [TRACKED, PREDICTED]
    assert sighting.kinds == (('', 'coco'), ('', 'coco'))
    later = follow.follow(*capture_of(100, people[:1], pose=np.eye(4)))
    assert LOST in later.tracks.states
    last = follow.follow(*capture_of(101, people[:1], pose=np.eye(4)))
    assert len(last.kinds) == len(last.tracks)


def test_two_cameras_that_see_one_person_tell_of_one():
    follow = pipeline()
    front, left = pose_of(0.0), pose_of(0.4, turned=-10.0)
    for index in range(12):
        joints = joints_of(at=(-0.3 + 0.05 * index, 0.2, 2.6))
        for camera, pose in (('front', front), ('left', left)):
            people = follow.follow(*capture_of(index, [joints], camera=camera, pose=pose)).people
    told = people.states != LOST
    assert told.sum() == 1
    assert len(people.views[int(np.flatnonzero(told)[0])]) == 2


def test_a_camera_whose_clock_is_behind_is_told_to_be():
    follow, joints = pipeline(), joints_of(at=(0.0, 0.2, 2.5))
    for index in range(5):
        late = follow.follow(*capture_of(index, [joints], camera='late', pose=np.eye(4)))
        ahead = follow.follow(*capture_of(index + 45, [joints], camera='front', pose=np.eye(4)))
    assert not follow.is_too_old(ahead)
    assert follow.is_too_old(late) and late.people.stamp_ns - late.stamp_ns == 44 * STEP_NS


def test_two_cameras_without_a_common_frame_have_no_common_list():
    follow = pipeline()
    for camera in ('front', 'left'):
        joints = joints_of(at=(0.0, 0.2, 2.5))
        sighting = follow.follow(*capture_of(0, [joints], camera=camera))
        assert sighting.people is None and sighting.joints is not None


def test_a_frame_of_a_camera_whose_place_is_not_known_has_no_joints():
    follow, joints = pipeline(), joints_of(at=(0.0, 0.2, 2.5))
    assert follow.follow(*capture_of(0, [joints], pose=np.eye(4))).joints is not None
    sighting = follow.follow(*capture_of(1, [joints]))
    assert sighting.joints is None
    assert sighting.poses.track_ids == ['r1_1']
    assert follow.follow(*capture_of(2, [joints], pose=np.eye(4))).joints is not None


@pytest.mark.parametrize('lacks', ['depth', 'pose'])
def test_people_whose_place_nobody_measures_do_not_run_away(lacks):
    """They leave the list, without being lost; in the image they are followed on, and return."""
    follow, told = pipeline(), []
    missing = {'depth': False} if lacks == 'depth' else {'pose': None}
    for index in range(60):
        given = {'pose': np.eye(4)} | (missing if index >= 15 else {})
        joints = joints_of(at=(-0.7 + 0.08 * min(index, 15), 0.2, 2.5))
        sighting = follow.follow(*capture_of(index, [joints], **given))
        told += zip(sighting.people.ids, sighting.people.states.tolist(), strict=True)
        known = sighting.tracks.positions[0]
        assert np.isnan(known[0]) or known[0] == pytest.approx(joints[11:13, 0].mean(), abs=1.3)
    assert told == [('r1_1', TRACKED)] * len(told)
    assert 15 + 12 <= len(told) <= 15 + 18  # for about a second they are foreseen
    assert sighting.poses.track_ids == ['r1_1'] and np.isnan(sighting.tracks.positions).all()
    sighting = follow.follow(*capture_of(60, [joints], pose=np.eye(4)))
    assert sighting.people.ids == ('r1_1',) and sighting.people.states.tolist() == [TRACKED]


def test_without_tracking_poses_are_handed_on_as_they_are():
    capture, poses = capture_of(0, [joints_of(at=(0.0, 0.2, 2.5))], depth=False)
    poses = replace(poses, track_ids=['7'])
    sighting = pipeline(TrackOptions(tracking='off')).follow(capture, poses)
    assert sighting.poses is poses
    assert (sighting.joints, sighting.tracks, sighting.people) == (None, None, None)


def test_without_tracking_depth_still_gives_joints():
    capture, poses = capture_of(0, [joints_of(at=(0.0, 0.2, 2.5))], pose=np.eye(4))
    sighting = pipeline(TrackOptions(tracking='off')).follow(capture, poses)
    assert (sighting.joints.states[0] == MEASURED).sum() >= 13


def test_the_same_captures_give_the_same_people():
    def run():
        follow, random, out = (
            pipeline(TrackOptions(smoothing='strong')),
            np.random.default_rng(1),
            [],
        )
        for index in range(10):
            joints = joints_of(at=(-0.4 + 0.08 * index, 0.2, 2.5))
            capture, poses = capture_of(index, [joints], pose=np.eye(4))
            noise = random.normal(0, 2, poses.keypoints.shape).astype(np.float32)
            sighting = follow.follow(capture, replace(poses, keypoints=poses.keypoints + noise))
            out.append((sighting.poses.keypoints, sighting.joints.points, sighting.people))
        return out

    for one, other in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
        assert one[2].ids == other[2].ids
        np.testing.assert_array_equal(one[2].positions, other[2].positions)


@pytest.mark.parametrize('pose', [np.full((4, 4), np.nan), np.eye(3)])
def test_a_pose_that_is_none_is_refused(pose):
    with pytest.raises(FrameError, match='4 x 4 finite numbers'):
        Capture(Frame(IMAGE, np.zeros((0, 4))), 0, pose=pose)


@pytest.mark.parametrize('option', ['smoothing', 'smoothing_3d'])
def test_smoothing_calms_who_stands(option):
    capture, poses = capture_of(0, [joints_of(at=(0.0, 0.2, 2.5))], pose=np.eye(4))
    jitter = {}
    for strength in ('off', 'light', 'strong'):
        follow = pipeline(TrackOptions(**{'smoothing_3d': 'off', option: strength}))
        random, places = np.random.default_rng(2), []
        for index in range(40):
            noise = random.normal(0, 1.5, poses.keypoints.shape).astype(np.float32)
            trembling = replace(poses, keypoints=poses.keypoints + noise)
            now = replace(capture, stamp_ns=index * STEP_NS)
            sighting = follow.follow(now, trembling)
            own = sighting.poses.keypoints if option == 'smoothing' else sighting.joints.points
            places.append(own[0])
        jitter[strength] = np.nanmedian(np.abs(np.diff(places[10:], axis=0)))
    assert jitter['light'] < jitter['off'] / 2
    assert jitter['strong'] < jitter['light']


def test_captures_share_passes_and_give_what_the_estimator_gives(nano):
    boxes = np.array([[20, 20, 120, 220], [200, 30, 300, 230]], float)
    image = np.random.default_rng(3).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    captures = [Capture(Frame(image, boxes), 0, name) for name in ('front', 'rear')]
    found = PosePipeline(nano, TrackOptions(tracking='off')).process(captures)
    [expected] = nano.predict([Frame(image, boxes)])
    assert [own.camera for own in found] == ['front', 'rear']
    for own in found:
        np.testing.assert_allclose(own.poses.keypoints, expected.keypoints, atol=1e-3)


@pytest.fixture(scope='module')
def nano():
    return PoseEstimator.load('nano', device='cpu')
