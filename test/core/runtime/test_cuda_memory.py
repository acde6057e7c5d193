"""Where memory of the GPU is scarce, less is prepared, and a frame that fails costs no other.

In a process of its own, as the process's share of the memory is limited.
"""

import contextlib

import gpu
import pytest
import torch
from gpu import DEVICE, random_backend

from vitpose_ros.core import PoseEstimator
from vitpose_ros.tools.bench import subjects

pytestmark = gpu.MARKS

LEFT = 900_000_000  # bytes beyond the weights
MOST = 256


@pytest.fixture
def scarce():
    """An estimator for as many crops as memory suffices for, which are fewer than asked for."""
    if gpu.DRY:
        pytest.skip('a processor has as much memory as it has')
    backend = random_backend('large', precision='float16')
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    share = (torch.cuda.memory_reserved() + LEFT) / total
    torch.cuda.set_per_process_memory_fraction(min(1.0, share))
    yield PoseEstimator(backend, max_batch=MOST)
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_what_memory_does_not_suffice_for_is_left_out(scarce, record_property):
    record_property('largest batch', scarce.max_batch)
    assert 1 <= scarce.max_batch < MOST
    found = scarce.predict([subjects.frame(40)] * 2)
    assert [len(poses) for poses in found] == [40, 40]


def test_a_frame_without_memory_costs_no_later_one(scarce, record_property):
    reached, ballast = scarce.max_batch, []
    with contextlib.suppress(torch.cuda.OutOfMemoryError):
        while True:
            ballast.append(torch.empty(16 << 20, dtype=torch.uint8, device=DEVICE))
    [outcome] = scarce.predict_each([subjects.frame(8, 3840, 2160)])
    record_property('without memory', str(outcome.error or 'no error'))
    del ballast
    torch.cuda.empty_cache()
    [outcome] = scarce.predict_each([subjects.frame(8)])
    assert outcome.error is None and len(outcome.poses) == 8
    assert scarce.max_batch == reached  # its graphs were there all the time
