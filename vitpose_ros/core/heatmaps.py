"""Heatmaps to keypoints, on the heatmaps' device.

Two ways to refine the highest cell; each keypoint set was evaluated with one (Skeleton.udp):

* DARK: Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation",
  2020 (arXiv:1910.06278), in the variant of the UDP code (arXiv:1911.07524): the map is smoothed,
  and a Newton step on its logarithm gives the position.
* a shift by a quarter of a cell towards the higher neighbour (Newell et al., "Stacked Hourglass
  Networks for Human Pose Estimation", 2016, arXiv:1603.06937).

What is computed once for a size stays in memory, because CUDA graphs go on reading it.

Indices are integers throughout: flat indices kept in float32 go wrong from 2^24 cells on, which
some 40 subjects with 133 keypoints reach.
"""

import functools
import math

import torch
from torch import Tensor

from vitpose_ros.core.skeletons import Skeleton

BLUR_TAPS = 11
BLUR_SIGMA = 2.0  # cells; what OpenCV derives from 11 taps
NARROW_SIGMA = 0.8  # cells; of the hybrid blur
NARROW_REACH = 5  # cells from the border, within which the hybrid blur is narrow
PATCH = BLUR_TAPS + 2  # cells: what the 3 x 3 neighbourhood of a peak depends on, a side
LOWEST, HIGHEST = 0.001, 50.0  # the smoothed map is clipped to this before the logarithm
FLOAT32_EPS = 1.1920929e-07
LARGEST_STEP = 2.0  # cells; well-formed peaks stay below 1, flat ones must not fly off

SPREAD_FLOOR = 0.1  # of the peak; what is lower does not count as spread


def decode(heatmaps: Tensor, *, udp: bool, hybrid: bool = False) -> tuple[Tensor, Tensor]:
    """Find the peak of each heatmap, in the way of the keypoint set's convention.

    heatmaps: (n, k, h, w). hybrid: DARK smooths less near the border of the map, where the wide
    blur of the reference code pulls peaks inwards; the quarter shift is the same. Returns points
    (n, k, 2), x and y in heatmap cells, and scores (n, k), the highest value of each map;
    float32. A map without a positive value gives the cell of its highest value, unrefined; one
    with NaN gives NaN.
    """
    return decode_dark_udp(heatmaps, hybrid=hybrid) if udp else decode_quarter_shift(heatmaps)


def decode_dark_udp(heatmaps: Tensor, *, hybrid: bool = False) -> tuple[Tensor, Tensor]:
    """Refine the highest cells with DARK; arguments and results are those of decode."""
    n, k, h, w = heatmaps.shape
    maps, scores, x, y = _highest_cells(heatmaps)

    # Only the 3 x 3 neighbourhood of the peak is smoothed, from the patch that it depends on.
    # Neighbours outside the map repeat its border. Double precision, because differences of
    # logarithms follow.
    rows, top = _smoothing(h, maps.device, hybrid)
    columns, left = _smoothing(w, maps.device, hybrid)
    height, width = rows.shape[2], columns.shape[2]
    corner = top[y] * w + left[x]
    index = corner[:, None] + _patch_offsets(height, width, w, maps.device)
    patches = maps.flatten(1).gather(1, index).view(n * k, height, width).double()
    smooth = rows[y] @ patches @ columns[x].transpose(1, 2)  # (n k, 3, 3): y, x
    log = smooth.clamp(LOWEST, HIGHEST).log()

    weights, offsets = _derivatives(maps.device)
    dx, dy, dxx, dyy, dxy = torch.addmm(offsets, log.flatten(1), weights).unbind(1)
    determinant = dxx * dyy - dxy * dxy
    step = torch.stack((dyy * dx - dxy * dy, dxx * dy - dxy * dx), dim=1) / determinant[:, None]
    unrefined = ((determinant == 0) | (scores <= 0))[:, None]
    step = step.clamp(-LARGEST_STEP, LARGEST_STEP).masked_fill(unrefined, 0)

    points = (torch.stack((x, y), dim=1) - step).float()
    return points.view(n, k, 2), scores.view(n, k)


def decode_quarter_shift(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Shift the highest cells by a quarter; arguments and results are those of decode.

    Cells of the two outermost rows and columns on the low side, and of the outermost on the high
    side, stay unshifted, as in the reference code.
    """
    n, k, h, w = heatmaps.shape
    maps, scores, x, y = _highest_cells(heatmaps)
    each = torch.arange(n * k, device=maps.device)
    x_low, x_high = (x - 1).clamp(min=0), (x + 1).clamp(max=w - 1)
    y_low, y_high = (y - 1).clamp(min=0), (y + 1).clamp(max=h - 1)
    step = torch.stack(
        (
            maps[each, y, x_high] - maps[each, y, x_low],
            maps[each, y_high, x] - maps[each, y_low, x],
        ),
        dim=1,
    ).sign()
    inside = (x > 1) & (x < w - 1) & (y > 1) & (y < h - 1) & ~(scores <= 0)
    points = torch.stack((x, y), dim=1) + 0.25 * step * inside[:, None]
    points = points.masked_fill(scores.isnan()[:, None], torch.nan)
    return points.view(n, k, 2), scores.view(n, k)


def covariances(heatmaps: Tensor, points: Tensor) -> Tensor:
    """Measure how far each heatmap spreads around its keypoint: its second moment.

    What lies below a tenth of the peak counts as noise. It is subtracted, and what that takes
    from the moment of a Gaussian is made up for, so that a Gaussian map gives its own covariance;
    several peaks give a large one. heatmaps: (n, k, h, w); points: (n, k, 2) from decode.
    Returns (n, k, 2, 2) float32, cells squared; NaN for a map without a positive value.
    """
    n, k, h, w = heatmaps.shape
    maps = heatmaps.float().reshape(n * k, h, w)
    weights = (maps - SPREAD_FLOOR * maps.amax(dim=(1, 2), keepdim=True)).clamp(min=0)
    centres = points.reshape(n * k, 2).float()
    x = torch.arange(w, device=maps.device) - centres[:, :1]  # (n k, w)
    y = torch.arange(h, device=maps.device) - centres[:, 1:]  # (n k, h)
    along_x, along_y = weights.sum(dim=1), weights.sum(dim=2)
    xx, yy = (along_x * x * x).sum(dim=1), (along_y * y * y).sum(dim=1)
    xy = ((weights @ x[:, :, None])[:, :, 0] * y).sum(dim=1)
    total = torch.where(maps.amax(dim=(1, 2)) > 0, along_x.sum(dim=1), torch.nan)
    moment = torch.stack((xx, xy, xy, yy), dim=1) / (total * _gaussian_share())[:, None]
    return moment.view(n, k, 2, 2)


def merge_flipped(heatmaps: Tensor, flipped: Tensor, skeleton: Skeleton) -> Tensor:
    """Average heatmaps with those of the mirrored crops (flip test).

    Both (n, k, h, w). Left and right change places again; in the plain convention the mirrored
    maps lie one cell to the left and are shifted back, as in the reference code.
    """
    back = flipped.flip(3).index_select(1, _flip_order(skeleton, flipped.device))
    if not skeleton.udp:
        back = torch.cat((back[..., :1], back[..., :-1]), dim=3)
    return (heatmaps + back) / 2


def _highest_cells(heatmaps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the maps (n k, h, w), and of each the highest value, its column and its row."""
    n, k, h, w = heatmaps.shape
    maps = heatmaps.float().reshape(n * k, h, w)
    flat = maps.flatten(1)
    if flat.is_cpu:  # numpy's is ten times as fast as PyTorch's there, and the same
        index = torch.from_numpy(flat.detach().numpy().argmax(axis=1))
    else:
        index = flat.argmax(dim=1)
    scores = flat.gather(1, index[:, None])[:, 0]
    return maps, scores, index % w, torch.div(index, w, rounding_mode='floor')


@functools.cache
def _flip_order(skeleton: Skeleton, device: torch.device) -> Tensor:
    return torch.tensor(skeleton.flip_order).to(device)


@functools.cache
def _derivatives(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what turns the values of 3 x 3 cells, row by row, into derivatives at the middle.

    (9, 5) float64 weights and (5,) offsets: of d/dx, d/dy, d2/dx2, d2/dy2, d2/dxdy.
    """
    weights = torch.tensor(
        [
            [0, 0, 0, -0.5, 0, 0.5, 0, 0, 0],
            [0, -0.5, 0, 0, 0, 0, 0, 0.5, 0],
            [0, 0, 0, 1, -2, 1, 0, 0, 0],
            [0, 1, 0, 0, -2, 0, 0, 1, 0],
            [0.5, -0.5, 0, -0.5, 1, -0.5, 0, -0.5, 0.5],
        ],
        dtype=torch.float64,
    )
    offsets = torch.tensor([0, 0, FLOAT32_EPS, FLOAT32_EPS, 0], dtype=torch.float64)
    return weights.T.contiguous().to(device), offsets.to(device)


@functools.cache
def _patch_offsets(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    """Return (height * width,), where the cells of a patch lie from its corner in a flat map."""
    rows, columns = torch.arange(height)[:, None] * stride, torch.arange(width)
    return (rows + columns).flatten().to(device)


@functools.cache
def _smoothing(size: int, device: torch.device, hybrid: bool) -> tuple[Tensor, Tensor]:
    """Return for each place of a signal what smooths it and its two neighbours.

    A (size, 3, PATCH) matrix for the patch of the signal that begins at (size,). hybrid: a
    narrower blur near the ends.
    """
    place = torch.arange(size)
    start = (place - PATCH // 2).clamp(0, max(size - PATCH, 0))
    neighbours = (place[:, None] + torch.arange(-1, 2)).clamp(0, size - 1)  # (size, 3)
    columns = start[:, None] + torch.arange(min(PATCH, size))  # (size, PATCH)
    rows = _blur(size, BLUR_SIGMA)[neighbours[:, :, None], columns[:, None]]
    if hybrid:
        near = torch.minimum(place, size - 1 - place) < NARROW_REACH
        narrow = _blur(size, NARROW_SIGMA)[neighbours[:, :, None], columns[:, None]]
        rows = torch.where(near[:, None, None], narrow, rows)
    return rows.to(device), start.to(device)


def _blur(size: int, sigma: float) -> Tensor:
    """Return the (size, size) matrix that smooths a signal with BLUR_TAPS taps.

    The signal is mirrored at its ends without repeating the outermost value
    (cv2.BORDER_REFLECT_101).
    """
    reach = BLUR_TAPS // 2
    weights = [math.exp(-0.5 * (tap / sigma) ** 2) for tap in range(-reach, reach + 1)]
    total = sum(weights)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for row in range(size):
        for tap in range(-reach, reach + 1):
            column = abs(row + tap) % (2 * (size - 1))
            matrix[row, min(column, 2 * (size - 1) - column)] += weights[tap + reach] / total
    return matrix


def _gaussian_share() -> float:
    """Return which share of its variance a Gaussian keeps when SPREAD_FLOOR is subtracted.

    With u = r^2 / (2 sigma^2), it is the mean of u over exp(-u) - floor, from 0 to -log(floor).
    """
    floor, end = SPREAD_FLOOR, -math.log(SPREAD_FLOOR)
    mass = 1 - floor - floor * end
    moment = 1 - floor * (1 + end) - floor * end * end / 2
    return moment / mass
