"""After the loss of its GPU the node says so, and ends, so that it can be started anew."""

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from harness import clip_frame, detections_of, image_of

from vitpose_ros.ros.memory import release_memory

ERROR = DiagnosticStatus.ERROR
ILLEGAL_ACCESS = 'CUDA error: an illegal memory access was encountered'


def with_a_box(pixels):
    image = image_of(pixels)
    return image, detections_of(image, [[250, 150, 330, 300]])


def test_when_the_device_is_lost_the_node_says_so_and_ends_with_an_error(start, probe):
    node = start('rigged_node.py', environment={'RIG': f'white={ILLEGAL_ACCESS}'}, device='cpu')
    probe.wait_until_matched()
    pixels, _ = clip_frame()
    assert len(probe.ask(*with_a_box(pixels)).subjects) == 1
    probe.send(*with_a_box(np.full_like(pixels, 255)))
    lost = f'the device is lost to this process, which ends: {ILLEGAL_ACCESS}; start the node anew'
    probe.wait_for_status(ERROR, lost, 'network')
    assert node.process.wait(10) == 1
    assert lost in node.log and 'respawn:=true' in node.log and 'Traceback' not in node.log


def test_a_device_that_is_lost_at_configure_ends_the_node_too(start):
    node = start('rigged_node.py', environment={'RIG': f'black={ILLEGAL_ACCESS}'}, device='cpu')
    assert node.process.wait(60) == 1
    assert f'cannot configure: {ILLEGAL_ACCESS}' in node.log
    assert 'the device is lost to this process, which ends' in node.log


@pytest.mark.parametrize(
    'error', [RuntimeError(ILLEGAL_ACCESS), torch.cuda.OutOfMemoryError('CUDA out of memory')]
)
def test_cleanup_goes_on_where_the_gpu_gives_nothing_back(error, monkeypatch):
    def empty_cache():
        raise error

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'empty_cache', empty_cache)
    said = []
    release_memory(said.append)
    assert said == [f'memory of the GPU is not given back: {error}']
