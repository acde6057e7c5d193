"""Boxes out of a file in COCO's results format."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitpose_ros.core.errors import VitposeError
from vitpose_ros.tools.media import Shot, is_video

PERSON = 1  # COCO's number


class BoxesError(VitposeError):
    """A file of boxes that cannot be used."""


@dataclass
class Boxes:
    """The boxes of one picture, one row each."""

    corners: list[tuple[float, float, float, float]] = field(default_factory=list)  # pixels
    class_names: list[str] = field(default_factory=list)
    track_ids: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)  # NaN where there is none


class BoxFile:
    """The boxes of many pictures.

    The file is a list of objects with bbox (x, y, width, height in pixels) and file_name, or
    image_id: the number of the picture among all, in sorted order, from 0. Of a video image_id is
    its frame, where file_name is there, too. They may have score, track_id, and class or
    category_id (1 is a person, others stay numbers).
    """

    def __init__(self, path: Path, threshold: float = 0.0) -> None:
        """Read a file, without boxes whose score is below the threshold. Raises BoxesError."""
        self.path = path
        self._of_number: dict[int, Boxes] = {}
        self._of_name: dict[str, dict[int | None, Boxes]] = {}
        for index, entry in enumerate(_read(path)):
            try:
                self._add(entry, threshold)
            except (KeyError, TypeError, ValueError) as error:
                raise BoxesError(
                    f"'{path}': box {index} is {str(entry)[:80]}; each needs bbox (4 numbers) and "
                    'file_name or image_id'
                ) from error

    def _add(self, entry: Mapping[str, Any], threshold: float) -> None:
        x, y, width, height = (float(value) for value in entry['bbox'])
        score = float(entry.get('score', 'nan'))
        if score < threshold:
            return
        if 'file_name' in entry:
            frame = int(entry['image_id']) if 'image_id' in entry else None
            of_file = self._of_name.setdefault(str(entry['file_name']), {})
            boxes = of_file.setdefault(frame, Boxes())
        else:
            boxes = self._of_number.setdefault(int(entry['image_id']), Boxes())
        boxes.corners.append((x, y, x + width, y + height))
        boxes.class_names.append(_class_name(entry))
        boxes.track_ids.append(str(entry.get('track_id', '')))
        boxes.scores.append(score)

    def of(self, shot: Shot) -> Boxes:
        """Return the boxes of a picture, or of a frame of a video; none where it has none."""
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
        return found


def _extend(boxes: Boxes, more: Boxes) -> None:
    for name, values in vars(more).items():
        getattr(boxes, name).extend(values)


def _class_name(entry: Mapping[str, Any]) -> str:
    for key in ('class', 'class_name', 'category_name'):
        if key in entry:
            return str(entry[key])
    number = entry.get('category_id', '')
    return 'person' if number == PERSON else str(number)


def _read(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise BoxesError(f"'{path}': {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BoxesError(f"'{path}': not JSON ({error})") from error
    if not isinstance(content, list):
        raise BoxesError(f"'{path}': not COCO's results format, which is a list of boxes")
    return content
