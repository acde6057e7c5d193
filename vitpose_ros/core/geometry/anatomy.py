"""What is known of bodies before anybody is seen: how thick they are, and how long.

The numbers are those of rendered people (world/), as `python -m world.anatomy` measures and prints
them; lengths are of grown people, others are scaled by what is measured of them.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.skeletons import SKELETONS

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

NONE = -1  # an index of a keypoint that is not there
LEFT, MIDDLE, RIGHT = 1, 0, -1


@dataclass(frozen=True)
class Part:
    """What is known of a kind of keypoint; metres."""

    behind: float  # the skin in front of it, along the ray
    spread: float  # of what is left when it is known how the body is turned, standard deviation
    radius: float  # within which the skin around it counts
    reach: float  # how far it may be before or behind the trunk
    turned: tuple[float, ...] = (0.0,) * 4  # what TURNED adds to behind


# How a body is turned: 1; Facing.frontal and its square; 1 on the side that is turned away, -1 on
# the other.
TURNED = ('one', 'frontal', 'frontal squared', 'far side')

# By the first word that is in the keypoint's name.
PARTS = {
    'head_top': Part(0.082, 0.017, 0.04, 0.5, (-0.004, -0.007, 0.011, 0.0)),
    'nose': Part(0.018, 0.012, 0.02, 0.5, (0.021, -0.037, 0.003, 0.0)),
    'eye': Part(0.021, 0.009, 0.02, 0.5, (0.026, -0.03, -0.005, 0.016)),
    'ear': Part(0.027, 0.025, 0.02, 0.5, (0.0, 0.001, 0.027, 0.022)),
    'shoulder': Part(0.09, 0.032, 0.05, 0.5, (0.011, -0.011, 0.001, 0.025)),
    'elbow': Part(0.058, 0.026, 0.03, 0.7, (0.001, -0.001, 0.005, 0.004)),
    'wrist': Part(0.032, 0.014, 0.025, 0.95, (0.001, -0.007, 0.012, 0.002)),
    'hip': Part(0.139, 0.037, 0.06, 0.45, (0.025, -0.004, -0.023, 0.023)),
    'knee': Part(0.077, 0.021, 0.045, 0.75, (-0.001, -0.002, 0.01, 0.005)),
    'ankle': Part(0.054, 0.015, 0.035, 1.05, (-0.007, 0.004, 0.017, 0.001)),
    'upper_neck': Part(0.093, 0.024, 0.04, 0.5, (-0.009, -0.001, 0.019, 0.0)),
    'neck': Part(0.121, 0.036, 0.04, 0.45, (0.034, 0.022, -0.063, 0.0)),
    'thorax': Part(0.126, 0.037, 0.04, 0.45),
    'pelvis': Part(0.169, 0.032, 0.06, 0.4, (0.045, -0.006, -0.07, 0.0)),
    'toe': Part(0.028, 0.021, 0.02, 1.15, (0.01, -0.026, 0.009, 0.011)),
    'heel': Part(0.042, 0.015, 0.025, 1.1, (-0.001, 0.033, 0.023, -0.002)),
    'face': Part(0.01, 0.02, 0.012, 0.5),
    'hand': Part(0.021, 0.021, 0.012, 1.05, (0.002, -0.004, 0.005, 0.002)),
}
OTHER = Part(0.04, 0.04, 0.03, 1.0)  # animals, and what has no name here
ANIMAL = 'animal'
SAME = {'thorax': 'neck'}  # MPII's name for about the same point

# Metres between two kinds of keypoints of a grown person: of a side, and from left to right.
LENGTHS = {
    ('shoulder', 'hip'): 0.528,
    ('shoulder', 'elbow'): 0.288,
    ('elbow', 'wrist'): 0.256,
    ('hip', 'knee'): 0.423,
    ('knee', 'ankle'): 0.424,
    ('ear', 'shoulder'): 0.227,
    ('eye', 'ear'): 0.1,
    ('nose', 'ear'): 0.125,
    ('eye', 'nose'): 0.051,
    ('ankle', 'toe'): 0.204,
    ('ankle', 'heel'): 0.074,
    ('neck', 'shoulder'): 0.192,
    ('upper_neck', 'neck'): 0.092,
    ('head_top', 'upper_neck'): 0.178,
    ('head_top', 'neck'): 0.256,
    ('pelvis', 'hip'): 0.099,
    ('wrist', 'hand'): 0.123,
    ('nose', 'face'): 0.08,
}
WIDTHS = {
    'shoulder': 0.334, 'hip': 0.197, 'eye': 0.062, 'ear': 0.154,
    'elbow': 0.455, 'wrist': 0.523, 'knee': 0.261, 'ankle': 0.245, 'toe': 0.339, 'heel': 0.235,
}  # fmt: skip
# How far these are from what they hang on says how large somebody is.
MEASURES = ('shoulder', 'elbow', 'wrist', 'knee', 'ankle')
# What each kind hangs on, the first that is there; and what hangs on it.
PARENTS = {
    'elbow': ('shoulder',), 'wrist': ('elbow',), 'knee': ('hip',), 'ankle': ('knee',),
    'shoulder': ('hip',), 'hip': ('shoulder',), 'ear': ('shoulder',), 'eye': ('ear',),
    'nose': ('ear',), 'toe': ('ankle',), 'heel': ('ankle',), 'hand': ('wrist',),
    'face': ('nose',), 'neck': ('shoulder',), 'upper_neck': ('neck',),
    'head_top': ('upper_neck', 'neck'), 'pelvis': ('hip',),
}  # fmt: skip
CHILDREN = {
    'shoulder': 'elbow', 'elbow': 'wrist', 'hip': 'knee', 'knee': 'ankle', 'ear': 'eye',
    'eye': 'nose',
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Body:
    """What is known of the keypoints of one set, as arrays in its order; metres."""

    kinds: tuple[str, ...]  # (k,) keys of PARTS, or others
    is_person: bool
    sides: NDArray[np.int8]  # (k,) LEFT, MIDDLE or RIGHT
    fine: NDArray[np.bool_]  # (k,) face and hands
    behind: Floats  # (k,)
    spread: Floats  # (k,)
    radius: Floats  # (k,)
    reach: Floats  # (k,)
    turned: Floats  # (4, k): see TURNED
    bones: Indices  # (2, k): what each hangs on, and what hangs on it; or NONE
    bone_lengths: Floats  # (2, k)
    counterparts: Indices  # (k,) from left to right and back, or NONE
    widths: Floats  # (k,) to them
    measures: Indices  # (b,): those whose bones to their parents say how large somebody is
    limbs: Indices  # (e, 2): the skeleton's own, without face and hands

    places: dict[tuple[str, int], int]  # (kind, side): the first such keypoint

    @property
    def parents(self) -> Indices:
        """What each keypoint (k,) hangs on, or NONE."""
        return np.asarray(self.bones[0])

    @property
    def parent_lengths(self) -> Floats:
        """How long the bones to that are, (k,) metres."""
        return np.asarray(self.bone_lengths[0])

    def of(self, kind: str, side: int = MIDDLE) -> int:
        """Return the first keypoint of a kind and side, or NONE."""
        return self.places.get((kind, side), NONE)


def _kind(name: str, is_fine: bool) -> str:
    low = name.lower()
    if is_fine:
        return 'face' if low.startswith('face') else 'hand'
    found = next((key for key in PARTS if key in low), low)
    return SAME.get(found, found)


def _side(name: str) -> int:
    low = name.lower()
    return LEFT if low.startswith('left') else RIGHT if low.startswith('right') else MIDDLE


def length_between(first: str, second: str) -> float:
    """Return the length between two kinds of keypoints of a side, metres."""
    return LENGTHS.get((first, second)) or LENGTHS[second, first]


@functools.cache
def body_of(skeleton: str) -> Body:
    """Return what is known of the keypoints of a set (a key of SKELETONS)."""
    own = SKELETONS[skeleton]
    k, fine = len(own), set(own.fine)
    is_person = 'person' in own.classes
    kinds = tuple(
        _kind(name, i in fine) if is_person else ANIMAL
        for i, name in enumerate(own.keypoint_names)
    )
    sides = np.array([_side(name) for name in own.keypoint_names], dtype=np.int8)
    parts = [PARTS.get(kind, OTHER) if is_person else OTHER for kind in kinds]
    place: dict[tuple[str, int], int] = {}
    for i in reversed(range(k)):
        place[kinds[i], int(sides[i])] = i

    def near(kind: str, side: int) -> int:
        """Return the keypoint of a kind on a side, or in the middle, or left."""
        return next((place[kind, s] for s in (side, MIDDLE, LEFT) if (kind, s) in place), NONE)

    parents, children = np.full(k, NONE), np.full(k, NONE)
    parent_lengths, child_lengths, widths = np.ones((3, k))
    for i in range(k) if is_person else ():
        kind, side = kinds[i], int(sides[i])
        for parent in PARENTS.get(kind, ()):
            if parents[i] == NONE and near(parent, side) != NONE:
                parents[i] = near(parent, side)
                parent_lengths[i] = length_between(kind, parent)
        if kind in CHILDREN and near(CHILDREN[kind], side) != NONE:
            children[i] = near(CHILDREN[kind], side)
            child_lengths[i] = length_between(kind, CHILDREN[kind])
        widths[i] = WIDTHS.get(kind, 1.0)
    counterparts = np.array([j if j != i else NONE for i, j in enumerate(own.flip_order)])
    return Body(
        kinds=kinds,
        is_person=is_person,
        sides=sides,
        fine=np.array([i in fine for i in range(k)]),
        behind=np.array([part.behind for part in parts]),
        spread=np.array([part.spread for part in parts]),
        radius=np.array([part.radius for part in parts]),
        reach=np.array([part.reach for part in parts]),
        turned=np.array([part.turned for part in parts]).T.copy(),
        bones=np.stack((parents, children)),
        bone_lengths=np.stack((parent_lengths, child_lengths)),
        counterparts=counterparts,
        widths=widths,
        measures=np.flatnonzero(np.isin(kinds, MEASURES) & (parents != NONE)),
        places=place,
        limbs=np.array([e for e in own.edges if not fine & set(e)], dtype=np.intp),
    )
