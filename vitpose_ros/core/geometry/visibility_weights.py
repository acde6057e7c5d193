"""How much each piece of evidence says that a surface is the joint's own; see visibility.py.

Measured on rendered people by `python -m world.anatomy 100 116`, which prints these tables.
"""

import numpy as np

# For visibility.CUES.
FACING = np.array([1.44, 2.62, 2.62, 11.19, 11.88, 8.78, 4.39, 6.79, 3.85])

# For visibility.EVIDENCE, by kind of keypoint; 'other': what is seen is believed.
_TABLE = """
head_top    5.2 -8.6  0.3 -2.1 -2.0 -6.3    0    0    0    0    0    0  0.1    0    0 -2.4    0
nose        3.6 -4.0  2.9 -0.7 -1.0 -0.6    0    0    0    0    0    0  1.6 -2.4  1.7 -2.7    0
eye         2.9 -9.1  4.0    0 -0.9 -0.4  0.4 -1.7  1.6 -2.2  1.5  0.1  2.4 -1.7  1.0 -4.5    0
ear         0.9  -12  4.2 -2.3 -2.1 -2.8 -0.4 -1.9  0.2 -2.0  3.4 -2.2 -0.2  2.4  1.1 -3.3    0
shoulder    0.7 -8.4  6.1 -6.0 -0.3 -2.3 -4.1 -2.8  0.4 -0.6  4.2 -7.1  0.7  3.1  0.2 -4.5    0
elbow       1.1 -1.0   11 -5.7  1.6 -3.5 -4.8 -4.9 -0.2 -1.6  4.3 -6.1  0.4  2.2  0.1 -2.4    0
wrist       0.8 -3.2   10 -3.8  1.7 -2.2    0    0 -0.8 -1.2  3.6 -5.3  1.6  1.6  0.2 -3.2    0
hip         0.6  -11 -1.2 -8.6  0.5  -11 -6.1 -3.9  1.0  0.4  3.1 -5.1  0.8  4.4  0.2 -3.6    0
knee        2.0 -2.0   13 -3.6 -0.4 -4.9 -3.6 -3.6 -2.3 -0.3  2.7 -4.2  1.0  2.6  0.1 -1.1    0
ankle       2.0 -3.9  5.6 -7.2 -4.4 -3.7    0    0 -1.4  1.3  2.3 -5.8 -0.2  2.6 -0.1 -1.3    0
upper_neck  2.9 -3.6  3.4 -2.7  0.2 -1.5    0    0    0    0    0    0  1.4  1.7    0 -2.7    0
neck        2.4 -9.2  1.0 -3.6 -2.3 -0.9    0    0    0    0    0    0  1.1  1.4    0 -4.0    0
pelvis      1.6  -11  0.2 -0.6 -1.0 -1.9    0    0    0    0    0    0  0.2  2.5    0 -2.0    0
toe         3.7 -2.0  2.4 -4.6 -1.5 -1.8    0    0 -0.4 -0.9  1.7 -0.3  1.3  0.3  1.3 -2.2    0
heel        2.3 -0.3  4.9  0.3 -0.7 -2.2    0    0 -0.3  0.6  1.7 -5.7 -0.5  0.3 -0.1 -0.4    0
hand        1.4 -5.7   16 -0.2 -0.6 -0.8    0    0 -1.1 -1.7  3.8 -2.5  1.4  1.3  0.3 -3.5    0
other       5.0    0    0    0    0    0    0    0    0    0    0    0    0    0    0    0    0
"""
WEIGHTS = {
    kind: np.array(weights, dtype=np.float64)
    for kind, *weights in (line.split() for line in _TABLE.strip().splitlines())
}
