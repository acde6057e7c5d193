"""What the tests of backends share."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from vitpose_ros.core import Frame

CLIP = Path(__file__).parents[3] / 'vitpose_ros' / 'demo' / 'data' / 'demo_clip.mp4'


@pytest.fixture(scope='module')
def frames():
    """Frames of the demo clip with the boxes of their people."""
    video, people = (
        cv2.VideoCapture(str(CLIP)),
        json.loads(CLIP.with_suffix('.json').read_text()),
    )
    found = []
    for number, in_frame in enumerate(people['frames'][:40]):
        image = video.read()[1]
        if number % 10 == 0:
            boxes = np.array([person['bbox'] for person in in_frame], np.float32)
            boxes[:, 2:] += boxes[:, :2]
            found.append(Frame(image, boxes, 'bgr'))
    assert sum(len(frame.boxes) for frame in found) >= 8
    return found
