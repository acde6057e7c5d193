"""Pictures and videos: found, read one after the other, and written with something drawn in."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.errors import VitposeError, shorten
from vitpose_ros.core.jpeg import read_picture
from vitpose_ros.core.paths import is_file

PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')
VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv', '.gif')
RATE_HZ = 25.0  # of a video that does not tell


class MediaError(VitposeError):
    """A picture or video that cannot be read or written."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture, or a frame of a video."""

    path: Path  # of the file
    frame: int  # of the video; 0 for a picture
    number: int  # among all shots
    image: NDArray[np.uint8]  # (h, w, 3) BGR
    time_s: float  # since the begin of the video


def find_files(sources: Sequence[Path]) -> list[Path]:
    """Return pictures and videos, those of folders too, sorted. Raises MediaError."""
    found = set()
    for source in sources:
        if os.path.isdir(source):  # noqa: PTH112 - no error for names that are too long
            own = {
                path
                for path in source.iterdir()
                if path.suffix.lower() in PICTURES + VIDEOS and path.is_file()
            }
            if not own:
                raise MediaError(f"'{source}': no picture and no video in that folder")
            found |= own
        elif is_file(source):
            if source.suffix.lower() not in PICTURES + VIDEOS:
                raise MediaError(
                    f"'{source}' is no picture and no video by its name; give one of "
                    f'{", ".join(PICTURES + VIDEOS)}'
                )
            found.add(source)
        else:
            raise MediaError(
                f"'{shorten(str(source))}' is not there; give pictures, videos or folders of them"
            )
    return sorted(found)


def is_video(path: Path) -> bool:
    """Tell whether a file counts as a video."""
    return path.suffix.lower() not in PICTURES


def rate_of(path: Path) -> float:
    """Return how many frames a second a video has; RATE_HZ where it does not say."""
    rate_hz = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) if is_video(path) else 0.0
    return rate_hz if rate_hz > 0 else RATE_HZ


def count_shots(files: Sequence[Path]) -> int:
    """Return how many shots there are, as far as videos tell."""
    return sum(
        max(0, int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)))
        if is_video(path)
        else 1
        for path in files
    )


def read_shots(files: Sequence[Path], unreadable: list[Path]) -> Iterator[Shot]:
    """Yield the shots of all files, numbered from 0.

    Those that OpenCV does not read are added to unreadable; a picture among them keeps its number.
    """
    number = 0
    for path in files:
        frame, rate_hz = 0, rate_of(path)
        for frame, image in enumerate(_images(path), 1):
            yield Shot(path, frame - 1, number, image, (frame - 1) / rate_hz)
            number += 1
        if not frame:
            unreadable.append(path)
            number += not is_video(path)


def _images(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield what a file holds, (h, w, 3) BGR."""
    if not is_video(path):
        if (picture := read_picture(path)) is not None:
            yield picture
        return
    video = cv2.VideoCapture(str(path))
    try:
        while True:
            ok, image = video.read()
            if not ok:
                return
            yield image
    finally:
        video.release()


class Pictures:
    """Writes shots into a folder: pictures under their names, videos as .mp4."""

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        """Take the folder, which is made, and the files whose shots will come.

        Raises MediaError where one would be overwritten, by itself or by another.
        """
        self._places: dict[Path, Path] = {}
        sources, taken = {path.resolve() for path in files}, set()
        for path in files:
            place = folder / (f'{path.stem}.mp4' if is_video(path) else path.name)
            if place.exists() and place.resolve() in sources:
                raise MediaError(f"'{place}' would overwrite a source; give another --output")
            if place in taken:
                raise MediaError(f"two sources would become '{place}'; do them one by one")
            taken.add(place)
            self._places[path] = place
        self._made: list[Path] = []  # from the inside out
        try:
            self._made = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(f"'{folder}': {error.strerror}; give another --output") from error
        self._video: tuple[Path, cv2.VideoWriter, tuple[int, int]] | None = None

    def write(self, shot: Shot, image: NDArray[np.uint8]) -> None:
        """Write what was made of a shot, (h, w, 3) BGR."""
        place = self._places[shot.path]
        if not is_video(shot.path):
            if not cv2.imwrite(str(place), image):
                raise MediaError(f"'{place}' cannot be written")
            return
        if self._video is None or self._video[0] != shot.path:
            self._finish()
            size = image.shape[1], image.shape[0]
            codec = cv2.VideoWriter_fourcc(*'mp4v')
            writer = cv2.VideoWriter(str(place), codec, rate_of(shot.path), size)
            if not writer.isOpened():
                raise MediaError(f"'{place}' cannot be written: OpenCV has no encoder for it")
            self._video = shot.path, writer, size
        self._video[1].write(cv2.resize(image, self._video[2]))

    def close(self) -> None:
        """Finish the video that is written; of folders that were made none stays empty."""
        self._finish()
        with suppress(OSError):  # there is something in it
            for path in self._made:
                path.rmdir()

    def _finish(self) -> None:
        if self._video is not None:
            self._video[1].release()
            self._video = None
