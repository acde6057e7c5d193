"""Boxes to network input, and the network's output back to image pixels.

Two conventions; the network says which one a keypoint set was trained in (ViTPoseConfig.udp):

* unbiased (UDP): Huang et al., "The Devil is in the Details: Delving into Unbiased Data
  Processing for Human Pose Estimation", 2020 (arXiv:1911.07524). The outermost pixel centres of
  the crop lie on the region's edges, so that sizes count intervals: pixels minus one.
* plain affine (Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking", 2018,
  arXiv:1804.06208): sizes count pixels.

Both from the reference configurations (github.com/ViTAE-Transformer/ViTPose).
"""

import functools
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vitpose_ros.core.types import CHANNEL_COUNT, Channels, Frame

PADDING = 1.25  # the region is this much larger than the box
MEAN = (0.485, 0.456, 0.406)  # ImageNet, RGB, of values 0 to 1
STD = (0.229, 0.224, 0.225)

TO_RGB: dict[Channels, int] = {
    'bgr': cv2.COLOR_BGR2RGB,
    'rgba': cv2.COLOR_RGBA2RGB,
    'bgra': cv2.COLOR_BGRA2RGB,
    'mono': cv2.COLOR_GRAY2RGB,
}
# OpenCV 5 warps four channels three times as fast as three. Up to this many pixels of the image,
# giving them a fourth channel takes less than that saves.
WIDENED_PIXELS = 500_000
TO_RGBA: dict[Channels, int] = {'rgb': cv2.COLOR_RGB2RGBA, 'bgr': cv2.COLOR_BGR2RGBA}


def crop_regions(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return what to cut out of the image for each box.

    The box is widened or heightened around its centre to the aspect ratio of the crop, then
    padded. boxes: (n, 4) x_min, y_min, x_max, y_max in pixels; size: height and width of the
    crop. Returns (n, 4) float64: left, top, width and height in pixels, not clipped.
    """
    low, high = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    extent = high - low
    aspect = size[1] / size[0]
    width = PADDING * np.maximum(extent[:, 0], extent[:, 1] * aspect)
    height = width / aspect
    extent = np.stack((width, height), axis=1)
    return np.concatenate(((low + high - extent) / 2, extent), axis=1)


@dataclass(frozen=True, eq=False)
class Cuts:
    """What to cut out of a frame, and where each crop goes."""

    regions: NDArray[np.float64]  # (n, 4) from crop_regions: left, top, width, height in pixels
    udp: NDArray[np.bool_]  # (n,), the convention of each
    places: NDArray[np.int64]  # (n,), where each goes among the crops of a pass

    def __len__(self) -> int:
        """Return the number of crops."""
        return len(self.places)


class Crops(Protocol):
    """Cuts the crops of a forward pass out of frames, in memory that is used again and again."""

    def begin(self, count: int) -> None:
        """Make room for so many crops; those of the last pass are lost."""

    def cut(self, frame: Frame, cuts: Cuts) -> None:
        """Cut regions out of a frame, bilinear, black where they leave it."""

    def batch(self) -> torch.Tensor:
        """Return the crops, (n, h, w, 3) uint8 RGB: the memory itself, until the next begin."""


class HostCrops:
    """Crops by OpenCV, in the memory of the host.

    OpenCV 4 rounds positions to 1/32 pixel, OpenCV 5 does not.
    """

    def __init__(self, size: tuple[int, int], *, pin_memory: bool = False) -> None:
        """Take height and width of a crop in pixels. pin_memory: for copies to a GPU."""
        self.size = size
        self._pin_memory = pin_memory
        self._count = 0
        self._crops = self._memory(0)
        # What a crop goes through on its way.
        self._widened = np.empty(4 * WIDENED_PIXELS, dtype=np.uint8)
        self._cut = {
            channels: np.empty(size if count == 1 else (*size, count), dtype=np.uint8)
            for channels, count in CHANNEL_COUNT.items()
        }

    def begin(self, count: int) -> None:
        """Make room for so many crops; see Crops."""
        if count > len(self._crops):
            self._crops = self._memory(count)
        self._count = count

    def cut(self, frame: Frame, cuts: Cuts) -> None:
        """Cut regions out of a frame; see Crops."""
        regions = cuts.regions
        # What each region touches of the image, with the neighbours that interpolation needs.
        low = np.floor(regions[:, :2]).astype(int).clip(0)
        high = (np.ceil(regions[:, :2] + regions[:, 2:]).astype(int) + 2).clip(0)
        scales = _intervals(self.size, cuts.udp) / regions[:, 2:]
        crops, pixels = self._crops.numpy(), frame.pixels
        for place, region, scale, (left, top), (right, bottom) in zip(
            cuts.places.tolist(), regions, scales, low.tolist(), high.tolist(), strict=True
        ):
            crop = crops[place]
            source, channels = pixels[top:bottom, left:right], frame.channels
            if source.size == 0:
                crop[...] = 0
                continue
            area = source.shape[0] * source.shape[1]
            if channels in TO_RGBA and area <= WIDENED_PIXELS:
                room = self._widened[: 4 * area].reshape(*source.shape[:2], 4)
                source, channels = cv2.cvtColor(source, TO_RGBA[channels], dst=room), 'rgba'
            matrix = np.column_stack((np.diag(scale), scale * ((left, top) - region[:2])))
            cut = crop if channels == 'rgb' else self._cut[channels]
            cv2.warpAffine(source, matrix, self.size[::-1], dst=cut, flags=cv2.INTER_LINEAR)
            if channels != 'rgb':
                cv2.cvtColor(cut, TO_RGB[channels], dst=crop)

    def batch(self) -> torch.Tensor:
        """Return the crops; see Crops."""
        return self._crops[: self._count]

    def _memory(self, count: int) -> torch.Tensor:
        return torch.empty(count, *self.size, 3, dtype=torch.uint8, pin_memory=self._pin_memory)


def sample_crops(
    image: torch.Tensor,
    channels: Channels,
    regions: NDArray[np.float64],
    udp: NDArray[np.bool_],
    size: tuple[int, int],
) -> torch.Tensor:
    """Cut regions out of an image on its device, as HostCrops does on the host.

    image: (h, w, c) or (h, w) uint8, stored as channels says; regions: (n, 4) from crop_regions;
    udp: (n,), the convention of each; size: height and width of a crop. Returns (n, height,
    width, 3) uint8 RGB.
    """
    planes = image[None].expand(3, -1, -1) if channels == 'mono' else image.permute(2, 0, 1)[:3]
    if channels in ('bgr', 'bgra'):
        planes = planes.flip(0)
    # Of each column and row of a crop the position in the image, then as grid_sample counts it.
    steps = crop_steps(regions, size, udp)
    axes = []
    for axis, (length, extent) in enumerate(zip(size[::-1], image.shape[1::-1], strict=True)):
        position = regions[:, axis, None] + np.arange(length) * steps[:, axis, None]
        position = (2 * position + 1) / extent - 1
        axes.append(torch.from_numpy(position).float().to(image.device, non_blocking=True))
    x, y = axes
    shape = (len(regions), *size)
    grid = torch.stack((x[:, None].expand(shape), y[:, :, None].expand(shape)), dim=3)
    crops = F.grid_sample(
        planes.float().expand(len(regions), -1, -1, -1),
        grid,
        mode='bilinear',
        padding_mode='zeros',
        align_corners=False,
    )
    return crops.round().to(torch.uint8).permute(0, 2, 3, 1)


def normalise(crops: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """Map crops (n, h, w, 3) uint8 RGB to network input (n, 3, h, w) float32, channels last.

    out: memory to use, (n or more, h, w, 3) float32.
    """
    n, _, w, _ = crops.shape
    scale, shift = _rows(w, crops.device)
    pixels = torch.empty(crops.shape, device=crops.device) if out is None else out[:n]
    rows = pixels.copy_(crops).view(-1, 3 * w)
    torch.addcmul(shift, rows, scale, out=rows)
    return pixels.permute(0, 3, 1, 2)


@functools.cache  # for good: CUDA graphs go on reading it
def _rows(width: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what normalises a row of pixels, (3 * width,): a factor and what is added.

    A row at a time, because so it vectorises.
    """
    mean, std = np.array(MEAN) * 255, np.array(STD) * 255
    rows = (torch.from_numpy(np.tile(row, width)).float() for row in (1 / std, -mean / std))
    scale, shift = (row.to(device) for row in rows)
    return scale, shift


def crop_steps(
    regions: NDArray[np.float64], size: tuple[int, int], udp: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return (n, 2), how far apart pixels of a crop or heatmap lie in the image, in x and y.

    The first lies at the region's left and top. regions: (n, 4) from crop_regions; size: height
    and width of the crop or heatmap; udp: (n,), the convention of each.
    """
    return regions[:, 2:] / _intervals(size, udp)


def heatmap_to_image(
    points: NDArray[np.float32],
    regions: NDArray[np.float64],
    heatmap_size: tuple[int, int],
    udp: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Map points from heatmap cells to image pixels, the inverse of cropping.

    points: (n, k, 2) x, y in cells; regions: (n, 4) from crop_regions; heatmap_size: height and
    width in cells; udp: (n,), the convention of each. Returns (n, k, 2) float32.
    """
    cells = crop_steps(regions, heatmap_size, udp)
    return (points * cells[:, None] + regions[:, None, :2]).astype(np.float32)


def spread_to_image(
    heatmap_spread: NDArray[np.float32],
    regions: NDArray[np.float64],
    heatmap_size: tuple[int, int],
    udp: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Map the heatmaps' spread (n, k, 2, 2) from cells squared to image pixels squared.

    The other arguments are those of heatmap_to_image.
    """
    cells = crop_steps(regions, heatmap_size, udp)
    return (heatmap_spread * (cells[:, :, None] * cells[:, None])[:, None]).astype(np.float32)


def _intervals(size: tuple[int, int], udp: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (n, 2), how many pixels of a crop or heatmap span the width and the height."""
    return np.array((size[1], size[0]), dtype=np.float64) - udp[:, None]
