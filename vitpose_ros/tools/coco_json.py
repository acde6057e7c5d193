"""What COCO's files hold, read and checked: entries of keypoint files, and boxes of results files.

The formats are cocodataset.org's, "Data format" and "Results format".
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vitpose_ros.core.errors import shorten
from vitpose_ros.tools.command import ToolError

# COCO-WholeBody keeps its keypoints in lists of their own.
PARTS = ('keypoints', 'foot_kpts', 'face_kpts', 'lefthand_kpts', 'righthand_kpts')
DEFAULTED = ('area', 'iscrowd', 'num_keypoints')

Result = dict[str, Any]


class DatasetError(ToolError):
    """A keypoint file, a box file or an image that cannot be used; says which, and what to do."""


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises DatasetError."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise DatasetError(f"'{path}': {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"'{path}': not JSON ({error})") from error


def read_annotations(path: Path) -> Result:
    """Read a COCO annotation file: its images, annotations and categories. Raises DatasetError."""
    content = read_json(path)
    if not isinstance(content, dict) or not {'images', 'annotations'} <= content.keys():
        raise DatasetError(f'{path}: not a COCO annotation file; it has no images')
    for name, what, needed in (
        ('images', 'an image', ('id', 'file_name')),
        ('annotations', 'an annotation', ()),
        ('categories', 'a category', ('id',)),
    ):
        entries = content.get(name, [])
        if not isinstance(entries, list):
            raise DatasetError(f'{path}: {name} is {shorten(repr(entries))}, expected a list')
        for entry in entries:
            check_entry(f'{path}: {what}', entry, needed, ('width', 'height'))
    return content


def read_boxes(path: Path, needed: Sequence[str], possible: Sequence[str] = ()) -> list[Result]:
    """Read boxes in COCO's results format, without what is null in them. Raises DatasetError."""
    entries = read_json(path)
    if not isinstance(entries, list):
        raise DatasetError(f"'{path}': not COCO's results format, which is a list of boxes")
    boxes = []
    for index, entry in enumerate(entries):
        if isinstance(entry, dict):
            entry = {name: value for name, value in entry.items() if value is not None}
        check_entry(f"'{path}': box {index}", entry, needed, possible)
        boxes.append(entry)
    return boxes


def check_entry(
    what: str, entry: Any, needed: Sequence[str], possible: Sequence[str] = ()
) -> None:
    """Raise DatasetError for an entry that lacks a value, or has another than it should."""
    if not isinstance(entry, dict):
        raise DatasetError(f"{what} is {shorten(repr(entry))}; is this COCO's format?")
    for name in needed:
        if name not in entry:
            raise DatasetError(f"{what} without '{name}'; is this COCO's format?")
    for name in (*needed, *possible):
        fits, expected = VALUES[name]
        if name in entry and not fits(entry[name]):
            raise DatasetError(
                f'{what} has {name} {shorten(repr(entry[name]))}, expected {expected}'
            )


def _is_number(value: Any) -> bool:
    """Tell whether a value out of JSON is a finite number that float takes."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


# What the values of entries are.
VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        ('id', 'image_id', 'category_id'),
        (lambda value: type(value) in (int, str), 'a whole number'),
    ),
    **dict.fromkeys(('score', 'width', 'height', *DEFAULTED), (_is_number, 'a number')),
    **dict.fromkeys(PARTS, (_is_list, 'a list of numbers')),
    'bbox': (lambda value: _is_list(value) and len(value) == 4, '4 numbers: [x, y, w, h]'),
    'file_name': (lambda value: isinstance(value, str), 'a name'),
}
