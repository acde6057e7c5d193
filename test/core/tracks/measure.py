"""How well tracks are kept, by the measures of the library `trackers`, beside its ByteTrack.

PYTHONPATH=. python test/core/tracks/measure.py
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from detector import Detector
from street import CAMERA, sequence

from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.tracks.tracker import Tracker
from vitpose_ros.core.tracks.tracks import TRACKED, TrackIds

TRUE = Detector()
NOISY = Detector(misses=0.1, jitter=0.03, noise=0.5, false=0.05)


def ours(stream, options=TrackOptions(), ego=False):
    """Return ids and boxes per frame of this package's tracker."""
    tracker = Tracker(TrackIds('r'), options)
    out = []
    for sight, poses in stream:
        tracks = tracker.update(
            round(sight.stamp_s * 1e9),
            poses,
            camera=CAMERA if ego else None,
            camera_pose=sight.camera_pose if ego else None,
        )
        now = tracks[(tracks.states == TRACKED) & (tracks.indices >= 0)]
        out.append(([int(i.split('_')[1]) for i in now.ids], now.boxes))
    return out


def byte_track(stream, rate=15.0):
    """Return ids and boxes per frame of ByteTrack."""
    import supervision
    from trackers import ByteTrackTracker

    tracker = ByteTrackTracker(lost_track_buffer=60, frame_rate=rate)  # two seconds
    out = []
    for _, poses in stream:
        found = supervision.Detections(
            xyxy=np.asarray(poses.boxes, np.float32).reshape(-1, 4),
            confidence=np.asarray(poses.box_scores, np.float32),
        )
        found = tracker.update(found)
        keep = found.tracker_id >= 0
        out.append((found.tracker_id[keep].tolist(), found.xyxy[keep]))
    return out


def score(sights, result, least=0.3):
    """Return IDF1, HOTA and switches of a sequence."""
    from trackers.eval import (
        box_iou,
        compute_clear_metrics,
        compute_hota_metrics,
        compute_identity_metrics,
    )

    truth_ids, found_ids, alike = [], [], []
    numbers = {}
    last = {}
    generation = defaultdict(int)
    for sight, (ids, boxes) in zip(sights, result, strict=True):
        rows = np.flatnonzero(sight.visible >= least)
        names = []
        for person in sight.ids[rows].tolist():
            if sight.stamp_s - last.get(person, sight.stamp_s) > 2.0:
                generation[person] += 1
            last[person] = sight.stamp_s
            names.append((person, generation[person]))
        truth_ids.append(np.array([numbers.setdefault(n, len(numbers)) for n in names], int))
        found_ids.append(np.array([numbers.setdefault(('f', i), len(numbers)) for i in ids], int))
        alike.append(box_iou(sight.boxes[rows].reshape(-1, 4), np.reshape(boxes, (-1, 4))))
    for side in (truth_ids, found_ids):
        _, where = np.unique(np.concatenate(side), return_inverse=True)
        ends = np.cumsum([len(x) for x in side])
        side[:] = np.split(where, ends[:-1])
    identity = compute_identity_metrics(truth_ids, found_ids, alike)
    hota = compute_hota_metrics(truth_ids, found_ids, alike)
    clear = compute_clear_metrics(truth_ids, found_ids, alike)
    return identity, hota['HOTA'], clear['IDSW'], clear['CLR_FN'], clear['CLR_FP']


def table(seeds, detector, sources):
    """Return per source IDF1 over all, mean HOTA and the sum of switches; prints per seed."""
    totals = {name: np.zeros(3) for name in sources}
    others = {name: [] for name in sources}
    for seed in seeds:
        sights = sequence(seed)
        rng = np.random.default_rng([5, seed])
        stream = [(sight, detector.poses(sight, rng)[0]) for sight in sights]
        line = []
        for name, source in sources.items():
            identity, hota, switches, fn, fp = score(sights, source(stream))
            totals[name] += identity['IDTP'], identity['IDFP'], identity['IDFN']
            others[name].append((hota, switches, fn, fp))
            line.append(f'{name} {identity["IDF1"]:.3f} sw {switches} fn {fn} fp {fp}')
        print(seed, ' | '.join(line), flush=True)
    for name, (tp, fp, fn) in totals.items():
        hota, switches, _, _ = np.array(others[name]).T
        print(
            f'{name:12} IDF1 {2 * tp / (2 * tp + fp + fn):.4f} HOTA {hota.mean():.4f} '
            f'switches {switches.sum():.0f}'
        )


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--seeds', type=int, default=20)
    arguments = parser.parse_args()
    sources = {'ours': ours, 'ego': lambda s: ours(s, ego=True), 'byte': byte_track}
    for name, detector in {'true': TRUE, 'noisy': NOISY}.items():
        print('==', name)
        table(range(arguments.seeds), detector, sources)
