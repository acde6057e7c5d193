"""Where camera_node takes its images from: a video file, a folder of images, or a device."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_ros.core.jpeg import read_picture

IMAGE_SUFFIXES = {'.bmp', '.jpeg', '.jpg', '.png'}
DEFAULT_RATE_HZ = 30.0
DEMO = 'demo'  # names the clip that comes with the package
DEMO_CLIP = Path(__file__).parent / 'data' / 'demo_clip.mp4'


class ImageSource:
    """Yields images, (h, w, 3) uint8 BGR, again and again from the first one."""

    def __init__(self, source: str) -> None:
        """Open a source; raise ValueError, naming it, if it cannot be read.

        source: a video file, a folder of images (in the order of their names), a video device
        such as /dev/video0, or 'demo' for the demo clip.
        """
        self.source = source
        self.rate_hz = DEFAULT_RATE_HZ  # of the source itself, where it has one
        path = DEMO_CLIP if source == DEMO else Path(source).expanduser()
        self.path = path
        if path.is_dir():
            self._files = sorted(
                p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()
            )
            if not self._files:
                raise ValueError(
                    f"source '{source}': no images in this folder; expected names ending in "
                    f'{", ".join(sorted(IMAGE_SUFFIXES))}'
                )
            return
        self._files = []
        if not path.exists():
            raise ValueError(
                f"source '{source}': no such file, folder or device; give a video file, a "
                'folder of images, or a device such as /dev/video0'
            )
        self._open()

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the images once, from the first to the last."""
        if self._files:
            for file in self._files:
                image = read_picture(file)
                if image is None:
                    raise ValueError(f"image '{file}': not readable; is it damaged?")
                yield image
            return
        while True:
            ok, image = self._capture.read()
            if not ok:
                break
            yield image
        self._open()

    def _open(self) -> None:
        self._capture = cv2.VideoCapture(str(self.path))
        if not self._capture.isOpened():
            raise ValueError(f"source '{self.source}': not readable as a video; is it damaged?")
        self.rate_hz = self._capture.get(cv2.CAP_PROP_FPS) or DEFAULT_RATE_HZ
