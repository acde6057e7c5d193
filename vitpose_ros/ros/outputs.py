"""What pose_node publishes."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.lifecycle import LifecycleNodeMixin
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from vitpose_ros.core import Frame, Poses, Skeleton
from vitpose_ros.core.captures import Sighting
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.msg import Keypoints3DArray, KeypointsArray, SkeletonInfoArray
from vitpose_ros.ros.camera_info import intrinsics
from vitpose_ros.ros.conversions import keypoints_message, skeletons_message
from vitpose_ros.ros.markers import UP, UP_IN_IMAGES, MarkerMaker
from vitpose_ros.ros.overlay import overlay_message
from vitpose_ros.ros.parameters import Parameters
from vitpose_ros.ros.space_messages import keypoints_3d_message

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks


GAP_S = 1.0  # for so long markers in space are not replaced by those on a plane


@dataclass(frozen=True, eq=False)
class Result:
    """A frame and who is in it."""

    header: Header
    frame: Frame
    sighting: Sighting

    @property
    def poses(self) -> Poses:
        """The poses of the frame."""
        return self.sighting.poses


@dataclass(frozen=True, eq=False)
class Published:
    """What was published of a frame."""

    result: Result
    message: KeypointsArray
    in_space: Keypoints3DArray | None  # None: there is no depth camera


def create_publisher(node: LifecycleNodeMixin, kind: type, topic: str, qos: QoSProfile) -> Any:
    """Create a publisher that sends something only while the node is active."""
    name = node.resolve_topic_name(topic)

    def warn(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        node.get_logger().warning(
            f"a subscriber of '{name}' asks for more {policy} than is offered, so it hears "
            f'nothing; subscribe reliably and '
            f'{qos.durability.name.lower().replace("_", " ")}, as offered, or with less'
        )

    return node.create_lifecycle_publisher(
        kind,
        topic,
        qos,
        event_callbacks=PublisherEventCallbacks(incompatible_qos=warn),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )


class SkeletonOutput:
    """Tells what the keypoints mean, latched."""

    def __init__(
        self, node: LifecycleNodeMixin, skeletons: Sequence[Skeleton], model: str
    ) -> None:
        self._node = node
        self._message = skeletons_message(skeletons, model)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._publisher = create_publisher(node, SkeletonInfoArray, '~/skeletons', latched)

    def publish(self) -> None:
        """Publish the description of all keypoint sets."""
        self._publisher.publish(self._message)

    def close(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_lifecycle_publisher(self._publisher)


class CameraOutput:
    """Publishes what is found in the images of one camera."""

    def __init__(
        self,
        node: LifecycleNodeMixin,
        prefix: str,
        skeletons: Sequence[Skeleton],
        *,
        in_space: bool = False,
    ) -> None:
        """Create the publishers; prefix stands before the names of the topics.

        in_space: whether there is depth, and so keypoints in metres.
        """
        self.prefix = prefix
        self.camera_info: CameraInfo | None = None  # the camera's, where there is one
        self._node = node
        self._skeletons = {skeleton.name: skeleton for skeleton in skeletons}
        self._marker_maker = MarkerMaker(skeletons)
        self._last_header = Header()
        self._in_space_s = -math.inf  # when there were markers in space last
        few = QoSProfile(depth=10)
        self._publishers: list[Any] = []

        def publisher(kind: type, topic: str) -> Any:
            self._publishers.append(create_publisher(node, kind, f'{prefix}{topic}', few))
            return self._publishers[-1]

        try:
            self._keypoints = publisher(KeypointsArray, 'keypoints')
            self._in_space = publisher(Keypoints3DArray, 'keypoints_3d') if in_space else None
            self._markers = publisher(MarkerArray, 'markers')
            self._overlay = publisher(Image, 'overlay')
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def publish(self, result: Result, parameters: Parameters, *, since_s: float) -> Published:
        """Publish the keypoints of a frame that was here since then, if there is depth in space.

        since_s: on the clock time.monotonic.
        """
        message = keypoints_message(
            result.header, result.poses, with_spread=parameters.heatmap_spread
        )
        message.processing_time = time.monotonic() - since_s
        self._keypoints.publish(message)
        if self._in_space is None:
            return Published(result, message, None)
        frame_id = parameters.target_frame or result.header.frame_id
        header = Header(stamp=result.header.stamp, frame_id=frame_id)
        in_space = keypoints_3d_message(header, result.sighting, self._skeletons)
        in_space.processing_time = time.monotonic() - since_s
        self._in_space.publish(in_space)
        return Published(result, message, in_space)

    def publish_pictures(self, published: Published, parameters: Parameters) -> None:
        """Publish markers and overlay, each if somebody watches."""
        result, message = published.result, published.message
        self._last_header = result.header
        in_space = published.in_space if result.sighting.joints is not None else None
        now_s = time.monotonic()
        if in_space is not None:
            self._in_space_s = now_s
        # Of a frame without depth between others with it, those before stay.
        gap = in_space is None and now_s - self._in_space_s < GAP_S
        if self._markers.get_subscription_count() > 0 and not gap:
            self._markers.publish(
                self._marker_maker.markers(
                    message,
                    self._camera(message.image_width, message.image_height),
                    style=parameters.style,
                    lifetime=parameters.marker_lifetime,
                    distance=parameters.marker_distance,
                    in_space=in_space,
                    up=UP if parameters.target_frame else UP_IN_IMAGES,
                )
            )
        if self._overlay.get_subscription_count() > 0:
            overlay = overlay_message(
                result.frame.pixels,
                result.frame.channels,
                result.poses,
                header=result.header,
                style=parameters.style,
            )
            self._overlay.publish(overlay)

    def remove_markers(self) -> None:
        """Remove what is still shown, at the end of the work."""
        removal = self._marker_maker.removal(self._last_header)
        if removal.markers:
            self._markers.publish(removal)

    def _camera(self, width: int, height: int) -> PinholeCamera:
        """Return the camera of CameraInfo, or else a nominal one."""
        camera = intrinsics(self.camera_info, width, height)
        return camera or PinholeCamera.nominal(width, height)
