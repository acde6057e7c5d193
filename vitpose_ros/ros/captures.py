"""Frames and what messages tell of space, as the pipeline takes them."""

from dataclasses import replace

import numpy as np
from sensor_msgs.msg import CameraInfo

from vitpose_ros.core import Frame
from vitpose_ros.core.captures import Capture
from vitpose_ros.core.geometry.depth import Depth, registered
from vitpose_ros.core.geometry.pinhole import PinholeCamera
from vitpose_ros.ros.camera_info import intrinsics
from vitpose_ros.ros.depth_images import read_depth
from vitpose_ros.ros.gathering import Reason, Space
from vitpose_ros.ros.logs import InputError

# How far the proportions of two images may differ, one of which is the other, smaller.
ALIKE = 0.02
FINEST = 8.0  # focal lengths of the image, beyond which that of the depth images is a mistake


def capture_of(
    frame: Frame, stamp_ns: int, camera: str, space: Space
) -> tuple[Capture, Reason | None]:
    """Return a frame with what is known of space, and why its depth cannot be used, if so."""
    height, width = frame.image.shape[:2]
    colour = intrinsics(space.info, width, height)
    capture = Capture(frame, stamp_ns, camera, colour, pose=space.pose)
    if space.reasons:
        text = '; '.join(dict.fromkeys(own.text for own in space.reasons))
        return capture, Reason(space.reasons[0].kind, text)
    if space.depth is None or colour is None:
        return capture, None
    if not _is_alike(space.info, width, height):
        return replace(capture, intrinsics=None), Reason(
            'camera_info',
            f'camera_info is of images of other proportions than {width} x {height}; publish the '
            'calibration of this image, with its roi if it is cut out',
        )
    try:
        return replace(capture, depth=_depth_of(frame, space, colour)), None
    except InputError as error:
        return capture, Reason(error.kind, str(error))


def _depth_of(frame: Frame, space: Space, colour: PinholeCamera) -> Depth:
    """Return the depth in the frame of the image. Raises InputError."""
    assert space.depth is not None
    height, width = frame.image.shape[:2]
    values = read_depth(space.depth)
    if not np.isfinite(values).any():
        raise InputError(
            'empty depth', 'the depth image is empty: each pixel is 0, NaN or out of range'
        )
    rows, columns = values.shape
    own = None
    if _is_alike(space.depth_info, columns, rows):
        own = intrinsics(space.depth_info, columns, rows)
    if space.depth_pose is not None:
        if own is None:
            raise InputError(
                'depth camera_info',
                'camera_info of the depth images is of other proportions than they are; publish '
                'their own, or remap depth_camera_info to it',
            )
        if own.focal_x > FINEST * colour.focal_x or own.focal_y > FINEST * colour.focal_y:
            raise InputError(
                'focal length',
                f'the focal length is {own.focal_x:g} pixels for the depth images, and '
                f"{colour.focal_x:g} for the image: one camera's calibration is wrong",
            )
        return registered(values, own, space.depth_pose, colour, (width, height), frame.boxes)
    own = own or _smaller(colour, (width, height), (columns, rows))
    if own is None:
        raise InputError(
            'depth size',
            f'depth images are {columns} x {rows}, images {width} x {height}: one is not the '
            'other, smaller; publish camera_info beside the depth images, too, or remap '
            'depth_camera_info to it',
        )
    return Depth(values, own)


def _is_alike(info: CameraInfo | None, width: int, height: int) -> bool:
    """Whether an image of this size has the proportions that camera_info tells of."""
    if info is None or not (info.width and info.height):
        return False
    wide, high = info.roi.width or info.width, info.roi.height or info.height
    return bool(abs(width * high / (wide * height) - 1) <= ALIKE)


def _smaller(
    camera: PinholeCamera, size: tuple[int, int], other: tuple[int, int]
) -> PinholeCamera | None:
    """Return the camera of an image that shows the same in another size, if it can be."""
    scale_x, scale_y = other[0] / size[0], other[1] / size[1]
    if abs(scale_x / scale_y - 1) > ALIKE:
        return None
    return camera.scaled(scale_x, scale_y)
