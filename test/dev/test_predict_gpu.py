"""What a GPU would take is predicted from all that a pass computes."""

import math

import pytest
from predict_gpu import Card, predict

from vitpose_ros.core.model.config import SIZES, ViTPoseConfig
from vitpose_ros.tools.bench.subjects import flops

CARD = Card('a card', 1e12, 1e9, multiprocessors=10, of_flop_s=0.5, of_byte_s=0.5, launch_s=1e-6)


def test_a_kernel_takes_what_takes_longest_of_it():
    assert CARD.seconds(100, None) == 1e-6
    assert CARD.seconds(1000, None) == 2e-6
    full = 2 * 640 * 128 * 1000 / 0.5e12
    for rows in (640, 600, 64):  # a wave is ten tiles, however many are empty
        assert math.isclose(CARD.seconds(100, (rows, 1000, 128)), full)
    assert math.isclose(CARD.seconds(100, (641, 1000, 128)), 2 * full)


@pytest.mark.parametrize('size', ['small', 'large'])
def test_all_products_of_a_pass_are_counted(size):
    config = ViTPoseConfig(**{**SIZES[size], 'depth': 2}, num_keypoints={'coco': 17}, folded=True)
    count = predict(config, 4, CARD)
    assert count.operations / 4 == pytest.approx(flops(config), rel=0.002)
    deeper = predict(ViTPoseConfig(**{**vars(config), 'depth': 3}), 4, CARD)
    assert deeper.kernels - count.kernels == 7  # of a block: two norms, attention, four products
    assert deeper.seconds > count.seconds
