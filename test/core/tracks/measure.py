"""How well tracks are kept, by the measures of the library `trackers`, beside its ByteTrack.

    pip install --no-deps -r dev/requirements-tracks.txt
    PYTHONPATH=. python test/core/tracks/measure.py             # 20 sequences of street.py
    PYTHONPATH=. python test/core/tracks/measure.py --world     # 20 scenes of world/, minutes

Truth is who is visible to 0.3 at least; who was not for longer than the timeout counts as somebody
new. Counted is what has a pose in the frame and is confirmed.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from detector import NOISY, TRUE
from street import CAMERA, Sight, sequence

from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.tracks.options import DEFAULTS
from vitpose_ros.core.tracks.tracker import Tracker
from vitpose_ros.core.tracks.tracks import TRACKED, TrackIds

LEAST = 0.3  # visible share of who counts
WORLD = (
    *(('crossing', 0), ('crossing', 1), ('crossing', 2), ('leaving', 0), ('leaving', 1)),
    *(('leaving', 2), ('occlusion', 0), ('occlusion', 1), ('pillar', 0), ('pillar', 1)),
    *(('crowd', 0), ('crowd', 1), ('crowd', 2), ('furniture', 0), ('furniture', 1)),
    *(('sitting', 0), ('driving', 0), ('driving', 1), ('close', 0), ('walking', 0)),
)


@dataclass
class Scene:
    """A sequence, and the camera that saw it."""

    name: str
    sights: list
    camera: PinholeCamera = CAMERA
    size: tuple = (720, 1280)  # height, width


def streets(count):
    """Yield sequences of street.py."""
    return (Scene(f'street {seed}', sequence(seed)) for seed in range(count))


def worlds():
    """Yield scenes of world/, as one camera sees them 15 times a second."""
    from world import bodies
    from world.scene import Scene as World

    coco = bodies.indices_of('coco')
    for scenario, seed in WORLD:
        world = World(seed, scenario, rate_hz=15.0)
        name = next(iter(world.mounts))
        sights = []
        for stamp in world.stamps(name):
            sight = world.sight(name, float(stamp))
            people = [p for p in sight.people if np.isfinite(p.box).all() and p.share > 0.02]
            count = len(people)
            sights.append(
                Sight(
                    sight.stamp_s,
                    np.array([p.id for p in people], dtype=int),
                    np.array([p.box for p in people], dtype=float).reshape(count, 4),
                    np.array([p.share for p in people]),
                    np.array([p.points[coco] for p in people]).reshape(count, 17, 2),
                    np.array([p.states[coco] > 0 for p in people]).reshape(count, 17),
                    np.array([p.joints[coco] for p in people]).reshape(count, 17, 3),
                    sight.pose,
                )
            )
        yield Scene(f'{scenario} {seed}', sights, sight.camera, sight.size)


@dataclass
class InSpace:
    """Positions in metres as a stereo camera has them: the middle of the hips, with noise."""

    position: np.ndarray
    position_covariance: np.ndarray

    @classmethod
    def of(cls, sight, rows, rng):
        """Return positions of rows of a sight; NaN for false boxes."""
        position = np.full((len(rows), 3), np.nan)
        position[rows >= 0] = sight.joints[rows[rows >= 0]][:, 11:13].mean(axis=1)
        sigma = np.array([0.02, 0.02, 0.02]) + position[:, 2:] ** 2 * (0, 0, 0.01)
        sigma[rows < 0] = 1
        position += rng.normal(size=position.shape) * sigma
        return cls(position, np.eye(3) * (sigma**2)[:, None])


def ours(scene, stream, *, ego=False, space=False, options=DEFAULTS):
    """Return ids and boxes per frame of this package's tracker."""
    tracker, rng = Tracker(TrackIds('r'), options), np.random.default_rng(1)
    out = []
    for sight, poses, rows in stream:
        tracks = tracker.update(
            round(sight.stamp_s * 1e9),
            poses,
            positions=InSpace.of(sight, rows, rng) if space else None,
            camera=scene.camera if ego else None,
            camera_pose=sight.camera_pose if ego else None,
        )
        now = tracks[(tracks.states == TRACKED) & (tracks.indices >= 0)]
        out.append(([int(i.split('_')[1]) for i in now.ids], now.boxes))
    return out


def byte_track(scene, stream, **thresholds):
    """Return ids and boxes per frame of ByteTrack, with the same timeout."""
    import supervision
    from trackers import ByteTrackTracker

    # Its buffer counts frames of 30 Hz.
    buffer = round(30 * DEFAULTS.track_timeout_s)
    tracker = ByteTrackTracker(lost_track_buffer=buffer, frame_rate=15.0, **thresholds)
    out = []
    for _, poses, _ in stream:
        boxes = np.asarray(poses.boxes, np.float32).reshape(-1, 4)
        scores = np.asarray(poses.box_scores, np.float32)
        found = tracker.update(supervision.Detections(xyxy=boxes, confidence=scores))
        found = found[found.tracker_id >= 0]
        out.append((found.tracker_id.tolist(), found.xyxy))
    return out


SAME_SCORES = dict.fromkeys(
    ('track_activation_threshold', 'high_conf_det_threshold'), DEFAULTS.track_high_score
)
SOURCES = {
    'vitpose_ros': ours,
    'vitpose_ros, camera poses': lambda *a: ours(*a, ego=True),
    'vitpose_ros, camera poses, depth': lambda *a: ours(*a, ego=True, space=True),
    'ByteTrack': byte_track,
    'ByteTrack, scores of vitpose_ros': lambda *a: byte_track(*a, **SAME_SCORES),
}


def truth_of(sights):
    """Return ids and boxes per frame of who counts."""
    last, times, out = {}, {}, []
    for sight in sights:
        rows = np.flatnonzero(sight.visible >= LEAST)
        ids = []
        for person in sight.ids[rows].tolist():
            absent = sight.stamp_s - last.get(person, sight.stamp_s)
            times[person] = times.get(person, 0) + (absent > DEFAULTS.track_timeout_s)
            last[person] = sight.stamp_s
            ids.append(1000 * times[person] + person)
        out.append((ids, sight.boxes[rows].reshape(-1, 4)))
    return out


def score(truth, found):
    """Return true, false and missed ids (of IDF1), HOTA and switches of a sequence."""
    from trackers.eval import (
        box_iou,
        compute_clear_metrics,
        compute_hota_metrics,
        compute_identity_metrics,
    )

    def numbered(frames):
        """Return ids as numbers from 0."""
        known = {}
        return [np.array([known.setdefault(i, len(known)) for i in ids], int) for ids, _ in frames]

    iou = [
        box_iou(np.reshape(boxes, (-1, 4)), np.reshape(others, (-1, 4)))
        for (_, boxes), (_, others) in zip(truth, found, strict=True)
    ]
    given = numbered(truth), numbered(found), iou
    identity = compute_identity_metrics(*given)
    counts = [identity[name] for name in ('IDTP', 'IDFP', 'IDFN')]
    return *counts, compute_hota_metrics(*given)['HOTA'], compute_clear_metrics(*given)['IDSW']


def compare(scenes, detector, sources=SOURCES, *, say=lambda *_: None):
    """Return per source IDF1 over all scenes, mean HOTA and the sum of switches."""
    scores = {name: [] for name in sources}
    for number, scene in enumerate(scenes):
        rng = np.random.default_rng([5, number])
        stream = [(s, *detector.poses(s, rng, scene.size)) for s in scene.sights]
        truth = truth_of(scene.sights)
        for name, source in sources.items():
            scores[name].append(score(truth, source(scene, stream)))
        say(scene.name, *(f'{2 * r[-1][0] / sum(r[-1][:3] + r[-1][:1]):.3f} {r[-1][4]}'
                          for r in scores.values()))  # fmt: skip
    table = {}
    for name, rows in scores.items():
        true, false, missed, hota, switches = np.array(rows, dtype=float).T
        idf1 = 2 * true.sum() / (2 * true + false + missed).sum()
        table[name] = float(idf1), float(hota.mean()), int(switches.sum())
    return table


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--world', action='store_true')
    parser.add_argument('--count', type=int, default=20)
    arguments = parser.parse_args()
    scenes = list(worlds() if arguments.world else streets(arguments.count))
    for title, detector in {'true boxes': TRUE, 'misses 10 %, jitters': NOISY}.items():
        print(f'\n| {title} | IDF1 | HOTA | switches |\n| --- | --- | --- | --- |')
        for name, (idf1, hota, switches) in compare(scenes, detector).items():
            print(f'| {name} | {idf1:.3f} | {hota:.3f} | {switches} |')
