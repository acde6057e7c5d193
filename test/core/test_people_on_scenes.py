"""The whole pipeline on rendered people before two cameras; people_on_scenes.py measures more."""

import pytest

pytest.importorskip('moderngl')  # world's requirements
pytest.importorskip('anny')

from people_on_scenes import identities, jitter_mm

from world.scene import Scene


def test_two_cameras_of_a_turning_robot_have_one_id_a_person():
    found = identities(Scene(3, 'turning'), until=6.0)
    assert found.one_id >= 0.95
    assert found.off_m < 0.1


def test_smoothing_in_space_calms_who_stands():
    scene = Scene(1, 'standing')
    rough, calm = (jitter_mm(scene, strength, until=3.0) for strength in ('off', 'strong'))
    assert calm < rough / 3
