"""Skeletons drawn into images, and the colours that they have everywhere."""

import colorsys
import math
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.errors import VitposeError, either, shorten
from vitpose_ros.core.jpeg import Jpeg
from vitpose_ros.core.skeletons import SKELETONS, Skeleton
from vitpose_ros.core.types import NO_BOXES, Channels, Frame, Pose, usual_channels

Colour = tuple[int, int, int]  # RGB

# Left and right are the subject's own.
LEFT: Colour = (0, 200, 255)
RIGHT: Colour = (255, 140, 0)
CENTRE: Colour = (110, 235, 90)

MIN_SCORE = 0.25  # keypoints below it are not drawn
FINE = 0.4  # size of those keypoints that lie close together, as a factor
HEAD = 0.1  # what the head reaches above its keypoints, as a part of their extent
LUMA = 0.299, 0.587, 0.114  # of red, green and blue, in grey
SUBPIXEL_BITS = 4  # OpenCV draws at 1/16 pixel
PALETTES = ('side', 'id')
THINNEST, THICKEST = 0.1, 10.0  # times the usual thickness
GOLDEN_RATIO = 0.618034  # hues this far apart differ, however many there are
OWN_ID = re.compile(r'[A-Za-z][A-Za-z0-9]{0,7}_([0-9]+)')


def side_colour(name: str) -> Colour:
    """Return the colour for a keypoint, by the side that its name tells."""
    if name.startswith(('left', 'L_')):
        return LEFT
    return RIGHT if name.startswith(('right', 'R_')) else CENTRE


def track_colour(number: int) -> Colour:
    """Return the colour for a subject, by the number of its track."""
    # Hues come close to each other again after 5, 8 and 13 numbers: they differ in strength then.
    saturation, value = ((0.9, 1.0), (0.45, 1.0), (0.9, 0.6))[number % 3]
    red, green, blue = colorsys.hsv_to_rgb((number * GOLDEN_RATIO) % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def track_number(track_id: str, index: int) -> int:
    """Return a number that stays with a subject: of its track, else its place in the frame."""
    if not track_id:
        return index
    number = _short(track_id)
    if number.isascii() and number.isdigit() and len(number) < 10:
        return int(number)
    return zlib.crc32(track_id.encode(errors='replace')) >> 1


def label(class_id: str, track_id: str) -> str:
    """Return what is written above a subject."""
    return f'{class_id} {_short(track_id)}'.strip()


def _short(track_id: str) -> str:
    """Return the number of an id of tracks.TrackIds, as of 'k3f9_17'; others as they are."""
    own = OWN_ID.fullmatch(track_id)
    return own[1] if own else track_id


class DrawingError(VitposeError, ValueError):
    """A style or labels that cannot be drawn."""


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


@dataclass(frozen=True)
class Style:
    """How skeletons are drawn. Raises DrawingError."""

    min_score: float = MIN_SCORE  # keypoints below it, and limbs that end in one, are left out
    palette: str = 'side'  # or 'id'
    thickness: float = 1.0  # factor
    labels: bool = True  # write them, where there are some

    def __post_init__(self) -> None:
        """Raise DrawingError for what cannot be drawn."""
        if self.palette not in PALETTES:
            raise DrawingError(f'palette is {self.palette!r}; give {either(PALETTES)}')
        if not (_is_number(self.thickness) and THINNEST <= self.thickness <= THICKEST):
            raise DrawingError(
                f'thickness is {self.thickness!r}; give a factor from {THINNEST} to {THICKEST}'
            )
        if not _is_number(self.min_score):
            raise DrawingError(f'min_score is {self.min_score!r}; give a number, such as 0.25')
        if not isinstance(self.labels, bool):
            raise DrawingError(f'labels is {self.labels!r}; give True or False')

    def joint_colour(self, skeleton: Skeleton, index: int, number: int) -> Colour:
        """Return the colour of a keypoint of the subject with this track number."""
        if self.palette == 'id':
            return track_colour(number)
        return side_colour(skeleton.keypoint_names[index])

    def limb_colour(self, skeleton: Skeleton, edge: tuple[int, int], number: int) -> Colour:
        """Return the colour of a limb: that of its side, or the centre's across the body."""
        start, end = (self.joint_colour(skeleton, index, number) for index in edge)
        return start if start == end else CENTRE


DEFAULT_STYLE = Style()


def is_fine(skeleton: Skeleton, edge: tuple[int, int]) -> bool:
    """Tell whether a limb is drawn thin."""
    return any(index in skeleton.fine for index in edge)


def draw_poses(
    image: NDArray[np.uint8] | Jpeg,
    poses: Iterable[Pose],
    *,
    channels: Channels | None = None,
    style: Style = DEFAULT_STYLE,
    labels: Sequence[str] = (),
    numbers: Sequence[int] | NDArray[np.integer] | None = None,
) -> NDArray[np.uint8]:
    """Return a copy of an image with the skeletons drawn into it.

    image: uint8, (h, w, 3), (h, w, 4) or (h, w), stored as channels says: 'bgr' where OpenCV
    read a file. labels, one per pose, are written above the subjects; numbers, one per pose, are
    those of their tracks, for the colours. Raises FrameError for what is no such image,
    DrawingError for labels or numbers of another count, or labels that are no text.
    """
    if not isinstance(style, Style):
        raise DrawingError(f'style is {style!r}; give a Style')
    poses = list(poses)
    for name, given in (('labels', labels), ('numbers', numbers)):
        if given is not None and len(given) not in (len(poses), 0 if name == 'labels' else -1):
            raise DrawingError(f'{len(given)} {name} for {len(poses)} poses; give one per pose')
    for text in labels:
        if not isinstance(text, str):
            raise DrawingError(f'a label is {shorten(repr(text))}; give text')
    channels = usual_channels(image, channels)
    image = Frame(image, NO_BOXES, channels).pixels  # checked, and decoded where it is a Jpeg
    canvas: NDArray[np.uint8] = np.ascontiguousarray(image).copy()
    unit = style.thickness * max(1.0, min(image.shape[:2]) / 240)  # of a line, in pixels
    limit = 4 * max(image.shape[:2])  # far outside; OpenCV overflows beyond 2^15 pixels
    for position, pose in enumerate(poses):
        number = position if numbers is None else int(numbers[position])
        skeleton = SKELETONS[pose.skeleton]
        drawn = (pose.scores >= style.min_score) & (np.abs(pose.keypoints) <= limit).all(axis=1)
        points = np.where(drawn[:, None], pose.keypoints, 0) * (1 << SUBPIXEL_BITS)
        points = points.round().astype(int).tolist()
        for edge in skeleton.edges:
            if drawn[list(edge)].all():
                colour = _stored(style.limb_colour(skeleton, edge, number), channels)
                width = max(1, round(unit * (FINE if is_fine(skeleton, edge) else 1)))
                start, end = (points[index] for index in edge)
                cv2.line(canvas, start, end, colour, width, cv2.LINE_AA, SUBPIXEL_BITS)
        for index in np.flatnonzero(drawn).tolist():
            colour = _stored(style.joint_colour(skeleton, index, number), channels)
            radius = (unit + 1) * (FINE if index in skeleton.fine else 1)
            radius = round(radius * (1 << SUBPIXEL_BITS))
            cv2.circle(canvas, points[index], radius, colour, -1, cv2.LINE_AA, SUBPIXEL_BITS)
        if style.labels and position < len(labels) and labels[position] and drawn.any():
            place = label_place(pose.keypoints[drawn])
            _write(canvas, labels[position], place, unit, channels)
    if canvas.shape[2:] == (4,):  # OpenCV writes text without it
        changed = (canvas[..., :3] != image[..., :3]).any(axis=2)
        canvas[..., 3] = np.where(changed, 255, image[..., 3])
    return canvas


def _stored(colour: Colour, channels: Channels) -> tuple[int, ...]:
    """Return a colour as pixels have it."""
    if channels == 'mono':
        return (round(sum(part * value for part, value in zip(LUMA, colour, strict=True))),)
    ordered = colour if channels.startswith('rgb') else colour[::-1]
    return (*ordered, 255) if channels.endswith('a') else ordered


def label_place(points: NDArray[np.floating]) -> tuple[float, float]:
    """Return where the label of a subject with these points (n, 2) begins: above its head."""
    (left, top), (_, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top - HEAD * (bottom - top)


def _write(
    canvas: NDArray[np.uint8],
    text: str,
    place: tuple[float, float],
    unit: float,
    channels: Channels,
) -> None:
    """Write a text above a place, white with a shadow, inside the canvas."""
    text = text.encode('ascii', errors='replace').decode()  # the font has no other characters
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.25 + 0.12 * unit
    (_, height), _ = cv2.getTextSize(text, font, size, 1)
    x, y = max(0, round(place[0])), max(height, round(place[1] - unit))
    shift, width = max(1, round(unit / 2)), max(1, round(unit / 2))
    shades: tuple[tuple[Colour, int], ...] = (((0, 0, 0), shift), ((255, 255, 255), 0))
    for colour, offset in shades:
        where, paint = (x + offset, y + offset), _stored(colour, channels)
        cv2.putText(canvas, text, where, font, size, paint, width, cv2.LINE_AA)
