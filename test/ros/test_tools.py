"""The tools as ros2 run starts them."""

import os
import subprocess
from pathlib import Path

from ament_index_python.packages import get_package_prefix


def test_models_is_installed_as_an_executable(tmp_path):
    path = Path(get_package_prefix('vitpose_ros')) / 'lib' / 'vitpose_ros' / 'models'
    env = {**os.environ, 'VITPOSE_ROS_MODELS': str(tmp_path)}
    listed = subprocess.run([path, 'list'], capture_output=True, text=True, env=env, timeout=60)
    assert listed.returncode == 0, listed.stderr
    assert 'vitpose-plus-base' in listed.stdout
    absent = subprocess.run(
        [path, 'info', 'vitpose-plus-base'], capture_output=True, text=True, env=env, timeout=60
    )
    assert absent.returncode == 1
    assert absent.stderr.startswith("models: model 'vitpose-plus-base' is not on this machine")
