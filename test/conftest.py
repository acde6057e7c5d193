"""What all tests share."""

import hashlib
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]

# Graphs that backends convert go here, not to the cache of whoever runs the tests; and are made
# anew after a change of what makes them.
MAKERS = sorted((ROOT / 'vitpose_ros' / 'core').glob('[mr]*/*.py'))  # model and runtime
VERSION = hashlib.sha256(b''.join(path.read_bytes() for path in MAKERS)).hexdigest()[:12]
CACHES = ROOT / '.venv' / 'test_cache'
os.environ.setdefault('VITPOSE_ROS_CACHE', str(CACHES / VERSION))
for older in CACHES.glob('*'):
    if older.name != VERSION:
        shutil.rmtree(older, ignore_errors=True)

# What a machine may lack, as robots do that have what apt brings.
OPTIONAL = (
    *('onnx', 'onnxruntime', 'onnxscript', 'openvino', 'triton', 'huggingface_hub'),
    *('transformers', 'pycocotools', 'matplotlib', 'moderngl'),
)
ABSENT = {name for name in OPTIONAL if find_spec(name) is None}


def skip_what_is_absent(report, excinfo, place):
    """Turn a failure for want of something that is not installed into a skip that says so.

    Only where that is the cause: a failure in the handling of such an error is one.
    """
    error = excinfo.value if excinfo is not None else None
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name in ABSENT:
            report.outcome = 'skipped'
            report.longrepr = (str(place), 0, f'Skipped: {error.name} is not installed')
            return
        error = error.__cause__


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    skip_what_is_absent(outcome.get_result(), call.excinfo, item.fspath)


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
    outcome = yield
    report = outcome.get_result()
    call = getattr(report, 'call', None)
    skip_what_is_absent(report, call and call.excinfo, getattr(collector, 'fspath', ''))


@pytest.fixture(autouse=True)
def _same_weights():
    """Give networks the same random weights each time, so that the cache knows them."""
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def people():
    """What draws people; without panoramas, which would have to be fetched."""
    from world.people import People

    try:
        return People([])
    except Exception as error:
        if 'EGL' in str(error) or 'libGL' in str(error):
            pytest.skip(f'no EGL here (Debian: libegl1, libgl1-mesa-dri): {error}')
        raise


@pytest.fixture(scope='session')
def views(people):
    """A view of each of twelve people."""
    return [people.views(np.random.default_rng([7, i]), 1)[0] for i in range(12)]


@pytest.fixture(scope='session')
def close_views(people):
    """A view of each of eight people who are close to the camera."""
    from world.views import Variety

    close = Variety(close=1)
    return [people.views(np.random.default_rng([8, i]), 1, close)[0] for i in range(8)]
