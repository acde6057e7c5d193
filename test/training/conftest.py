"""What the tests of the training share."""

import numpy as np
import pytest


@pytest.fixture(scope='session')
def people():
    """What draws people; without panoramas, which would have to be fetched."""
    from training.people import People

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
    from training.people import Variety

    close = Variety(close=1)
    return [people.views(np.random.default_rng([8, i]), 1, close)[0] for i in range(8)]
