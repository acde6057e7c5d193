"""Heatmaps to keypoints.

DARK: Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation",
2020 (arXiv:1910.06278), in the variant of the UDP code (arXiv:1911.07524): the map is smoothed,
and a Newton step on its logarithm refines the position of the highest cell.
"""

import functools
import math

import torch
from torch import Tensor

BLUR_TAPS = 11
BLUR_SIGMA = 2.0  # cells; what OpenCV derives from 11 taps
LOWEST, HIGHEST = 0.001, 50.0  # the smoothed map is clipped to this before the logarithm
FLOAT32_EPS = 1.1920929e-07
LARGEST_STEP = 2.0  # cells; well-formed peaks stay below 1, flat ones must not fly off


@functools.lru_cache(maxsize=16)
def _blur_matrix(size: int, device: torch.device) -> Tensor:
    """Return the (size, size) matrix that smooths a signal, mirrored at its ends.

    The mirror leaves the outermost value single (cv2.BORDER_REFLECT_101).
    """
    reach = BLUR_TAPS // 2
    weights = [math.exp(-0.5 * (tap / BLUR_SIGMA) ** 2) for tap in range(-reach, reach + 1)]
    total = sum(weights)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for row in range(size):
        for tap in range(-reach, reach + 1):
            column = abs(row + tap) % (2 * (size - 1))
            matrix[row, min(column, 2 * (size - 1) - column)] += weights[tap + reach] / total
    return matrix.to(device, torch.float32)


def decode_dark_udp(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Find the peak of each heatmap with sub-cell precision.

    heatmaps: (n, k, h, w). Returns points (n, k, 2), x and y in heatmap cells, and scores
    (n, k), the highest value of each map; float32, on the heatmaps' device. A map without a
    positive value gives the cell of its highest value, unrefined.
    """
    n, k, h, w = heatmaps.shape
    maps = heatmaps.float().reshape(n * k, h, w)
    scores, index = maps.flatten(1).max(dim=1)
    x, y = index % w, torch.div(index, w, rounding_mode='floor')

    # Only the 3 x 3 neighbourhood of the peak is smoothed: three rows of one blur matrix,
    # the map, three columns of the other. Neighbours outside the map repeat its border.
    around = torch.arange(-1, 2, device=maps.device)
    rows = _blur_matrix(h, maps.device)[(y[:, None] + around).clamp(0, h - 1)]  # (n k, 3, h)
    columns = _blur_matrix(w, maps.device)[(x[:, None] + around).clamp(0, w - 1)]  # (n k, 3, w)
    smooth = rows @ maps @ columns.transpose(1, 2)  # (n k, 3, 3): y, x
    log = smooth.clamp(LOWEST, HIGHEST).log()

    up_left, up, _, left, centre, right, _, down, down_right = log.flatten(1).unbind(1)
    dx, dy = (right - left) / 2, (down - up) / 2
    dxx, dyy = right - 2 * centre + left + FLOAT32_EPS, down - 2 * centre + up + FLOAT32_EPS
    dxy = (down_right - right - down + 2 * centre - left - up + up_left) / 2
    determinant = dxx * dyy - dxy * dxy
    step = torch.stack((dyy * dx - dxy * dy, dxx * dy - dxy * dx), dim=1) / determinant[:, None]
    flat = (determinant == 0)[:, None]
    step = torch.where(flat, torch.zeros_like(step), step.clamp(-LARGEST_STEP, LARGEST_STEP))

    points = torch.stack((x, y), dim=1).float() - step
    return points.view(n, k, 2), scores.view(n, k)
