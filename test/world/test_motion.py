"""Motion of people: feet that stay where they are set, and nobody jumps."""

import numpy as np
import pytest

from world.bodies import NAMES
from world.limbs import Limbs
from world.motion import RATE
from world.postures import Poser
from world.script import Script

ADULT = {
    'gender': 0.8, 'age': 0.67, 'muscle': 0.5, 'weight': 0.5, 'height': 0.5, 'proportions': 0.5,
}  # fmt: skip
CHILD = {**ADULT, 'age': 0.4}
SECONDS = 1 / 25


@pytest.fixture(scope='module', params=[ADULT, CHILD], ids=['adult', 'child'])
def poser(request, people):
    return Poser(people.model, people.model.build(request.param, adult=True), seed=3)


def enter(poser, restless=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return Script(poser.limbs, (2.0, 1.0), 0.5, rng, restless=restless)


def bones(people, poser, motion, names):
    """Return where bones begin over time, (t, n, 3), and when."""
    seconds = np.arange(0, motion.seconds, SECONDS)
    rows = [people.model.bone(name) for name in names]
    return np.stack([poser.pose(motion.at(s)).heads[rows] for s in seconds]), seconds


@pytest.mark.parametrize('speed', [0.6, 1.3])
def test_feet_that_carry_do_not_slide_and_do_not_sink(people, poser, speed):
    script = enter(poser).walk([(4.0, 1.5), (5.0, 3.0)], speed).turn(0.0)
    motion = script.motion()
    balls, seconds = bones(people, poser, motion, ['toe2-1.L', 'toe2-1.R'])
    off = motion.steps[np.round(seconds * RATE).astype(int)]
    height = float(balls[0, :, 2].mean())
    for foot in (0, 1):
        down = np.flatnonzero(np.diff(off[:, foot].astype(int)))
        parts = np.split(np.arange(len(seconds)), down + 1)
        standing = [part for part in parts if not off[part[0], foot]]
        assert len(standing) >= 3
        for part in standing:
            way = balls[part, foot]
            assert np.ptp(way[:, :2], axis=0).max() < 0.04
            assert way[-1, 2] == pytest.approx(height, abs=0.02)
        assert balls[:, foot, 2].min() > height - 0.02
        flying = off[:, foot]
        assert balls[flying, foot, 2].max() > height + 0.02


def test_who_walks_arrives_and_faces_where_the_way_goes(poser):
    motion = enter(poser).walk([(4.0, 3.0)], 1.0, end=0.0).motion()
    last = motion.at(motion.seconds)
    assert last.place == pytest.approx([4.0, 3.0], abs=0.01)
    assert last.heading == pytest.approx(0.0, abs=0.05)
    speed = np.linalg.norm(np.diff(motion.moments.place, axis=0), axis=1) * RATE
    assert speed.max() == pytest.approx(1.0, abs=0.2)


def test_hips_hands_and_head_move_without_jumps(people, poser):
    script = enter(poser, restless=1.0).stand(0.5).wave(3.0).turn(2.5)
    script.sit(5.0).shift(3.0).walk([(0.0, 3.0)], 1.2)
    motion = script.motion()
    places, _ = bones(people, poser, motion, ['root', 'head', 'wrist.L', 'wrist.R', 'foot.L'])
    speeds = np.linalg.norm(np.diff(places, axis=0), axis=2) / SECONDS
    assert speeds[:, 0].max() < 2.0
    assert speeds[:, 1].max() < 2.5
    assert speeds[:, 2:4].max() < 4.0
    assert speeds[:, 4].max() < 6.0
    turns = np.linalg.norm(np.diff(places, 2, axis=0), axis=2) / SECONDS**2
    assert turns[:, :2].max() < 20.0  # metres a second squared


def test_who_sits_has_level_thighs_and_feet_on_the_ground(people, poser):
    script = enter(poser).stand(0.5).sit(6.0)
    motion = script.motion()
    posture = poser.pose(motion.at(3.5))
    at = {name: posture.joints[NAMES.index(name)] for name in NAMES}
    for side in ('left', 'right'):
        thigh = at[f'{side}_knee'] - at[f'{side}_hip']
        shin = at[f'{side}_knee'] - at[f'{side}_ankle']
        assert abs(thigh[2]) < 0.35 * np.linalg.norm(thigh)
        assert shin[2] > 0.9 * np.linalg.norm(shin)
        assert at[f'{side}_ankle'][2] < 0.15
    seat = script.seats[0]
    behind = motion.at(0.2).place - seat.place
    assert behind @ [np.cos(seat.heading), np.sin(seat.heading)] == pytest.approx(
        0.9 * poser.limbs.thigh, abs=0.02
    )
    # And stands as before afterwards.
    before, after = (poser.pose(motion.at(s)).joints for s in (0.2, motion.seconds))
    assert after == pytest.approx(before, abs=0.05)


def test_who_stands_hardly_moves(poser):
    motion = enter(poser, restless=0.4).stand(6.0).motion()
    joints = np.stack([poser.pose(motion.at(s)).joints for s in np.arange(0, 6, 0.2)])
    body = [NAMES.index(f'{side}_{part}') for side in ('left', 'right') for part in
            ('shoulder', 'hip', 'knee', 'ankle')]  # fmt: skip
    assert joints[:, body].std(axis=0).max() < 0.02
    assert joints[:, body].std(axis=0).max() > 0.0005  # but is alive


def test_the_hand_that_waves_is_above_its_elbow(poser):
    motion = enter(poser).wave(4.0).motion()
    joints = poser.pose(motion.at(2.0)).joints
    wrist, elbow = (joints[NAMES.index(f'right_{name}'), 2] for name in ('wrist', 'elbow'))
    assert wrist > elbow + 0.1


def test_keypoints_follow_from_the_bones_as_from_the_vertices(people, poser):
    model = people.model
    turns = poser.turns(enter(poser).walk([(4, 3)]).motion().at(2.0))
    vertices, heads = model.bend(poser.person, turns)
    transforms, same = model.transforms(poser.person, turns)
    quick = model.keypoints_of(model.anchors(poser.person), transforms, same)
    assert quick == pytest.approx(model.keypoints(vertices, heads), abs=1e-4)


def test_ankles_turn_about_the_ball_and_the_heel():
    limbs = Limbs(0.45, 0.42, 0.1, 0.09, ankle=0.08, ball=0.15, heel=0.05, offset=0.0)
    feet, yaw, none = np.zeros(2), np.array(0.0), np.array(0.0)
    for pitch, pivot in ((0.5, (0.15, 0.0)), (-0.4, (-0.05, 0.0))):
        flat = limbs.ankles(feet, yaw, none, none)
        up = limbs.ankles(feet, yaw, np.array(pitch), none)
        centre = np.array([*pivot, 0.0])
        assert np.linalg.norm(up - centre) == pytest.approx(np.linalg.norm(flat - centre))
        assert up[2] > flat[2]
