"""Who is who: what a tracker must keep, tell and forget."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from detector import NOISY, TRUE
from figures import SHAPE, ns, poses
from street import CAMERA, Walker, look, pose_at, sequence

from vitpose_ros.core import OptionError
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.tracks.tracker import Tracker
from vitpose_ros.core.tracks.tracks import LOST, PREDICTED, TENTATIVE, TRACKED, TrackIds


def tracker(**options):
    return Tracker(TrackIds('a'), TrackOptions(**options))


def said(tracks):
    return dict(zip(tracks.ids, tracks.states.tolist(), strict=True))


@dataclass
class InSpace:
    position: np.ndarray
    position_covariance: np.ndarray


def in_space(*places, sigma=0.05):
    return InSpace(np.array(places, float), np.tile(np.eye(3) * sigma**2, (len(places), 1, 1)))


def test_somebody_new_is_tentative_until_seen_often_enough():
    one = tracker(confirm_after=3)
    states = [said(one.update(ns(t / 10), poses((300, 300, 200))))['a_1'] for t in range(4)]
    assert states == [TENTATIVE, TENTATIVE, TRACKED, TRACKED]
    assert said(tracker(confirm_after=1).update(ns(0), poses((300, 300, 200)))) == {'a_1': TRACKED}


def test_what_was_seen_once_is_lost_soon_and_told_once():
    one = tracker()
    one.update(ns(0), poses((300, 300, 200)))
    assert said(one.update(ns(0.1), poses())) == {'a_1': TENTATIVE}
    assert said(one.update(ns(0.2), poses())) == {'a_1': LOST}
    assert said(one.update(ns(0.3), poses())) == {}


def walk(one, seconds, *, x=200.0, speed=150.0, start=0.0, **said_of):
    for t in np.arange(start, seconds, 1 / 15):
        tracks = one.update(ns(t), poses((x + speed * t, 300, 200), **said_of))
    return tracks


def test_who_is_hidden_goes_on_and_keeps_the_id_until_the_timeout():
    one = tracker(track_timeout_s=1.0)
    walk(one, 2.0)
    for t in (2.0, 2.4, 2.8):
        tracks = one.update(ns(t), poses())
        assert said(tracks) == {'a_1': PREDICTED} and tracks.indices.tolist() == [-1]
        assert (tracks.boxes[0, 0] + tracks.boxes[0, 2]) / 2 == pytest.approx(200 + 150 * t, abs=8)
        assert tracks.velocities[0, 0] == pytest.approx(150, rel=0.05)
        assert tracks.hidden_s[0] == pytest.approx(t - 29 / 15, abs=1e-3)
    assert said(one.update(ns(2.85), poses((200 + 150 * 2.85, 300, 200)))) == {'a_1': TRACKED}
    one.update(ns(2.9), poses())
    assert said(one.update(ns(3.9), poses())) == {'a_1': LOST}
    assert said(one.update(ns(4.0), poses())) == {}


def test_a_track_that_timed_out_is_not_revived_by_the_frame_that_tells_it():
    one = tracker(track_timeout_s=1.0)
    walk(one, 1.0, speed=0)
    tracks = one.update(ns(60), poses((200, 300, 200)))
    assert said(tracks) == {'a_1': LOST, 'a_2': TENTATIVE}


@pytest.mark.parametrize(('timeout', 'step'), [(0.0, 1 / 15), (0.05, 1 / 15), (2.0, 2.5)])
def test_who_is_in_every_frame_keeps_the_id_however_far_apart_frames_are(timeout, step):
    one = tracker(track_timeout_s=timeout)
    for frame in range(10):
        tracks = one.update(ns(frame * step), poses((300 + frame, 300, 200)))
    assert len(tracks) == 1 and tracks.ids in {('a_1',), ('a_2',)}  # the first step may be a gap
    one.update(ns(10 * step), poses())
    assert said(one.update(ns(11 * step), poses()))[tracks.ids[0]] == LOST


@pytest.mark.parametrize('jump', [-0.5, -100.0])
def test_a_clock_that_jumps_back_begins_anew(jump):
    one = tracker()
    walk(one, 1.0, speed=0)
    tracks = one.update(ns(1.0 + jump), poses((200, 300, 200)))
    assert said(tracks) == {'a_1': LOST, 'a_2': TENTATIVE}
    assert said(one.update(ns(1.07 + jump), poses((200, 300, 200)))) == {'a_2': TRACKED}


def test_frames_that_come_twice_or_out_of_order_end_nothing():
    one = tracker()
    walk(one, 1.0, speed=0)
    for t in (1.0, 1.0, 0.95, 1.05):
        assert said(one.update(ns(t), poses((200, 300, 200)))) == {'a_1': TRACKED}


def test_a_stamp_that_comes_twice_ends_nothing_where_the_timeout_is_short():
    one = tracker(track_timeout_s=0.05)
    before = said(walk(one, 1.0, speed=0))
    assert list(before.values()) == [TRACKED]
    for t in (14 / 15, 14 / 15, 15 / 15):
        assert said(one.update(ns(t), poses((200, 300, 200)))) == before


def test_stamps_may_be_irregular():
    one, rng, t = tracker(), np.random.default_rng(0), 0.0
    for _ in range(40):
        tracks = one.update(ns(t), poses((100 + 120 * t, 300, 200), (1100 - 120 * t, 320, 210)))
        t += rng.choice((0.01, 0.05, 0.3, 0.6))
    assert set(said(tracks)) == {'a_1', 'a_2'}


def test_who_steps_before_somebody_at_the_border_is_somebody_else():
    def cut(box):
        seen = poses(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[3] - box[1]))
        scores = np.where(np.arange(seen.scores.shape[1]) < 2, seen.scores, 0)
        return replace(seen, boxes=np.array([box], np.float32), scores=scores)

    one = tracker()
    for t in range(5):
        tracks = one.update(ns(t / 15), cut((600, 220, 639, 400)))
    assert said(tracks) == {'a_1': TRACKED}
    tracks = one.update(ns(5 / 15), cut((604, 50, 639, 479)))
    assert said(tracks) == {'a_1': PREDICTED, 'a_2': TENTATIVE}


def test_two_boxes_of_one_person_are_one_track():
    one = tracker()
    for t in range(5):
        tracks = one.update(
            ns(t / 15),
            poses((300, 300, 200), (303, 301, 202), (306, 300, 199), scores=[0.8, 0.9, 0.7]),
        )
    assert said(tracks) == {'a_1': TRACKED} and tracks.indices.tolist() == [1]


def test_two_people_behind_each_other_are_two():
    one = tracker()
    for t in range(5):
        tracks = one.update(ns(t / 15), poses((300, 300, 200), (335, 300, 200)))
    assert said(tracks) == {'a_1': TRACKED, 'a_2': TRACKED}


def test_low_scores_prolong_tracks_and_begin_none():
    one = tracker()
    assert said(one.update(ns(0), poses((300, 300, 200), scores=[0.4]))) == {}
    walk(one, 1.0, speed=0, start=0.1, scores=[0.9])
    tracks = one.update(ns(1.1), poses((200, 300, 200), (700, 300, 200), scores=[0.3, 0.3]))
    assert said(tracks) == {'a_1': TRACKED} and tracks.indices.tolist() == [0]
    assert said(one.update(ns(1.2), poses((200, 300, 200), scores=[0.05]))) == {'a_1': PREDICTED}


def test_what_a_low_score_is_can_be_told():
    one = tracker(track_high_score=0.3, track_low_score=0.2)
    assert said(walk(one, 1.0, scores=[0.35])) == {'a_1': TRACKED}
    assert said(one.update(ns(1.1), poses((300, 300, 200), scores=[0.15]))) == {'a_1': PREDICTED}


def test_boxes_without_scores_and_without_keypoints_are_followed_too():
    one = tracker()
    tracks = walk(one, 2.0, keypoints=False)
    assert said(tracks) == {'a_1': TRACKED}
    assert said(walk(tracker(), 2.0, scores=[float('nan')])) == {'a_1': TRACKED}


def test_a_dog_does_not_become_the_person_beside_it():
    one = tracker()
    for t in range(3):
        one.update(ns(t / 15), poses((300, 300, 200), skeletons=['coco']))
    tracks = one.update(ns(3 / 15), poses((300, 300, 200), skeletons=['ap10k']))
    assert said(tracks) == {'a_1': PREDICTED, 'a_2': TENTATIVE}


def test_skeletons_of_all_sizes_come_and_go():
    one = tracker()
    people = (300, 300, 200), (600, 300, 200), (900, 300, 200)
    for t, names in enumerate(
        [('coco', 'mpii', 'ap10k'), ('wholebody', 'mpii', 'ap10k'), ('coco', 'wholebody', 'ap10k')]
    ):
        tracks = one.update(ns(t / 15), poses(*people, skeletons=names))
    assert said(tracks) == dict.fromkeys(('a_1', 'a_2', 'a_3'), TRACKED)


def test_the_number_of_tracks_is_bounded_and_those_hidden_longest_go_first():
    one = tracker(max_tracks=3)
    places = [(150 + 150 * i, 300, 200) for i in range(6)]
    for t in range(3):
        one.update(ns(t / 15), poses(*places[:3]))
    one.update(ns(3 / 15), poses(*places[1:3]))
    one.update(ns(4 / 15), poses(places[2]))
    tracks = one.update(ns(5 / 15), poses(places[2], places[4], places[5], scores=[0.9, 0.9, 0.6]))
    expected = {'a_1': LOST, 'a_2': LOST, 'a_3': TRACKED, 'a_4': TENTATIVE, 'a_5': TENTATIVE}
    assert said(tracks) == expected
    tracks = one.update(ns(6 / 15), poses(*places[2:], scores=[0.9] * 4))
    assert said(tracks) == {'a_3': TRACKED, 'a_4': TRACKED, 'a_5': TRACKED}


def test_the_detectors_own_ids_are_taken():
    one = tracker(tracking='detections')
    tracks = one.update(ns(0), poses((300, 300, 200), (600, 300, 200), ids=['7', '']))
    assert said(tracks) == {'7': TRACKED} and tracks.indices.tolist() == [0]
    # However far it is, and whatever its score; of two with one id the better counts.
    seen = poses((900, 300, 200), (610, 300, 200), ids=['7', '7'], scores=[0.1, 0.2])
    tracks = one.update(ns(0.1), seen)
    assert said(tracks) == {'7': TRACKED} and tracks.indices.tolist() == [1]
    assert said(one.update(ns(0.2), poses((300, 300, 200)))) == {'7': PREDICTED}
    assert said(one.update(ns(9), poses((300, 300, 200), ids=['8']))) == {'7': LOST, '8': TRACKED}
    # After a jump of the clock the same id begins anew, told as what it is.
    assert said(one.update(ns(1), poses((300, 300, 200), ids=['8']))) == {'8': TRACKED}


def test_off_makes_no_tracker():
    with pytest.raises(OptionError, match="tracking is 'off'; a Tracker takes"):
        tracker(tracking='off')


def test_the_same_frames_give_the_same_tracks():
    rng = [np.random.default_rng(1) for _ in range(2)]
    both = [tracker(), tracker()]
    for sight in sequence(3, seconds=3.0):
        first, second = (
            one.update(ns(sight.stamp_s), NOISY.poses(sight, r)[0])
            for one, r in zip(both, rng, strict=True)
        )
        assert first.ids == second.ids and np.array_equal(first.boxes, second.boxes)


def test_a_camera_that_turns_fast_confuses_nobody_where_its_pose_is_known():
    # People a metre apart, and a turn of a metre a frame at their distance.
    walkers = [Walker([0], [(x, 5.0)]) for x in (-1.0, 0.0, 1.0)]
    poses_of = [pose_at(yaw=0.19 * np.sign(np.sin(1.3 * i)) * (i % 2)) for i in range(12)]
    known, unknown = tracker(), tracker()
    owner, mixed = {}, 0
    for i, pose in enumerate(poses_of):
        sight = look(walkers, i / 10, pose)
        seen, rows = TRUE.poses(sight, np.random.default_rng(0))
        tracks = known.update(ns(i / 10), seen, camera=CAMERA, camera_pose=pose)
        assert tracks.ids_of_poses(len(seen)) == [f'a_{row + 1}' for row in rows]
        for row, name in zip(
            rows, unknown.update(ns(i / 10), seen).ids_of_poses(len(seen)), strict=True
        ):
            mixed += owner.setdefault(name, row) != row
    assert mixed > 0


def test_a_camera_that_drives_past_moves_the_near_more_than_the_far():
    # Hidden from all for half a second, while the camera drives half a metre to the side.
    walkers = [Walker([0], [(0.0, 2.0)]), Walker([0], [(0.6, 6.0)])]
    one = tracker()
    for i in range(20):
        pose = pose_at(x=0.05 * i)
        sight = look(walkers, i / 15, pose)
        seen, rows = TRUE.poses(sight, np.random.default_rng(0))
        if 10 <= i < 18:
            seen, rows = seen[:0], rows[:0]
        where = in_space(*sight.joints[rows].mean(axis=1)) if len(rows) else None
        tracks = one.update(ns(i / 15), seen, positions=where, camera=CAMERA, camera_pose=pose)
    for track, person in zip(tracks.boxes, sight.boxes, strict=True):
        assert track == pytest.approx(person, abs=1)
    # Before they came back, they were predicted there.
    assert said(tracks) == {'a_1': TRACKED, 'a_2': TRACKED}
    assert np.abs(tracks.space_velocities).max() < 0.1


def test_hidden_boxes_move_with_the_camera():
    walkers = [Walker([0], [(0.0, 2.0)])]
    one = tracker()
    for i in range(16):
        pose = pose_at(x=0.04 * i, yaw=-0.01 * i)
        sight = look(walkers, i / 15, pose)
        seen, _ = TRUE.poses(sight, np.random.default_rng(0))
        where = in_space(sight.joints[0].mean(axis=0))
        if i >= 10:
            seen, where = seen[:0], None
        tracks = one.update(ns(i / 15), seen, positions=where, camera=CAMERA, camera_pose=pose)
    assert said(tracks) == {'a_1': PREDICTED}
    assert tracks.boxes[0] == pytest.approx(sight.boxes[0], abs=15)


def test_positions_are_in_the_fixed_frame_and_have_velocities():
    walker = Walker([0, 10], [(-1.0, 4.0), (4.0, 4.0)])
    one = tracker()
    for i in range(30):
        pose = pose_at(x=0.3, yaw=0.02 * i)
        sight = look([walker], 1 + i / 15, pose)
        where = in_space(sight.joints[0, 11:13].mean(axis=0), sigma=0.02)
        seen, _ = TRUE.poses(sight, np.random.default_rng(0))
        tracks = one.update(ns(i / 15), seen, positions=where, camera=CAMERA, camera_pose=pose)
    assert tracks.positions[0, :2] == pytest.approx(walker.place(1 + 29 / 15), abs=0.03)
    assert tracks.space_velocities[0] == pytest.approx([0.5, 0, 0], abs=0.12)
    sigma = np.sqrt(np.diag(tracks.position_covariances[0]))
    assert (sigma < 0.06).all() and (sigma > 0.01).all()
    nowhere = one.update(ns(2.0), seen, positions=where)  # its frame is not known this time
    assert nowhere.positions[0, 0] == pytest.approx(tracks.positions[0, 0] + 0.03, abs=0.02)


def test_places_that_come_seldom_have_velocities():
    """Once in 1.5 s, as with a large network on a processor."""
    one = tracker(track_timeout_s=5.0)
    for frame in range(8):
        t = 1.5 * frame
        tracks = one.update(
            ns(t), poses((300 + 20 * frame, 300, 200)), positions=in_space((0.2 * t, 0, 3))
        )
    assert tracks.space_velocities[0] == pytest.approx([0.2, 0, 0], abs=0.05)


def test_who_is_hidden_for_long_is_expected_to_have_stopped():
    one = tracker(track_timeout_s=20.0)
    for frame in range(20):
        t = frame / 10
        one.update(ns(t), poses((300, 300, 200)), positions=in_space((t, 0, 3)))
    for frame in range(20, 100):
        tracks = one.update(ns(frame / 10), poses())
    assert tracks.states.tolist() == [PREDICTED]
    assert tracks.positions[0, 0] == pytest.approx(1.9 + 2, abs=0.3)
    assert np.sqrt(tracks.position_covariances[0, 0, 0]) > 2  # where that is, is not sure


def test_who_changes_places_in_the_image_is_told_by_the_distance():
    # Two equal figures side by side, one twice as far: in the last frame only depth differs.
    seen = poses((600, 360, 300), (640, 360, 300))
    near, far = (0.0, 0.0, 2.0), (0.05, 0.0, 4.0)
    ids = []
    for last in ((near, far), (far, near)):
        one = tracker()
        for i in range(10):
            places = last if i == 9 else (near, far)
            tracks = one.update(ns(i / 15), seen, positions=in_space(*places, sigma=0.03))
        ids.append(tracks.ids_of_poses(2))
    assert ids == [['a_1', 'a_2'], ['a_2', 'a_1']]


def test_positions_of_nan_and_infinite_covariances_are_not_known():
    one = tracker()
    seen = poses((300, 300, 200), (700, 300, 200))
    for i in range(5):
        where = in_space((0, 0, 2), (1, 0, 2))
        where.position[0] = np.nan
        where.position_covariance[1] = np.inf
        tracks = one.update(ns(i / 15), seen, positions=where)
    assert said(tracks) == {'a_1': TRACKED, 'a_2': TRACKED}
    assert np.isnan(tracks.positions).all()


def test_nothing_warns_or_fails_for_any_numbers():
    rng = np.random.default_rng(5)
    one = tracker(max_tracks=20)
    with np.errstate(all='raise', under='ignore'):
        for i in range(80):
            people = [
                (rng.uniform(-100, 1400), rng.uniform(-50, 800), 10 ** rng.uniform(0.5, 3.5))
                for _ in range(rng.integers(0, 9))
            ]
            seen = poses(*people, scores=rng.uniform(0, 1, len(people)))
            seen.scores[rng.random(seen.scores.shape) < 0.3] = 0
            tracks = one.update(ns(i / 15 + rng.uniform(0, 0.05)), seen)
            assert np.isfinite(tracks.boxes).all() and len(tracks) <= 40
            assert (tracks.states != LOST).sum() <= 20


def owners(scene, detector):
    """Return who each track belonged to, in order of time, and how many frames had no track."""
    one, rng, owner, missing, frames = tracker(), np.random.default_rng(7), {}, 0, 0
    for sight in scene:
        seen, rows = detector.poses(sight, rng)
        names = one.update(ns(sight.stamp_s), seen).ids_of_poses(len(seen))
        for name, row in zip(names, rows, strict=True):
            if row >= 0:
                missing, frames = missing + (not name), frames + 1
                if name:
                    owner.setdefault(name, []).append(int(sight.ids[row]))
    return owner, missing / frames


@pytest.mark.parametrize('seed', [0, 1, 4])
def test_people_who_cross_hide_leave_and_come_back_keep_their_ids(seed):
    owner, missing = owners(sequence(seed), TRUE)
    people = {person for all_of_it in owner.values() for person in all_of_it}
    assert len(owner) == len(people) and missing < 0.01
    assert all(len(set(all_of_it)) == 1 for all_of_it in owner.values())


def test_a_detector_that_misses_and_jitters_confuses_few():
    owner, missing = owners(sequence(6), NOISY)
    right = sum(max(map(of.count, of)) for of in owner.values())
    assert right / sum(map(len, owner.values())) > 0.97 and missing < 0.1


def test_the_shape_of_these_tests_is_a_person():
    assert SHAPE.shape == (17, 2) and np.abs(SHAPE).max() < 0.5


def test_a_start_that_nobody_would_foresee_keeps_the_id():
    one = tracker()
    walk(one, 1.0, speed=0)
    assert said(one.update(ns(1.0), poses((230, 300, 200)))) == {'a_1': TRACKED}
