"""What options of tracks take, and that what they don't is named."""

import re

import numpy as np
import pytest

from vitpose_ros.core import OptionError
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.tracks.smoothing import STRENGTHS


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({'tracking': 'yes'}, "tracking is 'yes'; give off, on or detections"),
        ({'tracking': True}, 'tracking is True; give off, on or detections'),
        ({'track_timeout_s': -1}, 'track_timeout_s is -1; give 0.0 to 60.0'),
        ({'track_timeout_s': float('nan')}, 'track_timeout_s is nan; give 0.0 to 60.0'),
        ({'track_timeout_s': '2'}, "track_timeout_s is '2'; give 0.0 to 60.0"),
        ({'track_timeout_s': True}, 'track_timeout_s is True; give a number'),
        ({'confirm_after': 0}, 'confirm_after is 0; give 1 to 100'),
        ({'confirm_after': 1.5}, 'confirm_after is 1.5; give a whole number, 1 to 100'),
        ({'max_tracks': 0}, 'max_tracks is 0; give 1 to 1000'),
        ({'track_high_score': 1.5}, 'track_high_score is 1.5; give 0.0 to 1.0'),
        (
            {'track_low_score': 0.7},
            'track_low_score is 0.7, track_high_score is 0.5; give a track_high_score that is not',
        ),
        ({'smoothing': 'on'}, "smoothing is 'on'; give off, light or strong"),
        ({'smoothing_3d': 3}, 'smoothing_3d is 3; give off, light or strong'),
    ],
)
def test_what_an_option_does_not_take_is_named_with_what_it_takes(values, words):
    with pytest.raises(OptionError, match=re.escape(words)):
        TrackOptions(**values)


def test_values_are_what_they_are_whatever_type_they_came_in():
    options = TrackOptions(track_timeout_s=np.float32(1.5), confirm_after=np.int64(3))
    assert type(options.confirm_after) is int and type(options.track_timeout_s) is float
    assert TrackOptions(track_timeout_s=1).track_timeout_s == 1.0
    assert hash(options) == hash(TrackOptions(**vars(options)))


def test_each_option_is_described():
    from dataclasses import fields

    for entry in fields(TrackOptions):
        text = entry.metadata['description']
        assert re.match('[a-z]', text) and not text.endswith('.'), entry.name


def test_each_strength_of_smoothing_is_one_that_there_is():
    from vitpose_ros.core.tracks.options import SMOOTHINGS

    assert set(SMOOTHINGS) == {'off', *STRENGTHS}
