"""What following people gives: their tracks, frame by frame."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.errors import VitposeError
from vitpose_ros.core.poses import Poses

TENTATIVE, TRACKED, PREDICTED, LOST = range(4)
STATES = ('tentative', 'tracked', 'predicted', 'lost')  # their names, by number

RUN = re.compile(r'[A-Za-z][A-Za-z0-9]{0,7}')  # a part of a topic's name begins with a letter


class TrackIds:
    """Ids that nobody else gives: the run's name and a number, as in 'k3f9_17'.

    The trackers of a node share one. run: a random name of this start of the node, from outside:
    a letter, and up to seven letters and digits, so that an id may stand in names of topics.
    Raises VitposeError for other names.
    """

    def __init__(self, run: str) -> None:
        if not RUN.fullmatch(run):
            raise VitposeError(
                f'the name of the run is {run!r}; give a letter, and at most seven letters and '
                'digits behind it'
            )
        self.run = run
        self._numbers = itertools.count(1)

    def take(self) -> str:
        """Return the next id."""
        return f'{self.run}_{next(self._numbers)}'


@dataclass(frozen=True, eq=False)
class Tracks:
    """The subjects that a camera's tracker follows at one time, as parallel arrays.

    What stands in metres is in the fixed frame that the tracker's camera poses lead to, in the
    camera's optical frame where it was never given one; NaN where nobody knows.
    """

    stamp_ns: int
    ids: tuple[str, ...]  # (m,)
    states: NDArray[np.uint8]  # (m,) TENTATIVE, TRACKED, PREDICTED or, once, LOST
    indices: NDArray[np.int64]  # (m,) the row of the track's pose in this frame, or -1
    boxes: NDArray[np.float32]  # (m, 4) image pixels: x_min, y_min, x_max, y_max, filtered
    velocities: NDArray[np.float32]  # (m, 2) image pixels a second, of the box's centre
    hidden_s: NDArray[np.float32]  # (m,) for how long it has not been seen
    positions: NDArray[np.float64]  # (m, 3) metres
    position_covariances: NDArray[np.float64]  # (m, 3, 3) metres squared
    space_velocities: NDArray[np.float64]  # (m, 3) metres a second
    space_velocity_covariances: NDArray[np.float64]  # (m, 3, 3) metres squared a second squared

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self.ids)

    def __getitem__(self, rows: slice | Sequence[Any] | NDArray[Any]) -> 'Tracks':
        """Return the tracks of a slice, a mask or several indices."""
        chosen = np.arange(len(self))[rows]
        arrays: dict[str, Any] = {
            name: values[chosen]
            for name, values in vars(self).items()
            if isinstance(values, np.ndarray)
        }
        return replace(self, ids=tuple(self.ids[row] for row in chosen.tolist()), **arrays)

    def ids_of_poses(self, count: int) -> list[str]:
        """Return (count,) the id of each pose of this frame, '' for one without a track."""
        ids = [''] * count
        for row, index in enumerate(self.indices.tolist()):
            if index >= 0:
                ids[index] = self.ids[row]
        return ids

    def named(self, poses: Poses) -> Poses:
        """Return the poses of this frame under the ids of their tracks."""
        return replace(poses, track_ids=self.ids_of_poses(len(poses)))
