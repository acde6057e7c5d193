"""What all tests share."""

import os
from pathlib import Path

# Graphs that backends convert go here, not to the cache of whoever runs the tests.
os.environ.setdefault('VITPOSE_ROS_CACHE', str(Path(__file__).parents[1] / '.venv' / 'test_cache'))
