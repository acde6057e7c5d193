"""Figures: who and what hides which joints, and how much of a person is visible."""

import numpy as np
import pytest

from world.bodies import NAMES
from world.room import Box
from world.scenarios import TOWARDS
from world.sequence import BEHIND_ITSELF, HIDDEN, SEEN

BODY = slice(0, 23)  # COCO's joints and the feet


def pair(second_y):
    """Write a scenario: one at 4 m, one at 2 m so far aside."""

    def write(plot):
        plot.seconds = 2.0
        plot.enter((4.0, 0.0), TOWARDS, restless=0.0, adult=True).stand(2)
        plot.enter((2.0, second_y), TOWARDS, restless=0.0, adult=True).stand(2)

    return write


@pytest.mark.parametrize('depth', [False, True])
def test_who_stands_before_another_hides_what_lies_behind(staged, depth):
    behind, front = staged(pair(0.0)).sights(1.0, depth=depth)[0].people
    trunk = [NAMES.index(f'{s}_{n}') for s in ('left', 'right') for n in ('shoulder', 'hip')]
    assert (behind.states[trunk] == HIDDEN).all()
    assert (front.states[trunk] == SEEN).all()
    assert behind.share < 0.3
    assert front.share > 0.75  # the feet are below the image
    behind, front = staged(pair(1.0)).sights(1.0, depth=depth)[0].people
    assert (behind.states[trunk] == SEEN).all()
    assert behind.share > 0.97
    assert behind.box == pytest.approx(behind.whole_box, abs=0.5)


def test_things_and_the_border_hide_but_the_own_body_does_so_differently(staged):
    def write(plot):
        plot.seconds = 2.0
        plot.enter((3.0, 0.0), np.pi / 2, restless=0.0, adult=True).stand(2)  # from its left
        plot.boxes.append(Box((2.0, 0.0, 0.3), (0.2, 0.6, 0.3)))

    sight = staged(write).sights(1.0)[0]
    (person,) = sight.people
    state = dict(zip(NAMES, person.states, strict=True))
    assert state['left_ankle'] == state['right_ankle'] == HIDDEN
    assert state['left_shoulder'] == state['left_ear'] == SEEN
    assert state['right_shoulder'] == state['right_ear'] == BEHIND_ITSELF
    assert person.box[3] < person.whole_box[3] - 20

    def close(plot):
        plot.enter((0.9, 0.0), TOWARDS, restless=0.0, adult=True).stand(2)

    (person,) = staged(close).sights(1.0)[0].people
    state = dict(zip(NAMES, person.states, strict=True))
    assert state['left_ankle'] == state['right_knee'] == HIDDEN
    assert person.whole_box[3] > 479.5
    assert person.box[3] <= 479.5


def test_who_is_all_hidden_is_there_without_a_box(staged):
    def write(plot):
        plot.enter((3.0, 0.0), TOWARDS, restless=0.0).stand(2)
        plot.boxes.append(Box((1.5, 0.0, 1.3), (0.1, 0.9, 1.3)))

    (person,) = staged(write).sights(1.0)[0].people
    assert person.share == 0
    assert np.isnan(person.box).all()
    assert (person.states == HIDDEN).all()


def test_few_pixels_decide_almost_as_all_do(scenes):
    same, total = 0, 0
    for name in ('crossing', 'occlusion'):
        scene = scenes(name)
        for second in (2.5, 4.0, 10.0):
            quick, full = (scene.sights(second, depth=depth)[0] for depth in (False, True))
            assert [p.id for p in quick.people] == [p.id for p in full.people]
            for a, b in zip(quick.people, full.people, strict=True):
                same += (a.states[BODY] == b.states[BODY]).sum()
                total += len(a.states[BODY])
                assert a.share == b.share
                if a.share > 0.5:
                    assert a.box == pytest.approx(b.box, abs=8)
    assert total > 150
    assert same / total > 0.97
