"""Depth beside a clip: what a depth camera measured with it, and where its people are, in metres.

Of clip.mp4 these are clip_depth.png and clip_depth.json; world/clip_depth.py says what is in them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.demo.accuracy import SEEN

HIDDEN = 0  # by others, or outside the image


@dataclass(frozen=True, eq=False)
class Body:
    """A true person in space."""

    id: int  # the same in all frames
    joints: NDArray[np.float64]  # (k, 3) metres, in the camera's optical frame
    states: NDArray[np.int64]  # (k,): SEEN, 1 hidden by the own body, HIDDEN

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which joints the camera sees, (k,)."""
        return np.asarray(self.states == SEEN)

    @property
    def is_seen(self) -> bool:
        """Whether others, or the border of the image, hide at most half of the person."""
        return bool((self.states == HIDDEN).mean() <= 0.5)


@dataclass(frozen=True, eq=False)
class ClipInSpace:
    """The frames of a clip in space."""

    camera: PinholeCamera  # of the images
    depths: NDArray[np.uint16]  # (frames, h, w) millimetres, 0 for holes
    frames: list[list[Body]]


def load_space(video: Path) -> ClipInSpace | None:
    """Read what lies beside a video; None where nothing does. Raises ValueError, naming it."""
    path = video.with_name(f'{video.stem}_depth.json')
    if not path.is_file():
        return None
    try:
        truth = json.loads(path.read_text())
        frames = [
            [
                Body(entry['id'], np.array(entry['joints']), np.array(entry['states']))
                for entry in frame
            ]
            for frame in truth['frames']
        ]
        strip = cv2.imread(str(path.with_suffix('.png')), cv2.IMREAD_UNCHANGED)
        if strip is None:
            raise ValueError(f'{path.with_suffix(".png")} cannot be read')
        # One of such cameras: steps of disparity, of which each value stands for a depth.
        values = np.arange(256) + truth['offset']
        millimetres = np.rint(1000 * truth['per_step'] / values).astype(np.uint16)
        millimetres[0] = 0
        depths = millimetres[strip].reshape(len(frames), -1, strip.shape[1])
        return ClipInSpace(PinholeCamera(*truth['camera']), depths, frames)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"'{path}' does not hold the depth of a clip: {error!r}") from None
