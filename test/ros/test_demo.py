"""The demonstration as a user starts it."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vitpose_ros.demo import run

FRAMES = [(1, 0), (2, 0), (3, 0)]


def demo(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'vitpose_ros.demo.run', *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=1200,
    )


def figure(pattern, text):
    found = re.search(pattern, text)
    assert found, text
    return [float(group) for group in found.groups()]


def empty_video(folder, frames):
    """A video in which there is nobody."""
    path = folder / 'empty.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (320, 240))
    for _ in range(frames):
        writer.write(np.full((240, 320, 3), 90, np.uint8))
    writer.release()
    return path


def test_it_answers_every_frame_and_writes_its_pictures(tmp_path):
    result = demo('--seconds', 5, '--rate', 4, '--output', tmp_path)
    assert result.returncode == 0, result.stderr
    sent, answered = figure(r'frames: +(\d+) from the camera, (\d+) with keypoints', result.stdout)
    assert sent == answered == 20
    matched, present, similarity = figure(
        r'accuracy: +(\d+) of (\d+) people matched, mean OKS (\d\.\d+)', result.stdout
    )
    assert matched > 0.5 * present == 0.5 * 3 * sent
    assert similarity > 0.6
    assert figure(r'latency: +(\d+) ms median', result.stdout)[0] > 0
    assert_people_are_where_they_are(result.stdout)
    sheet = cv2.imread(str(tmp_path / 'contact_sheet.png'))
    assert sheet.shape[1] == 3 * 480 and sheet.std() > 10
    video = cv2.VideoCapture(str(tmp_path / 'annotated.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == sent


def assert_people_are_where_they_are(text):
    """Check what is said of people in metres: of three, of whom one is far away."""
    error_cm, measured, seen = figure(
        r'depth: +([\d.]+) cm median error of measured joints, (\d+) % of (\d+) seen', text
    )
    assert error_cm < 10
    assert measured > 60
    assert seen > 500
    switches, ids, people = figure(r'tracks: +(\d+) id switches, (\d+) ids for (\d+) peo', text)
    assert people == 3
    assert ids <= 6
    assert switches <= 6
    jitter_mm = figure(r'jitter: +(\d+) mm median change of the error of a joint', text)[0]
    assert jitter_mm < 40


def test_frames_with_nobody_are_answered(tmp_path):
    path = empty_video(tmp_path, 8)
    path.with_suffix('.json').write_text('{"not": "ours"}')
    result = demo('--video', path, '--output', tmp_path)
    assert result.returncode == 0, result.stderr
    assert figure(r'frames: +(\d+) from the camera, (\d+) with', result.stdout) == [8, 8]
    assert figure(r'people: +(\d+) detected', result.stdout) == [0]
    assert 'empty.json does not hold the true people' in result.stdout
    # Nor is there depth, so that nothing is said of metres.
    assert not re.search('^(depth|tracks|jitter):', result.stdout, re.MULTILINE)


def test_frames_without_keypoints_are_a_failure(tmp_path):
    """As many at once as the detector cannot hold: it holds thirty."""
    result = demo('--video', empty_video(tmp_path, 80), '--rate', 1000, '--output', tmp_path)
    sent, answered = figure(r'frames: +(\d+) from the camera, (\d+) with', result.stdout)
    assert 0 < answered < sent
    assert result.returncode == 1
    assert f'demo: {sent - answered:.0f} of {sent:.0f} frames got no keypoints' in result.stderr


def test_a_video_that_cannot_be_read_is_an_error(tmp_path):
    result = demo('--video', tmp_path / 'absent.mp4', '--output', tmp_path)
    assert result.returncode == 1
    assert 'absent.mp4' in result.stderr and 'Traceback' not in result.stderr


@pytest.fixture
def play(monkeypatch, tmp_path):
    """Run the demonstration, with nodes that answer so many frames and draw so many pictures."""

    def played(answers, pictures):
        def play(_video, _rate_hz, _frames, recording, _smoothing):
            recording.count = pictures
            return SimpleNamespace(frames=FRAMES, answers=dict.fromkeys(FRAMES[:answers]))

        monkeypatch.setattr(run, 'play', play)
        monkeypatch.setattr(run, 'report', lambda *_: 'well')
        monkeypatch.setattr(run.rclpy, 'init', lambda: None)
        monkeypatch.setattr(run.os, 'environ', dict(os.environ))
        monkeypatch.setattr('sys.argv', ['demo', '--output', str(tmp_path)])
        run.main()

    return played


def test_it_ends_well_with_keypoints_and_a_picture_for_each_frame(play):
    play(3, 3)


@pytest.mark.parametrize(
    ('answers', 'pictures', 'words'),
    [(2, 3, '1 of 3 frames got no keypoints'), (3, 1, '2 of 3 frames got no picture')],
)
def test_what_is_missing_is_a_failure(answers, pictures, words, play):
    with pytest.raises(SystemExit, match=words):
        play(answers, pictures)
