"""The core's types to messages."""

from array import array
from collections.abc import Sequence

from std_msgs.msg import Header

from vitpose_ros.core import Poses, Skeleton
from vitpose_ros.msg import Keypoints, KeypointsArray, SkeletonInfo, SkeletonInfoArray
from vitpose_ros.ros.detections import Detections


def keypoints_message(
    header: Header, size: tuple[int, int], detections: Detections, poses: Poses
) -> KeypointsArray:
    """Make the message for the poses in an image of size (width, height); one per detection."""
    message = KeypointsArray(header=header, image_width=size[0], image_height=size[1])
    boxes = detections.boxes
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    for index, pose in enumerate(poses):
        spread = pose.spread_entries
        message.subjects.append(
            Keypoints(
                track_id=detections.ids[index],
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
                heatmap_spread=array('f', b'' if spread is None else spread.tobytes()),
            )
        )
    return message


def skeletons_message(skeletons: Sequence[Skeleton], model: str) -> SkeletonInfoArray:
    """Make the message that explains the skeletons of a model."""
    return SkeletonInfoArray(
        model=model,
        skeletons=[
            SkeletonInfo(
                name=skeleton.name,
                keypoint_names=list(skeleton.keypoint_names),
                edges=array('H', [index for edge in skeleton.edges for index in edge]),
                flip_pairs=array('H', [index for pair in skeleton.flip_pairs for index in pair]),
                sigmas=array('f', skeleton.sigmas),
            )
            for skeleton in skeletons
        ],
    )
