"""What pose_node publishes."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from vitpose_ros.core import Pose, Skeleton
from vitpose_ros.core.types import Channels
from vitpose_ros.msg import KeypointsArray, SkeletonInfo
from vitpose_ros.ros.conversions import Detections, keypoints_message, skeleton_message
from vitpose_ros.ros.markers import MarkerMaker
from vitpose_ros.ros.overlay import overlay_message
from vitpose_ros.ros.parameters import Parameters

# Measured with Fast DDS on a busy machine: keypoints with the overlay's hundreds of kilobytes
# right behind them came up to 3 s late now and then, probably lost and repaired with the next
# heartbeat; with this pause between the two they did not.
OVERLAY_PAUSE_S = 0.01


class Outputs:
    """The publishers, which send something only while the node is active."""

    def __init__(self, node: LifecycleNode, skeletons: Sequence[Skeleton]) -> None:
        self._node = node
        self._skeletons = skeletons
        self._marker_maker = MarkerMaker(skeletons)
        # One message a keypoint set, all of them kept for late subscribers.
        latched = QoSProfile(depth=len(skeletons), durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._keypoints = self._publisher(KeypointsArray, '~/keypoints', QoSProfile(depth=10))
        self._skeleton_info = self._publisher(SkeletonInfo, '~/skeleton_info', latched)
        self._markers = self._publisher(MarkerArray, '~/markers', QoSProfile(depth=10))
        self._overlay = self._publisher(Image, '~/overlay', QoSProfile(depth=10))

    def _publisher(self, kind: type, topic: str, qos: QoSProfile) -> Any:
        return self._node.create_lifecycle_publisher(
            kind,
            topic,
            qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._keypoints, self._skeleton_info, self._markers, self._overlay):
            self._node.destroy_lifecycle_publisher(publisher)

    def publish_skeletons(self, model: str) -> None:
        """Publish what the keypoints of each set mean, latched."""
        for skeleton in self._skeletons:
            self._skeleton_info.publish(skeleton_message(skeleton, model))

    def publish_frame(
        self,
        message: Image,
        image: NDArray[np.uint8],
        channels: Channels,
        *,
        subjects: Detections,
        poses: Sequence[Pose],
        parameters: Parameters,
    ) -> None:
        """Publish the poses of the subjects in an image; markers and overlay if watched.

        message and image are the same picture, as it came and as an array.
        """
        keypoints = keypoints_message(message, subjects, poses)
        self._keypoints.publish(keypoints)
        if self._markers.get_subscription_count() > 0:
            self._markers.publish(
                self._marker_maker.markers(
                    keypoints,
                    min_score=parameters.min_keypoint_score,
                    lifetime=parameters.marker_lifetime,
                    distance=parameters.marker_distance,
                )
            )
        if self._overlay.get_subscription_count() > 0:
            overlay = overlay_message(
                image,
                channels,
                poses,
                header=message.header,
                min_score=parameters.min_keypoint_score,
            )
            time.sleep(OVERLAY_PAUSE_S)
            self._overlay.publish(overlay)
