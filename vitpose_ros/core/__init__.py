"""Pose estimation without ROS: images and boxes in, keypoints out."""

try:
    import cv2  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'OpenCV (cv2) is missing: apt install python3-opencv, or pip install '
        'opencv-python-headless',
        name='cv2',
    ) from error

from vitpose_ros.core.drawing import Style, draw_poses
from vitpose_ros.core.errors import VitposeError
from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.jpeg import ImageError
from vitpose_ros.core.pipeline import Capture, PosePipeline, Sighting
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.runtime import (
    BackendError,
    DeviceError,
    ExportError,
    OptionError,
    Options,
)
from vitpose_ros.core.skeletons import SKELETONS, Skeleton
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.types import Frame, FrameError, Pose, box_fault
from vitpose_ros.core.weights import EMBEDDED_MODEL, CheckpointError

__all__ = [
    'EMBEDDED_MODEL',
    'SKELETONS',
    'BackendError',
    'Capture',
    'CheckpointError',
    'DeviceError',
    'ExportError',
    'Frame',
    'FrameError',
    'ImageError',
    'OptionError',
    'Options',
    'Pose',
    'PoseEstimator',
    'PosePipeline',
    'Poses',
    'Sighting',
    'Skeleton',
    'Style',
    'TrackOptions',
    'VitposeError',
    'box_fault',
    'draw_poses',
]
