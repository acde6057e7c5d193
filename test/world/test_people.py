"""Rendered people: bodies that bend as asked, and keypoints that lie where the picture says."""

import numpy as np
import pytest

from vitpose_ros.core import SKELETONS
from world import poses
from world.bodies import NAMES, SKIN, indices_of
from world.camera import Camera
from world.directions import FORWARD, LEFT, turn
from world.legs import Legs
from world.look import Look
from world.people import LONGEST
from world.views import Variety

MIDDLE = {
    'gender': 0.5, 'age': 0.67, 'muscle': 0.5, 'weight': 0.5, 'height': 0.5, 'proportions': 0.5,
}  # fmt: skip


@pytest.fixture(scope='module')
def person(people):
    return people.model.build(MIDDLE, adult=True)


def test_bodies_are_as_large_as_people(person):
    assert 1.5 < np.ptp(person.vertices[:, 2]) < 2.0


def test_left_and_right_mirror_each_other_at_rest(people, person):
    vertices, heads = people.model.bend(person, {})
    points = dict(zip(NAMES, people.model.keypoints(vertices, heads), strict=True))
    for name, point in points.items():
        if name.startswith('left'):
            mirrored = points[name.replace('left', 'right')] * [-1, 1, 1]
            assert point == pytest.approx(mirrored, abs=2e-3), name
            assert point[0] > 0, name  # x points to the left


def test_bodies_bend_about_their_joints_only(people, person):
    rest, _ = people.model.bend(person, {})
    assert rest == pytest.approx(person.vertices, abs=1e-5)
    bent, _ = people.model.bend(person, {'lowerleg01.L': turn(LEFT, 60)})
    moved = np.linalg.norm(bent - rest, axis=1) > 1e-3
    moved[SKIN.stop :] = False  # clothes span both legs
    assert moved.any()
    knee = person.heads[people.model.bone('lowerleg01.L')]
    assert rest[moved, 2].max() < knee[2] + 0.2
    assert (rest[moved, 0] > 0).all()  # the left leg alone
    ankle = NAMES.index('left_ankle')
    before = people.model.keypoints(rest, person.heads)[ankle]
    after = people.model.keypoints(bent, person.heads)[ankle]
    assert after[1] > before[1] + 0.2  # to the back


@pytest.mark.parametrize('side', ['left', 'right'])
def test_arms_point_where_they_are_asked_to(people, person, side):
    outside = 1 if side == 'left' else -1
    moves = [(np.array([1.0, 0, 0]), np.array([0, 0, 1.0]))] * 2  # out, and up
    legs = Legs(*[(np.array([0.05, 0, -1.0]), np.array([-0.05, 0, -1.0]))] * 2)
    turns, _ = poses.assemble(np.random.default_rng(0), people.model, person, 'stand', legs, moves)
    for name in [name for name in turns if name.startswith(('spine', 'root'))]:
        turns[name] = np.eye(3)  # stand straight
    vertices, heads = people.model.bend(person, turns)
    points = people.model.keypoints(vertices, heads)
    shoulder, elbow, wrist = (
        points[NAMES.index(f'{side}_{joint}')] for joint in ('shoulder', 'elbow', 'wrist')
    )
    upper, lower = (v / np.linalg.norm(v) for v in (elbow - shoulder, wrist - elbow))
    assert upper @ [outside, 0, 0] > 0.9
    assert lower @ [0, 0, 1] > 0.9


def seen_from_the_front(people, person, look, things=()):
    """Draw a person at rest from 4 m before it, evenly lit."""
    vertices, heads = people.model.bend(person, {})
    camera = Camera(0.0, 0.0, 0.0, 4.0, np.zeros(3), 600.0, (-160.0, -240.0))
    sky = np.zeros((9, 3), np.float32)
    sky[0] = 1
    light = {
        'sky': sky, 'sun': (0.0, 0.0, 1.0), 'sun_colour': (0.0, 0.0, 0.0), 'exposure': 1.0,
    }  # fmt: skip
    scene = look, people.dress(look, vertices), people.model.keypoints(vertices, heads)
    return people.draw(*scene, list(things), light, camera, (480, 320))


def test_what_people_carry_and_wear_does_not_move_keypoints(people, person):
    rng = np.random.default_rng(3)
    _, heads = people.model.bend(person, {})
    found = []
    for _ in range(3):
        look = Look(rng, person)
        things = look.things(rng, people.model, heads, seated=False)
        found.append(seen_from_the_front(people, person, look, things)[2])
    assert (found[0][:, :2] == found[1][:, :2]).all()
    assert (found[0][:, :2] == found[2][:, :2]).all()
    # Seen from the front, the body's left is on the right of the picture.
    assert found[0][NAMES.index('left_shoulder'), 0] > found[0][NAMES.index('right_shoulder'), 0]


def test_who_is_covered_shows_no_chest(people, person):
    def bare(covered):
        shares = []
        for i in range(12):
            look = Look(np.random.default_rng([6, i]), person, covered=covered)
            look.skin = np.array([0.0, 1.0, 0.0])
            picture, _, points = seen_from_the_front(people, person, look)
            left, right = (points[NAMES.index(f'{s}_shoulder'), :2] for s in ('left', 'right'))
            x, y, span = (left[0] + right[0]) / 2, left[1], left[0] - right[0]
            rows = slice(round(y + 0.1 * span), round(y + 0.9 * span))
            chest = picture[rows, round(x - 0.15 * span) : round(x + 0.15 * span)].astype(int)
            shares.append((chest[..., 1] > 2 * chest[..., [0, 2]].max(axis=2)).mean())
        return np.array(shares)

    assert bare(covered=True).max() < 0.02
    assert bare(covered=False).mean() > 0.1


def test_long_trousers_leave_the_toes(people, person):
    look = Look(np.random.default_rng(1), person)
    look.layers = ()
    look.uniforms['colours'][8] = 0.0, 1.0, 0.0

    def shoes(hem):
        look._bottom = (hem, *look._bottom[1:])
        look.uniforms['bottom'] = look._bottom
        picture = seen_from_the_front(people, person, look)[0].astype(int)
        return (picture[..., 1] > 2 * picture[..., [0, 2]].max(axis=2)).sum()

    assert 0.1 * shoes(1.9) < shoes(2.4) < 0.8 * shoes(1.9)


def test_of_those_seen_from_behind_some_turn_round(people):
    def fronts(front):
        views = people.views(np.random.default_rng(8), 40, Variety(front=front))
        left, right = (
            np.array([view.keypoints[NAMES.index(f'{side}_hip'), 0] for view in views])
            for side in ('left', 'right')
        )
        return (left > right).mean()

    assert 0.3 < fronts(0.0) < 0.75
    assert fronts(1.0) > 0.9


def test_hair_stands_off_the_head_but_not_the_face(people, person):
    look = Look(np.random.default_rng(1), person)
    assert look.volume == 0
    look.bald, look.hairline = False, 0.0
    flat, normals = people.dress(look, person.vertices)
    look.volume = 0.03
    full, _ = people.dress(look, person.vertices)
    off = ((full - flat) * normals).sum(axis=1)
    top = person.vertices[SKIN, 2].argmax()
    assert off[top] == pytest.approx(0.03, rel=0.3)
    assert off.max() <= 0.03 + 1e-6
    eyes = person.heads[people.model.bone('eye.L')]
    below = person.vertices[:, 2] < eyes[2]
    before = person.vertices[:, 1] < eyes[1]
    assert (off[below & before] == 0).all()
    assert (off[person.vertices[:, 2] < person.heads[people.model.bone('neck01')][2]] == 0).all()


def test_heads_turn_as_far_as_they_are_asked_to(people, person):
    def aside(glance):
        angles = []
        for i in range(40):
            turns, _ = poses.sample(
                np.random.default_rng([9, i]), people.model, person, glance=glance
            )
            face = np.linalg.matrix_power(turns['head'], 4) @ FORWARD
            angles.append(np.degrees(np.arctan2(face[0], -face[1])))
        return np.std(angles)

    assert aside(10.0) == pytest.approx(10, rel=0.4)
    assert aside(40.0) == pytest.approx(40, rel=0.4)


def test_visible_keypoints_lie_on_the_person(views):
    on = total = 0
    for view in views:
        height, width = view.person.shape
        for x, y, state in view.keypoints[:23]:
            assert -2 <= x <= width + 2
            assert -2 <= y <= height + 2
            if state == 2:
                total += 1
                row, column = int(np.clip(y, 0, height - 1)), int(np.clip(x, 0, width - 1))
                near = view.picture[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4, 3]
                on += bool(near.any())
    assert total > 100
    assert on / total > 0.98


def test_a_close_camera_stays_before_an_outstretched_hand():
    far = Camera.sample(np.random.default_rng(0))
    head = np.array([0, 0, 1.6])
    hand = head - 1.0 * far.axes[2]  # towards the camera
    cameras = [far.near(np.random.default_rng(i), head, np.stack((head, hand))) for i in range(20)]
    ahead = np.array([camera.project(hand[None])[1][0] for camera in cameras])
    assert ahead.min() == pytest.approx(0.35)  # some would have had it behind them
    assert ahead.max() > 0.6  # and the far ones stay where they were


def test_a_close_picture_shows_more_than_what_a_person_carries(people, person, monkeypatch):
    look = Look(np.random.default_rng(0), person)
    chest = np.eye(4)
    chest[:3, :3] *= 0.5

    def things(rng, model, heads, *, seated):
        chest[:3, 3] = heads[model.bone('spine01')]
        return [('ball', chest)]

    monkeypatch.setattr(look, 'things', things)
    close = Variety(close=1)
    shown = [
        people.view(np.random.default_rng([4, i]), person, look, close).person.mean()
        for i in range(6)
    ]
    assert min(shown) > 0.1


def test_a_close_picture_ends_where_the_person_goes_on(close_views):
    for view in close_views:
        height, width = view.person.shape
        assert max(height, width) == LONGEST
        left, top, right, bottom = view.edges
        assert bottom == height
        assert view.person[-1].any()
        for border, end in (
            (view.person[:, 0], left == 0),
            (view.person[0], top == 0),
            (view.person[:, -1], right == width),
        ):
            assert end or not border.any()
    assert sum((view.keypoints[15:17, 1] > len(view.person)).any() for view in close_views) >= 6


def test_players_and_dancers_lean_more_than_people_who_stand(people, person):
    def leaning(sport):
        up = []
        for i in range(40):
            turns, _ = poses.sample(np.random.default_rng([9, i]), people.model, person, sport)
            up.append(turns['root'][2, 2])
        return np.degrees(np.arccos(up)).mean()

    assert leaning(1.0) > 2 * leaning(0.0)


def test_a_view_follows_from_its_seed(people, views):
    again = people.views(np.random.default_rng([7, 4]), 1)[0]
    assert (again.picture == views[4].picture).all()
    assert (again.keypoints == views[4].keypoints).all()


def test_sets_know_their_keypoints():
    for name in ('coco', 'aic', 'mpii'):
        assert (indices_of(name) >= 0).all(), name
    unknown = np.nonzero(indices_of('wholebody') < 0)[0]
    assert unknown.tolist() == list(range(23, 91))  # the face
    names = np.array(NAMES)[indices_of('mpii')]
    assert names[6:10].tolist() == ['pelvis', 'neck', 'upper_neck', 'head_top']
    assert len(SKELETONS['mpii']) == 16
