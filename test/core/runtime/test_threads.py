"""Several threads on one estimator get what one gets, of every backend."""

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from vitpose_ros.core import Frame, PoseEstimator
from vitpose_ros.core.runtime import BACKENDS
from vitpose_ros.core.runtime.cuda import CudaBackend, Tuning
from vitpose_ros.core.weights import load_network

CLIP = Path(__file__).parents[3] / 'vitpose_ros' / 'demo' / 'data' / 'demo_clip.mp4'
CUDA = 'CUDA on the processor'
NAMES = [*(name for name in BACKENDS if name != 'auto'), CUDA]
THREADS = 3
RUN_S = 2.0
SIZE = (64, 48)  # of a crop: many passes


def opened(name):
    if name != CUDA:
        return PoseEstimator.load(
            'nano', 'cpu', backend=name, precision='float32', image_size=SIZE
        )
    tuning = Tuning(**dict.fromkeys(Tuning.__dataclass_fields__, False))
    backend = CudaBackend(
        load_network('nano', image_size=SIZE), device='cpu', precision='float32', tuning=tuning
    )
    return PoseEstimator(backend)


@pytest.fixture(scope='module')
def frames():
    """A frame per thread, of as many subjects as its number and one."""
    video, random = cv2.VideoCapture(str(CLIP)), np.random.default_rng(0)
    found = []
    for count in range(1, THREADS + 1):
        image = video.read()[1]
        low = random.uniform(0, 200, (count, 2))
        boxes = np.concatenate((low, low + random.uniform(50, 250, (count, 2))), axis=1)
        found.append(Frame(image, boxes, 'bgr'))
    return found


@pytest.mark.parametrize('name', NAMES)
def test_threads_on_one_estimator_give_what_one_gives(name, frames):
    estimator = opened(name)
    expected = [estimator.predict([frame])[0] for frame in frames]
    calls, wrong = [0] * THREADS, []
    end_s = time.monotonic() + RUN_S

    def call(index):
        while time.monotonic() < end_s or not calls[index]:
            try:
                [poses] = estimator.predict([frames[index]])
                for pose, other in zip(poses, expected[index], strict=True):
                    assert np.abs(pose.keypoints - other.keypoints).max() < 1e-3
                    assert np.abs(pose.scores - other.scores).max() < 1e-5
            except BaseException as error:
                wrong.append(error)
            calls[index] += 1

    threads = [threading.Thread(target=call, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, f'{len(wrong)} of {sum(calls)} calls'
    assert min(calls) > 0, calls
