"""Weights of visibility.py."""

import numpy as np

FACING = np.array([5.95, 5.0, 1.51, 2.1, 2.3, 0.68, 1.38, 1.06])
WEIGHTS = {'other': (5.0,) + 20 * (0.0,)}
