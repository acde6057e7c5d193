"""What CameraInfo says of images, and where it comes from."""

from dataclasses import replace

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from vitpose_ros.core.geometry.pinhole import PinholeCamera


def camera_info_topic(node: Node, topic: str, image_topic: str) -> str:
    """Return the topic of CameraInfo: what it is remapped to, else the one beside the images.

    Beside the images, whatever those are remapped to, is where image_transport has it.
    """
    resolved: str = node.resolve_topic_name(topic)
    if resolved != node.resolve_topic_name(topic, only_expand=True):
        return resolved
    folder: str = node.resolve_topic_name(image_topic).rpartition('/')[0]
    return f'{folder}/camera_info'


def intrinsics(info: CameraInfo | None, width: int, height: int) -> PinholeCamera | None:
    """Return the camera of images of this size, or None if nobody told.

    The projection matrix counts, and the camera matrix where that is empty. An image may be
    smaller than the sensor: by its region of interest, and by any factor.
    """
    if info is None or info.width <= 0 or info.height <= 0:
        return None
    k = info.k
    camera = PinholeCamera.from_projection(info.p) or PinholeCamera.from_projection(
        [*k[0:3], 0.0, *k[3:6], 0.0, *k[6:9], 0.0]
    )
    if camera is None:
        return None
    region = info.roi
    of_sensor = (region.width or info.width), (region.height or info.height)
    camera = replace(
        camera,
        centre_x=camera.centre_x - region.x_offset,
        centre_y=camera.centre_y - region.y_offset,
    )
    return camera.scaled(width / of_sensor[0], height / of_sensor[1])
