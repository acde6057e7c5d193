"""The measures of people in metres against cases that can be counted by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from vitpose_ros.demo.space import Body
from vitpose_ros.demo.space_accuracy import space_accuracy

MEASURED, INFERRED, UNKNOWN = 2, 1, 0


def body(number=0, *, at=0.0, states=(2, 2, 2, 2)):
    joints = np.arange(12.0).reshape(4, 3) + at
    return Body(number, joints, np.array(states))


def subject(true, shift=(0.0, 0.0, 0.0), *, track_id='a', states=(MEASURED,) * 4):
    x, y, z = (true.joints + shift).T
    return SimpleNamespace(x=x, y=y, z=z, track_id=track_id, keypoint_state=list(states))


def test_the_error_is_the_distance_in_space():
    true = body()
    found = space_accuracy([[(true, subject(true, (0.03, 0.0, 0.04)))]])
    assert found.median_error_m == pytest.approx(0.05)


def test_only_joints_that_are_measured_count():
    true = body(states=(2, 2, 2, 1))
    wrong = subject(true, states=(MEASURED, INFERRED, UNKNOWN, MEASURED))
    wrong.x = np.add(wrong.x, [0.1, 5.0, np.nan, 0.1])
    found = space_accuracy([[(true, wrong)]])
    assert found.median_error_m == pytest.approx(0.1)
    assert (found.seen, found.measured) == (3, 1)  # the last is measured, and not seen


def test_a_person_who_moves_does_not_shake_but_an_error_that_changes_does():
    steady, shaken = [], []
    for number in range(6):
        true = body(at=0.4 * number)
        steady.append([(true, subject(true, (0.1, 0.0, 0.0)))])
        shaken.append([(true, subject(true, (0.01 * (number % 2), 0.0, 0.0)))])
    assert space_accuracy(steady).jitter_m == pytest.approx(0.0, abs=1e-9)
    assert space_accuracy(shaken).jitter_m == pytest.approx(0.01)


def test_a_gap_is_no_change_from_frame_to_frame():
    true = body()
    frames = [[(true, subject(true))], [], [(true, subject(true, (1.0, 0.0, 0.0)))]]
    assert np.isnan(space_accuracy(frames).jitter_m)


def test_switches_are_changes_of_the_id_of_a_person_also_over_gaps():
    ids = {0: ['a', 'a', None, 'b', 'b', 'a'], 1: ['c', 'c', 'c', None, None, 'c']}
    frames = [
        [
            (body(number), subject(body(number), track_id=names[index]))
            for number, names in ids.items()
            if names[index]
        ]
        for index in range(6)
    ]
    found = space_accuracy(frames)
    assert (found.people, found.ids, found.switches) == (2, 3, 2)


def test_nobody_has_no_figures():
    found = space_accuracy([[], []])
    assert np.isnan(found.median_error_m) and np.isnan(found.jitter_m)
    assert (found.people, found.ids, found.switches, found.seen) == (0, 0, 0, 0)
