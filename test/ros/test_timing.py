"""Percentiles of recent frames, and rates, with clocks of the test."""

from dataclasses import replace

import numpy as np
import pytest

from vitpose_ros.ros.timing import MOST, SPAN_S, FrameTimes, Rates, RecentFrames

FRAME = FrameTimes(
    latency=0.1,
    arrival=0.01,
    wait=0.02,
    detect=0.0,
    crop=0.003,
    network=0.06,
    decode=0.004,
    publish=0.003,
    subjects=3,
    batch_size=8,
    batch_frames=2,
)


def test_percentiles_are_those_of_the_recent_frames():
    recent = RecentFrames()
    random = np.random.default_rng(0)
    latencies = random.uniform(0.01, 0.5, 300)
    for index, latency in enumerate(latencies):
        recent.add(index * 0.1, replace(FRAME, latency=float(latency)))
    now_s = 299 * 0.1
    counted = latencies[-101:]  # of the last 10 s, the oldest just so
    summary = recent.summary(now_s)
    for name, percent in (('median', 50), ('p95', 95), ('p99', 99)):
        expected = 1e3 * np.percentile(counted, percent)
        assert summary[f'latency_{name}_ms'] == pytest.approx(expected, rel=0.02)
    assert summary['network_median_ms'] == pytest.approx(60)
    assert summary['subjects_mean'] == 3


def test_frames_with_nobody_do_not_count_among_the_batches():
    recent = RecentFrames()
    recent.add(0, FRAME)
    for _ in range(5):
        recent.add(0, replace(FRAME, subjects=0, batch_size=0, batch_frames=0))
    summary = recent.summary(1)
    assert (summary['batch_size_median'], summary['batch_size_max']) == (8, 8)
    assert summary['batch_frames_max'] == 2


def test_nothing_recent_gives_nothing():
    recent = RecentFrames()
    assert recent.summary(0) == {}
    recent.add(0, FRAME)
    assert recent.summary(SPAN_S + 0.1) == {}


def test_it_stays_small():
    recent = RecentFrames()
    for index in range(3 * MOST):
        recent.add(index * 1e-6, FRAME)
    assert len(recent._frames) == MOST


def test_rates_are_those_of_the_last_seconds():
    rates = Rates()
    for second in range(31):
        rates.add(second, {'images': 30 * second, 'lost': max(0, second - 25)})
    assert rates.hertz() == pytest.approx({'images': 30, 'lost': 0.5})
    assert rates.since() == {'images': 300, 'lost': 5}


def test_rates_need_two_moments():
    rates = Rates()
    assert rates.since() == {}
    rates.add(5, {'images': 7})
    assert rates.hertz() == {'images': 0}


def test_what_is_counted_after_an_empty_beginning_counts():
    rates = Rates()
    rates.add(5, {})
    rates.add(7, {'images': 7})
    assert rates.since() == {'images': 7} and rates.hertz() == {'images': 3.5}
