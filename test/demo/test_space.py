"""What lies beside the clip: depth images and people in space."""

import json

import cv2
import numpy as np
import pytest

from vitpose_ros.demo.sources import DEMO_CLIP
from vitpose_ros.demo.space import Body, load_space


def write(folder, strip, **changes):
    """Write depth beside a clip of one frame, whose camera has steps of 1/1000 of a metre."""
    truth = {
        'camera': [100.0, 100.0, 1.5, 1.0], 'per_step': 100.0, 'offset': 10,
        'frames': [[{'id': 7, 'joints': [[0.1, 0.2, 3.0]], 'states': [2]}]],
    }  # fmt: skip
    (folder / 'clip_depth.json').write_text(json.dumps({**truth, **changes}))
    cv2.imwrite(str(folder / 'clip_depth.png'), np.asarray(strip, np.uint8))
    return folder / 'clip.mp4'


def test_values_are_steps_of_disparity_and_zeros_holes(tmp_path):
    space = load_space(write(tmp_path, [[0, 1, 10, 40], [90, 255, 0, 0]]))
    expected = [[0, 9091, 5000, 2000], [1000, 377, 0, 0]]
    assert space.depths.dtype == np.uint16
    assert space.depths.tolist() == [expected]
    assert (space.camera.focal_x, space.camera.centre_x) == (100.0, 1.5)
    [[body]] = space.frames
    assert body.id == 7
    assert body.joints.tolist() == [[0.1, 0.2, 3.0]]
    assert body.seen.all()


def test_most_clips_have_nothing_beside_them(tmp_path):
    assert load_space(tmp_path / 'clip.mp4') is None


def test_what_is_not_ours_is_named(tmp_path):
    video = write(tmp_path, [[1]], per_step=None)
    with pytest.raises(ValueError, match=r'clip_depth.json.*does not hold the depth of a clip'):
        load_space(video)
    video = write(tmp_path, [[1]])
    (tmp_path / 'clip_depth.png').unlink()
    with pytest.raises(ValueError, match=r'clip_depth.png cannot be read'):
        load_space(video)


def test_who_is_mostly_hidden_is_not_seen():
    joints = np.zeros((4, 3))
    assert Body(0, joints, np.array([2, 1, 0, 0])).is_seen
    assert not Body(0, joints, np.array([2, 0, 0, 0])).is_seen


def test_the_demo_clip_has_depth_of_all_its_frames():
    space = load_space(DEMO_CLIP)
    assert space.depths.shape == (90, 240, 320)
    assert [len(frame) for frame in space.frames] == [3] * 90
    known = space.depths > 0
    assert 0.4 < known.mean() < 0.7
    assert 2500 < space.depths[known].min() < 4500
    assert space.depths.max() <= 10240
    images = cv2.VideoCapture(str(DEMO_CLIP))
    assert images.get(cv2.CAP_PROP_FRAME_COUNT) == len(space.depths)
