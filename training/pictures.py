"""What becomes of a picture in a camera and on its way: colours, resolution, blur, noise, JPEG."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenery import SIZE, point

Array = NDArray[Any]
Random = np.random.Generator


def develop(rng: Random, image: Array, degraded: float) -> Array:
    """Return an image (h, w, 3) uint8 as a camera would deliver it.

    degraded: how often it is made worse, 0 to 1.
    """
    pixels = image.astype(np.float32)
    if rng.random() < 0.8:
        level = pixels.mean()
        pixels = (pixels - level) * np.exp(rng.normal(0, 0.2)) + level
        pixels *= np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.05, 3)).astype(np.float32)
        saturation = max(0.0, rng.normal(0.9, 0.3)) if rng.random() > 0.05 else 0.0
        grey = pixels.mean(axis=2, keepdims=True)
        pixels = grey + (pixels - grey) * saturation
    if rng.random() < 0.08 * degraded:  # haze
        pixels = pixels * 0.5 + rng.uniform(60, 150)
    size = SIZE
    if rng.random() < degraded:
        less = float(np.exp(rng.uniform(0, np.log(4.5))))
        size = (int(SIZE[0] / less), int(SIZE[1] / less))
        pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    if rng.random() < 0.35 * degraded:
        if rng.random() < 0.6:
            pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.6))
        else:
            length = int(rng.integers(3, 9))
            kernel = np.zeros((length, length), np.float32)
            end = (np.array([np.cos(t := rng.uniform(0, np.pi)), np.sin(t)]) * length / 2).astype(
                int
            )
            cv2.line(kernel, point(*(length // 2 - end)), point(*(length // 2 + end)), 1)
            pixels = cv2.filter2D(pixels, -1, kernel / max(kernel.sum(), 1))
    if rng.random() < 0.6 * degraded + 0.1:
        grain = np.random.Generator(np.random.SFC64(int(rng.integers(2**31))))
        noise = grain.standard_normal((*size, 3), dtype=np.float32)
        pixels += noise * rng.uniform(1, 14)
    picture = np.clip(pixels, 0, 255).astype(np.uint8)
    if rng.random() < 0.6 * degraded:
        quality = int(rng.uniform(20, 92))
        _, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if size != SIZE:
        how = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
        picture = cv2.resize(picture, SIZE[::-1], interpolation=how)
    return np.ascontiguousarray(picture)
