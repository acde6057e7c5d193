"""Panoramas of real places, behind the people and as their light: 18, all CC0, from Poly Haven.

They come with the npm package @pmndrs/assets (licence CC0 1.0), which is fetched once and kept in
the cache; 512 x 256 pixels each.
"""

import base64
import hashlib
import os
import re
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

URL = 'https://registry.npmjs.org/@pmndrs/assets/-/assets-1.7.0.tgz'
SHA256 = '152bd218a3390703f184f0c6ce16e73c8f0a87f32d38530d418a09d33d8208dc'
HELD_OUT = ('bridge', 'forest', 'lobby', 'venice')  # for evaluation alone
CONSTANTS = np.array([0.282095] + [0.488603] * 3 + [1.092548] * 2 + [0.315392, 1.092548, 0.546274])
# What a surface gathers of each order of the harmonics (Ramamoorthi and Hanrahan, "An Efficient
# Representation for Irradiance Environment Maps", SIGGRAPH 2001), by pi.
GATHERED = np.array([1] + [2 / 3] * 3 + [1 / 4] * 5)


class Panorama:
    """A picture of all directions; rows from the zenith down, columns around."""

    def __init__(self, name: str, radiance: Array) -> None:
        """Take linear radiance (h, 2 h, 3)."""
        self.name = name
        # Compression left negative values around lamps.
        radiance = np.where(radiance < 0, cv2.dilate(radiance, np.ones((5, 5))), radiance)
        level = np.percentile(radiance.mean(axis=2), 60)
        self._radiance = np.minimum(radiance / max(level, 1e-6), 60).astype(np.float32)
        self.picture = _developed(self._radiance)
        self._harmonics = self._project()

    def irradiance(self, heading: float) -> Array:
        """Return the light on surfaces, (9, 3), in harmonics of x, y, z; see the shader.

        heading: how far the panorama is turned about the vertical axis, radians.
        """
        h = self._harmonics
        c, s = np.cos(heading), np.sin(heading)
        c2, s2 = np.cos(2 * heading), np.sin(2 * heading)
        turned = h.copy()
        turned[3], turned[1] = c * h[3] - s * h[1], s * h[3] + c * h[1]
        turned[7], turned[5] = c * h[7] - s * h[5], s * h[7] + c * h[5]
        turned[8], turned[4] = c2 * h[8] - 2 * s2 * h[4] / 2, s2 * h[8] + c2 * h[4]
        return turned

    def _project(self) -> Array:
        height, width = self._radiance.shape[:2]
        polar = (np.arange(height) + 0.5) / height * np.pi
        around = (np.arange(width) + 0.5) / width * 2 * np.pi
        z = np.cos(polar)[:, None] * np.ones(width)
        x, y = np.sin(polar)[:, None] * np.cos(around), np.sin(polar)[:, None] * np.sin(around)
        solid = np.sin(polar)[:, None] * (np.pi / height) * (2 * np.pi / width)
        one = np.ones_like(z)
        basis = np.stack((one, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y))
        basis *= CONSTANTS[:, None, None]
        found = np.einsum('khw,hwc->kc', basis * solid, self._radiance)
        return found * (GATHERED * CONSTANTS)[:, None]

    def look(
        self, size: tuple[int, int], heading: float, pitch: float, field_of_view: float
    ) -> Array:
        """Return what a camera sees, (h, w, 3) uint8 RGB.

        size: height, width; heading, pitch (down) and field_of_view (of the height) in radians.
        """
        height, width = size
        focal = height / 2 / np.tan(field_of_view / 2)
        u = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / focal
        v = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / focal
        c, s = np.cos(pitch), np.sin(pitch)
        forward = (c - s * v)[:, None]
        down = (s + c * v)[:, None]
        azimuth = heading - np.arctan2(u[None], forward)
        polar = np.pi / 2 + np.arctan2(down, np.hypot(u[None], forward))
        rows, columns = self.picture.shape[:2]
        x = (azimuth / (2 * np.pi) % 1 * columns).astype(np.float32)
        y = (polar / np.pi * rows - 0.5).astype(np.float32)
        return cv2.remap(self.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _developed(radiance: Array) -> Array:
    """Return a picture (h, w, 3) uint8 of radiance, as a camera would make it, twice the size."""
    exposed = radiance * 0.35
    mapped = exposed * (1 + exposed / 4) / (1 + exposed)
    picture = (255 * np.clip(mapped, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    return cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)


def load(folder: Path, *, held_out: bool = False) -> list[Panorama]:
    """Return the panoramas for training, or those for evaluation; fetches them when needed."""
    import OpenEXR

    archive = folder / 'panoramas.tgz'
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(URL, timeout=120) as response:
            data = response.read()
        if hashlib.sha256(data).hexdigest() != SHA256:
            raise ValueError(f'{URL} is not the file that this recipe was made with')
        archive.write_bytes(data)
    found = []
    with tarfile.open(archive) as tar:
        for member in sorted(tar.getmembers(), key=lambda m: m.name):
            name = re.fullmatch(r'package/hdri/(\w+)\.exr\.js', member.name)
            if not name or (name[1] in HELD_OUT) != held_out:
                continue
            file = tar.extractfile(member)
            assert file is not None
            encoded = re.search(rb'base64,([A-Za-z0-9+/=]+)', file.read())
            assert encoded is not None
            path = folder / f'{name[1]}.exr'
            if not path.exists():  # other processes may read it
                whole = path.with_suffix(f'.{os.getpid()}')
                whole.write_bytes(base64.b64decode(encoded[1]))
                whole.replace(path)
            with OpenEXR.File(str(path)) as image:
                channels = image.channels()
                pixels = channels.get('RGB', channels.get('RGBA')).pixels[..., :3]
            found.append(Panorama(name[1], pixels.astype(np.float32)))
    return found
