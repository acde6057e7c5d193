"""Scenes: what is true of people in space and time agrees with itself and with geometry."""

from itertools import islice

import numpy as np
import pytest

from vitpose_ros.core.geometry.pinhole import PinholeCamera
from world.motion import RATE
from world.people import TOLERANCE
from world.preview import sheet
from world.scenarios import SCENARIOS
from world.scene import Scene
from world.sensors import Mount
from world.sequence import SEEN

BODY = slice(0, 23)  # COCO's joints and the feet


@pytest.mark.parametrize('name', SCENARIOS)
def test_in_no_scenario_does_anybody_jump_or_walk_through_others_or_things(scenes, name):
    scene = scenes(name)
    seconds = np.arange(0, scene.seconds, 0.1)
    places = []
    for actor in scene.actors:
        moments = actor.motion.moments
        assert np.linalg.norm(np.diff(moments.place, axis=0), axis=1).max() * RATE < 2.0
        assert abs(np.diff(moments.height)).max() * RATE < 1.0
        assert abs(np.diff(moments.heading)).max() * RATE < np.radians(200)
        assert np.linalg.norm(np.diff(moments.feet, axis=0), axis=2).max() * RATE < 6.0
        places.append([actor.motion.at(s).place for s in seconds])
    places = np.array(places)
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    apart[np.arange(len(places)), np.arange(len(places))] = np.inf
    assert apart.min() > 0.5
    low, high = np.array(scene.room.low[:2]) + 0.3, np.array(scene.room.high[:2]) - 0.3
    assert ((places > low) & (places < high)).all()
    for camera in scene.mounts:
        eyes = np.stack([scene.pose(camera, s)[:2, 3] for s in seconds])
        assert np.linalg.norm(places - eyes, axis=-1).min() > 0.5
    seats = sum(len(script.seats) for script, *_ in scene._entered)
    for box in scene.room.boxes[: len(scene.room.boxes) - seats]:
        local = abs((places - box.centre[:2]) @ box.axes[:2, :2].T)
        assert (local > np.array(box.half[:2]) + 0.2).any(axis=-1).all()


@pytest.mark.parametrize('name', ['crossing', 'turning', 'sitting'])
def test_what_a_camera_sees_is_what_is_in_the_world(scenes, name):
    scene = scenes(name)
    found = 0
    for second in np.linspace(1, scene.seconds - 1, 6):
        present = {p.id: p for p in scene.present(second)}
        for sight in scene.sights(second):
            for person in sight.people:
                found += 1
                joints = person.joints @ sight.pose[:3, :3].T + sight.pose[:3, 3]
                assert joints == pytest.approx(present[person.id].joints, abs=1e-4)
                x, y, z = person.joints[person.joints[:, 2] > 0.3].T
                camera = sight.camera
                points = person.points[person.joints[:, 2] > 0.3]
                assert points[:, 0] == pytest.approx(
                    camera.focal_x * x / z + camera.centre_x, abs=0.02
                )
                assert points[:, 1] == pytest.approx(
                    camera.focal_y * y / z + camera.centre_y, abs=0.02
                )
    assert found >= 5


def test_two_cameras_see_the_same_joint_at_the_same_place(scenes):
    scene = scenes('two_cameras')
    both = 0
    for second in np.linspace(2, 12, 8):
        left, right = (
            {p.id: p.joints @ s.pose[:3, :3].T + s.pose[:3, 3] for p in s.people}
            for s in scene.sights(second)
        )
        for number in left.keys() & right.keys():
            both += 1
            assert left[number] == pytest.approx(right[number], abs=1e-4)
    assert both >= 3
    assert {m.rate_hz for m in scene.mounts.values()} == {15.0, 10.0}


def test_images_arrive_in_order_each_after_its_delay(scenes):
    scene = scenes('two_cameras')
    arrivals = scene.arrivals()
    assert len(arrivals) == sum(len(scene.stamps(name)) for name in scene.mounts)
    assert arrivals == sorted(arrivals)
    sights = list(islice(scene.sequence(), 6))
    assert [(s.arrival_s, s.name, s.stamp_s) for s in sights] == arrivals[:6]
    for sight in sights:
        late = sight.arrival_s - sight.stamp_s
        assert late == pytest.approx(scene.mounts[sight.name].delay_s)


def test_depth_has_the_surface_right_before_each_joint_that_is_seen(scenes):
    scene = scenes('waving')
    checked = 0
    for second in (1.0, 4.0):
        sight = scene.sights(second, depth=True)[0]
        assert sight.image is None
        for person in sight.people:
            bulk = scene.actors[person.id - 1].look.bulk
            seen = person.states[BODY] == SEEN
            x, y = np.round(person.points[BODY][seen]).astype(int).T
            before = person.joints[BODY][seen, 2] - sight.true_depth[y, x]
            on = before > -0.05  # else the joint is at the outline, with the wall behind
            assert on.mean() > 0.9
            assert (before[on] < TOLERANCE[BODY][seen][on] + bulk + 1e-3).all()
            checked += on.sum()
    assert checked > 40


def test_depth_measures_the_true_depth_with_holes(scenes):
    sight = scenes('waving').sights(1.0, depth=True)[0]
    holes = np.isnan(sight.depth)
    assert 0.005 < holes.mean() < 0.06
    assert not np.isnan(sight.true_depth).any()
    wall = ~holes & (sight.true_depth > 6.5) & (np.arange(480)[:, None] < 200)
    off = abs(sight.depth - sight.true_depth)[wall] / sight.true_depth[wall] ** 2
    assert np.median(off) == pytest.approx(0.0025 * 0.6745, rel=0.1)  # sigma of a normal one


def test_the_picture_shows_people_where_depth_has_them(scenes):
    scene = scenes('waving')
    with_people = scene.sights(1.0, pictures=True)[0]
    empty, _ = scene._empty(scene_view(scene, 1.0), True)
    changed = abs(with_people.image.astype(int) - empty.picture).max(axis=2) > 40
    nearer = empty.depth - with_people.true_depth > 0.3
    assert nearer[changed].mean() > 0.9  # the others are shadows on the floor
    assert changed[nearer].mean() > 0.4  # the others have the colour of the wall


def scene_view(scene, second):
    from world.sensors import Viewpoint

    name = next(iter(scene.mounts))
    return Viewpoint(scene.mounts[name].lens, scene.pose(name, second))


def test_people_in_the_scenarios_hide_each_other_leave_and_sit(scenes):
    def shares(name, seed):
        scene = scenes(name, seed)
        rows = []
        for second in np.arange(0, scene.seconds, 0.25):
            sight = scene.sights(second, list(scene.mounts)[:1])[0]
            rows.append([{p.id: p.share for p in sight.people}.get(i, 0.0) for i in (1, 2)])
        return np.array(rows)

    pillar = shares('pillar', 1)[:, 0]
    hidden = pillar[4:-4] < 0.02
    assert hidden.any()
    leaving = shares('leaving', 1)
    away = leaving[:, 0] == 0
    assert 4 <= away.sum() < 32  # and comes back
    assert leaving[0, 0] > 0.7
    assert leaving[-1, 0] > 0.7
    assert leaving[:, 1].min() > 0.2
    occlusion = shares('occlusion', 2)
    assert occlusion.min() < 0.3
    sitting = scenes('sitting')
    low = min(sitting.actors[0].motion.moments.height)
    assert low == pytest.approx(sitting.actors[0].poser.limbs.seated, abs=0.02)


def test_a_scene_follows_from_its_seed_and_every_time_can_be_asked_for(people):
    first, again, other = (Scene(seed, 'crossing', people=people) for seed in (5, 5, 6))
    first.sights(9.0, pictures=True)
    a, b = (scene.sights(3.0, pictures=True)[0] for scene in (first, again))
    assert (a.image == b.image).all()
    assert np.array_equal(a.depth, b.depth, equal_nan=True)
    for one, two in zip(a.people, b.people, strict=True):
        for name in ('box', 'points', 'joints', 'states'):
            assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True)
    assert not np.array_equal(a.image, other.sights(3.0, pictures=True)[0].image)


def test_the_frame_rate_is_that_of_the_first_camera(people, staged):
    scene = Scene(1, 'two_cameras', rate_hz=30.0, people=people)
    assert scene.stamps('left')[1] - scene.stamps('left')[0] == pytest.approx(1 / 30)
    assert scene.stamps('right')[1] - scene.stamps('right')[0] == pytest.approx(1 / 20)


def test_names_that_nobody_knows_are_errors(people):
    with pytest.raises(ValueError, match="scenario 'dancing': known are standing, "):
        Scene(0, 'dancing', people=people)
    with pytest.raises(ValueError, match="lens '8k': known are 640x480, 1280x720"):
        Scene(0, 'standing', lens='8k', people=people)
    with pytest.raises(ValueError, match="noise 'sonar': known are stereo, "):
        Scene(0, 'standing', noise='sonar', people=people)


def test_sights_have_the_size_and_lens_of_their_camera(scenes):
    scene = scenes('unregistered')
    sights = {s.name: s for s in scene.sights(1.0, depth=True)}
    assert sights['front'].depth.shape == (480, 640)
    assert sights['depth'].depth.shape == sights['depth'].size == (720, 1280)
    assert isinstance(sights['depth'].camera, PinholeCamera)
    assert Mount().lens.camera == sights['front'].camera


def test_contact_sheets_show_all_moments(scenes):
    picture = sheet(scenes('waving'), 3, columns=2, width=160)
    assert picture.shape == (2 * 240, 2 * 160, 3)
    assert picture[:240, :160].std() > 20
