"""How much each piece of evidence says that a surface is the joint's own; see visibility.py.

Measured on rendered people by `python -m world.anatomy 100 112`, which prints these tables.
"""

import numpy as np

# For visibility.CUES.
FACING = np.array([1.51, 2.90, 3.28, 7.49, 9.93, 4.83, 2.31, 5.84, 4.95])

# For visibility.EVIDENCE, by kind of keypoint; 'other': what is seen is believed.
_TABLE = """
head_top     5.1 -5.3  0.7 -0.9 -0.8 -6.7    0    0    0    0    0    0 -0.2  0.6    0 -1.0    0
nose         2.8 -3.5  6.2 -1.1 -0.1 -1.0    0    0    0    0    0    0  1.8 -2.1  1.6 -1.8    0
eye          1.1 -8.3  6.5  0.3    0 -1.1  0.4 -1.4  1.3 -0.7  2.8  0.2  1.9 -0.3  1.5 -3.2    0
ear          0.8 -9.7  6.2 -2.9 -1.7 -2.8 -0.1 -1.4 -0.4 -1.7  3.3 -1.8  0.3  2.1  0.4 -2.0    0
shoulder     1.5  -11  1.0 -6.2  1.0 -3.6 -4.7 -1.9  0.2 -1.4  3.7 -5.4  0.5  2.7    0 -4.5 -1.3
elbow        1.5 -4.7  7.6 -6.5  2.6 -2.7 -5.6 -3.3 -0.1 -2.1  3.6 -5.0  0.1  2.0    0 -3.3 -1.3
wrist        1.2 -0.8  9.7 -5.0  1.5 -3.9    0    0 -0.3 -1.4  2.8 -5.4  1.6  1.5    0 -2.4 -5.6
hip          1.5  -11 -0.3 -8.3  0.6 -8.6 -4.4 -4.2    0 -0.2  2.7 -5.3  0.1  3.7    0 -2.7    0
knee         1.8 -3.3   11 -5.4 -0.5 -2.7 -4.7 -3.9 -1.5  0.6  2.9 -5.3  0.7  2.4    0 -1.8 -3.0
ankle        1.9 -0.3  5.5 -8.1 -4.8 -3.8    0    0 -2.1  1.5  3.2 -5.4 -0.2  2.1 -0.1 -1.3 -5.0
upper_neck   3.2 -3.2  2.1 -2.6  0.4 -1.5    0    0    0    0    0    0  0.9  1.4    0 -3.3    0
neck         2.5 -8.6 -0.3 -3.7 -2.2 -1.9    0    0    0    0    0    0  1.0  1.1    0 -4.4    0
pelvis       1.6  -10  0.2 -0.8 -0.2 -2.7    0    0    0    0    0    0 -0.1  2.5    0 -1.5    0
toe          3.4 -2.8  4.0 -6.4  0.3 -2.5    0    0 -1.0 -1.2  1.8 -1.3  1.4  1.1  1.1 -0.7 -3.0
heel         2.9 -1.3  3.4 -0.6  0.4 -2.2    0    0  0.1 -0.3  1.5 -5.7 -0.7  0.2 -0.6 -0.8 -2.0
hand         1.2 -4.5   16 -0.7 -0.6 -1.0    0    0 -1.2 -1.9  3.7 -1.8  1.5  1.3  0.1 -2.6 -1.4
other        5.0    0    0    0    0    0    0    0    0    0    0    0    0    0    0    0    0
"""
WEIGHTS = {
    kind: np.array(weights, dtype=np.float64)
    for kind, *weights in (line.split() for line in _TABLE.strip().splitlines())
}
