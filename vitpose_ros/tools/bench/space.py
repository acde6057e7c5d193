"""What people in space and time cost: lifting, tracks, smoothing, one list for two cameras."""

from collections import defaultdict
from statistics import median
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import Joints, lift
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.tracks.people import PeopleTracker
from vitpose_ros.core.tracks.smoothing import Smoother, image_variances
from vitpose_ros.core.tracks.tracker import Tracker
from vitpose_ros.core.tracks.tracks import TrackIds
from vitpose_ros.tools.bench import timing
from vitpose_ros.tools.bench.options import BenchOptions

Array = NDArray[np.float64]

PEOPLE, FRAMES, RATE_HZ = 10, 120, 15
WARM_UP = 20  # frames that do not count
WIDTH, HEIGHT = 1280, 720
CAMERA = PinholeCamera(900.0, 900.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
WALL_M = 8.0
NOISE_PX = 1.5
OTHER_CAMERA_M = 0.2  # to the right of the first
# COCO's keypoints of somebody who stands: metres right and down from the middle of the hips.
STANDING = np.array(
    [
        *([0, -0.72], [0.03, -0.76], [-0.03, -0.76], [0.08, -0.73], [-0.08, -0.73]),
        *([0.17, -0.52], [-0.17, -0.52], [0.25, -0.25], [-0.25, -0.25], [0.27, 0], [-0.27, 0]),
        *([0.1, 0], [-0.1, 0], [0.11, 0.42], [-0.11, 0.42], [0.11, 0.84], [-0.11, 0.84]),
    ]
)
BONES = (  # and their thickness in metres
    *((5, 7, 0.09), (7, 9, 0.07), (6, 8, 0.09), (8, 10, 0.07), (11, 13, 0.14), (13, 15, 0.1)),
    *((12, 14, 0.14), (14, 16, 0.1), (5, 11, 0.2), (6, 12, 0.2), (5, 12, 0.2), (0, 0, 0.2)),
)


def space(options: BenchOptions) -> None:
    """Measure what each step takes for ten people in a frame of 720p, on one core."""
    with options.results.table(
        'people in space',
        f'People in space and time: {PEOPLE} people, {WIDTH} x {HEIGHT}; ms a frame, on one core',
        ('step', 'median', 'p95'),
    ) as table:
        table.note = (
            f'Beside the network. {FRAMES} frames at {RATE_HZ} Hz of people who walk; coco. '
            'Smoothing in the image is off unless asked for. two cameras: one list of what both '
            'see.'
        )
        for step, seconds in _measure().items():
            times = seconds[WARM_UP:]
            table.add(step, 1e3 * median(times), 1e3 * timing.percentile(times, 95))


def _measure() -> dict[str, list[float]]:
    """Return the seconds of each step, frame by frame."""
    random = np.random.default_rng(0)
    spent: dict[str, list[float]] = defaultdict(list)
    ids, people_tracker = TrackIds('b'), PeopleTracker()
    trackers = {'front': Tracker(ids), 'left': Tracker(ids)}
    in_image, in_space = Smoother('light'), Smoother('light')
    for index in range(FRAMES):
        stamp_ns = round(index / RATE_HZ * 1e9)
        for camera, tracker in trackers.items():
            pose = np.eye(4)
            pose[0, 3] = OTHER_CAMERA_M * (camera == 'left')
            poses, depth = _seen(index / RATE_HZ, pose[0, 3], random)
            begin = perf_counter()
            joints = lift(poses, depth, CAMERA)
            lifted = perf_counter()
            tracks = tracker.update(
                stamp_ns, poses, positions=joints, camera=CAMERA, camera_pose=pose
            )
            named = tracks.named(poses)
            tracked = perf_counter()
            if camera == 'front':
                _smooth_in_space(in_space, stamp_ns, named, joints)
                calm_in_space = perf_counter()
                _smooth_in_image(in_image, stamp_ns, named)
                calm_in_image = perf_counter()
                spent['lifting'].append(lifted - begin)
                spent['tracks'].append(tracked - lifted)
                spent['smoothing in space'].append(calm_in_space - tracked)
                spent['smoothing in the image'].append(calm_in_image - calm_in_space)
            begin = perf_counter()
            people = people_tracker.update(camera, tracks)
            tracker.learn(people, camera)
            if camera == 'left':
                spent['two cameras'].append(perf_counter() - begin)
    return spent


def _smooth_in_image(smoother: Smoother, stamp_ns: int, poses: Poses) -> None:
    rows, names = _rows(poses)
    heights = poses.boxes[rows, 3] - poses.boxes[rows, 1]
    variances = image_variances(poses)[rows]
    smoother.update(stamp_ns, names, poses.keypoints[rows], variances, heights)


def _smooth_in_space(smoother: Smoother, stamp_ns: int, poses: Poses, joints: Joints) -> None:
    rows, names = _rows(poses)
    variances = np.einsum('nkii->nki', joints.covariances[rows])
    smoother.update(stamp_ns, names, joints.points[rows], variances, np.full(len(rows), 1.7))


def _rows(poses: Poses) -> tuple[list[int], list[str]]:
    rows = [row for row, name in enumerate(poses.track_ids) if name]
    return rows, [poses.track_ids[row] for row in rows]


def _seen(second: float, offset_m: float, random: np.random.Generator) -> tuple[Poses, Depth]:
    """Return what a camera sees that stands so far to the right."""
    z = np.linspace(3.0, 6.0, PEOPLE)
    x = (np.arange(PEOPLE) - (PEOPLE - 1) / 2) * 0.28 * z / 2 + 0.3 * np.sin(second + z)
    joints = np.empty((PEOPLE, len(STANDING), 3))
    joints[..., :2] = STANDING
    joints[..., 0] += x[:, None] - offset_m
    joints[..., 1] += 0.1
    joints[..., 2] = z[:, None]
    points = CAMERA.project(joints)
    depth = np.full((HEIGHT, WIDTH), WALL_M, np.float32)
    for person in reversed(range(PEOPLE)):  # the nearest last
        for one, other, thick in BONES:
            ends = [
                tuple(np.rint(points[person, end]).astype(int).tolist()) for end in (one, other)
            ]
            width = max(1, round(thick * CAMERA.focal_x / z[person]))
            cv2.line(depth, ends[0], ends[1], float(z[person] - 0.07), width)
    depth += random.normal(0, 0.0025, depth.shape).astype(np.float32) * depth**2
    margin = 20
    boxes = np.concatenate((points.min(axis=1) - margin, points.max(axis=1) + margin), axis=1)
    points += random.normal(0, NOISE_PX, points.shape)
    scores = np.full(points.shape[:2], 0.8, np.float32)
    spread = np.broadcast_to(np.eye(2, dtype=np.float32) * 80, (*scores.shape, 2, 2))
    poses = Poses(
        WIDTH,
        HEIGHT,
        boxes.astype(np.float32),
        ('coco',) * PEOPLE,
        points.astype(np.float32),
        scores,
        spread,
    )
    return poses, Depth(depth, CAMERA)
