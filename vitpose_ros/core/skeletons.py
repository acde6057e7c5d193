"""The keypoint sets: what each keypoint is called, and how the points are joined."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Skeleton:
    """One set of keypoints, as its dataset defines it."""

    name: str
    keypoint_names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]  # limbs: pairs of keypoint indices
    flip_pairs: tuple[tuple[int, int], ...]  # left and right counterparts
    sigmas: tuple[float, ...]  # per keypoint, for the object keypoint similarity (OKS)

    def __len__(self) -> int:
        """Return the number of keypoints."""
        return len(self.keypoint_names)


# Lin et al., "Microsoft COCO: Common Objects in Context", 2014. Keypoints and limbs as in the
# annotations' category entry (0-based here); sigmas from the COCO keypoint evaluation.
COCO = Skeleton(
    name='coco',
    keypoint_names=(
        'nose',
        'left_eye',
        'right_eye',
        'left_ear',
        'right_ear',
        'left_shoulder',
        'right_shoulder',
        'left_elbow',
        'right_elbow',
        'left_wrist',
        'right_wrist',
        'left_hip',
        'right_hip',
        'left_knee',
        'right_knee',
        'left_ankle',
        'right_ankle',
    ),
    edges=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7),
        (6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072,
        0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
    ),
)  # fmt: skip

SKELETONS: dict[str, Skeleton] = {skeleton.name: skeleton for skeleton in (COCO,)}
