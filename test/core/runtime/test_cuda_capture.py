"""Graphs can be captured while another thread uses the GPU.

In a process of its own, as a capture that fails may leave PyTorch in a bad state.
"""

import threading

import gpu
import numpy as np
import torch
from gpu import DEVICE, keypoints_by

from vitpose_ros.core.runtime.cuda.device import free_cache, on_device, stream

pytestmark = gpu.MARKS


def test_a_busy_thread_and_a_capture_leave_each_other_alone():
    frame, expected = gpu.demo_frame(), None
    stop, errors = threading.Event(), []

    def use_the_gpu():
        own, random = stream(DEVICE), np.random.default_rng(0)
        # No random numbers of the GPU: see Recorder.
        here = torch.from_numpy(random.random((256, 256), np.float32))
        while not stop.is_set():
            try:
                with on_device(DEVICE, own):
                    torch.empty(
                        int(random.integers(1, 400)) << 20, dtype=torch.uint8, device=DEVICE
                    )
                    there = here.to(DEVICE)
                    (there @ there).sum().item()
                free_cache(DEVICE)
            except Exception as error:
                errors.append(error)
                stop.wait(0.01)

    thread = threading.Thread(target=use_the_gpu, daemon=True)
    thread.start()
    try:
        for _ in range(3):
            estimator = gpu.estimator()
            assert estimator.backend.ways['graphs'].startswith('taken')
            found = keypoints_by(estimator, frame)
            assert expected is None or np.abs(found - expected).max() < 0.05
            expected = found
    finally:
        stop.set()
        thread.join(10)
    assert not errors
