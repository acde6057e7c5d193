"""What all tests share."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

# Graphs that backends convert go here, not to the cache of whoever runs the tests.
os.environ.setdefault('VITPOSE_ROS_CACHE', str(Path(__file__).parents[1] / '.venv' / 'test_cache'))


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
    from world.people import Variety

    close = Variety(close=1)
    return [people.views(np.random.default_rng([8, i]), 1, close)[0] for i in range(8)]
