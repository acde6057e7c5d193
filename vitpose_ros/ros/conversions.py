"""The core's types to messages."""

from array import array
from collections.abc import Sequence

from std_msgs.msg import Header

from vitpose_ros.core import Poses, Skeleton
from vitpose_ros.msg import Keypoints, KeypointsArray, SkeletonInfo, SkeletonInfoArray


def keypoints_message(header: Header, poses: Poses, *, with_spread: bool = True) -> KeypointsArray:
    """Make the message for the poses in an image, which say all of their boxes.

    with_spread: how far heatmaps spread is told, too, if it is known.
    """
    message = KeypointsArray(header=header, image_width=poses.width, image_height=poses.height)
    boxes = poses.boxes
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    for index, pose in enumerate(poses):
        spread = pose.spread_entries if with_spread else None
        message.subjects.append(
            Keypoints(
                track_id=poses.track_ids[index],
                class_id=poses.class_names[index],
                skeleton=pose.skeleton,
                detection_score=poses.box_scores[index],
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
