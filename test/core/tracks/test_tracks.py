"""Ids, and the tracks of a frame."""

import re

import numpy as np
import pytest
from figures import ns, poses

from vitpose_ros.core import VitposeError
from vitpose_ros.core.tracks.tracker import Tracker
from vitpose_ros.core.tracks.tracks import STATES, TENTATIVE, TRACKED, TrackIds


def test_ids_are_unique_over_cameras_and_runs_and_may_stand_in_names_of_topics():
    ids, other = TrackIds('k3f9'), TrackIds('q0aa')
    front, left = Tracker(ids), Tracker(ids)
    seen = poses((300, 300, 200), (600, 300, 200))
    names = [*front.update(ns(0), seen).ids, *left.update(ns(0), seen).ids]
    names += [*Tracker(other).update(ns(0), seen).ids, *front.update(ns(0.1), seen).ids[:0]]
    assert len(set(names)) == 6
    assert all(re.fullmatch('[A-Za-z][A-Za-z0-9_]*', name) for name in names)


@pytest.mark.parametrize('run', ['', '7', '3f9a', 'a_b', 'a-b', 'abcdefghi', 'ä'])
def test_a_name_of_a_run_that_ids_cannot_bear_is_refused(run):
    with pytest.raises(VitposeError, match=f"run is '{run}'; give a letter"):
        TrackIds(run)


def test_poses_get_the_ids_of_their_tracks():
    tracker = Tracker(TrackIds('a'))
    seen = poses((300, 300, 200), (600, 300, 200), scores=[0.9, 0.2])
    tracks = tracker.update(ns(0), seen)
    assert tracks.ids_of_poses(2) == ['a_1', '']
    assert tracks.named(seen).track_ids == ['a_1', ''] and not len(seen.track_ids)


def test_tracks_are_sliced_as_poses_are():
    tracker = Tracker(TrackIds('a'))
    for t in (0, 0.1):
        tracker.update(ns(t), poses((300, 300, 200), (600, 300, 200)))
    tracks = tracker.update(ns(0.2), poses((900, 300, 200), (600, 300, 200)))
    assert len(tracks) == 3 and tracks.stamp_ns == ns(0.2)
    part = tracks[tracks.states == TRACKED]
    assert part.ids == ('a_2',) and part.indices.tolist() == [1] and part.boxes.shape == (1, 4)
    assert np.array_equal(tracks[1:].boxes, tracks.boxes[1:])
    assert STATES[TENTATIVE] == 'tentative' and STATES[TRACKED] == 'tracked'
