"""Class names, class numbers, and the keypoint sets that they get."""

import pytest

from vitpose_ros.core.boxes.classes import NUMBERINGS, ClassNames, KeypointSetChoice


@pytest.mark.parametrize(
    ('numbered', 'class_id', 'name'),
    [
        ('coco80', '0', 'person'),
        ('coco80', '16', 'dog'),
        ('coco80', '79', 'toothbrush'),
        ('coco80', '80', '80'),
        ('coco91', '0', '0'),
        ('coco91', '1', 'person'),
        ('coco91', '18', 'dog'),
        ('coco91', '90', 'toothbrush'),
        (['worker', 'Forklift'], '1', 'forklift'),
        (['worker', 'Forklift'], '2', '2'),
        ('coco80', ' Person ', 'person'),
        ('coco80', 'unicorn', 'unicorn'),
        ('coco80', '', ''),
    ],
)
def test_names_and_numbers_become_names(numbered, class_id, name):
    assert ClassNames(numbered).name(class_id) == name


def test_the_numberings_name_the_same_classes():
    assert len(NUMBERINGS['coco80']) == len(NUMBERINGS['coco91']) == 80
    assert list(NUMBERINGS['coco80'].values()) == list(NUMBERINGS['coco91'].values())


def test_an_unknown_numbering_is_named():
    with pytest.raises(ValueError, match="class numbering 'voc' is not known; give one of coco80"):
        ClassNames('voc')


@pytest.mark.parametrize(
    ('class_id', 'wanted', 'expected'),
    [
        ('0', ['person'], True),
        ('person', ['0', '16'], True),
        ('16', ['person', 'dog'], True),
        ('2', ['person', 'dog'], False),
        ('Person', ['PERSON'], True),
        ('', ['person'], False),
    ],
)
def test_wanted_classes_are_found_by_name_and_number(class_id, wanted, expected):
    assert ClassNames('coco80').is_one_of(class_id, wanted) == expected


def test_each_class_gets_its_keypoint_set():
    choice = KeypointSetChoice(
        ClassNames('coco80'), ['coco', 'wholebody', 'ap10k'], {'person': 'wholebody', '21': 'coco'}
    )
    for class_id, expected in {
        'person': 'wholebody',
        '0': 'wholebody',
        'pedestrian': 'coco',
        'dog': 'ap10k',
        '16': 'ap10k',
        'bear': 'coco',
        'chair': 'coco',
        '': 'coco',
    }.items():
        assert choice.keypoint_set(class_id) == expected, class_id


def test_the_classes_that_sets_are_for_are_told():
    sets = KeypointSetChoice(ClassNames('coco80'), ['ap10k'], {'0': 'ap10k'})
    assert sets.fitting()[0] == 'person' and {'dog', 'horse'} <= set(sets.fitting())
    assert 'chair' not in sets.fitting()


def test_a_keypoint_set_that_is_not_in_use_is_named():
    with pytest.raises(ValueError, match="'mpii' for class 'person' is not in use, only coco"):
        KeypointSetChoice(ClassNames('coco80'), ['coco'], {'person': 'mpii'})
