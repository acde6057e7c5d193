"""What following ten people costs per frame of 720p, on one core: medians in milliseconds.

OMP_NUM_THREADS=1 PYTHONPATH=. python test/core/tracks/cost.py
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from detector import Detector
from measure import InSpace
from street import CAMERA, Walker, look, pose_at

from vitpose_ros.core.tracks.people import PeopleTracker
from vitpose_ros.core.tracks.smoothing import Smoother, image_variances
from vitpose_ros.core.tracks.tracker import Tracker
from vitpose_ros.core.tracks.tracks import TrackIds

FRAMES, RATE, PEOPLE = 150, 15, 10
DETECTOR = Detector(misses=0.02, jitter=0.02, noise=0.5, least=0.1)


def frames(turn):
    """Return (sight, poses, rows, positions) of ten people who walk to and fro."""
    rng = np.random.default_rng(0)
    walkers = []
    for i in range(PEOPLE):
        x, y, way = -3.6 + 0.8 * i, 6.0 + 0.5 * (i % 3), 0.5 * (-1) ** i
        walkers.append(Walker([0, 5, 10], [(x, y), (x + way, y), (x - way, y)], phase=i))
    out = []
    for i in range(FRAMES):
        sight = look(walkers, i / RATE, pose_at(yaw=turn * np.sin(i / RATE)))
        poses, rows = DETECTOR.poses(sight, rng)
        out.append((sight, poses, rows, InSpace.of(sight, rows, rng)))
    return out


def measure(turn=0.0, *, space=True):
    """Return medians of tracks, smoothing in the image and in space, and the list of people."""
    scene, times = frames(turn), []
    ids = TrackIds('r')
    trackers, people = {name: Tracker(ids) for name in ('front', 'left')}, PeopleTracker()
    flat, solid = Smoother('strong'), Smoother('strong')
    for sight, poses, rows, positions in scene:
        stamp = round(sight.stamp_s * 1e9)
        known = {'camera': CAMERA, 'camera_pose': sight.camera_pose, 'positions': positions}
        known = known if space else {}
        other = trackers['left'].update(stamp, poses, **known)
        joints, sure = sight.joints[rows], np.full((len(rows), 17, 3), 1e-4)
        heights, metres = poses.boxes[:, 3] - poses.boxes[:, 1], np.full(len(rows), 1.7)
        start = time.perf_counter()
        tracks = trackers['front'].update(stamp, poses, **known)
        tracked = time.perf_counter()
        names = [name or str(i) for i, name in enumerate(tracks.ids_of_poses(len(poses)))]
        flat.update(stamp, names, poses.keypoints, image_variances(poses), heights)
        flattened = time.perf_counter()
        solid.update(stamp, names, joints, sure, metres)
        solidified = time.perf_counter()
        if space:
            people.update('left', other)
        between = time.perf_counter()
        if space:
            people.update('front', tracks)
        fused = time.perf_counter()
        marks = start, tracked, flattened, solidified, between, fused
        times.append(np.diff(marks))
    return np.median(np.array(times)[RATE:], axis=0) * 1e3


if __name__ == '__main__':
    count = np.mean([len(poses) for _, poses, *_ in frames(0.0)])
    print(f'{count:.1f} people; milliseconds a frame, medians')
    for title, turn, space in (
        ('the image alone', 0.0, False),
        ('depth, camera stands', 0.0, True),
        ('depth, camera turns', 0.3, True),
    ):
        tracks, flat, solid, *fused = measure(turn, space=space)
        print(
            f'{title:22} tracks {tracks:.2f}  smoothing {flat:.2f} (image) {solid:.2f} (metres)'
            f'  two cameras {sum(fused):.2f}'
        )
