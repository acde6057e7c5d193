"""States, parameters, bad weights, and the end of the process."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from harness import START_LIMIT_S, clip_frame, detections_of, image_of
from safetensors.torch import save_file

from vitpose_ros.core.model.config import ViTPoseConfig
from vitpose_ros.core.model.vit import ViTPose
from vitpose_ros.core.weights import find_model, write_checkpoint

OK = b'\x00'
SMALL = np.zeros((48, 64, 3), np.uint8)
SLOW = ViTPoseConfig(embed_dim=1280, depth=4, num_heads=16, num_keypoints={'coco': 17})


def bad_weights(kind, folder):
    path = folder / f'{kind}.safetensors'
    if kind == 'truncated':
        path.write_bytes(find_model('nano').read_bytes()[:1_000_000])
    elif kind == 'foreign':
        save_file({'conv1.weight': torch.zeros(4)}, path)
    elif kind == 'another':
        config = ViTPoseConfig(64, 1, 2, num_keypoints={'hands': 21})
        write_checkpoint(path, config, ViTPose(config).state_dict())
    return path


@pytest.mark.parametrize(
    ('kind', 'words'),
    [
        ('missing', 'no such file'),
        ('truncated', 'not a readable safetensors file'),
        ('foreign', 'no ViTPose tensors in it'),
        ('another', "keypoint set 'hands' is not known"),
        ('vitpose-plus-base', 'ros2 run vitpose_ros models fetch vitpose-plus-base'),
    ],
)
def test_bad_weights_are_named_and_good_ones_help(
    kind, words, start, probe, tmp_path, monkeypatch
):
    path = kind if kind.startswith('vitpose') else bad_weights(kind, tmp_path)
    monkeypatch.setenv('VITPOSE_ROS_MODELS', str(tmp_path))
    node = start('pose_node', device='cpu', model=path)
    probe.wait(lambda: 'not started' in node.log, 'the failed start in the log', START_LIMIT_S)
    assert words in node.log and str(path) in node.log
    assert probe.state() == 'unconfigured'
    assert probe.set_parameter('model', 'nano').successful
    assert probe.transition('configure') and probe.transition('activate')
    probe.wait_until_matched()
    image = image_of(SMALL)
    probe.ask(image, detections_of(image, []))


def test_without_the_device_asked_for_it_runs_on_the_cpu_and_says_so(start, probe):
    node = start('pose_node', device='cuda:77', precision='float16')
    probe.wait_until_matched()
    assert "device 'cuda:77' is not there" in node.log
    assert 'runs on the CPU instead' in node.log
    probe.wait_for_status(b'\x01', 'runs on the CPU instead', 'network')
    image = image_of(SMALL)
    probe.ask(image, detections_of(image, []))


def test_a_device_that_does_not_exist_is_named(start, probe):
    node = start('pose_node', device='gpu')
    probe.wait(lambda: 'not started' in node.log, 'the failed start in the log', START_LIMIT_S)
    assert "device is 'gpu'; give auto, cpu, cuda, cuda:N or intel_gpu" in node.log
    assert node.alive


def test_each_state_holds_what_it_should(start, probe):
    start('pose_node', device='cpu', autostart='false')
    assert probe.state() == 'unconfigured'
    probe.wait_for_status(OK, 'unconfigured')
    assert probe.count_publishers('pose_node/keypoints') == 0
    assert probe.transition('configure')
    assert probe.state() == 'inactive'
    probe.wait_for_status(OK, 'inactive')
    assert probe.images.get_subscription_count() == 0
    assert probe.transition('activate')
    probe.wait_until_matched()
    image = image_of(SMALL)
    probe.ask(image, detections_of(image, []))

    assert probe.transition('deactivate')
    probe.wait(lambda: probe.images.get_subscription_count() == 0, 'unsubscribed')
    assert probe.values()['published'] == 1, 'the counts stay'
    assert probe.transition('activate')
    probe.wait_until_matched()
    image = image_of(SMALL)
    probe.ask(image, detections_of(image, []))

    assert probe.transition('deactivate') and probe.transition('cleanup')
    probe.wait(lambda: probe.count_publishers('pose_node/keypoints') == 0, 'no publisher')
    assert probe.state() == 'unconfigured'
    assert probe.transition('configure') and probe.transition('activate')


def test_parameters_change_at_once_or_are_refused(start, probe):
    start('pose_node', device='cpu')
    probe.wait_until_matched()
    assert probe.set_parameter('max_subjects', 1).successful
    pixels, people = clip_frame()
    image = image_of(pixels)
    answer = probe.ask(image, detections_of(image, [person.box for person in people]))
    assert len(answer.subjects) == 1

    refused = probe.set_parameter('model', 'other')
    assert not refused.successful and 'configure again' in refused.reason
    out_of_range = probe.set_parameter('min_keypoint_score', 1.5)
    assert not out_of_range.successful


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('state', ['unconfigured', 'inactive', 'active'])
def test_a_signal_ends_the_node_soon_and_well(number, state, start, probe):
    node = start('pose_node', device='cpu', autostart='true' if state == 'active' else 'false')
    if state == 'inactive':
        assert probe.transition('configure')
    elif state == 'active':
        probe.wait_until_matched()  # which it is a moment before it is active
    probe.wait(lambda: probe.state() == state, state)
    code, seconds = node.stop(number)
    assert code == 0, node.log
    assert seconds < 2
    assert 'Traceback' not in node.log
    # It says goodbye, which arrives at once; others would believe in it for 17 to 20 s.
    probe.wait(lambda: 'pose_node' not in probe.get_node_names(), 'the node is gone', 15)


@pytest.mark.parametrize('delay_s', [0.6, 1.2, 1.8, 2.4])
def test_a_signal_ends_the_node_while_it_starts(delay_s, start):
    node = start('pose_node', device='cpu', cold=True)
    time.sleep(delay_s)
    code, seconds = node.stop(signal.SIGTERM)
    assert code == 0, node.log
    assert seconds < 2
    assert 'Traceback' not in node.log


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_in_the_middle_of_inference(number, start, probe, tmp_path):
    # A wide network and many subjects: one forward pass takes several times the limit.
    path = tmp_path / 'slow.safetensors'
    write_checkpoint(path, SLOW, ViTPose(SLOW).state_dict())
    node = start('pose_node', device='cpu', precision='float32', model=path)
    probe.wait_until_matched()
    pixels, _ = clip_frame()
    image = image_of(pixels)
    boxes = [[10 + i, 10, 200 + i, 400] for i in range(64)]
    probe.send(image, detections_of(image, boxes))
    probe.rest(2.0)
    assert probe.keypoints == [], 'inference was to be under way'
    code, seconds = node.stop(number)
    assert code == 0, node.log
    assert seconds < 2
    assert 'Traceback' not in node.log


def test_frames_that_cannot_wait_make_room_for_newer_ones(start, probe, tmp_path):
    path = tmp_path / 'slow.safetensors'
    write_checkpoint(path, SLOW, ViTPose(SLOW).state_dict())
    start('pose_node', device='cpu', model=path)
    probe.wait_until_matched()
    pixels, _ = clip_frame()
    sent = []
    end = time.monotonic() + 3
    while time.monotonic() < end:
        image = image_of(pixels)
        sent.append(image.header.stamp.sec)
        probe.send(image, detections_of(image, [[10, 10, 200, 400]] * 2))
        probe.rest(0.05)
    probe.wait(
        lambda: probe.keypoints and probe.keypoints[-1].header.stamp.sec == sent[-1],
        'the newest frame',
    )
    answered = [answer.header.stamp.sec for answer in probe.keypoints]
    assert answered == sorted(answered)
    assert len(answered) < len(sent)


def test_an_exception_that_nobody_expects_is_shown_with_its_traceback(tmp_path):
    (tmp_path / 'unlucky.py').write_text(
        'class Unlucky:\n    def __init__(self):\n        raise RuntimeError("no such luck")\n'
    )
    code = "from vitpose_ros.ros.process import run; run('unlucky:Unlucky')"
    ended = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}:{os.environ["PYTHONPATH"]}'},
        timeout=600,
    )
    assert ended.returncode == 1
    assert 'in __init__' in ended.stderr and 'RuntimeError: no such luck' in ended.stderr
