"""Things that are no people: they are drawn, and nobody is seen in them."""

import numpy as np
import pytest

from world import furniture, poses, vehicles
from world.views import Variety


@pytest.mark.parametrize('kind', furniture.KINDS)
def test_things_stand_on_the_ground_and_are_of_a_size(kind):
    for seed in range(5):
        parts = furniture.KINDS[kind](np.random.default_rng(seed))
        assert len(parts.shapes) == len(parts.colours) > 0
        corners = parts.points()
        size = np.ptp(corners, axis=0)
        assert 0.1 < size.max() < 6
        assert corners[:, 2].min() > -0.75
        assert all(np.all(np.isfinite(colour)) and (colour > 0).any() for colour in parts.colours)


def test_a_view_of_a_thing_shows_nobody(people):
    first, again = (people.thing(np.random.default_rng(4)) for _ in range(2))
    assert not first.person.any() and (first.picture == again.picture).all()
    assert (first.picture[..., 3] > 0).mean() > 0.1
    assert first.scale > 0 and (first.keypoints[:, 2] == 0).all()


def test_things_have_colours_of_their_own(people):
    colours = set()
    for seed in range(12):
        view = people.thing(np.random.default_rng([2, seed]))
        seen = view.picture[view.picture[..., 3] > 0][:, :3].mean(axis=0)
        colours.add(tuple((seen // 32).astype(int).tolist()))
    assert len(colours) > 4


@pytest.mark.parametrize('kind', vehicles.KINDS)
def test_a_vehicle_surrounds_the_hips(kind):
    hips = np.array([0.0, 0.0, 0.95])
    parts = vehicles.around(np.random.default_rng(0), kind, hips, 1.0)
    corners = parts.points()
    low, high = corners.min(axis=0), corners.max(axis=0)
    assert (low < hips).all() and (high[:2] > hips[:2]).all()
    assert 0.4 < high[1] - low[1] < 2.2


def test_people_ride_with_their_knees_bent(people):
    for kind, least in (('wheelchair', 45), ('bicycle', 20)):
        person = people.build(np.random.default_rng(1))
        turns = poses.on_wheels(np.random.default_rng(2), people.model, person, kind)
        _, heads = people.model.bend(person, turns)
        at = {b: heads[people.model.bone(f'{b}.L')] for b in ('upperleg01', 'lowerleg01', 'foot')}
        thigh = at['lowerleg01'] - at['upperleg01']
        shin = at['foot'] - at['lowerleg01']
        cosine = thigh @ shin / np.linalg.norm(thigh) / np.linalg.norm(shin)
        assert np.degrees(np.arccos(cosine)) > least, kind


def test_who_rides_is_seen_with_the_vehicle(people):
    views = people.views(np.random.default_rng(5), 4, Variety(wheels=1.0))
    for view in views:
        things = (view.picture[..., 3] > 127) & ~view.person
        assert things.mean() > 0.003 and view.person.mean() > 0.05
