"""Pose estimation without ROS: images and boxes in, keypoints out."""

from vitpose_ros.core.drawing import draw_poses
from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.runtime import BackendError
from vitpose_ros.core.skeletons import SKELETONS, Skeleton
from vitpose_ros.core.types import Frame, Pose
from vitpose_ros.core.weights import EMBEDDED_MODEL, CheckpointError

__all__ = [
    'EMBEDDED_MODEL',
    'SKELETONS',
    'BackendError',
    'CheckpointError',
    'Frame',
    'Pose',
    'PoseEstimator',
    'Skeleton',
    'draw_poses',
]
