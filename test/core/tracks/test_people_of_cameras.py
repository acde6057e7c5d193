"""One list of people over cameras."""

from dataclasses import replace

import numpy as np
import pytest
from detector import TRUE
from figures import ns, poses
from street import CAMERA, Walker, look, pose_at

from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.tracks.people import PeopleTracker
from vitpose_ros.core.tracks.tracker import Tracker
from vitpose_ros.core.tracks.tracks import LOST, PREDICTED, TENTATIVE, TRACKED, TrackIds, Tracks
from vitpose_ros.core.tracks.views import Views, means


def tracks(t, *people, sigma=0.05):
    """Return the tracks of a camera: (id, x, y) or (id, x, y, state) each, metres."""
    count = len(people)
    states = [person[3] if len(person) > 3 else TRACKED for person in people]
    positions = np.array([(*person[1:3], 1.0) for person in people], float).reshape(count, 3)
    return Tracks(
        stamp_ns=ns(t),
        ids=tuple(person[0] for person in people),
        states=np.array(states, np.uint8),
        indices=np.arange(count),
        boxes=np.zeros((count, 4), np.float32),
        velocities=np.zeros((count, 2), np.float32),
        hidden_s=np.zeros(count, np.float32),
        positions=positions,
        position_covariances=np.tile(np.eye(3) * sigma**2, (count, 1, 1)),
        space_velocities=np.zeros((count, 3)),
        space_velocity_covariances=np.tile(np.eye(3) * 0.04, (count, 1, 1)),
    )


def said(people):
    return dict(zip(people.ids, people.states.tolist(), strict=True))


def of_views(people):
    """Return the person that each view shows."""
    both = zip(people.ids, people.views, strict=True)
    return {view: person for person, views in both for view in views}


def test_who_is_in_both_views_is_one_and_between_what_both_tell():
    one = PeopleTracker()
    assert said(one.update('front', tracks(0, ('a_1', 2, 0)))) == {'a_1': TRACKED}
    people = one.update('left', tracks(0.02, ('a_2', 2.2, 0), ('a_3', 2, 3)))
    assert said(people) == {'a_1': TRACKED, 'a_3': TRACKED}
    assert set(people.views[0]) == {('front', 'a_1'), ('left', 'a_2')}
    assert people.positions[0] == pytest.approx([2.1, 0, 1], abs=0.01)
    assert np.sqrt(people.position_covariances[0, 0, 0]) == pytest.approx(0.05, abs=0.005)
    # The surer counts more.
    one = PeopleTracker()
    one.update('front', tracks(0, ('a_1', 2, 0), sigma=0.03))
    people = one.update('left', tracks(0, ('a_2', 2.2, 0), sigma=0.09))
    assert people.positions[0, 0] == pytest.approx((2 * 9 + 2.2) / 10)
    assert people.views[0] == (('front', 'a_1'), ('left', 'a_2'))


def test_the_mean_is_that_of_covariance_intersection():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 3, 3))
    covariances = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(3)
    values, group = rng.normal(size=(5, 3)), np.array([1, 0, 1, 1, 0])
    both = means(group, 2, np.stack((values, -values)), np.stack((covariances, covariances)))
    (places, mirrored), (spreads, _) = both
    assert np.allclose(mirrored, -places)
    for g in (0, 1):
        weights = np.linalg.inv(covariances[group == g])
        spread = np.linalg.inv(weights.mean(axis=0))
        expected = spread @ np.einsum('nij,nj->i', weights, values[group == g])
        assert np.allclose(spreads[g], spread)
        assert np.allclose(places[g], expected / (group == g).sum())


def test_who_walks_from_one_view_into_the_other_keeps_the_id():
    one = PeopleTracker()
    ids = set()
    for i in range(60):
        t, x = i / 15, -2 + i / 15
        if x < 0.3:
            ids |= set(one.update('left', tracks(t, ('a_1', x, 3))).ids)
        elif x < 1:  # hidden from the left camera, a while
            people = one.update('left', tracks(t, ('a_1', x, 3, PREDICTED)))
        else:
            people = one.update('left', tracks(t))
        if x > 0:
            people = one.update('right', tracks(t + 0.03, ('a_2', x + 0.05, 3)))
            ids |= set(people.ids)
    assert ids == {'a_1'} and people.views == ((('right', 'a_2'),),)


def test_two_who_stand_close_are_two_where_a_camera_sees_two():
    one = PeopleTracker()
    for i in range(20):
        one.update('front', tracks(i / 15, ('a_1', 2, 0), ('a_2', 2, 0.4)))
        people = one.update('left', tracks(i / 15, ('a_3', 2.05, 0.02), ('a_4', 2, 0.45)))
    assert said(people) == {'a_1': TRACKED, 'a_2': TRACKED}
    assert [set(views) for views in people.views] == [
        {('front', 'a_1'), ('left', 'a_3')},
        {('front', 'a_2'), ('left', 'a_4')},
    ]


def test_who_was_taken_for_one_wrongly_is_two_again():
    one = PeopleTracker()
    for i in range(60):
        away = max(0, i - 20) / 15
        one.update('front', tracks(i / 15, ('a_1', 2 - away, 0)))
        people = one.update('left', tracks(i / 15, ('a_2', 2.3 + away, 0)))
        if i == 5:
            assert said(people) == {'a_1': TRACKED}
    assert said(people) == {'a_1': TRACKED, 'a_2': TRACKED}


def test_who_stays_keeps_the_id_when_the_oldest_view_goes_far_away():
    one = PeopleTracker()
    for i in range(40):
        one.update('left', tracks(i / 15, ('a_1', 2 if i < 8 else 4, 0)))
        people = one.update('right', tracks(i / 15, ('a_2', 2, 0), ('a_3', 4.05, 0)))
        assert LOST not in people.states[[name == 'a_1' for name in people.ids]]
    person = of_views(people)
    assert said(people) == {'a_1': TRACKED, 'a_3': TRACKED}
    assert person['right', 'a_2'] == 'a_1'
    assert person['left', 'a_1'] == person['right', 'a_3'] == 'a_3'


NOWHERE = float('nan')


@pytest.mark.parametrize('camera', ['', 'front'])
def test_who_is_followed_without_a_place_comes_back_under_the_same_id(camera):
    one = PeopleTracker()
    for i in range(60):
        placed = i < 10 or i >= 45
        person = ('a_1', 2.0, 0.0) if placed else ('a_1', NOWHERE, NOWHERE)
        people = one.update(camera, tracks(i / 15, person))
        assert said(people) == ({'a_1': TRACKED} if placed else {})
    assert said(one.update(camera, tracks(4.0, ('a_1', NOWHERE, NOWHERE)))) == {}
    assert said(one.update(camera, tracks(4.1))) == {'a_1': LOST}, 'once the camera loses it'
    assert said(one.update(camera, tracks(4.2))) == {}


def test_whom_a_camera_follows_without_a_place_is_lost_when_that_camera_tells_no_more():
    one = PeopleTracker()
    one.update('front', tracks(0, ('a_1', 2.0, 0.0)))
    one.update('front', tracks(0.1, ('a_1', NOWHERE, NOWHERE)))
    lost = [
        t for t in range(10)
        if said(one.update('left', tracks(0.2 + t, ('a_2', 5, 0)))).get('a_1') == LOST
    ]  # fmt: skip
    assert len(lost) == 1


def test_who_is_seen_by_another_camera_meanwhile_is_one_again():
    one = PeopleTracker()
    for i in range(60):
        place = (2.0, 0.0) if i < 10 or i >= 45 else (NOWHERE, NOWHERE)
        one.update('front', tracks(i / 15, ('a_1', *place)))
        people = one.update('left', tracks(i / 15, ('a_2', 2.05, 0)))
        assert said(people) == {'a_1': TRACKED}
    assert set(people.views[0]) == {('front', 'a_1'), ('left', 'a_2')}


def test_the_oldest_view_goes_too_where_another_person_is_nearer():
    one = PeopleTracker()
    for i in range(20):
        one.update('left', tracks(i / 15, ('a_1', 2 if i < 8 else 2.5, 0)))
        people = one.update('right', tracks(i / 15, ('a_2', 2, 0), ('a_3', 2.55, 0)))
    person = of_views(people)
    assert said(people) == {'a_1': TRACKED, 'a_3': TRACKED}
    assert person['right', 'a_2'] == 'a_1', 'who was seen all the time keeps the id'
    assert person['left', 'a_1'] == person['right', 'a_3'] == 'a_3'


def test_an_id_that_was_told_to_be_lost_does_not_come_again():
    one, lost = PeopleTracker(), set()
    for i in range(90):
        apart = 1.5 if i < 10 or i >= 40 else 0.1
        one.update('front', tracks(i / 15, ('a_1', 2, 0)))
        people = one.update('left', tracks(i / 15, ('a_2', 2, apart)))
        told = said(people)
        assert not lost & {name for name, state in told.items() if state != LOST}
        lost |= {name for name, state in told.items() if state == LOST}
    assert lost == {'a_2'} and len(told) == 2 and 'a_1' in told


def test_a_view_goes_to_the_person_that_is_nearer():
    one = PeopleTracker()
    one.update('front', tracks(0, ('a_1', 2, 0)))
    one.update('left', tracks(0, ('a_2', 2.6, 0)))  # somebody else, whom only left sees yet
    for i in range(1, 20):
        one.update('left', tracks(i / 15, ('a_2', 2.6, 0)))
        people = one.update('front', tracks(i / 15, ('a_1', 2, 0), ('a_3', 2.6, 0)))
    assert sorted(len(views) for views in people.views) == [1, 2]
    by_view = of_views(people)
    assert by_view['left', 'a_2'] == by_view['front', 'a_3'] != by_view['front', 'a_1']


def test_cameras_may_have_other_rates_and_delays():
    one, rng, arrivals = PeopleTracker(), np.random.default_rng(1), []
    for camera, rate, delay in (('front', 15, 0.02), ('left', 7, 0.12)):
        for i in range(4 * rate):
            stamp = i / rate
            arrivals.append((stamp + delay + rng.uniform(0, 0.01), camera, stamp))
    for _, camera, stamp in sorted(arrivals):
        seen = tracks(stamp, (f'a_{camera}', 1.2 * stamp, 3), (f'b_{camera}', -1.2 * stamp, 5))
        seen.space_velocities[:, 0] = 1.2, -1.2
        people = one.update(camera, seen)
        newest = (people.stamp_ns - ns(0)) * 1e-9
        assert len(people) <= 2
        if stamp > 0.5:
            assert people.positions[0, 0] == pytest.approx(1.2 * newest, abs=0.02)


def test_a_camera_that_is_late_by_seconds_loses_nobody():
    one, told = PeopleTracker(), set()
    for frame in range(60):
        t = frame / 15
        told |= set(said(one.update('front', tracks(t, ('a_1', 2, 0)))).items())
        late = one.update('left', tracks(t - 1.2, ('a_2', 5, 0)))
        assert late.stamp_ns == ns(t)
        told |= set(said(late).items())
    assert told == {('a_1', TRACKED), ('a_2', PREDICTED)}


def test_nothing_is_kept_of_people_who_are_gone():
    one = PeopleTracker(TrackOptions(track_timeout_s=0.0))
    for frame in range(100):
        names = f'a_{2 * frame}', f'a_{2 * frame + 1}'
        one.update('front', tracks(frame, (names[0], 2, 0)))
        one.update('left', tracks(frame + 0.01, (names[1], 2, 0)))
    assert len(one._ages) <= 2


def test_the_lost_are_told_once_and_what_is_not_located_or_sure_is_left_out():
    one = PeopleTracker()
    one.update('front', tracks(0, ('a_1', 2, 0), ('a_2', 4, 0, TENTATIVE), ('a_3', np.nan, 0)))
    people = one.update('front', tracks(0.1, ('a_1', 2, 0, PREDICTED)))
    assert said(people) == {'a_1': PREDICTED}
    people = one.update('front', tracks(0.2, ('a_1', 2, 0, LOST)))
    assert said(people) == {'a_1': LOST} and np.isnan(people.positions).all()
    assert len(one.update('front', tracks(0.3))) == 0


def test_a_camera_that_falls_silent_keeps_nobody_for_ever():
    one = PeopleTracker(TrackOptions(track_timeout_s=1.0))
    one.update('left', tracks(0, ('a_1', 2, 0)))
    assert said(one.update('front', tracks(0.4))) == {'a_1': TRACKED}
    assert said(one.update('front', tracks(0.8))) == {'a_1': PREDICTED}
    assert said(one.update('front', tracks(1.2))) == {'a_1': LOST}


def test_a_clock_that_jumps_back_begins_anew():
    one = PeopleTracker()
    one.update('front', tracks(100, ('a_1', 2, 0)))
    people = one.update('front', tracks(3, ('a_2', 2, 0)))
    assert said(people) == {'a_2': TRACKED, 'a_1': LOST} and people.stamp_ns == ns(3)


def test_ids_that_cameras_share_are_told_apart():
    one = PeopleTracker()
    one.update('front', tracks(0, ('7', 2, 0)))
    people = one.update('left', tracks(0, ('7', 5, 0)))
    assert said(people) == {'7': TRACKED, 'left_7': TRACKED}


def test_views_of_a_camera_that_are_not_told_any_more_are_gone():
    views = Views()
    assert views.take('front', tracks(0, ('a', 1, 2), ('b', 2, 3)), np.arange(2)) == [
        ('front', 'a'),
        ('front', 'b'),
    ]
    views.people += ['a', 'b']
    assert views.take('left', tracks(0, ('c', 1, 2)), np.arange(1)) == [('left', 'c')]
    views.people += ['c']
    assert views.take('front', tracks(1, ('b', 4, 3)), np.arange(1)) == []
    assert views.keys == [('front', 'b'), ('left', 'c')] and views.people == ['b', 'c']
    assert views.positions[0].tolist() == [4, 3, 1]


class InSpace:
    def __init__(self, joints):
        self.position = joints[:, 11:13].mean(axis=1)
        self.position_covariance = np.tile(np.eye(3) * 0.03**2, (len(joints), 1, 1))


@pytest.mark.parametrize('learns', [False, True])
def test_cameras_learn_from_each_other_who_is_where(learns):
    # Somebody walks out of the left view through the right one, for longer than the timeout, and
    # comes back; just behind, somebody else walks into the left view, where the first one left it.
    first = Walker([0, 1, 5, 9], [(-0.6, 4), (-0.6, 4), (4.0, 4), (-0.6, 4)], phase=1)
    second = Walker([0, 2.5, 5], [(5.5, 4.6), (5.5, 4.6), (-1.6, 4.6)], height=1.7)
    yaws = {'left': 0.35, 'right': -0.45}
    ids, people_tracker = TrackIds('a'), PeopleTracker()
    trackers = {name: Tracker(ids) for name in yaws}
    rng, names = np.random.default_rng(0), {}
    for i in range(130):
        for name, yaw in yaws.items():
            sight = look([first, second], i / 15, pose_at(yaw=yaw))
            seen, rows = TRUE.poses(sight, rng)
            now = trackers[name].update(
                ns(i / 15),
                seen,
                positions=InSpace(sight.joints[rows]),
                camera=CAMERA,
                camera_pose=sight.camera_pose,
            )
            people = people_tracker.update(name, now)
            if learns:
                for other, tracker in trackers.items():
                    tracker.learn(people, other)
            by_view = of_views(people)
            for row, track in zip(rows, now.ids_of_poses(len(seen)), strict=True):
                if (name, track) in by_view:
                    names.setdefault(int(sight.ids[row]), set()).add(by_view[name, track])
    assert len(names) == 2
    kept = all(len(of) == 1 for of in names.values()) and names[0] != names[1]
    assert len(names) == 2 and kept == learns


def test_nobody_is_taken_for_who_is_elsewhere_as_another_camera_has_it():
    tracker, fixed = Tracker(TrackIds('a')), np.eye(4)

    def update(i, *boxes, at=None, sigma=0.05):
        positions = InSpace(np.zeros((len(boxes), 17, 3)))
        positions.position = np.array([at] * len(boxes), float).reshape(-1, 3)
        positions.position_covariance = np.tile(np.eye(3) * sigma**2, (len(boxes), 1, 1))
        return tracker.update(
            ns(i / 15), poses(*boxes), positions=positions, camera=CAMERA, camera_pose=fixed
        )

    for i in range(5):
        [known] = update(i, (1000 + 50 * i, 360, 500), at=(1.2 + 0.17 * i, 0, 3)).ids
    # It left the view; another camera sees it just beside, 3 m away.
    for i in range(5, 9):
        update(i)
        elsewhere = tracks(i / 15, ('x', 2.2, 0))
        people = PeopleTracker().update('right', elsewhere)
        people.positions[0] = (2.2, 0, 3)
        views = ((('right', 'x'), ('left', known)),)
        tracker.learn(replace(people, views=views), 'left')
    # Somebody else comes in there, nearer; at first nobody can say how near.
    found = [update(9, (1240, 360, 500), at=(1.6, 0, 2.2), sigma=0.5).ids_of_poses(1)]
    for i in range(10, 16):
        found.append(update(i, (1230, 360, 500), at=(1.5, 0, 2.0)).ids_of_poses(1))
    assert known not in {name for names in found[2:] for name in names}
