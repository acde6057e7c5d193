"""People who walk, cross, hide each other, leave and come back: only geometry, and its truth.

World: x right, y ahead, z up, metres. Bodies are COCO's joints and capsules around the bones.
"""

from dataclasses import dataclass, field

import numpy as np

from vitpose_ros.core import SKELETONS
from vitpose_ros.core.geometry.pinhole import PinholeCamera

WIDTH, HEIGHT = 1280, 720
CAMERA = PinholeCamera(900, 900, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
RATE = 15.0  # Hz
TURN = 5.0  # radians a second, at most
SIGMAS = np.array(SKELETONS['coco'].sigmas)

# Bones by COCO's joints (17: the neck), and radii as parts of the body's height.
BONES = (
    *((5, 7, 0.03), (7, 9, 0.025), (6, 8, 0.03), (8, 10, 0.025), (11, 13, 0.045), (13, 15, 0.03)),
    *((12, 14, 0.045), (14, 16, 0.03), (5, 11, 0.06), (6, 12, 0.06), (5, 12, 0.07), (6, 11, 0.07)),
    *((17, 0, 0.06), (3, 4, 0.06)),
)
ENDS = np.array([bone[:2] for bone in BONES])
RADII = np.array([bone[2] for bone in BONES])


@dataclass
class Walker:
    """Somebody who walks along points, at each of them at its time; waits where they repeat."""

    times: list  # seconds
    points: list  # (x, y) metres
    height: float = 1.75
    phase: float = 0.0
    memory: dict = field(default_factory=dict)

    def place(self, t):
        """Return the place on the ground (2,), smooth over 0.4 s."""
        around = np.linspace(t - 0.4, t + 0.4, 9)
        p = np.array(self.points, float)
        return np.array([np.interp(around, self.times, p[:, i]).mean() for i in (0, 1)])

    def joints(self, t):
        """Return COCO's joints and the neck, (18, 3) metres."""
        h = self.height
        here = self.place(t)
        velocity = (self.place(t + 0.1) - self.place(t - 0.1)) / 0.2
        speed = float(np.linalg.norm(velocity))
        passed = t - self.memory.get('t', t)
        angle = self.memory.get('heading', -np.pi / 2)
        if speed > 0.1:  # those who stand look where they went last; nobody turns at once
            turn = np.arctan2(velocity[1], velocity[0]) - angle
            turn = (turn + np.pi) % (2 * np.pi) - np.pi
            angle += np.clip(turn, -TURN * passed, TURN * passed)
        forward = np.array([np.cos(angle), np.sin(angle)])
        left = np.array([-forward[1], forward[0]])
        walked = self.memory.get('walked', 0.0) + speed * passed
        self.memory.update(t=t, walked=walked, heading=angle)
        swing = min(speed / 1.4, 1.2)
        out = np.zeros((18, 3))

        def at(ahead, aside, up):
            return np.array([*(here + ahead * h * forward + aside * h * left), up * h])

        bob = 0.01 * swing * np.cos(2 * (2 * np.pi * walked / 1.4 + self.phase))
        for side, sign in (('l', 1), ('r', -1)):
            phi = 2 * np.pi * walked / 1.4 + self.phase + (0 if sign > 0 else np.pi)
            hip, knee, ankle = (11, 13, 15) if side == 'l' else (12, 14, 16)
            shoulder, elbow, wrist = (5, 7, 9) if side == 'l' else (6, 8, 10)
            theta = 0.45 * swing * np.sin(phi)
            bend = 0.5 * swing * (1 + np.cos(phi)) / 2
            out[hip] = at(0, 0.06 * sign, 0.53 + bob)
            k = np.array([np.sin(theta), -np.cos(theta)]) * 0.245
            a = k + np.array([np.sin(theta - bend), -np.cos(theta - bend)]) * 0.245
            out[knee] = at(k[0], 0.06 * sign, 0.53 + bob + k[1])
            out[ankle] = at(a[0], 0.06 * sign, 0.53 + bob + a[1])
            arm = -0.4 * swing * np.sin(phi)
            e = np.array([np.sin(arm), -np.cos(arm)]) * 0.17
            w = e + np.array([np.sin(arm + 0.3), -np.cos(arm + 0.3)]) * 0.16
            out[shoulder] = at(0, 0.11 * sign, 0.82 + bob)
            out[elbow] = at(e[0], 0.13 * sign, 0.82 + bob + e[1])
            out[wrist] = at(w[0], 0.13 * sign, 0.82 + bob + w[1])
            out[1 if sign > 0 else 2] = at(0.05, 0.018 * sign, 0.94 + bob)
            out[3 if sign > 0 else 4] = at(0, 0.04 * sign, 0.93 + bob)
        out[0] = at(0.06, 0, 0.92 + bob)
        out[17] = at(0, 0, 0.85 + bob)
        return out


@dataclass
class Sight:
    """What the camera sees at one time; rows are people of whom something is in the image."""

    stamp_s: float
    ids: np.ndarray  # (n,)
    boxes: np.ndarray  # (n, 4) of what is visible
    visible: np.ndarray  # (n,) share of the body
    points: np.ndarray  # (n, 17, 2) pixels
    seen: np.ndarray  # (n, 17) bool
    joints: np.ndarray  # (n, 17, 3) metres, optical frame
    camera_pose: np.ndarray  # (4, 4) optical frame → world


def pose_at(x=0.0, y=0.0, yaw=0.0, height=1.2):
    """Return the pose (4, 4) of a camera; yaw: to the left of the world's y, radians."""
    pose = np.eye(4)
    c, s = np.cos(yaw), np.sin(yaw)
    pose[:3, :3] = np.stack(([c, s, 0], [0, 0, -1], [-s, c, 0]), axis=1)
    pose[:3, 3] = x, y, height
    return pose


def project(points, camera=CAMERA):
    """Return pixels of points (..., 3) in the optical frame."""
    z = points[..., 2:].clip(min=0.05)
    return points[..., :2] / z * (camera.focal_x, camera.focal_y) + (
        camera.centre_x,
        camera.centre_y,
    )


def look(walkers, t, pose, pillars=()):
    """Return what a camera sees of the walkers; pillars: (x, y, radius) on the ground."""
    world = np.stack([walker.joints(t) for walker in walkers])  # (n, 18, 3)
    n = len(walkers)
    joints = (world - pose[:3, 3]) @ pose[:3, :3]
    depth = joints[:, :, 2].mean(axis=1)
    heights = np.array([walker.height for walker in walkers])
    pixels = project(joints)
    radii = RADII * heights[:, None] * CAMERA.focal_x / depth.clip(0.05)[:, None]  # (n, b)
    a, b = pixels[:, ENDS[:, 0]], pixels[:, ENDS[:, 1]]  # (n, bones, 2)
    along = np.linspace(0, 1, 5)
    core = a[:, :, None] + along[:, None] * (b - a)[:, :, None]  # (n, bones, 5, 2)
    normal = np.stack((-(b - a)[..., 1], (b - a)[..., 0]), axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True).clip(1e-6)
    offset = (normal * radii[..., None])[:, :, None]
    skin = np.concatenate((core + offset, core - offset), axis=2).reshape(n, -1, 2)
    samples = np.concatenate((skin, pixels[:, :17]), axis=1)  # (n, s, 2)
    inside = ((samples >= 0) & (samples <= (WIDTH - 1, HEIGHT - 1))).all(axis=2)
    inside &= (depth > 0.3)[:, None]
    hidden = np.zeros(samples.shape[:2], bool)
    for i in range(n):
        for j in range(n):
            if depth[i] > depth[j] > 0.3:
                d = b[j] - a[j]
                rel = samples[i][:, None] - a[j]  # (s, bones, 2)
                share = ((rel * d).sum(-1) / (d * d).sum(-1).clip(1e-6)).clip(0, 1)
                apart = np.linalg.norm(rel - share[..., None] * d, axis=-1)
                hidden[i] |= (apart < radii[j]).any(axis=1)
        for x, y, radius in pillars:
            foot = (np.array([x, y, 1.0]) - pose[:3, 3]) @ pose[:3, :3]
            if 0.3 < foot[2] < depth[i]:
                u = project(foot)[0]
                hidden[i] |= np.abs(samples[i, :, 0] - u) < radius * CAMERA.focal_x / foot[2]
    visible = inside & ~hidden
    m = skin.shape[1]
    share = visible[:, :m].mean(axis=1)
    rows = np.flatnonzero(share > 0.05)
    boxes = np.array(
        [[*skin[i][visible[i, :m]].min(0), *skin[i][visible[i, :m]].max(0)] for i in rows]
    ).reshape(-1, 4)
    return Sight(
        t,
        rows,
        boxes,
        share[rows],
        pixels[rows, :17],
        visible[rows, m:],
        joints[rows, :17],
        pose,
    )


def _crossing(rng, near, count):
    """Some who walk to and fro on lanes of their own."""
    way = rng.choice((-1, 1))
    for lane in range(count):
        y, speed, start = near + 0.7 * lane + rng.uniform(-0.2, 0.2), *rng.uniform(0.7, 1.5, 2)
        reach = near * rng.uniform(0.35, 0.62)
        times, points = [-60.0, start], [(-way * reach, y), (-way * reach, y)]
        while times[-1] < 60:
            times += [times[-1] + 2 * reach / speed, times[-1] + 2 * reach / speed + 0.5]
            points += [(way * reach, y)] * 2
            way = -way
        yield Walker(times, points, rng.uniform(1.5, 1.95), rng.uniform(0, 6))
        way = -way


def _meeting(rng, near):
    """Two who come together, stop, and go back or on."""
    middle, stop, reach = rng.uniform(-0.8, 0.8), rng.uniform(3, 5), near * 0.6
    for way in (-1, 1):
        y = near + 0.35 * way * rng.uniform(0.8, 1.5)
        stay, end = rng.uniform(0.3, 2), rng.choice((-1, 1)) * reach
        times = [-60, stop - 2.5, stop, stop + stay, stop + 4.5]
        points = [(way * reach, y)] * 2 + [(middle + 0.3 * way, y)] * 2 + [(end, y)]
        yield Walker(times, points, rng.uniform(1.5, 1.95), rng.uniform(0, 6))


def _leaving(rng, near):
    """One who leaves the view on one side, and comes back within two seconds."""
    edge = near * (WIDTH / 2) / CAMERA.focal_x
    out, speed = (edge + rng.uniform(0.4, 0.8)) * rng.choice((-1, 1)), rng.uniform(0.9, 1.4)
    leave, away, wait = rng.uniform(2, 4), abs(out) / speed, rng.uniform(0, 0.3)
    times = [-60, leave, leave + away, leave + away + wait, leave + 2 * away + wait]
    points = [(0, near)] * 2 + [(out, near)] * 2 + [(0, near)]
    yield Walker(times, points, rng.uniform(1.5, 1.95), rng.uniform(0, 6))


def sequence(seed, seconds=12.0):
    """Return sights of a scene: a function of the seed alone."""
    rng = np.random.default_rng([23, seed])
    walkers, pillars = [], []
    near = rng.uniform(2.6, 3.4)
    for place, kind in enumerate(('crossing', 'meeting', 'leaving', 'pillar')):
        if (seed + place) % 4 > 1 + seed % 2:
            continue
        if kind == 'crossing':
            walkers += _crossing(rng, near, 2 + seed % 2)
        elif kind == 'meeting':
            walkers += _meeting(rng, near + 0.5)
        elif kind == 'leaving':
            walkers += _leaving(rng, near)
        else:  # hides for up to a second
            pillars.append((rng.uniform(-1, 1), near - 0.8, rng.uniform(0.15, 0.3)))
            walkers += _crossing(rng, near + 0.2, 1)
        near += 1.7
    turn = rng.uniform(0.1, 0.3) if seed % 4 == 3 else 0.0
    stamps = np.arange(int(seconds * RATE)) / RATE
    return [look(walkers, t, pose_at(yaw=turn * np.sin(0.8 * t)), pillars) for t in stamps]
