"""The tools as ros2 run starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from ament_index_python.packages import get_package_prefix, get_package_share_directory

from vitpose_ros.ros.large_images import CHOICES, publisher_environment
from vitpose_ros.tools.bench.cameras import CAMERAS, SECONDS
from vitpose_ros.tools.bench.images import transports

LIMIT_S = 600  # for hangs


def test_models_is_installed_as_an_executable(tmp_path):
    path = Path(get_package_prefix('vitpose_ros')) / 'lib' / 'vitpose_ros' / 'models'
    env = {**os.environ, 'VITPOSE_ROS_MODELS': str(tmp_path)}
    listed = subprocess.run(
        [path, 'list'], capture_output=True, text=True, env=env, timeout=LIMIT_S
    )
    assert listed.returncode == 0, listed.stderr
    assert 'vitpose-plus-base' in listed.stdout
    absent = subprocess.run(
        [path, 'info', 'vitpose-plus-base'],
        capture_output=True,
        text=True,
        env=env,
        timeout=LIMIT_S,
    )
    assert absent.returncode == 1
    assert absent.stderr.startswith("models: model 'vitpose-plus-base' is not on this machine")


def test_bench_measures_the_node_over_dds(tmp_path):
    path = Path(get_package_prefix('vitpose_ros')) / 'lib' / 'vitpose_ros' / 'bench'
    results = tmp_path / 'results.jsonl'
    command = [path, '--sections', 'ros', '--rounds', '1', '--json', results]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    medians = {
        line['row']['stage']: line['row']['median']
        for line in lines
        if 'stage' in line.get('row', ())
    }
    stages = ('arrival', 'wait', 'crop', 'network', 'decode', 'publish')
    assert all(medians[stage] > 0 for stage in stages)
    assert medians['stamp to received'] > medians['decode']
    rows = {
        line['row']['camera']: line['row'] for line in lines if 'camera' in line.get('row', ())
    }
    assert list(rows) == list(CAMERAS)
    for name, (_, _, rate, *_) in CAMERAS.items():  # a busy machine loses some
        assert rows[name]['sent'] == rate * SECONDS >= rows[name]['arrived'], name
        assert rows[name]['arrived'] >= rows[name]['answered'] >= 0, name
    assert rows['infrared']['answered'] > 0


FEWER_SIZES = """
import sys
from vitpose_ros.tools import bench
from vitpose_ros.tools.bench import images
del images.SIZES['1280 x 720'], images.SIZES['3840 x 2160']
if __name__ == '__main__':
    sys.exit(bench.main(sys.argv[1:]))
"""


def test_bench_measures_images_with_and_without_the_profile(tmp_path):
    results, program = tmp_path / 'results.jsonl', tmp_path / 'bench_of_images.py'
    program.write_text(FEWER_SIZES)
    command = [sys.executable, program, '--sections', 'images', '--rounds', '1', '--json', results]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    rows = [line['row'] for line in lines if 'row' in line]
    assert [(row['image'], row['Fast DDS']) for row in rows] == [
        (size, transport)
        for size in ('640 x 480', '1920 x 1080')
        for transport in ('default', 'profile')
    ]
    for row in rows:
        assert 0 <= row['arrived'] <= row['sent']
        if row['arrived']:  # a busy machine loses some of the large ones
            assert row['stamp to keypoints'] > 0
            assert row['processor'] is None or row['processor'] > 0
    assert rows[1]['arrived'] > 0, 'small ones, with the profile'
    assert any(row['processor'] for row in rows)


@pytest.mark.parametrize('distribution', ['jazzy', 'kilted'])
def test_bench_uses_the_profile_as_the_launch_files_do(distribution, monkeypatch):
    for name in CHOICES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('ROS_DISTRO', distribution)
    with transports(False):
        expected = publisher_environment()
    with transports(True):
        assert {name: os.environ[name] for name in CHOICES if name in os.environ} == expected
    assert not set(CHOICES) & set(os.environ)


def test_the_licence_is_installed():
    installed = Path(get_package_share_directory('vitpose_ros')) / 'LICENSE'
    assert 'Apache License' in installed.read_text()


def test_predict_is_installed_as_an_executable(tmp_path):
    path = Path(get_package_prefix('vitpose_ros')) / 'lib' / 'vitpose_ros' / 'predict'
    cv2.imwrite(str(tmp_path / 'x.png'), np.zeros((64, 48, 3), np.uint8))
    command = [path, tmp_path / 'x.png', '--device', 'cpu', '--json', tmp_path / 'x.json']
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    [entry] = json.loads((tmp_path / 'x.json').read_text())
    assert len(entry['subjects']) == 1
