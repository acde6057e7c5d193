"""How much each piece of evidence says that a surface is the joint's own; see visibility.py.

Measured on rendered people by `python -m world.anatomy 100 116`, which prints these tables.
"""

import numpy as np

# For visibility.CUES.
FACING = np.array([1.44, 2.77, 12.83, 12.23, 6.99, 3.34, 6.65, 3.76])

# For visibility.EVIDENCE, by kind of keypoint; 'other': what is seen is believed.
_TABLE = """
head_top    5.6  -10 -0.6 -0.7  0.1 -7.8    0    0    0    0    0    0  0.2 -0.4    0 -3.7
nose        3.5 -4.0  3.1 -0.3 -1.3 -1.0    0    0    0    0    0    0  1.2 -1.2  1.6 -3.7
eye         2.7 -9.8  4.3 -0.3 -0.9 -0.9  0.1 -1.6  0.8 -1.7  2.2  0.4  1.5 -0.8  1.4 -5.7
ear         1.1  -10  3.4 -2.1 -1.7 -3.1 -0.1 -2.1 -0.6 -2.6  3.8 -0.2 -0.6  2.1  1.6 -3.9
shoulder    0.7 -1.4  5.7 -7.2 -1.7 -0.2 -4.4 -2.9 -0.2 -0.6  5.5 -8.7  1.0  2.6  0.9 -4.1
elbow       1.5  3.9  9.4 -6.1  1.1 -3.0 -4.4 -6.5 -0.4 -2.5  5.0  -11  0.8  1.2  0.4 -3.3
wrist       0.6 -1.8  9.6 -3.9  0.7 -1.6    0    0 -0.4 -2.0  4.8 -8.5  1.3  1.6  0.6 -3.8
hip         1.4 -7.8 -2.5  -10  1.1 -9.7 -7.9 -5.1  0.4  0.5  3.1 -6.5  1.0  2.8  0.3 -3.7
knee        2.2 -4.1   11 -2.0  0.7 -4.8 -3.6 -4.0 -2.7 -0.5  3.2 -4.1  1.0  2.2  0.2 -0.5
ankle       2.6 -6.7  4.1 -8.0 -4.9 -4.2    0    0 -2.4  0.8  2.7 -4.5  0.7  1.2  0.1 -1.9
upper_neck  3.3 -3.1  1.8 -3.8 -0.1 -1.0    0    0    0    0    0    0  1.3  1.1    0 -2.3
neck        1.9 -8.2  3.0 -3.7 -1.5 -2.1    0    0    0    0    0    0  0.2  3.1    0 -3.2
pelvis      1.6  -13  0.2 -1.0 -0.8 -2.0    0    0    0    0    0    0  0.3  2.3    0 -2.3
toe         3.0 -2.7  4.8 -3.1 -0.5 -1.1    0    0  0.1 -1.6  1.7 -1.0  1.1  1.1  1.0 -1.9
heel        2.2 -1.7  3.9 -0.7 -0.4 -2.8    0    0 -0.4  0.7  1.8 -4.7  0.2 -0.2  0.1 -1.4
hand        1.7 -2.1   16 -0.1 -0.6 -0.9    0    0 -0.6 -1.2  2.8 -3.7  1.6  0.3  0.6 -4.0
other       5.0    0    0    0    0    0    0    0    0    0    0    0    0    0    0    0
"""
WEIGHTS = {
    kind: np.array(weights, dtype=np.float64)
    for kind, *weights in (line.split() for line in _TABLE.strip().splitlines())
}
