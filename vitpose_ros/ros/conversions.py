"""Messages to the core's types, and back."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import BoundingBox2D, Detection2DArray

from vitpose_ros.core import Pose, Skeleton
from vitpose_ros.core.types import CHANNEL_COUNT, Channels, box_fault
from vitpose_ros.msg import Keypoints, KeypointsArray, SkeletonInfo

# sensor_msgs/image_encodings: encodings that are views on the message's data.
ENCODINGS: dict[str, Channels] = {
    'rgb8': 'rgb',
    'bgr8': 'bgr',
    'rgba8': 'rgba',
    'bgra8': 'bgra',
    'mono8': 'mono',
    '8UC1': 'mono',
    '8UC3': 'bgr',  # as OpenCV orders them
    '8UC4': 'bgra',
}


class InputError(ValueError):
    """A message that cannot be used; kind is one of a few words, for the log's throttle."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Detections:
    """The usable detections of one message, as parallel sequences."""

    boxes: NDArray[np.float32]  # (n, 4) float32, pixels: x_min, y_min, x_max, y_max
    ids: list[str]  # track ids, empty where there is none
    class_ids: list[str]  # empty where the detector gave none
    scores: list[float]  # NaN where the detector gave none


def image_view(message: Image) -> tuple[NDArray[np.uint8], Channels]:
    """View an image message as an array, (h, w) or (h, w, c) uint8, and its channel order.

    Padded rows stay in place: only the strides know of them. Encodings outside the table go
    to cv_bridge where it is installed. Raises InputError.
    """
    width, height = message.width, message.height
    if width == 0 or height == 0:
        raise InputError('empty image', f'image has no pixels: it is {width} x {height}')
    channels = ENCODINGS.get(message.encoding)
    count = 1 if channels is None else CHANNEL_COUNT[channels]
    if message.step < width * count:
        raise InputError(
            'row step',
            f'image rows have a step of {message.step} bytes, expected at least '
            f'{width * count} for {width} pixels of {message.encoding}',
        )
    if len(message.data) < height * message.step:
        raise InputError(
            'short data',
            f'image has {len(message.data)} bytes of data, expected {height * message.step} '
            f'({height} rows with a step of {message.step})',
        )
    if channels is None:
        return _through_cv_bridge(message), 'rgb'
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (message.step, count)
    if count > 1:
        shape, strides = (*shape, count), (*strides, 1)
    return np.ndarray(shape, np.uint8, buffer=message.data, strides=strides), channels


def _through_cv_bridge(message: Image) -> NDArray[np.uint8]:
    """Convert an image of an encoding that is not in the table to (h, w, 3) RGB."""
    known = ', '.join(ENCODINGS)
    try:
        from cv_bridge import CvBridge  # only here: few images need it, and it may be absent
    except ImportError as error:
        raise InputError(
            'encoding',
            f"image encoding '{message.encoding}' is not supported; use one of {known}, or "
            'install cv_bridge, which converts more',
        ) from error
    try:
        image: NDArray[np.uint8] = CvBridge().imgmsg_to_cv2(message, 'rgb8')
    except Exception as error:  # it raises its own, OpenCV's and numpy's errors
        raise InputError(
            'encoding',
            f"image encoding '{message.encoding}' is not supported, and cv_bridge cannot "
            f'convert it either ({error}); use one of {known}',
        ) from error
    return image


def read_detections(
    message: Detection2DArray, *, width: int, height: int, max_subjects: int
) -> tuple[Detections, list[InputError]]:
    """Read the detections of an image of the given size, and say what is wrong with the rest.

    Beyond max_subjects, the largest boxes are kept; the order is that of the message.
    """
    with np.errstate(invalid='ignore', over='ignore'):  # box_fault finds what comes of it
        corners = [_corners(detection.bbox) for detection in message.detections]
        boxes = np.array(corners).reshape(-1, 4).astype(np.float32)
    faults: list[InputError] = []
    usable = []
    for index, box in enumerate(boxes):
        fault = box_fault(box, width, height)
        if fault is None:
            usable.append(index)
        else:
            bbox = message.detections[index].bbox
            centre = bbox.center.position
            faults.append(
                InputError(
                    f'box {fault}',
                    f'box of detection {index} (centre {centre.x:g}, {centre.y:g}, size '
                    f'{bbox.size_x:g} x {bbox.size_y:g}) {fault}; it is left out',
                )
            )
    if len(usable) > max_subjects:
        faults.append(
            InputError(
                'many subjects',
                f'{len(usable)} boxes in one frame, {len(usable) - max_subjects} more than '
                f'max_subjects = {max_subjects}; the smallest are left out',
            )
        )
        area = np.prod(boxes[usable, 2:] - boxes[usable, :2], axis=1)
        largest = np.argsort(-area, kind='stable')[:max_subjects]
        usable = sorted(usable[position] for position in largest)
    kept = [message.detections[index] for index in usable]
    best = [
        max(
            (result.hypothesis for result in detection.results),
            key=lambda h: h.score,
            default=None,
        )
        for detection in kept
    ]
    detections = Detections(
        boxes=boxes[usable],
        ids=[detection.id for detection in kept],
        class_ids=[hypothesis.class_id if hypothesis else '' for hypothesis in best],
        scores=[hypothesis.score if hypothesis else float('nan') for hypothesis in best],
    )
    return detections, faults


def _corners(bbox: BoundingBox2D) -> tuple[float, float, float, float]:
    """Return the corners of a box; of a turned one, those of its upright hull."""
    centre = bbox.center.position
    cosine, sine = abs(np.cos(bbox.center.theta)), abs(np.sin(bbox.center.theta))
    half_width = (bbox.size_x * cosine + bbox.size_y * sine) / 2
    half_height = (bbox.size_x * sine + bbox.size_y * cosine) / 2
    return (
        centre.x - half_width,
        centre.y - half_height,
        centre.x + half_width,
        centre.y + half_height,
    )


def keypoints_message(
    image: Image, detections: Detections, poses: Sequence[Pose]
) -> KeypointsArray:
    """Make the message for the poses in an image; one pose a detection."""
    message = KeypointsArray(
        header=image.header, image_width=image.width, image_height=image.height
    )
    boxes = detections.boxes
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    for index, pose in enumerate(poses):
        message.subjects.append(
            Keypoints(
                id=detections.ids[index],
                class_id=detections.class_ids[index],
                skeleton=pose.skeleton,
                detection_score=detections.scores[index],
                score=pose.score,
                box_center_x=float(centres[index, 0]),
                box_center_y=float(centres[index, 1]),
                box_width=float(sizes[index, 0]),
                box_height=float(sizes[index, 1]),
                x=array('f', pose.keypoints[:, 0].tobytes()),
                y=array('f', pose.keypoints[:, 1].tobytes()),
                keypoint_score=array('f', pose.scores.tobytes()),
                covariance=_covariance_entries(pose),
            )
        )
    return message


def _covariance_entries(pose: Pose) -> 'array[float]':
    """Return xx, xy and yy of each keypoint, or nothing where they were not computed."""
    if pose.covariances is None:
        return array('f')
    entries = pose.covariances[:, (0, 0, 1), (0, 1, 1)]
    return array('f', entries.astype(np.float32).tobytes())


def skeleton_message(skeleton: Skeleton, model: str) -> SkeletonInfo:
    """Make the message that explains a skeleton."""
    return SkeletonInfo(
        name=skeleton.name,
        keypoint_names=list(skeleton.keypoint_names),
        edges=array('H', [index for edge in skeleton.edges for index in edge]),
        flip_pairs=array('H', [index for pair in skeleton.flip_pairs for index in pair]),
        sigmas=array('f', skeleton.sigmas),
        model=model,
    )


def image_message(image: NDArray[np.uint8], encoding: str, header: Header) -> Image:
    """Make an image message from an array (h, w, 3) uint8."""
    height, width, count = image.shape
    # Any type but array('B') and bytes is copied element by element, a hundred times slower.
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        step=width * count,
        data=array('B', np.ascontiguousarray(image).tobytes()),
    )
