"""What the tests for CUDA share: the device, and what they work on.

With GPU_CHECK_DRY=1 the device is the processor, where streams, events and graphs have stand-ins,
and crops are small.
"""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vitpose_ros.core import Frame, PoseEstimator
from vitpose_ros.core.runtime.cuda import CudaBackend
from vitpose_ros.core.weights import load_network
from vitpose_ros.tools.bench import subjects

DRY = os.environ.get('GPU_CHECK_DRY') == '1' and not torch.cuda.is_available()
DEVICE = torch.device('cpu' if DRY else 'cuda')
if DRY:
    torch.set_num_threads(1)  # toys gain nothing by more
MARKS = [
    pytest.mark.cuda,
    pytest.mark.skipif(not DRY and not torch.cuda.is_available(), reason='no CUDA device'),
]
SIZE = (64, 48) if DRY else (256, 192)  # height, width of crops
PRECISION = 'float32' if DRY else 'auto'  # processors are slow with 16 bits
ROUNDS = 2 if DRY else 40  # of what is repeated until it has gone wrong, if it ever does
# OpenCV 4 rounds positions in an image to 1/32 pixel, so that crops differ by some grey levels.
GREY_LEVELS = 1 if int(cv2.__version__.split('.')[0]) >= 5 else 8
CLIP = Path(__file__).parents[3] / 'vitpose_ros' / 'demo' / 'data' / 'demo_clip.mp4'


def demo_frame(people=21):
    """The first frame of the demo clip with its people, many times over."""
    image = cv2.VideoCapture(str(CLIP)).read()[1]
    found = json.loads(CLIP.with_suffix('.json').read_text())['frames'][0]
    boxes = np.array([person['bbox'] for person in found], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    shifts = np.random.default_rng(0).uniform(-6, 6, (1 + people // len(boxes), *boxes.shape))
    return Frame(image, (boxes + shifts).reshape(-1, 4)[:people], 'bgr')


def first(frame, count):
    """The same with fewer people."""
    return Frame(frame.image, frame.boxes[:count], frame.channels)


def random_backend(size, sets=('coco',), *, precision=PRECISION, depth=None):
    """A backend on a network with random weights; depth: of its blocks, one where dry."""
    depth = 1 if DRY else depth
    network = subjects.random_network(size, sets, DEVICE, depth=depth, image_size=SIZE)
    return CudaBackend(network, device=str(DEVICE), precision=precision)


def estimator(*, max_batch=16, precision=PRECISION):
    """An estimator with the embedded network."""
    network = load_network('nano', image_size=SIZE)
    backend = CudaBackend(network, device=str(DEVICE), precision=precision)
    return PoseEstimator(backend, max_batch=2 if DRY else max_batch)


def keypoints_by(estimator, frame):
    """The keypoints of all people in a frame, (n, k, 2)."""
    [poses] = estimator.predict([frame])
    return np.array([pose.keypoints for pose in poses])
