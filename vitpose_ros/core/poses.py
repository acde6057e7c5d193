"""What comes out: the poses of the subjects in a frame."""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.drawing import DEFAULT_STYLE, Style, draw_poses, label, track_number
from vitpose_ros.core.errors import VitposeError
from vitpose_ros.core.jpeg import Jpeg
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Channels, Frame, Pose

PIXEL_DIGITS, SCORE_DIGITS = 3, 4  # behind the point, where numbers become text


@dataclass(frozen=True, eq=False)
class Poses:
    """The subjects of one frame as parallel arrays, in the order of its boxes.

    An index gives one subject as a Pose; a slice, a mask or several indices give Poses. Where
    subjects have different skeletons, k is the largest number of keypoints, and the rows of the
    others end in NaN; of_skeleton gives those of one alone.
    """

    width: int  # of the image, pixels
    height: int
    boxes: NDArray[np.float32]  # (n, 4) float32, image pixels: x_min, y_min, x_max, y_max
    skeletons: tuple[str, ...]  # (n,) keys of SKELETONS
    keypoints: NDArray[np.float32]  # (n, k, 2) float32, image pixels: x, y
    scores: NDArray[np.float32]  # (n, k) float32, heights of the heatmaps' peaks, about 0 to 1
    # (n, k, 2, 2) float32, image pixels squared: how far the heatmaps spread; None: not asked for
    heatmap_spread: NDArray[np.float32] | None = None
    # As the frame has them: one per box, or empty.
    class_names: Sequence[str] = field(default=())
    track_ids: Sequence[str] = field(default=())
    box_scores: Sequence[float] | NDArray[np.float32] = field(default=())

    @classmethod
    def to_be_filled(
        cls,
        frame: Frame,
        skeletons: Sequence[str],
        *,
        with_spread: bool = False,
        of_nobody: str = 'coco',
    ) -> 'Poses':
        """Return poses of a frame, with these skeletons, without numbers yet.

        of_nobody: the skeleton by which arrays are as wide as ever where there is nobody.
        """
        k = max(len(SKELETONS[name]) for name in skeletons or [of_nobody])
        shape = len(skeletons), k
        height, width = frame.image.shape[:2]
        return cls(
            width,
            height,
            frame.boxes,
            tuple(skeletons),
            np.full((*shape, 2), np.nan, dtype=np.float32),
            np.full(shape, np.nan, dtype=np.float32),
            np.full((*shape, 2, 2), np.nan, dtype=np.float32) if with_spread else None,
            frame.class_names,
            frame.track_ids,
            frame.box_scores,
        )

    def __len__(self) -> int:
        """Return the number of subjects."""
        return len(self.skeletons)

    def __iter__(self) -> Iterator[Pose]:
        """Yield the subjects one by one."""
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Pose: ...
    @overload
    def __getitem__(
        self, index: slice | Sequence[int] | Sequence[bool] | NDArray[Any]
    ) -> 'Poses': ...
    def __getitem__(
        self, index: int | slice | Sequence[int] | Sequence[bool] | NDArray[Any]
    ) -> 'Pose | Poses':
        """Return one subject, or several as Poses; arrays are views where numpy gives views."""
        spread = self.heatmap_spread
        number = None if isinstance(index, bool) else _whole(index)
        if number is not None:
            name = self.skeletons[number]
            k = len(SKELETONS[name])
            return Pose(
                name,
                self.keypoints[number, :k],
                self.scores[number, :k],
                None if spread is None else spread[number, :k],
            )
        chosen = index if isinstance(index, slice) else np.asarray(index)
        if not isinstance(chosen, slice) and chosen.ndim != 1:
            raise IndexError(f'index is {index!r}; give a number, a slice, a mask or a list')
        if not isinstance(chosen, slice) and not len(chosen):
            chosen = slice(0, 0)
        rows = np.arange(len(self))[chosen].tolist()
        skeletons = tuple(self.skeletons[row] for row in rows)
        k = max((len(SKELETONS[name]) for name in skeletons), default=self.scores.shape[1])
        return Poses(
            self.width,
            self.height,
            self.boxes[chosen],
            skeletons,
            self.keypoints[chosen][:, :k],
            self.scores[chosen][:, :k],
            None if spread is None else spread[chosen][:, :k],
            [self.class_names[row] for row in rows if len(self.class_names)],
            [self.track_ids[row] for row in rows if len(self.track_ids)],
            [self.box_scores[row] for row in rows if len(self.box_scores)],
        )

    def of_skeleton(self, name: str) -> 'Poses':
        """Return the subjects of one skeleton: keypoints (m, its own k, 2) without padding."""
        found = self[np.array([skeleton == name for skeleton in self.skeletons], dtype=bool)]
        if len(found) or name not in SKELETONS:
            return found
        k, spread = len(SKELETONS[name]), found.heatmap_spread
        return replace(
            found,
            keypoints=np.empty((0, k, 2), np.float32),
            scores=np.empty((0, k), np.float32),
            heatmap_spread=None if spread is None else np.empty((0, k, 2, 2), np.float32),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON takes: the size of the image, and its subjects.

        Of each subject bbox (x, y, width, height in pixels), class, score (of the box), track_id,
        skeleton and keypoints (x, y, score of each, one behind the other; where they were asked
        for heatmap_spread, too: xx, xy, yy of each). None: not known.
        """
        return {
            'width': self.width,
            'height': self.height,
            'subjects': [self._subject(index) for index in range(len(self))],
        }

    def _subject(self, index: int) -> dict[str, Any]:
        pose, score = self[index], self._box_score(index)
        subject = {
            'bbox': self._bbox(index),
            'class': (self.class_names[index] or None) if len(self.class_names) else None,
            'score': None if score is None else round(score, SCORE_DIGITS),
            'track_id': (self.track_ids[index] or None) if len(self.track_ids) else None,
            'skeleton': pose.skeleton,
            'keypoints': _numbers(pose),
        }
        if (spread := pose.spread_entries) is not None:
            subject['heatmap_spread'] = _rounded(spread, PIXEL_DIGITS)
        return subject

    def to_coco(self, image_id: int | str, category_id: int = 1) -> list[dict[str, Any]]:
        """Return the subjects as COCO's keypoint results have them.

        The score is the mean of the keypoints' scores, times that of the box where it has one.
        """
        return [
            {
                'image_id': image_id if isinstance(image_id, str) else int(image_id),
                'category_id': int(category_id),
                'bbox': self._bbox(index),
                'keypoints': [number or 0.0 for number in _numbers(pose)],
                'score': self._coco_score(index),
            }
            for index, pose in enumerate(self)
        ]

    def _coco_score(self, index: int) -> float:
        """Return 0 where no keypoint has a score."""
        score, of_box = self[index].score, self._box_score(index)
        return score * (1.0 if of_box is None else of_box) if np.isfinite(score) else 0.0

    def to_supervision(self) -> Any:
        """Return supervision.KeyPoints (github.com/roboflow/supervision).

        What is not there is (0, 0) with a score of 0, as in that library. Raises VitposeError
        where it is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise VitposeError('supervision is missing: pip install supervision') from error
        return supervision.KeyPoints(
            np.nan_to_num(self.keypoints),
            None,  # numbers of classes
            np.nan_to_num(self.scores),  # under a name that changed between versions
            data={
                'skeleton': np.array(self.skeletons),
                **({'class_name': np.array(self.class_names)} if len(self.class_names) else {}),
                **({'track_id': np.array(self.track_ids)} if len(self.track_ids) else {}),
            },
        )

    def draw(
        self,
        image: NDArray[np.uint8] | Jpeg,
        *,
        channels: Channels | None = None,
        style: Style = DEFAULT_STYLE,
    ) -> NDArray[np.uint8]:
        """Return a copy of the image with the skeletons, and what is known of them, drawn in."""
        ids = self.track_ids or [''] * len(self)
        names = self.class_names or [''] * len(self)
        return draw_poses(
            image,
            self,
            channels=channels,
            style=style,
            labels=[label(name, track) for name, track in zip(names, ids, strict=True)],
            numbers=[track_number(track, index) for index, track in enumerate(ids)],
        )

    def _bbox(self, index: int) -> list[float | None]:
        """Return a box as x, y, width, height."""
        box = self.boxes[index]
        return _rounded(np.concatenate((box[:2], box[2:] - box[:2])), PIXEL_DIGITS)

    def _box_score(self, index: int) -> float | None:
        """Return the score of a box; None where it has none."""
        score = float(self.box_scores[index]) if len(self.box_scores) else np.nan
        return score if np.isfinite(score) else None


def _whole(index: Any) -> int | None:
    """Return an index that is one number, of Python or numpy; None for any other."""
    try:
        return operator.index(index)
    except TypeError:
        return None


def _rounded(values: NDArray[np.floating], digits: int) -> list[float | None]:
    """Return finite numbers for JSON, and None for the others."""
    return [
        round(value, digits) if np.isfinite(value) else None for value in values.ravel().tolist()
    ]


def _numbers(pose: Pose) -> list[float | None]:
    """Return x, y and score of each keypoint, one behind the other."""
    columns = (
        _rounded(pose.keypoints[:, 0], PIXEL_DIGITS),
        _rounded(pose.keypoints[:, 1], PIXEL_DIGITS),
        _rounded(pose.scores, SCORE_DIGITS),
    )
    return [number for keypoint in zip(*columns, strict=True) for number in keypoint]
