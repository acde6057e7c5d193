"""Tracks by a kept library's measures, beside its ByteTrack on the same boxes.

The figures of all sequences are made by measure.py.
"""

import pytest
from detector import NOISY, TRUE
from measure import SOURCES, compare, streets

pytest.importorskip(
    'trackers', reason='trackers is not installed: pip install -r dev/requirements-tracks.txt'
)


def test_ids_stay_longer_than_bytetracks():
    scenes = list(streets(2))
    for detector, least in ((TRUE, 0.97), (NOISY, 0.9)):
        table = compare(scenes, detector)
        others = [table.pop(name) for name in SOURCES if name.startswith('ByteTrack')]
        assert len(others) == 2 and len(table) == len(SOURCES) - 2
        reference = max(idf1 for idf1, _, _ in others)
        their_switches = min(switches for _, _, switches in others)
        for name, (idf1, _, switches) in table.items():
            assert idf1 >= least, (name, idf1)
            assert idf1 > reference and switches < their_switches, name
