"""How smoothers trade jitter for delay: those of this package beside the One-Euro filter.

    PYTHONPATH=. python test/core/tracks/measure_smoothing.py

Keypoints of one person at 15 Hz with errors of 15 mm. The One-Euro filter is that of Casiez,
Roussel and Vogel, "1 EURO Filter", 2012, with a few of its settings.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from figures import SHAPE
from street import Walker
from test_smoothing import HERTZ, delay, jitter, smoothed

from vitpose_ros.core.tracks.smoothing import STRENGTHS

SIGMA_M = 0.015


def one_euro(points, *, least_hz, slope, rate_hz=1.0):
    """Smooth points (t, ...)."""

    def weight(cutoff_hz):
        return 1 / (1 + HERTZ / (2 * np.pi * cutoff_hz))

    value, rate, out = points[0], np.zeros_like(points[0]), [points[0]]
    for now in points[1:]:
        rate = rate + weight(rate_hz) * ((now - value) * HERTZ - rate)
        value = value + weight(least_hz + slope * np.abs(rate)) * (now - value)
        out.append(value)
    return np.array(out)


SMOOTHERS = {
    'none': lambda points: points,
    **{
        f'One-Euro, {least:g} Hz, {slope:g}': lambda points, least=least, slope=slope: one_euro(
            points, least_hz=least, slope=slope
        )
        for least, slope in ((0.5, 0.5), (0.5, 2.0), (1.0, 1.0), (1.0, 4.0))
    },
    **{name: lambda points, name=name: smoothed(name, points, SIGMA_M**2) for name in STRENGTHS},
}


if __name__ == '__main__':
    rng = np.random.default_rng(4)
    still = np.tile(SHAPE * 1.7, (120, 1, 1))
    walker = Walker([0, 20], [(-6.0, 4.0), (16.0, 4.0)])
    walk = np.stack([walker.joints(2 + i / HERTZ)[:17] for i in range(120)])
    standing = still + rng.normal(0, SIGMA_M, still.shape)
    walking = walk + rng.normal(0, SIGMA_M, walk.shape)
    print('| smoother | jitter, standing | delay, walking, ms | error, walking, mm |')
    print('| --- | --- | --- | --- |')
    for name, smooth in SMOOTHERS.items():
        calm, moving = smooth(standing), smooth(walking)
        error = 1e3 * np.sqrt(((moving - walk)[15:] ** 2).mean())
        ratio = jitter(standing) / jitter(calm)
        print(f'| {name} | 1/{ratio:.1f} | {1e3 * delay(moving, walk):.0f} | {error:.0f} |')
