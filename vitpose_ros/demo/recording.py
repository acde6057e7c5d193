"""What the demonstration keeps of the pictures: an annotated video and a contact sheet."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 3, 4
TILE_WIDTH = 480  # pixels


class Recording:
    """Writes a video as the pictures come, and keeps some of them for a contact sheet."""

    def __init__(self, folder: Path, rate_hz: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.video_path = folder / 'annotated.mp4'
        self.sheet_path = folder / 'contact_sheet.png'
        self._rate_hz = rate_hz
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._kept: list[tuple[int, NDArray[np.uint8]]] = []
        self._step = 1
        self.count = 0

    def add(self, image: NDArray[np.uint8]) -> None:
        """Add a picture, (h, w, 3) uint8 BGR; later ones are scaled to the size of the first."""
        if self._writer is None:
            self._size = (image.shape[1], image.shape[0])
            codec = cv2.VideoWriter_fourcc(*'mp4v')
            self._writer = cv2.VideoWriter(str(self.video_path), codec, self._rate_hz, self._size)
        if (image.shape[1], image.shape[0]) != self._size:
            image = cv2.resize(image, self._size)
        self._writer.write(image)
        if self.count % self._step == 0:
            self._kept.append((self.count, self._tile(image)))
            if len(self._kept) > 4 * COLUMNS * ROWS:  # thin out: long videos end some time
                self._kept = self._kept[::2]
                self._step *= 2
        self.count += 1

    def close(self) -> None:
        """Finish the video and write the contact sheet."""
        if self._writer is None:
            return
        self._writer.release()
        chosen = np.linspace(0, len(self._kept) - 1, min(COLUMNS * ROWS, len(self._kept)))
        tiles = [self._kept[round(index)][1] for index in chosen]
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
        rows = [
            np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)
        ]
        cv2.imwrite(str(self.sheet_path), np.vstack(rows))

    def _tile(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height = round(TILE_WIDTH * image.shape[0] / image.shape[1])
        tile: NDArray[np.uint8] = cv2.resize(
            image, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA
        )
        cv2.putText(
            tile, str(self.count), (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2
        )
        return tile
