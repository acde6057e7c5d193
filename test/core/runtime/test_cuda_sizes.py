"""16 bits hold the values of networks of all sizes."""

import gpu
import pytest
from gpu import SIZE, random_backend

from vitpose_ros.tools.bench import subjects

pytestmark = gpu.MARKS

CROPS = 2
SIZES = ['nano'] if gpu.DRY else ['small', 'base', 'large', 'huge']


@pytest.mark.parametrize('size', SIZES)
def test_heatmaps_in_16_bits_are_finite_and_near_those_in_float32(size, record_property):
    crops = subjects.crops(CROPS, SIZE, gpu.DEVICE)

    def heatmaps(precision):
        [maps] = random_backend(size, precision=precision).heatmaps(crops, [CROPS])
        return maps.double().cpu()

    exact = heatmaps('float32')
    for precision, limit in (('float16', 0.02), ('bfloat16', 0.1)):
        maps = heatmaps(precision)
        assert maps.isfinite().all()
        error = float((maps - exact).norm() / exact.norm())
        record_property(f'{precision} relative error', error)
        assert error < limit
