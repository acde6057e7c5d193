"""What is known of bodies before anybody is seen: how thick they are, and how long.

Lengths are those of grown people 1.7 m tall, after the body segments of Drillis and Contini
("Body Segment Parameters", 1966, as shares of the stature); people are scaled by what is measured
of them. How far joints lie behind the skin was measured on rendered people (test/core/geometry).
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.skeletons import SKELETONS

STATURE = 1.7  # metres


@dataclass(frozen=True)
class Part:
    """What is known of a kind of keypoint; metres."""

    behind: float  # the skin in front of it, along the ray
    spread: float  # of that, standard deviation
    radius: float  # within which the skin around it counts
    reach: float  # how far it may be before or behind the trunk


# By the first word that is in the keypoint's name.
PARTS = {
    'head_top': Part(0.09, 0.03, 0.04, 0.45),
    'nose': Part(0.01, 0.02, 0.02, 0.45),
    'eye': Part(0.02, 0.02, 0.02, 0.45),
    'ear': Part(0.03, 0.03, 0.02, 0.45),
    'shoulder': Part(0.06, 0.03, 0.05, 0.45),
    'elbow': Part(0.04, 0.02, 0.03, 0.65),
    'wrist': Part(0.03, 0.02, 0.025, 0.9),
    'hip': Part(0.10, 0.03, 0.06, 0.35),
    'knee': Part(0.055, 0.02, 0.045, 0.7),
    'ankle': Part(0.045, 0.02, 0.035, 1.0),
    'neck': Part(0.06, 0.03, 0.04, 0.4),
    'thorax': Part(0.07, 0.03, 0.05, 0.4),
    'pelvis': Part(0.12, 0.03, 0.06, 0.3),
    'toe': Part(0.02, 0.02, 0.02, 1.1),
    'heel': Part(0.03, 0.02, 0.025, 1.0),
    'face': Part(0.01, 0.02, 0.015, 0.45),
    'hand': Part(0.015, 0.02, 0.012, 1.0),
}
OTHER = Part(0.04, 0.03, 0.03, 1.0)  # animals, and what has no name here

# Shares of the stature between two kinds of keypoints.
LENGTHS = {
    ('shoulder', 'shoulder'): 0.22,
    ('hip', 'hip'): 0.115,
    ('shoulder', 'hip'): 0.29,
    ('shoulder', 'elbow'): 0.172,
    ('elbow', 'wrist'): 0.152,
    ('hip', 'knee'): 0.245,
    ('knee', 'ankle'): 0.240,
    ('shoulder', 'ear'): 0.155,
    ('eye', 'nose'): 0.03,
    ('eye', 'ear'): 0.06,
    ('eye', 'eye'): 0.037,
}


@dataclass(frozen=True, eq=False)
class Body:
    """What is known of the keypoints of one set, as arrays in its order; metres."""

    behind: NDArray[np.float64]  # (k,)
    spread: NDArray[np.float64]  # (k,)
    radius: NDArray[np.float64]  # (k,)
    reach: NDArray[np.float64]  # (k,)
    bones: NDArray[np.intp]  # (b, 2): the nearer to the trunk first
    lengths: NDArray[np.float64]  # (b,), of a person of STATURE
    counterparts: NDArray[np.bool_]  # (b,): from left to right, as from hip to hip
    limbs: NDArray[np.intp]  # (e, 2): the skeleton's own, without face and hands


def _part(name: str) -> tuple[str, Part]:
    low = name.lower()
    if low.startswith(('face', 'left_hand', 'right_hand')):
        key = 'face' if low.startswith('face') else 'hand'
        return key, PARTS[key]
    return next(((key, part) for key, part in PARTS.items() if key in low), (low, OTHER))


def _side(name: str) -> str:
    return next((side for side in ('left', 'right') if name.lower().startswith(side)), '')


@functools.cache
def body_of(skeleton: str) -> Body:
    """Return what is known of the keypoints of a set (a key of SKELETONS)."""
    own = SKELETONS[skeleton]
    kinds, parts = zip(*(_part(name) for name in own.keypoint_names), strict=True)
    is_person = 'person' in own.classes
    if not is_person:
        parts = (OTHER,) * len(parts)
    bones, lengths, across = [], [], []
    sides = [_side(name) for name in own.keypoint_names]
    fine = set(own.fine)
    for (first, second), share in LENGTHS.items():
        for i, a in enumerate(kinds):
            for j, b in enumerate(kinds):
                between = first == second and sides[i] == 'left' and sides[j] == 'right'
                along = first != second and (sides[i] == sides[j] or '' in (sides[i], sides[j]))
                if is_person and (a, b) == (first, second) and (between or along):
                    bones.append((i, j))
                    lengths.append(share * STATURE)
                    across.append(between)
    return Body(
        behind=np.array([part.behind for part in parts]),
        spread=np.array([part.spread for part in parts]),
        radius=np.array([part.radius for part in parts]),
        reach=np.array([part.reach for part in parts]),
        bones=np.array(bones, dtype=np.intp).reshape(-1, 2),
        lengths=np.array(lengths),
        counterparts=np.array(across, dtype=bool),
        limbs=np.array([e for e in own.edges if not fine & set(e)], dtype=np.intp),
    )
