"""What the parameter class_names takes, and what nodes leave of a logger."""

import logging

import pytest

from vitpose_ros.ros.logs import NodeHandler
from vitpose_ros.ros.parameters import Parameters


@pytest.mark.parametrize(
    ('words', 'known'), [(('coco80',), True), (('Coco',), False), (('coco99',), False)]
)
def test_a_misspelt_numbering_is_refused_and_an_only_class_is_not(words, known):
    if known:
        assert Parameters(class_names=words).numbered_class_names().name('0') == 'person'
        return
    with pytest.raises(ValueError, match='is not known; give one of coco80, coco91'):
        Parameters(class_names=words)
    assert Parameters(class_names=('face',)).numbered_class_names().name('0') == 'face'


def test_the_last_node_leaves_the_logger_as_it_was():
    logger = logging.Logger('some', logging.ERROR)
    first, second = NodeHandler(logger), NodeHandler(logger)
    first.attach(logger)
    second.attach(logger)
    first.detach(logger)
    assert logger.level == logging.INFO
    second.detach(logger)
    assert logger.level == logging.ERROR and not logger.handlers
