"""The tables of the keypoint sets are consistent."""

import pytest

from vitpose_ros.core import SKELETONS


@pytest.mark.parametrize('name', SKELETONS)
def test_a_skeleton_is_consistent(name):
    skeleton = SKELETONS[name]
    count = len(skeleton)
    assert skeleton.name == name
    assert len(set(skeleton.keypoint_names)) == len(skeleton.sigmas) == count
    assert all(0 <= index < count for edge in skeleton.edges for index in edge)
    assert len({frozenset(edge) for edge in skeleton.edges}) == len(skeleton.edges)
    flipped = [index for pair in skeleton.flip_pairs for index in pair]
    assert len(set(flipped)) == len(flipped)
    for left, right in skeleton.flip_pairs:
        names = skeleton.keypoint_names[left], skeleton.keypoint_names[right]
        assert names[0].replace('left', 'right') == names[1] != names[0]
        assert skeleton.sigmas[left] == skeleton.sigmas[right]


def test_coco_has_its_17_keypoints():
    coco = SKELETONS['coco']
    assert len(coco) == 17 and len(coco.edges) == 19
    assert coco.keypoint_names[0] == 'nose' and coco.keypoint_names[16] == 'right_ankle'
