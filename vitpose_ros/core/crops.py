"""Boxes to network input, and the network's output back to image pixels.

Two conventions; each keypoint set was trained with one of them (Skeleton.udp):

* unbiased (UDP): Huang et al., "The Devil is in the Details: Delving into Unbiased Data
  Processing for Human Pose Estimation", 2020 (arXiv:1911.07524). The outermost pixel centres of
  the crop lie on the region's edges, so that sizes count intervals: pixels minus one.
* plain affine (Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking", 2018,
  arXiv:1804.06208): sizes count pixels.

Both from the reference configurations (github.com/ViTAE-Transformer/ViTPose).
"""

from collections.abc import Iterable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vitpose_ros.core.types import Channels, Frame

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


def extract_crops(
    frame: Frame,
    regions: NDArray[np.float64],
    size: tuple[int, int],
    udp: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Cut the regions out of the frame, black where they leave it.

    regions: (n, 4) from crop_regions; size: height and width of a crop; udp: (n,), the convention
    of each. Returns (n, height, width, 3) uint8 RGB, bilinear. (OpenCV 4 rounds positions to 1/32
    pixel, OpenCV 5 does not.)
    """
    crops = np.empty((len(regions), *size, 3), dtype=np.uint8)
    fill_crops(crops, frame, regions, udp)
    return crops


def fill_crops(
    crops: Iterable[NDArray[np.uint8]],
    frame: Frame,
    regions: NDArray[np.float64],
    udp: NDArray[np.bool_],
) -> None:
    """Cut the regions out of the frame into n arrays (height, width, 3); see extract_crops."""
    # What each region touches of the image, with the neighbours that interpolation needs.
    low = np.floor(regions[:, :2]).astype(int).clip(0)
    high = (np.ceil(regions[:, :2] + regions[:, 2:]).astype(int) + 2).clip(0)
    for crop, region, unbiased, (left, top), (right, bottom) in zip(
        crops, regions, udp, low.tolist(), high.tolist(), strict=True
    ):
        height, width = crop.shape[:2]
        source = frame.image[top:bottom, left:right]
        if source.size == 0:
            crop[...] = 0
            continue
        channels = frame.channels
        if channels in TO_RGBA and source.shape[0] * source.shape[1] <= WIDENED_PIXELS:
            source, channels = cv2.cvtColor(source, TO_RGBA[channels]), 'rgba'
        scale = _intervals((height, width), unbiased[None])[0] / region[2:]
        matrix = np.column_stack((np.diag(scale), scale * ((left, top) - region[:2])))
        cut = cv2.warpAffine(source, matrix, (width, height), flags=cv2.INTER_LINEAR)
        if channels == 'rgb':
            crop[...] = cut
        else:
            cv2.cvtColor(cut, TO_RGB[channels], dst=crop)


def normalise(crops: torch.Tensor) -> torch.Tensor:
    """Map crops (n, h, w, 3) uint8 RGB to network input (n, 3, h, w) float32."""
    mean = torch.tensor(MEAN, device=crops.device) * 255
    std = torch.tensor(STD, device=crops.device) * 255
    return ((crops - mean) / std).permute(0, 3, 1, 2).contiguous()


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
    cells = regions[:, 2:] / _intervals(heatmap_size, udp)
    return (points * cells[:, None] + regions[:, None, :2]).astype(np.float32)


def covariances_to_image(
    covariances: NDArray[np.float32],
    regions: NDArray[np.float64],
    heatmap_size: tuple[int, int],
    udp: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Map covariances (n, k, 2, 2) from cells squared to image pixels squared.

    The other arguments are those of heatmap_to_image.
    """
    cells = regions[:, 2:] / _intervals(heatmap_size, udp)
    return (covariances * (cells[:, :, None] * cells[:, None])[:, None]).astype(np.float32)


def _intervals(size: tuple[int, int], udp: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (n, 2), how many pixels of a crop or heatmap span the width and the height."""
    return np.array((size[1], size[0]), dtype=np.float64) - udp[:, None]
