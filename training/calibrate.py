"""Calibrate the network that comes with the package for precision int8, on rendered people.

Of each keypoint set on people that neither training nor evaluation sees, whole and hard; without
panoramas, so that nothing is fetched.

    python -m training.calibrate models/nano.safetensors
"""

import argparse
from pathlib import Path

import numpy as np

from training.evaluate import HeldOut
from vitpose_ros.core.runtime.calibration import calibrate
from vitpose_ros.core.runtime.int8 import calibration_path
from vitpose_ros.core.weights import read_checkpoint

SEED = 246_813  # no seed of training or evaluation
KINDS = ('whole', 'hard')
PEOPLE = 128


def main() -> None:
    """Write the calibration beside the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', type=Path, help='a weight file')
    parser.add_argument('--people', type=int, default=PEOPLE)
    arguments = parser.parse_args()
    checkpoint = read_checkpoint(arguments.model)
    people = HeldOut(None, arguments.people, SEED)
    crops = {
        name: np.stack([s.crop for kind in KINDS for s in people.samples(name, kind)])
        for name in checkpoint.config.keypoint_sets
    }
    of = f'rendered people ({" and ".join(KINDS)}; python -m training.calibrate, seed {SEED})'
    calibrate(checkpoint, crops, of).write(calibration_path(arguments.model))


if __name__ == '__main__':
    main()
