"""The keypoint sets: what each keypoint is called, how points are joined, and who is measured how.

Names, limbs, counterparts and OKS sigmas are those of the dataset configurations that the public
ViTPose++ networks were trained with (github.com/ViTAE-Transformer/ViTPose,
configs/_base_/datasets).
"""

from collections.abc import Collection
from dataclasses import dataclass

Pairs = tuple[tuple[int, int], ...]

AREA_OF_BOX = 0.53  # of its box that a person covers, about; OKS is defined by that area


@dataclass(frozen=True)
class Skeleton:
    """One set of keypoints, as its dataset defines it."""

    name: str
    keypoint_names: tuple[str, ...]
    edges: Pairs  # limbs: pairs of keypoint indices
    flip_pairs: Pairs  # left and right counterparts
    sigmas: tuple[float, ...]  # per keypoint, for the object keypoint similarity (OKS)
    classes: tuple[str, ...]  # detection classes whose subjects have these keypoints
    fine: range = range(0)  # keypoints that lie so close together that they are drawn small

    def __len__(self) -> int:
        """Return the number of keypoints."""
        return len(self.keypoint_names)

    @property
    def flip_order(self) -> list[int]:
        """For each keypoint the index of its mirrored counterpart, itself where it has none."""
        order = list(range(len(self)))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return order


def keypoint_set_of_class(class_name: str, keypoint_sets: Collection[str]) -> str | None:
    """Return the first of the keypoint sets that fits subjects of a detection class, if any.

    class_name: as detectors name it, in any case ('person', 'Dog').
    """
    name = class_name.strip().lower()
    return next((key for key in keypoint_sets if name in SKELETONS[key].classes), None)


def _pairs(text: str) -> Pairs:
    """Read pairs from text such as '15-13 13-11'."""
    pairs = (pair.split('-') for pair in text.split())
    return tuple((int(first), int(second)) for first, second in pairs)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split())


PEOPLE = ('person', 'people', 'human', 'pedestrian', 'man', 'woman', 'child')

# The species of AP-10K, and what detectors trained on COCO call animals of such a build.
ANIMALS = (
    'alouatta', 'animal', 'antelope', 'arctic fox', 'argali sheep', 'bat', 'bear', 'beaver',
    'bison', 'black bear', 'bobcat', 'brown bear', 'buffalo', 'cat', 'cheetah', 'chimpanzee',
    'cow', 'deer', 'dog', 'elephant', 'fox', 'giraffe', 'gorilla', 'hamster', 'hippo', 'horse',
    'jaguar', 'king cheetah', 'leopard', 'lion', 'marmot', 'mole', 'monkey', 'moose', 'mouse',
    'noisy night monkey', 'orangutan', 'otter', 'panda', 'panther', 'pig', 'polar bear',
    'rabbit', 'raccoon', 'rat', 'rhino', 'sheep', 'skunk', 'snow leopard', 'spider monkey',
    'squirrel', 'tiger', 'uakari', 'weasel', 'wolf', 'zebra',
)  # fmt: skip

# Lin et al., "Microsoft COCO: Common Objects in Context", 2014 (arXiv:1405.0312).
COCO = Skeleton(
    name='coco',
    keypoint_names=(
        'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear',
        'left_shoulder', 'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist',
        'right_wrist', 'left_hip', 'right_hip', 'left_knee', 'right_knee', 'left_ankle',
        'right_ankle',
    ),
    edges=_pairs(
        '15-13 13-11 16-14 14-12 11-12 5-11 6-12 5-6 5-7 6-8 7-9 8-10 1-2 0-1 0-2 1-3 2-4 3-5 4-6'
    ),
    flip_pairs=_pairs('1-2 3-4 5-6 7-8 9-10 11-12 13-14 15-16'),
    sigmas=_numbers(
        '0.026 0.025 0.025 0.035 0.035 0.079 0.079 0.072 0.072 '
        '0.062 0.062 0.107 0.107 0.087 0.087 0.089 0.089'
    ),
    classes=PEOPLE,
)  # fmt: skip

# Wu et al., "AI Challenger: A Large-scale Dataset for Going Deeper in Image Understanding",
# 2017 (arXiv:1711.06475).
AIC = Skeleton(
    name='aic',
    keypoint_names=(
        'right_shoulder', 'right_elbow', 'right_wrist', 'left_shoulder', 'left_elbow',
        'left_wrist', 'right_hip', 'right_knee', 'right_ankle', 'left_hip', 'left_knee',
        'left_ankle', 'head_top', 'neck',
    ),
    edges=_pairs('2-1 1-0 0-13 13-3 3-4 4-5 8-7 7-6 6-9 9-10 10-11 12-13 0-6 3-9'),
    flip_pairs=_pairs('0-3 1-4 2-5 6-9 7-10 8-11'),
    sigmas=_numbers(
        '0.01388152 0.01515228 0.01057665 0.01417709 0.01497891 0.01402144 0.03909642 '
        '0.03686941 0.01981803 0.03843971 0.03412318 0.02415081 0.01291456 0.01236173'
    ),
    classes=PEOPLE,
)  # fmt: skip

# Andriluka et al., "2D Human Pose Estimation: New Benchmark and State of the Art Analysis",
# CVPR 2014.
MPII = Skeleton(
    name='mpii',
    keypoint_names=(
        'right_ankle', 'right_knee', 'right_hip', 'left_hip', 'left_knee', 'left_ankle',
        'pelvis', 'thorax', 'upper_neck', 'head_top', 'right_wrist', 'right_elbow',
        'right_shoulder', 'left_shoulder', 'left_elbow', 'left_wrist',
    ),
    edges=_pairs('0-1 1-2 2-6 6-3 3-4 4-5 6-7 7-8 8-9 8-12 12-11 11-10 8-13 13-14 14-15'),
    flip_pairs=_pairs('0-5 1-4 2-3 10-15 11-14 12-13'),
    sigmas=_numbers(
        '0.089 0.083 0.107 0.107 0.083 0.089 0.026 0.026 '
        '0.026 0.026 0.062 0.072 0.179 0.179 0.072 0.062'
    ),
    classes=PEOPLE,
)  # fmt: skip

_QUADRUPED_NAMES = (
    'L_Eye', 'R_Eye', 'Nose', 'Neck', 'Root of tail', 'L_Shoulder', 'L_Elbow', 'L_F_Paw',
    'R_Shoulder', 'R_Elbow', 'R_F_Paw', 'L_Hip', 'L_Knee', 'L_B_Paw', 'R_Hip', 'R_Knee',
    'R_B_Paw',
)  # fmt: skip
_QUADRUPED_EDGES = _pairs(
    '0-1 0-2 1-2 2-3 3-4 3-5 5-6 6-7 3-8 8-9 9-10 4-11 11-12 12-13 4-14 14-15 15-16'
)
_QUADRUPED_FLIP_PAIRS = _pairs('0-1 5-8 6-9 7-10 11-14 12-15 13-16')
_QUADRUPED_SIGMAS = _numbers(
    '0.025 0.025 0.026 0.035 0.035 0.079 0.072 0.062 0.079 '
    '0.072 0.062 0.107 0.087 0.089 0.107 0.087 0.089'
)

# Yu et al., "AP-10K: A Benchmark for Animal Pose Estimation in the Wild", 2021
# (arXiv:2108.12617).
AP10K = Skeleton(
    name='ap10k',
    keypoint_names=_QUADRUPED_NAMES,
    edges=_QUADRUPED_EDGES,
    flip_pairs=_QUADRUPED_FLIP_PAIRS,
    sigmas=_QUADRUPED_SIGMAS,
    classes=ANIMALS,
)

# Yang et al., "APT-36K: A Large-scale Benchmark for Animal Pose Estimation and Tracking", 2022
# (arXiv:2206.05683). The ViTPose++ networks use AP-10K's definition for it.
APT36K = Skeleton(
    name='apt36k',
    keypoint_names=_QUADRUPED_NAMES,
    edges=_QUADRUPED_EDGES,
    flip_pairs=_QUADRUPED_FLIP_PAIRS,
    sigmas=_QUADRUPED_SIGMAS,
    classes=ANIMALS,
)

_FEET = ('big_toe', 'small_toe', 'heel')
_FINGERS = ('thumb', 'forefinger', 'middle_finger', 'ring_finger', 'pinky_finger')
_HAND = ('hand_root', *(f'{finger}{joint}' for finger in _FINGERS for joint in range(1, 5)))
_HAND_SIGMAS = _numbers(
    '0.029 0.022 0.035 0.037 0.047 0.026 0.025 0.024 0.035 0.018 0.024 '
    '0.022 0.026 0.017 0.021 0.021 0.032 0.02 0.019 0.022 0.031'
)

# Jin et al., "Whole-Body Human Pose Estimation in the Wild", 2020 (arXiv:2007.11858).
# The face has the 68 points of iBUG 300-W.
WHOLEBODY = Skeleton(
    name='wholebody',
    keypoint_names=(
        *COCO.keypoint_names,
        *(f'{side}_{part}' for side in ('left', 'right') for part in _FEET),
        *(f'face-{index}' for index in range(68)),
        *(f'{side}_{part}' for side in ('left', 'right') for part in _HAND),
    ),
    edges=COCO.edges
    + _pairs('15-17 15-18 15-19 16-20 16-21 16-22')
    + _pairs(
        '91-92 92-93 93-94 94-95 91-96 96-97 97-98 98-99 91-100 100-101 101-102 102-103 '
        '91-104 104-105 105-106 106-107 91-108 108-109 109-110 110-111'
    )
    + _pairs(
        '112-113 113-114 114-115 115-116 112-117 117-118 118-119 119-120 112-121 121-122 '
        '122-123 123-124 112-125 125-126 126-127 127-128 112-129 129-130 130-131 131-132'
    ),
    flip_pairs=COCO.flip_pairs
    + _pairs('17-20 18-21 19-22')
    + _pairs(
        '23-39 24-38 25-37 26-36 27-35 28-34 29-33 30-32 40-49 41-48 42-47 43-46 44-45 54-58 '
        '55-57 59-68 60-67 61-66 62-65 63-70 64-69 71-77 72-76 73-75 78-82 79-81 83-87 84-86 88-90'
    )
    + tuple((index, index + 21) for index in range(91, 112)),
    sigmas=COCO.sigmas
    + _numbers('0.068 0.066 0.066 0.092 0.094 0.094')
    + _numbers(
        '0.042 0.043 0.044 0.043 0.04 0.035 0.031 0.025 0.02 0.023 0.029 0.032 0.037 0.038 '
        '0.043 0.041 0.045 0.013 0.012 0.011 0.011 0.012 0.012 0.011 0.011 0.013 0.015 0.009 '
        '0.007 0.007 0.007 0.012 0.009 0.008 0.016 0.01 0.017 0.011 0.009 0.011 0.009 0.007 '
        '0.013 0.008 0.011 0.012 0.01 0.034 0.008 0.008 0.009 0.008 0.008 0.007 0.01 0.008 '
        '0.009 0.009 0.009 0.007 0.007 0.008 0.011 0.008 0.008 0.008 0.01 0.008'
    )
    + 2 * _HAND_SIGMAS,
    classes=PEOPLE,
    fine=range(23, 133),  # face and hands
)

# In the order of the experts of the public ViTPose++ networks.
SKELETONS: dict[str, Skeleton] = {
    skeleton.name: skeleton for skeleton in (COCO, AIC, MPII, AP10K, APT36K, WHOLEBODY)
}
