"""What all tests share."""

import os
from pathlib import Path

import pytest
import torch

# Graphs that backends convert go here, not to the cache of whoever runs the tests.
os.environ.setdefault('VITPOSE_ROS_CACHE', str(Path(__file__).parents[1] / '.venv' / 'test_cache'))


@pytest.fixture(autouse=True)
def _same_weights():
    """Give networks the same random weights each time, so that the cache knows them."""
    torch.manual_seed(0)
