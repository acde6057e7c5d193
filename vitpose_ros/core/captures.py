"""What cameras took, and who was seen in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.geometry.depth import Depth
from vitpose_ros.core.geometry.lifting import Joints
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.tracks.people import People
from vitpose_ros.core.tracks.tracks import Tracks
from vitpose_ros.core.types import Frame, FrameError


@dataclass(frozen=True, eq=False)
class Capture:
    """What one camera took at one time. Raises FrameError."""

    frame: Frame
    stamp_ns: int
    camera: str = ''  # its name, where there are several
    intrinsics: PinholeCamera | None = None  # of the image; None: nobody told
    depth: Depth | None = None  # in the camera's optical frame; counts only with intrinsics
    # (4, 4) from the camera's optical frame to a fixed one, at that time; None: nobody told
    pose: NDArray[np.floating] | None = None
    is_carried: bool = False  # its boxes are those that the tracks expected, see PosePipeline.find

    def __post_init__(self) -> None:
        """Raise FrameError for a pose that is none."""
        if self.pose is not None and not (
            np.shape(self.pose) == (4, 4) and np.isfinite(self.pose).all()
        ):
            raise FrameError('pose is no matrix of 4 x 4 finite numbers; leave it out')


@dataclass(frozen=True, eq=False)
class Sighting:
    """The subjects of a capture, and those that are followed without being seen in it.

    What is in metres is in the fixed frame where the camera's pose was given, else in its optical
    frame.
    """

    camera: str
    stamp_ns: int
    poses: Poses  # with the ids of the tracks; without tracking with those of the detector
    joints: Joints | None  # of the poses; None: without depth, or in no frame that is known
    tracks: Tracks | None  # None: tracking is off
    kinds: tuple[tuple[str, str], ...]  # of each track: class and skeleton of its last pose
    # Of all cameras; None: the pose of this one was never given, or there was never any depth.
    people: People | None
