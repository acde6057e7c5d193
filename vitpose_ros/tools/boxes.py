"""Boxes out of a file in COCO's results format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitpose_ros.core.errors import shorten
from vitpose_ros.tools.coco_json import DatasetError, read_boxes
from vitpose_ros.tools.media import Shot, is_video

PERSON = 1  # COCO's number


@dataclass
class Boxes:
    """The boxes of one picture, one row each."""

    corners: list[tuple[float, float, float, float]] = field(default_factory=list)  # pixels
    class_names: list[str] = field(default_factory=list)
    track_ids: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)  # NaN where there is none
    indices: list[int] = field(default_factory=list)  # in the file


class BoxFile:
    """The boxes of many pictures.

    The file is a list of objects with bbox (x, y, width, height in pixels) and file_name, or
    image_id: the number of the picture among all, in sorted order, from 0. Of a video image_id is
    its frame, where file_name is there, too. They may have score, track_id, and class or
    category_id (1 is a person, others stay numbers). What is null is not known.
    """

    def __init__(self, path: Path, threshold: float = 0.0) -> None:
        """Read a file, without boxes whose score is below the threshold. Raises DatasetError."""
        self.path = path
        self._of_number: dict[int, Boxes] = {}
        self._of_name: dict[str, dict[int | None, Boxes]] = {}
        self._waiting: dict[int, Mapping[str, Any]] = {}  # those that no picture has used yet
        self._used_by: dict[int, Path] = {}
        boxes = read_boxes(path, ['bbox'], ['score', 'file_name', 'image_id'])
        for index, entry in enumerate(boxes):
            self._add(index, entry, threshold)
        self._count = len(self._waiting)

    def _add(self, index: int, entry: Mapping[str, Any], threshold: float) -> None:
        number = entry.get('image_id')
        if not (number is None or type(number) is int):
            raise DatasetError(
                f"'{self.path}': box {index} has image_id {shorten(repr(number))}, expected a "
                'whole number'
            )
        if 'file_name' not in entry and number is None:
            raise DatasetError(
                f"'{self.path}': box {index} has neither file_name nor image_id; each needs one"
            )
        x, y, width, height = map(float, entry['bbox'])
        score = float(entry.get('score', 'nan'))
        if score < threshold:
            return
        if 'file_name' in entry:
            of_file = self._of_name.setdefault(entry['file_name'], {})
            boxes = of_file.setdefault(number, Boxes())
        else:
            boxes = self._of_number.setdefault(entry['image_id'], Boxes())
        boxes.corners.append((x, y, x + width, y + height))
        boxes.class_names.append(_class_name(entry))
        boxes.track_ids.append(_track_id(entry))
        boxes.scores.append(score)
        boxes.indices.append(index)
        self._waiting[index] = entry

    def of(self, shot: Shot) -> Boxes:
        """Return the boxes of a picture, or of a frame of a video; none where it has none.

        They count as used from then on. Raises DatasetError for one that another picture has used.
        """
        found = Boxes()
        for name in dict.fromkeys((str(shot.path), shot.path.as_posix(), shot.path.name)):
            of_file = self._of_name.get(name, {})
            # Of a picture the number says no more than the name.
            keys = [shot.frame] if is_video(shot.path) else list(of_file)
            for key in keys:
                if key in of_file:
                    _extend(found, of_file[key])
        if shot.number in self._of_number:
            _extend(found, self._of_number[shot.number])
        for index in found.indices:
            self._waiting.pop(index, None)
            other = self._used_by.setdefault(index, shot.path)
            if other != shot.path:
                raise DatasetError(
                    f"'{self.path}': box {index} may be of '{other}' and of '{shot.path}'; give "
                    'the whole path as its file_name'
                )
        return found

    def unused(self) -> str:
        """Say how many boxes no picture has used, and why the first has not; '' if all are."""
        if not self._waiting:
            return ''
        index, entry = next(iter(self._waiting.items()))
        names = [f'{key} {entry[key]!r}' for key in ('file_name', 'image_id') if key in entry]
        if 'file_name' not in entry:
            hint = 'without file_name it is the index of a picture in sorted order, from 0'
        elif 'image_id' not in entry and is_video(Path(entry['file_name'])):
            hint = 'of a video each box needs image_id, its frame'
        else:
            hint = 'file_name is the name of a picture, or its path as given'
        return (
            f"'{self.path}': {len(self._waiting)} of {self._count} boxes are of no picture, the "
            f'first is box {index} with {shorten(" and ".join(names))}; {hint}'
        )

    @property
    def missed(self) -> bool:
        """Whether there are boxes, and no picture has used one."""
        return 0 < self._count == len(self._waiting)


def _extend(boxes: Boxes, more: Boxes) -> None:
    for name, values in vars(more).items():
        getattr(boxes, name).extend(values)


def _track_id(entry: Mapping[str, Any]) -> str:
    value = entry.get('track_id', '')
    whole = isinstance(value, float) and value.is_integer()  # as tables of pandas write it
    return str(int(value) if whole else value)


def _class_name(entry: Mapping[str, Any]) -> str:
    for key in ('class', 'class_name', 'category_name'):
        if key in entry:
            return str(entry[key])
    number = entry.get('category_id', '')
    return 'person' if number == PERSON else str(number)
