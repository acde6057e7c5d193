"""Rendered people before two cameras of a robot, through the pipeline: who is who, and where.

    PYTHONPATH=. python test/core/people_on_scenes.py                # minutes
    PYTHONPATH=. python test/core/people_on_scenes.py --seeds 3 --scenarios turning

prints for each scene in how many of the frames each person is under one id on the list of all
cameras, how far off its place is, and what smoothing does to joints in metres. Keypoints are the
true ones with errors of 1.5 pixels, depth is that of a common stereo camera. Who was not visible
to any camera for longer than the timeout counts as somebody new.
"""

import argparse
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from vitpose_ros.core import Frame, Poses
from vitpose_ros.core.captures import Capture
from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import MEASURED
from vitpose_ros.core.pipeline import PosePipeline
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.tracks.tracks import LOST
from world.bodies import indices_of
from world.scene import Scene
from world.sequence import HIDDEN

COCO = indices_of('coco')
JITTER_PX, SPREAD = 1.5, 360.0  # of keypoints, and of the heatmaps that tell it, pixels squared
LEAST_SHARE = 0.15  # of a person that is visible, to have a box
NEAR_M, RECENT_S, SETTLED_S = 0.5, 0.25, 0.5


def poses_of(sight, rng):
    """Return what a network gives for a sight, and whom it is of."""
    people = [p for p in sight.people if p.share > LEAST_SHARE and np.isfinite(p.box).all()]
    count = len(people)
    points = np.array([p.points[COCO] for p in people]).reshape(count, len(COCO), 2)
    states = np.array([p.states[COCO] for p in people]).reshape(count, len(COCO))
    points = points + rng.normal(0, JITTER_PX, points.shape)
    spread = np.broadcast_to(np.eye(2, dtype=np.float32) * SPREAD, (*states.shape, 2, 2))
    poses = Poses(
        sight.size[1],
        sight.size[0],
        np.array([p.box for p in people], np.float32).reshape(count, 4),
        ('coco',) * count,
        points.astype(np.float32),
        np.where(states == HIDDEN, 0.1, 0.9).astype(np.float32),
        spread,
    )
    return people, poses


def play(scene, options, *, seed=0, until=np.inf):
    """Yield each sight of a scene, whom it shows, and what the pipeline makes of it."""
    pipeline, rng = PosePipeline(None, options, run='r1'), np.random.default_rng(seed)
    for sight in scene.sequence(depth=True):
        if sight.stamp_s > until:
            return
        people, poses = poses_of(sight, rng)
        capture = Capture(
            Frame(np.zeros((*sight.size, 3), np.uint8), np.zeros((0, 4))),
            round(sight.stamp_s * 1e9),
            sight.name,
            sight.camera,
            Depth(sight.depth, sight.camera),
            sight.pose,
        )
        yield sight, people, pipeline.follow(capture, poses)


@dataclass
class Result:
    """How a scene went."""

    one_id: float  # share of the frames of people
    off_m: float  # median distance of the place, on the ground


def identities(scene, *, until=np.inf):
    """Follow the people of a scene, and compare with who they are."""
    timeout_s = TrackOptions().track_timeout_s
    last, part, found, apart = {}, Counter(), defaultdict(list), []
    for sight, people, sighting in play(scene, TrackOptions(), until=until):
        for person in people:
            if sight.stamp_s - last.get(person.id, -np.inf) > timeout_s:
                part[person.id] += 1
            last[person.id] = sight.stamp_s
        told = sighting.people
        now_s = told.stamp_ns / 1e9
        there = np.flatnonzero(told.states != LOST)
        for present in scene.present(now_s):
            if now_s - last.get(present.id, -np.inf) > RECENT_S:
                continue
            away = np.linalg.norm((told.positions[there] - present.position)[:, :2], axis=1)
            near = there[away < NEAR_M]
            apart += away[away < NEAR_M].tolist()
            found[present.id, part[present.id]].append((now_s, [told.ids[row] for row in near]))
    good = total = 0
    for frames in found.values():
        frames = [ids for now_s, ids in frames if now_s > frames[0][0] + SETTLED_S]
        names = Counter(name for ids in frames for name in ids).most_common(1)
        good += sum(ids == [names[0][0]] for ids in frames) if names else 0
        total += len(frames)
    return Result(good / max(total, 1), float(np.median(apart)))


def jitter_mm(scene, strength, *, until=np.inf):
    """Return the median change of errors from frame to frame, of measured joints, in mm."""
    before, steps = {}, []
    options = TrackOptions(smoothing_3d=strength)
    for sight, people, sighting in play(scene, options, until=until):
        for row, person in enumerate(people):
            true = np.c_[person.joints[COCO], np.ones(len(COCO))] @ sight.pose.T
            error = sighting.joints.points[row] - true[:, :3]
            error[sighting.joints.states[row] != MEASURED] = np.nan
            if (sight.name, person.id) in before:
                steps.append(np.linalg.norm(error - before[sight.name, person.id], axis=1))
            before[sight.name, person.id] = error
    return 1e3 * float(np.nanmedian(steps))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--scenarios', nargs='+', default=['turning', 'two_cameras'])
    arguments = parser.parse_args()
    print('| scene | frames under one id | place off, cm |\n| --- | --- | --- |')
    results = []
    for scenario in arguments.scenarios:
        for seed in range(arguments.seeds):
            results.append(identities(Scene(seed, scenario)))
            print(
                f'| {scenario} {seed} | {results[-1].one_id:.3f} | {results[-1].off_m * 100:.1f} |'
            )
    print(f'| mean | {np.mean([r.one_id for r in results]):.3f} | |')
    print('\n| scene | jitter, mm | light | strong |\n| --- | --- | --- | --- |')
    for scenario in ('standing', 'walking'):
        values = [
            jitter_mm(Scene(0, scenario), strength) for strength in ('off', 'light', 'strong')
        ]
        print(f'| {scenario} | {" | ".join(f"{value:.1f}" for value in values)} |')
