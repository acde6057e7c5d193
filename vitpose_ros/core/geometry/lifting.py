"""Keypoints and depth to joints in metres.

A depth camera sees skin and clothes, with holes, with edges that smear, and with whatever stands
before a person. So of each keypoint the surface in front that belongs to the body counts
(surfaces.py), the joint lies behind that by what anatomy.py says of it, and what space says of
joints that are hidden decides which are measured (visibility.py). The others are inferred from
those that they hang on (inference.py), or unknown; so are all of who is a double (doubles.py).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.anatomy import NONE, Body, body_of
from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.doubles import doubles
from vitpose_ros.core.geometry.inference import infer
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.geometry.position import position_of
from vitpose_ros.core.geometry.surfaces import STEREO, DepthError, Surfaces, surfaces_of
from vitpose_ros.core.geometry.visibility import Facing, Look, chance_of, evidence, facing_of
from vitpose_ros.core.poses import Poses

UNKNOWN, INFERRED, MEASURED = 0, 1, 2  # states of joints

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Of the embedded network's joints in metres, 0.9 % are more than 0.5 m wrong; of those of at least
# this score 0.06 %: python test/core/geometry/lifting_on_people.py --network.
SURE_SCORE = 0.6
MIN_SCORE = 0.25  # keypoints below it are somewhere else, or nowhere
LEAST_CHANCE = 0.75  # that a surface is the joint's own
SMALLEST, LARGEST = 0.4, 1.4  # of bodies, 1 for a grown person
# Errors of keypoints: of what heatmaps spread, a share that falls with the score; and pixels where
# nobody knows. Measured with the embedded network: python -m world.keypoint_errors 100 104.
SPREAD_SHARE, SPREAD_POWER, LEAST_SCORE = 0.025, -3.0, 0.2
PIXELS = 2.0  # standard deviation
LEAST_PIXELS = 0.3  # of any keypoint: of what is rounded to whole ones
WIDEST = 10.0  # x and y at depth 1: no camera sees what is farther aside
FINE_REACH = 2.0  # of faces and hands from what they hang on, in usual lengths
ALONE_M = 0.5  # from the trunk: what is farther must hang on something that is seen
DOUBT_M = 0.1  # how far off is, what is measured at a surface that is not the joint's own


@dataclass(frozen=True, eq=False)
class Joints:
    """The joints of the subjects of a frame, in the optical frame of the camera."""

    points: NDArray[np.float32]  # (n, k, 3) float32, metres: x right, y down, z ahead; or NaN
    states: NDArray[np.uint8]  # (n, k): UNKNOWN, INFERRED or MEASURED
    covariances: NDArray[np.float32]  # (n, k, 3, 3) float32, metres squared; NaN where unknown
    position: NDArray[np.float32]  # (n, 3) metres: the middle of the hips, see position.py; or NaN
    position_covariance: NDArray[np.float32]  # (n, 3, 3) metres squared

    @classmethod
    def unknown(cls, n: int, k: int) -> 'Joints':
        """Return joints of which nothing is known."""
        shapes = (n, k, 3), (n, k, 3, 3), (n, 3), (n, 3, 3)
        points, covariances, position, spread = (
            np.full(shape, np.nan, np.float32) for shape in shapes
        )
        return cls(points, np.full((n, k), UNKNOWN, np.uint8), covariances, position, spread)

    def moved(self, transform: NDArray[np.floating]) -> 'Joints':
        """Return them in another frame; transform: (4, 4) from this frame to that one."""
        turn, shift = transform[:3, :3], transform[:3, 3]
        return Joints(
            (self.points @ turn.T + shift).astype(np.float32),
            self.states,
            (turn @ self.covariances @ turn.T).astype(np.float32),
            (self.position @ turn.T + shift).astype(np.float32),
            (turn @ self.position_covariance @ turn.T).astype(np.float32),
        )


@dataclass(frozen=True, eq=False)
class Sighted:
    """What is seen of subjects of one keypoint set, before it is judged."""

    body: Body
    look: Look
    surfaces: Surfaces
    facing: Facing
    z: Floats  # (n, k) metres: as of look, and as the body is turned
    evidence: Floats  # (e, n, k), see visibility.EVIDENCE


@np.errstate(invalid='ignore')  # what is not known is NaN on all the way
def lift(
    poses: Poses,
    depth: Depth,
    camera: PinholeCamera,
    *,
    error: DepthError = STEREO,
    min_score: float = MIN_SCORE,
    sure_score: float = SURE_SCORE,
    expected: NDArray[np.floating] | None = None,
) -> Joints:
    """Return the joints of all subjects of a frame.

    camera: of the image that the poses are of. error: of the depths. min_score: keypoints below
    it are not looked at. sure_score: those below it are not called measured, whatever lies
    there: the network may have taken another place for theirs. expected: (n,) metres, the depth at
    which each subject should be, as tracks have it, NaN where nobody knows.
    """
    if not depth.values.size:
        return Joints.unknown(*poses.scores.shape)
    names = list(dict.fromkeys(poses.skeletons))
    if expected is None:
        expected = np.full(len(poses), np.nan)

    def lifted(own: Poses, expected: NDArray[np.floating]) -> Joints:
        body = body_of(own.skeletons[0])
        seen = sighted(
            own, body, depth, camera, error=error, min_score=min_score, expected=expected
        )
        return _judged(seen, own, camera, sure_score)

    if len(names) == 1:
        return lifted(poses, expected)
    joints = Joints.unknown(*poses.scores.shape)
    for name in names:
        rows = np.array([skeleton == name for skeleton in poses.skeletons], dtype=bool)
        found = lifted(poses[rows], expected[rows])
        k = found.states.shape[1]
        joints.points[rows, :k] = found.points
        joints.states[rows, :k] = found.states
        joints.covariances[rows, :k] = found.covariances
        joints.position[rows] = found.position
        joints.position_covariance[rows] = found.position_covariance
    return joints


@np.errstate(invalid='ignore')
def sighted(
    poses: Poses,
    body: Body,
    depth: Depth,
    camera: PinholeCamera,
    *,
    error: DepthError = STEREO,
    min_score: float = MIN_SCORE,
    expected: NDArray[np.floating] | None = None,
) -> Sighted:
    """Look at all keypoints of subjects that have the same keypoint set; see lift."""
    focal = np.array([camera.focal_x, camera.focal_y])
    rays = (poses.keypoints - np.array([camera.centre_x, camera.centre_y])) / focal
    trusted = (poses.scores >= min_score) & (np.abs(rays) < WIDEST).all(axis=2)
    rays = np.where(trusted[..., None], rays, 0.0)
    if expected is None:
        expected = np.full(len(poses), np.nan)
    surfaces = surfaces_of(rays, trusted, body, depth, error, expected)
    seen = np.isfinite(surfaces.z)
    z = np.where(seen, surfaces.z, 0.0)
    along = seen / np.sqrt(1 + np.einsum('nki,nki->nk', rays, rays))  # of a metre on the ray
    bones, ahead = _bones(_at(rays, z + body.behind * along), seen, body)
    scale = _scale(bones[:, 0, body.measures])
    trunk = np.where(np.isfinite(surfaces.trunk), surfaces.trunk, 1.0)
    along *= scale[:, None]
    look = Look(rays, trusted, z + body.behind * along, seen, trunk, scale, bones, ahead)
    facing = facing_of(look, body)
    z = look.z + _turned(facing, body) * along
    return Sighted(body, look, surfaces, facing, z, evidence(look, surfaces, facing, body))


def _turned(facing: Facing, body: Body) -> Floats:
    """Return how much farther behind the skin joints (n, k) are, metres of a grown person."""
    one, frontal, squared, far_side = body.turned
    x = facing.frontal[:, None]
    return np.asarray(
        one + x * (frontal + x * squared) + facing.across[:, 2:] * (body.sides * far_side)
    )


def _at(rays: Floats, z: Floats) -> Floats:
    """Return points (n, k, 3) on rays at depths."""
    points = np.empty((*z.shape, 3))
    points[..., 0], points[..., 1], points[..., 2] = rays[..., 0] * z, rays[..., 1] * z, z
    return points


def _bones(points: Floats, seen: Flags, body: Body) -> tuple[Floats, Floats]:
    """Return the lengths of bones (n, 2, k), and how much of them is towards the camera.

    Both are shares of a grown person's; 0 where an end is not seen.
    """
    bones = points[:, None] - points[:, body.bones]  # what is NONE is left out here:
    both = seen[:, None] & seen[:, body.bones] & (body.bones != NONE)
    share = both / body.bone_lengths
    return np.sqrt(np.einsum('nbki,nbki->nbk', bones, bones)) * share, bones[..., 2] * -share


def _scale(lengths: Floats) -> Floats:
    """Return how large bodies are, (n,): the median of their bones (n, b), and of 1."""
    shares = np.ones((len(lengths), lengths.shape[1] + 1))
    shares[:, 1:] = lengths
    shares.sort(axis=1)
    missing = (shares == 0).sum(axis=1)  # they stand first
    rows, count = np.arange(len(shares)), shares.shape[1] - missing
    median = (shares[rows, missing + (count - 1) // 2] + shares[rows, missing + count // 2]) / 2
    return np.asarray(np.minimum(np.maximum(median, SMALLEST), LARGEST))


def _judged(seen: Sighted, poses: Poses, camera: PinholeCamera, sure_score: float) -> Joints:
    """Return the joints of what is seen."""
    body, look, surfaces = seen.body, seen.look, seen.surfaces
    chance = _with_fine(chance_of(seen.evidence, body), look, body)
    measured = (chance >= LEAST_CHANCE) & look.seen
    double = doubles(look.rays, look.trusted, surfaces.trunk, poses.scores)
    if body.is_person:
        off = np.abs(surfaces.z - surfaces.trunk[:, None])
        measured &= (off < ALONE_M) | (look.bones[:, 0] > 0)
        measured &= ~surfaces.on_larger
    z = np.where(measured, seen.z, np.nan)
    variance = surfaces.sigma**2 + (body.spread * look.scale[:, None]) ** 2
    variance += (1 - chance) * DOUBT_M**2
    if body.is_person:
        wanted = look.trusted & ~measured & np.isfinite(surfaces.trunk)[:, None]
        z, inferred = infer(z, wanted, look.rays, surfaces.z, look.scale, seen.facing, body)
        variance = np.where(measured, variance, inferred)
    z[double] = np.nan
    known = np.isfinite(z)
    variance = np.where(known, variance, np.nan)
    points = _at(look.rays, z)
    covariances = _covariances(look.rays, z, variance, poses, camera)
    position, spread = position_of(points, covariances, look.scale, seen.facing, body)
    # Of the second camera of a pair: the frame is that of the first.
    offset = (camera.offset_x / camera.focal_x, camera.offset_y / camera.focal_y, 0.0)
    measured &= known & (poses.scores >= sure_score)
    states = np.where(measured, MEASURED, np.where(known, INFERRED, UNKNOWN))
    return Joints(
        (points - offset).astype(np.float32),
        states.astype(np.uint8),
        covariances.astype(np.float32),
        (position - offset).astype(np.float32),
        spread.astype(np.float32),
    )


def _with_fine(chance: Floats, look: Look, body: Body) -> Floats:
    """Return chances with those of face and hands: as what they hang on, if it is near."""
    if not body.fine.any():
        return chance
    parents = body.parents[body.fine]
    length = look.bones[:, 0, body.fine] / look.scale[:, None]
    chance = chance.copy()
    chance[:, body.fine] = chance[:, parents] * ((length > 0) & (length < FINE_REACH))
    return chance


def _covariances(
    rays: Floats, z: Floats, variance: Floats, poses: Poses, camera: PinholeCamera
) -> Floats:
    """Return (n, k, 3, 3) of joints at depths z, from the errors of pixels and depths."""
    n, k = z.shape
    inner = np.zeros((n, k, 2, 2))
    if poses.heatmap_spread is None:
        inner[..., 0, 0] = inner[..., 1, 1] = PIXELS**2
    else:
        share = SPREAD_SHARE * np.maximum(poses.scores, LEAST_SCORE) ** SPREAD_POWER
        inner[:] = poses.heatmap_spread * share[..., None, None]
        if not np.isfinite(inner).all():
            inner[~np.isfinite(inner).all(axis=(2, 3))] = np.eye(2) * PIXELS**2
        own = np.einsum('nkii->nki', inner)  # a view
        np.maximum(own, LEAST_PIXELS**2, out=own)
    at_depth = z[..., None] / (camera.focal_x, camera.focal_y)
    found = np.empty((n, k, 3, 3))
    found[..., :2, :2] = inner * (at_depth[..., None] * at_depth[..., None, :])
    ray = np.concatenate((rays, np.ones((n, k, 1))), axis=2)
    found[..., 2, :] = found[..., :, 2] = 0
    found += ray[..., None] * (ray * variance[..., None])[..., None, :]
    return found
