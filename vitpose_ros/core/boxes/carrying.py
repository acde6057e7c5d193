"""Boxes between two frames in which a detector looks: where the tracks of a camera expect them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.boxes.objects import Objects
from vitpose_ros.core.option import OptionError
from vitpose_ros.core.poses import Poses
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.tracks.tracks import TENTATIVE, TRACKED, Tracks

LEAST_INSIDE = 0.25  # of a box, or who leaves the image is no longer looked for
LEAST_WEIGHT = 1.5  # sum of the scores of keypoints that tell how a subject moved
MOST_GROWN = 1.2  # of a box, from one frame to the next


def check(options: TrackOptions, every: int) -> None:
    """Raise OptionError where a detector cannot look at every n-th frame alone."""
    if every < 1:
        raise OptionError(f'detector_every is {every}; give 1 or more')
    if every > 1 and options.tracking != 'on':
        raise OptionError(
            f"detector_every is {every}, and tracking is '{options.tracking}'; set tracking to "
            'on, as tracks carry the boxes between, or detector_every to 1'
        )


def expected(tracks: Tracks, poses: Poses, stamp_ns: int) -> Objects:
    """Return where those who were seen last will be at a time.

    tracks, poses: of the last frame, the poses under the ids of their tracks. Who has no track, as
    the score was too low to begin one, is where the box was.
    """
    seen = (tracks.indices >= 0) & np.isin(tracks.states, (TENTATIVE, TRACKED))
    others = np.array(
        [row for row in range(len(poses)) if not poses.track_ids[row]], dtype=np.int64
    )
    rows = np.concatenate((tracks.indices[seen], others))
    shift = tracks.velocities[seen] * ((stamp_ns - tracks.stamp_ns) * 1e-9)
    shift = np.concatenate((shift, np.zeros((len(others), 2))))
    boxes = poses.boxes[rows] + np.tile(shift, 2)
    inside = boxes.clip(0, [poses.width, poses.height, poses.width, poses.height])
    stays = _areas(inside) >= LEAST_INSIDE * _areas(boxes)
    places = rows[stays].tolist()
    scores = poses.box_scores if len(poses.box_scores) else np.full(len(poses), np.nan)
    return Objects(
        boxes[stays].astype(np.float32),
        np.array([scores[place] for place in places], dtype=np.float32),
        [poses.class_names[place] if len(poses.class_names) else '' for place in places],
        [poses.track_ids[place] for place in places],
    )


def moved(last: Poses, poses: Poses) -> Poses:
    """Return poses with the boxes of the last frame, moved and scaled as the keypoints were.

    Subjects are told by their ids. A box that only follows its own prediction would drift off.
    """
    row_of = {name: row for row, name in enumerate(last.track_ids) if name}
    boxes = poses.boxes.copy()
    for row, name in enumerate(poses.track_ids):
        before = row_of.get(name)
        if before is None or last.skeletons[before] != poses.skeletons[row]:
            continue
        box = _moved_box(
            last.boxes[before].astype(np.float64),
            last.keypoints[before],
            poses.keypoints[row],
            np.minimum(last.scores[before], poses.scores[row]),
        )
        if box is not None:
            boxes[row] = box
    return replace(poses, boxes=boxes)


def _moved_box(
    box: NDArray[np.float64],
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    weights: NDArray[np.floating],
) -> NDArray[np.float64] | None:
    """Return a box (4,) moved as keypoints (k, 2) were, by a shift and a scale; None: unknown.

    The least squares of both over all keypoints, by their weights (k,).
    """
    known = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1) & (weights > 0)
    old, new, weight = (values[known].astype(np.float64) for values in (before, after, weights))
    total = weight.sum()
    if total < LEAST_WEIGHT:
        return None
    old_middle, new_middle = weight @ old / total, weight @ new / total
    old, new = old - old_middle, new - new_middle
    spread = (weight @ old**2).sum()
    scale = (weight @ (old * new)).sum() / spread if spread > 0 else 1.0
    scale = min(max(scale, 1 / MOST_GROWN), MOST_GROWN)
    corners = (box.reshape(2, 2) - old_middle) * scale + new_middle
    return np.asarray(corners.reshape(4))


def _areas(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
