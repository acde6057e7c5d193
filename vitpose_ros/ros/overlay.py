"""The image with the skeletons drawn into it."""

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from vitpose_ros.core import Poses
from vitpose_ros.core.drawing import Style
from vitpose_ros.core.types import Channels
from vitpose_ros.ros.images import image_message

# Colour needs three channels; those that lack them or have more are converted first.
TO_BGR: dict[Channels, int] = {
    'rgba': cv2.COLOR_RGBA2BGR,
    'bgra': cv2.COLOR_BGRA2BGR,
    'mono': cv2.COLOR_GRAY2BGR,
}


def overlay_message(
    image: NDArray[np.uint8],
    channels: Channels,
    poses: Poses,
    *,
    header: Header,
    style: Style,
) -> Image:
    """Make the overlay of an image: rgb8 for an RGB image, bgr8 for all others."""
    if channels in TO_BGR:
        image, channels = cv2.cvtColor(image, TO_BGR[channels]), 'bgr'
    canvas = poses.draw(image, channels=channels, style=style)
    return image_message(canvas, f'{channels}8', header)
