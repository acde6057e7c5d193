"""What becomes of a picture in a camera and on its way: colours, resolution, blur, noise, JPEG."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenery import point

Array = NDArray[Any]
Random = np.random.Generator


def develop(rng: Random, image: Array, degraded: float, styled: float = 0.0) -> Array:
    """Return an image (h, w, 3) uint8 as a camera would deliver it.

    degraded: how often it is made worse, 0 to 1; styled: how often its light, textures and edges
    become others than a renderer's.
    """
    pixels = image.astype(np.float32)
    styled = bool(styled and rng.random() < styled)
    if styled:
        pixels = _restyled(rng, pixels)
    if rng.random() < 0.8:
        level = pixels.mean()
        pixels = (pixels - level) * np.exp(rng.normal(0, 0.2)) + level
        pixels *= np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.05, 3)).astype(np.float32)
        saturation = max(0.0, rng.normal(0.9, 0.3)) if rng.random() > 0.05 else 0.0
        grey = pixels.mean(axis=2, keepdims=True)
        pixels = grey + (pixels - grey) * saturation
    if rng.random() < 0.08 * degraded:  # haze
        pixels = pixels * 0.5 + rng.uniform(60, 150)
    size = whole = image.shape[:2]
    if rng.random() < degraded:
        less = float(np.exp(rng.uniform(0, np.log(4.5))))
        size = (int(whole[0] / less), int(whole[1] / less))
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
    if styled and rng.random() < 0.5:  # as cameras sharpen, with bright and dark seams
        smooth = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.6, 2))
        pixels += (pixels - smooth) * rng.uniform(0.5, 2.5)
    picture = np.clip(pixels, 0, 255).astype(np.uint8)
    if rng.random() < 0.6 * degraded:
        quality = int(rng.uniform(20, 92))
        _, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if size != whole:
        how = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
        picture = cv2.resize(picture, whole[::-1], interpolation=how)
    return np.ascontiguousarray(picture)


def _restyled(rng: Random, pixels: Array) -> Array:
    """Return pixels (h, w, 3) in another light and with other textures, of the same shapes."""
    pixels = np.clip(pixels, 0, 255)
    if rng.random() < 0.4:
        pixels = 255 * (pixels / 255) ** np.float32(np.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.3:  # a shadow over all that is there
        mask = np.zeros(pixels.shape[:2], np.float32)
        corners = rng.uniform(-0.3, 1.3, (5, 2)) * pixels.shape[1::-1]
        cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 12))
        pixels = pixels * (1 - rng.uniform(0.25, 0.75) * mask[..., None])
    if rng.random() < 0.35:
        pixels = _filtered_at_random(rng, pixels)
    return pixels.astype(np.float32)


def _filtered_at_random(rng: Random, pixels: Array) -> Array:
    """Return pixels mixed with their convolution with random weights.

    Xu et al., "Robust and Generalizable Visual Representation Learning via Random Convolutions",
    arXiv:2007.13003: shapes stay, textures and colours do not.
    """
    extent = int(rng.choice([1, 3, 5]))
    weights = rng.normal(0, 1, (3, 3, extent, extent)).astype(np.float32)
    planes = [
        sum(cv2.filter2D(pixels[..., i], -1, weights[o, i]) for i in range(3)) for o in range(3)
    ]
    other = np.stack(planes, axis=2)
    (level, spread), (mean, std) = (
        (p.mean(axis=(0, 1)), p.std(axis=(0, 1))) for p in (other, pixels)
    )
    other = (other - level) / (spread + 1e-3) * std + mean
    share = rng.uniform(0, 0.7)
    return (1 - share) * pixels + share * other
