"""The tables of the keypoint sets are consistent, and classes find their set."""

import numpy as np
import pytest

from vitpose_ros.core import SKELETONS
from vitpose_ros.core.model.config import PUBLIC_UDP
from vitpose_ros.core.skeletons import keypoint_set_of_class

# Keypoints, limbs, pairs of counterparts, and whether the public networks were trained with
# unbiased data processing.
EXPECTED = {
    'coco': (17, 19, 8, True),
    'aic': (14, 14, 6, False),
    'mpii': (16, 15, 6, True),
    'ap10k': (17, 17, 7, False),
    'apt36k': (17, 17, 7, False),
    'wholebody': (133, 65, 61, False),
}


def mirrored(name):
    """Return the name of the counterpart."""
    for left, right in (('left', 'right'), ('L_', 'R_')):
        for this, other in ((left, right), (right, left)):
            if name.startswith(this):
                return other + name.removeprefix(this)
    return name


def test_the_sets_stand_in_the_order_of_the_experts():
    assert list(SKELETONS) == list(EXPECTED)


@pytest.mark.parametrize('name', SKELETONS)
def test_a_skeleton_is_consistent(name):
    skeleton = SKELETONS[name]
    count = len(skeleton)
    found = (count, len(skeleton.edges), len(skeleton.flip_pairs), (skeleton.name in PUBLIC_UDP))
    assert found == EXPECTED[name]
    assert skeleton.name == name
    assert len(set(skeleton.keypoint_names)) == len(skeleton.sigmas) == count
    assert all(0 < sigma < 0.2 for sigma in skeleton.sigmas)
    assert all(0 <= index < count for edge in skeleton.edges for index in edge)
    assert len({frozenset(edge) for edge in skeleton.edges}) == len(skeleton.edges)
    flipped = [index for pair in skeleton.flip_pairs for index in pair]
    assert len(set(flipped)) == len(flipped)


@pytest.mark.parametrize('name', SKELETONS)
def test_what_has_a_side_has_a_counterpart(name):
    skeleton = SKELETONS[name]
    for index, (keypoint, other) in enumerate(
        zip(skeleton.keypoint_names, skeleton.flip_order, strict=True)
    ):
        if not keypoint.startswith('face-'):
            assert skeleton.keypoint_names[other] == mirrored(keypoint)
        assert skeleton.flip_order[other] == index


def test_the_face_mirrors_as_ibug_68_does():
    """Outline, brows and so on: mirrored points add up to a constant within each part."""
    face = np.array(SKELETONS['wholebody'].flip_order[23:91]) - 23
    parts = {(0, 17): 16, (17, 27): 43, (31, 36): 66, (48, 55): 102, (55, 60): 114, (60, 65): 124}
    for (start, end), total in parts.items():
        assert [face[i] + i for i in range(start, end)] == [total] * (end - start)
    assert face[27:31].tolist() == [27, 28, 29, 30], 'the bridge of the nose'
    assert face[36:48].tolist() == [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40], 'the eyes'
    assert face[65:68].tolist() == [67, 66, 65]


def test_the_body_of_wholebody_is_that_of_coco():
    coco, wholebody = SKELETONS['coco'], SKELETONS['wholebody']
    assert wholebody.keypoint_names[:17] == coco.keypoint_names
    assert wholebody.edges[:19] == coco.edges
    assert wholebody.sigmas[:17] == coco.sigmas
    assert wholebody.keypoint_names[91] == 'left_hand_root'
    assert wholebody.keypoint_names[132] == 'right_pinky_finger4'


@pytest.mark.parametrize(
    ('class_name', 'sets', 'expected'),
    [
        ('person', ('coco', 'ap10k'), 'coco'),
        ('Person ', ('ap10k', 'coco'), 'coco'),
        ('person', ('wholebody', 'coco'), 'wholebody'),
        ('dog', ('coco', 'ap10k'), 'ap10k'),
        ('Zebra', ('coco', 'apt36k', 'ap10k'), 'apt36k'),
        ('dog', ('coco', 'mpii'), None),
        ('person', ('ap10k',), None),
        ('chair', tuple(EXPECTED), None),
        ('', tuple(EXPECTED), None),
    ],
)
def test_a_class_gets_the_first_set_that_fits(class_name, sets, expected):
    assert keypoint_set_of_class(class_name, sets) == expected


def test_the_animals_that_detectors_know_from_coco_have_a_set():
    for name in ('cat', 'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe'):
        assert keypoint_set_of_class(name, SKELETONS) == 'ap10k'
    assert keypoint_set_of_class('bird', SKELETONS) is None, 'no keypoint set has wings'
