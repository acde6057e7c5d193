"""Pose estimation without ROS: images and boxes in, keypoints out."""

import importlib
from typing import TYPE_CHECKING, Any

try:
    import cv2  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'OpenCV (cv2) is missing: apt install python3-opencv, or pip install '
        'opencv-python-headless',
        name='cv2',
    ) from error

from vitpose_ros.core.drawing import DrawingError, Style, draw_poses
from vitpose_ros.core.errors import VitposeError
from vitpose_ros.core.geometry.depth import Depth, DepthImageError
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.core.jpeg import ImageError
from vitpose_ros.core.option import OptionError
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.skeletons import SKELETONS, Skeleton
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.types import Frame, FrameError, Pose, box_fault

if TYPE_CHECKING:
    from vitpose_ros.core.boxes.detector import DetectorError
    from vitpose_ros.core.captures import Capture, Sighting
    from vitpose_ros.core.estimator import PoseEstimator
    from vitpose_ros.core.pipeline import PosePipeline
    from vitpose_ros.core.runtime import BackendError, DeviceError, ExportError, Options
    from vitpose_ros.core.weights import EMBEDDED_MODEL, CheckpointError

# What imports PyTorch, which takes seconds, is imported when it is asked for: programs without a
# network, as cameras and drawings, do not wait for it.
_WITH_PYTORCH = {
    'boxes.detector': ('DetectorError',),
    'captures': ('Capture', 'Sighting'),
    'estimator': ('PoseEstimator',),
    'pipeline': ('PosePipeline',),
    'runtime': ('BackendError', 'DeviceError', 'ExportError', 'Options'),
    'weights': ('EMBEDDED_MODEL', 'CheckpointError'),
}

__all__ = [
    'EMBEDDED_MODEL',
    'SKELETONS',
    'BackendError',
    'Capture',
    'CheckpointError',
    'Depth',
    'DepthImageError',
    'DetectorError',
    'DeviceError',
    'DrawingError',
    'ExportError',
    'Frame',
    'FrameError',
    'ImageError',
    'OptionError',
    'Options',
    'PinholeCamera',
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


def __getattr__(name: str) -> Any:
    """Return what imports PyTorch."""
    for module, names in _WITH_PYTORCH.items():
        if name in names:
            return getattr(importlib.import_module(f'{__name__}.{module}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
