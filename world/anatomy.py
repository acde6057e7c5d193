"""Measure what vitpose_ros/core/geometry/{anatomy,visibility_weights}.py say of bodies.

    python -m world.anatomy 100 112

renders scenes of those seeds with the depth of a stereo camera, lifts true keypoints, and prints
tables for those modules: bones (metres, of all people's the median), how far joints lie behind the
surface that is seen, FACING and WEIGHTS. The modules' own tables are used on the way: after a
change of radii or lengths, run it again with what it printed.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.anatomy import LENGTHS, PARTS, WIDTHS, body_of
from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import Sighted, sighted
from vitpose_ros.core.geometry.visibility import CUES, EVIDENCE
from vitpose_ros.core.poses import Poses
from world.bodies import indices_of
from world.scene import Scene
from world.sequence import HIDDEN, SEEN, Sight

Array = NDArray[Any]

SCENARIOS = (
    'standing', 'waving', 'walking', 'crossing', 'occlusion', 'sitting', 'leaving', 'furniture',
    'crowd', 'close', 'driving', 'pillar',
)  # fmt: skip
# Where cameras stand that see people from elsewhere: x, y, z metres in the world; yaw, degrees.
BEHIND, LEFT_SIDE, RIGHT_SIDE = (6.7, 0, 1.2, 180), (3.2, 3.6, 1.2, -90), (3.2, -3.6, 1.2, 90)
LEAST_SHARE = 0.1  # of a person that is visible
NEAR_M = 5.0  # joints beyond do not count
RIGHT_M = 0.1  # a surface is a joint's own where that comes out so near to it
UNSURE_SCORE = 0.1


@dataclass(frozen=True)
class Keypoints:
    """How keypoints are made of the truth."""

    keypoint_set: str
    jitter_m: float = 0.0  # standard deviation of each coordinate, at the person's depth
    sure: bool = False  # of joints that others hide, too


KEYPOINTS = (
    Keypoints('coco'), Keypoints('coco', sure=True), Keypoints('coco', 0.02),
    Keypoints('coco', 0.04), Keypoints('wholebody'), Keypoints('aic'), Keypoints('mpii'),
    Keypoints('aic', 0.03, sure=True), Keypoints('mpii', 0.03, sure=True),
)  # fmt: skip


def sights(seeds: Sequence[int]) -> Iterator[Sight]:
    """Render what cameras see of scenes, at times drawn for the seed.

    Scenes are written for a camera in front; others see the same people from behind and from the
    side.
    """
    for seed in seeds:
        for number, scenario in enumerate(SCENARIOS):
            scene = Scene(seed, scenario)
            rng = np.random.default_rng([seed, number])
            mount = next(iter(scene.mounts.values()))
            views = (None, None, BEHIND, LEFT_SIDE if seed % 2 else RIGHT_SIDE)
            for view, second in zip(views, rng.uniform(0.5, scene.seconds - 0.5, 4), strict=True):
                if view:
                    mount = replace(mount, position=view[:3], yaw=view[3])
                scene.mounts[mount.name] = mount
                yield scene.sight(mount.name, float(second), depth=True)


@dataclass(frozen=True)
class Truth:
    """Keypoints of a sight, and what is true of them."""

    poses: Poses
    joints: Array  # (n, k, 3) metres
    states: Array  # (n, k), see world.sequence
    exists: Array  # (n, k) bool: keypoints that the world knows


def truth_of(sight: Sight, keypoints: Keypoints, rng: np.random.Generator) -> Truth | None:
    """Return keypoints of who is visible in a sight; None if nobody is."""
    people = [p for p in sight.people if p.share > LEAST_SHARE and np.isfinite(p.box).all()]
    if not people:
        return None
    index = indices_of(keypoints.keypoint_set)
    joints = np.stack([p.joints[index] for p in people])
    states = np.stack([p.states[index] for p in people])
    points = np.stack([p.points[index] for p in people])
    sigma = keypoints.jitter_m * sight.camera.focal_x / np.median(joints[..., 2], axis=1)
    points = points + rng.normal(0, 1, points.shape) * sigma[:, None, None]
    scores = np.where((states == HIDDEN) & ~keypoints.sure, UNSURE_SCORE, 1.0)
    scores[:, index < 0] = 0
    height, width = sight.size
    poses = Poses(
        width,
        height,
        np.stack([p.box for p in people]).astype(np.float32),
        (keypoints.keypoint_set,) * len(people),
        points.astype(np.float32),
        scores.astype(np.float32),
    )
    return Truth(poses, joints, states, np.broadcast_to(index >= 0, states.shape))


@dataclass
class Sample:
    """Joints (m) of all sights and sets of keypoints, and what is seen of them."""

    kinds: Array  # str
    evidence: Array  # (m, e)
    surface: Array  # metres
    lifted: Array  # (m, 3) metres, NaN where there is no surface
    joints: Array  # (m, 3) metres
    states: Array
    slant: Array  # length of the ray at depth 1
    sigma: Array  # metres, of the surface by the depth's error
    scale: Array  # of the person
    frontal: Array  # of the person, see Facing
    far: Array  # 1 on the side that is turned away
    cues: Array  # (people, c)
    across: Array  # (people, 3): from right to left, true, 1 long

    @classmethod
    def of(cls, seen: list[tuple[Sighted, Truth]]) -> 'Sample':
        """Gather."""
        parts: list[list[Array]] = []
        for s, truth in seen:
            use = truth.exists & s.look.trusted
            left, right = (
                [s.body.of(kind, side) for kind in ('shoulder', 'hip')] for side in (1, -1)
            )
            across = (truth.joints[:, left] - truth.joints[:, right]).sum(axis=1)
            n, k = use.shape
            parts.append([
                np.broadcast_to(s.body.kinds, (n, k))[use],
                np.moveaxis(s.evidence, 0, -1)[use],
                s.surfaces.z[use],
                _points(s)[use],
                truth.joints[use],
                truth.states[use],
                np.sqrt(1 + (s.look.rays**2).sum(axis=2))[use],
                s.surfaces.sigma[use],
                np.broadcast_to(s.look.scale[:, None], (n, k))[use],
                np.broadcast_to(s.facing.frontal[:, None], (n, k))[use],
                (s.facing.across[:, 2:] * s.body.sides)[use],
                s.facing.cues,
                across / np.linalg.norm(across, axis=1, keepdims=True),
            ])  # fmt: skip
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _points(seen: Sighted) -> Array:
    """Return the joints (n, k, 3) metres, if all surfaces are theirs; or NaN."""
    z = np.where(seen.look.seen, seen.z, np.nan)[..., None]
    return np.concatenate((seen.look.rays * z, z), axis=2)


def sample_of(every: Sequence[Sight], keypoints: Sequence[Keypoints] = KEYPOINTS) -> Sample:
    """Lift all keypoints of all sights."""
    seen = []
    for number, how in enumerate(keypoints):
        rng = np.random.default_rng(number)
        for sight in every:
            truth = truth_of(sight, how, rng)
            if truth is not None and sight.depth is not None:
                depth = Depth(sight.depth, sight.camera)
                body = body_of(how.keypoint_set)
                seen.append((sighted(truth.poses, body, depth, sight.camera), truth))
    return Sample.of(seen)


def bones_of(every: Sequence[Sight]) -> dict[tuple[str, str], float]:
    """Return the median lengths of bones and widths, metres; widths between a kind and itself."""
    lengths: dict[tuple[str, str], list[Array]] = {}
    for keypoint_set in ('wholebody', 'mpii', 'aic'):
        body, index = body_of(keypoint_set), indices_of(keypoint_set)
        pairs = [(i, j) for i, j in enumerate(body.parents) if j >= 0]
        pairs += [(i, j) for i, j in enumerate(body.counterparts) if j > i]
        for i, j in pairs:
            if index[i] < 0 or index[j] < 0:
                continue
            ends = [[p.joints[index[e]] for s in every for p in s.people] for e in (i, j)]
            apart = np.linalg.norm(np.subtract(*ends), axis=1)
            lengths.setdefault((body.kinds[i], body.kinds[j]), []).append(apart)
    return {pair: float(np.median(np.concatenate(all_))) for pair, all_ in lengths.items()}


def offsets_of(sample: Sample, kind: str) -> tuple[float, float, list[float]]:
    """Return how far a kind of joint lies behind the surface: behind, spread, turned of a Part."""
    use = (sample.kinds == kind) & (sample.states == SEEN) & (sample.joints[:, 2] < NEAR_M)
    behind = (sample.joints[use, 2] - sample.surface[use]) * sample.slant[use] / sample.scale[use]
    middle = np.nanmedian(behind)
    own = np.abs(behind - middle) < RIGHT_M
    middle = float(np.median(behind[own]))
    more, x, far = behind[own] - middle, sample.frontal[use][own], sample.far[use][own]
    turned = np.stack((np.ones(len(x)), x, x * x, far), axis=1)
    curve = turned.T @ turned + 10 * np.eye(4)  # as if some had been seen of whom it is nothing
    weights = np.linalg.solve(curve, turned.T @ more)
    left = more - turned @ weights
    spread = 1.4826 * np.median(np.abs(left - np.median(left)))
    noise = np.median(sample.sigma[use][own])
    return middle, float(np.sqrt(max(spread**2 - noise**2, 0.004**2))), weights.tolist()


def logistic(x: Array, y: Array, *, bias: bool = True, ridge: float = 20.0) -> Array:
    """Return weights (e,) of a logistic regression of y (m,) 0 or 1 on x (m, e).

    bias: the first column is the constant one. By Newton's method, with a penalty on the squared
    weights of columns that are scaled to about 1.
    """
    size = np.maximum(x.std(axis=0), 0.2)
    penalty = np.full(x.shape[1], ridge)
    if bias:
        size[0], penalty[0] = 1.0, 1e-3
    x = x / size
    weights = np.zeros(x.shape[1])
    for _ in range(40):
        chance = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (y - chance) - penalty * weights
        curve = (x * (chance * (1 - chance))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weights += step * min(1.0, 4 / max(np.abs(step).max(), 1e-9))
    return weights / size


def facing_weights(sample: Sample) -> Array:
    """Return FACING: weights of cues for which side is turned away.

    Of some people the head is turned the other way, and of some it is not seen: real ones look
    around more than those of this world.
    """
    cues, left_is_far = sample.cues.copy(), sample.across[:, 2] > 0
    number = np.arange(len(cues))
    cues[number % 10 == 0, 0] *= -1
    cues[number % 5 == 1, 0] = 0
    turned = np.abs(sample.across[:, 2]) > 0.2
    return logistic(cues[turned], left_is_far[turned] * 1.0, bias=False)


def weights_of(sample: Sample, kind: str) -> Array:
    """Return a row of WEIGHTS."""
    use = (sample.kinds == kind) & (sample.joints[:, 2] < NEAR_M)
    use &= np.isfinite(sample.lifted[:, 2])
    off = np.linalg.norm(sample.lifted[use] - sample.joints[use], axis=1)
    return logistic(sample.evidence[use], (off < RIGHT_M) * 1.0)


def main() -> None:
    """Measure, and print."""
    every = list(sights(range(int(sys.argv[1]), int(sys.argv[2]))))
    print('LENGTHS and WIDTHS, metres, as they are and as measured:')
    for pair, length in bones_of(every).items():
        told = WIDTHS.get(pair[0]) if pair[0] == pair[1] else LENGTHS.get(pair)
        told = LENGTHS.get(pair[::-1]) if told is None else told
        print(f'    {pair}: {told}, {length:.3f}')
    sample = sample_of(every)
    kinds = [kind for kind in PARTS if (sample.kinds == kind).any()]
    print('PARTS: behind, spread and turned, metres, as they are and as measured:')
    for kind in kinds:
        behind, spread, turned = offsets_of(sample, kind)
        part, numbers = PARTS[kind], ', '.join(f'{number:.3f}' for number in turned)
        print(f'    {kind!r}: {part.behind}, {part.spread}, {part.turned};')
        print(f'        {behind:.3f}, {spread:.3f}, ({numbers})')
    facing = ', '.join(f'{weight:.2f}' for weight in facing_weights(sample))
    print(f'# {", ".join(CUES)}\nFACING = np.array([{facing}])\nWEIGHTS = {{  # {EVIDENCE}')
    for kind in kinds:
        row = ', '.join(f'{weight:.1f}' for weight in weights_of(sample, kind))
        print(f'    {kind!r}: ({row}),')
    print('}')


if __name__ == '__main__':
    main()
