"""Heatmaps to keypoints, on the heatmaps' device.

Two ways to refine the highest cell; the network says which one a keypoint set was trained for
(ViTPoseConfig.udp):

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
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_ros.core.skeletons import Skeleton

BLUR_TAPS = 11
BLUR_SIGMA = 2.0  # cells; what OpenCV derives from 11 taps
NARROW_SIGMA = 0.8  # cells; of the hybrid blur
NARROW_REACH = 5  # cells from the border, within which the hybrid blur is narrow
PATCH = BLUR_TAPS + 2  # cells: what the 3 x 3 neighbourhood of a peak depends on, a side
LOWEST, HIGHEST = 0.001, 50.0  # the smoothed map is clipped to this before the logarithm
FLOAT32_EPS = 1.1920929e-07
FLAT = 1e-9  # what rounding alone makes of the determinant of a flat map in float32
LARGEST_STEP = 2.0  # cells; well-formed peaks stay below 1, flat ones must not fly off

SPREAD_FLOOR = 0.1  # of the peak; what is lower does not count as spread


class Tables(NamedTuple):
    """What decoding looks up for a size of the maps.

    Arrays of numpy, in float64; or tensors on a device, in float32, since GPUs have a small part
    of its rate in float64.
    """

    cells: Any  # (h w, 3) int64: of each cell its column, its row, and where its patch begins
    offsets: Any  # (PATCH PATCH,) int64: where the cells of a patch lie from there
    rows: Any  # (h, 3, PATCH): what smooths a row of a patch and its two neighbours
    columns: Any  # (w, PATCH, 3): the same for a column, transposed
    derivatives: Any  # (9, 7): from 3 x 3 smoothed cells, row by row, to derivatives
    constants: Any  # (7,), added to them


def decode(heatmaps: Tensor, *, udp: bool, hybrid: bool = False) -> tuple[Tensor, Tensor]:
    """Find the peak of each heatmap, in the way of the keypoint set's convention.

    heatmaps: (n, k, h, w). hybrid: DARK smooths less near the border of the map, where the wide
    blur of the reference code pulls peaks inwards; the quarter shift is the same. Returns points
    (n, k, 2), x and y in heatmap cells, and scores (n, k), the highest value of each map;
    float32. A map without a positive value gives the cell of its highest value, unrefined; one
    with NaN gives NaN.
    """
    n, k, h, w = heatmaps.shape
    maps = heatmaps.detach().float().reshape(n * k, h * w)
    if maps.is_cpu:
        with np.errstate(all='ignore'):  # maps may hold anything
            found = decode_by(np, maps.numpy(), (h, w), udp=udp, hybrid=hybrid)
        points, scores = (torch.from_numpy(array) for array in found)
    else:
        points, scores = decode_by(torch, maps, (h, w), udp=udp, hybrid=hybrid)
    return points.view(n, k, 2), scores.view(n, k)


def decode_by(
    xp: Any, maps: Any, size: tuple[int, int], *, udp: bool, hybrid: bool
) -> tuple[Any, Any]:
    """Decode maps (m, h w) of a size by numpy or torch, xp; returns points (m, 2), scores (m,).

    PyTorch stays on the maps' device, and computes in float32: points differ by 1e-5 cells. On a
    processor numpy takes half its time for a handful of subjects, whose many small operations
    cost their calls, and no more for many.
    """
    device = None if xp is np else maps.device
    tables = tables_of(*size, hybrid, device)
    each = np.arange(len(maps)) if device is None else torch.arange(len(maps), device=device)
    highest = maps.argmax(1)
    refine = _refine_dark_udp if udp else _refine_quarter_shift
    scores = maps[each, highest]
    points = refine(xp, maps, each * maps.shape[1], highest, scores, tables)
    return xp.asarray(points, dtype=xp.float32), scores


def _refine_dark_udp(
    xp: Any, maps: Any, starts: Any, highest: Any, scores: Any, tables: Tables
) -> Any:
    """Refine the highest cells with DARK.

    maps: (m, h w); starts: (m,), where each begins in their memory; highest and scores: (m,), its
    highest cell and value. Returns points (m, 2), x and y in cells.
    """
    # Only the 3 x 3 neighbourhood of the peak is smoothed, from the patch that it depends on.
    # Neighbours outside the map repeat its border. Differences of logarithms follow, so numpy
    # computes in float64.
    place = tables.cells[highest]
    x, y, corners = place[:, 0], place[:, 1], place[:, 2]
    patches = maps.reshape(-1)[(starts + corners)[:, None] + tables.offsets]
    rows, columns = tables.rows[y], tables.columns[x]
    patches = patches.reshape(len(maps), rows.shape[2], columns.shape[1])
    product = np.matmul if xp is np else _product
    smooth = product(product(rows, xp.asarray(patches, dtype=rows.dtype)), columns)
    smooth = smooth.clip(LOWEST, HIGHEST)  # (m, 3, 3): y, x
    if xp is not np:  # the same differences, of smaller numbers
        smooth = smooth / smooth[:, 1:2, 1:2]
    log = xp.log(smooth).reshape(len(maps), 9)

    # A Newton step: the inverse of the second derivatives times the first.
    derivatives = product(log, tables.derivatives) + tables.constants
    first, second = derivatives[:, :2], derivatives[:, 2:4]
    swapped, mixed = derivatives[:, 4:6], derivatives[:, 6:]
    determinant = second[:, :1] * second[:, 1:] - mixed * mixed
    step = (second * first - mixed * swapped) / determinant
    flat = 0 if xp is np else FLAT
    unrefined = (abs(determinant) <= flat) | (scores[:, None] <= 0)
    step = xp.where(unrefined, 0, step.clip(-LARGEST_STEP, LARGEST_STEP))
    return place[:, :2] - step


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply small matrices (m, a, b) and (m, b, c), or (b, c), in full float32.

    Elementwise: a GPU's matrix units would round to TF32 where a program allows that, and are no
    faster for a few rows.
    """
    return (left[..., :, :, None] * right[..., None, :, :]).sum(dim=-2)


def _refine_quarter_shift(
    xp: Any, maps: Any, starts: Any, highest: Any, scores: Any, tables: Tables
) -> Any:
    """Shift the highest cells by a quarter; arguments and result are those of _refine_dark_udp.

    Cells of the two outermost rows and columns on the low side, and of the outermost on the high
    side, stay unshifted, as in the reference code.
    """
    h, w = tables.rows.shape[0], tables.columns.shape[0]
    place = tables.cells[highest, :2]
    x, y = place[:, 0], place[:, 1]
    cells, row = maps.reshape(-1), starts + y * w
    step = xp.stack(
        (
            cells[row + (x + 1).clip(max=w - 1)] - cells[row + (x - 1).clip(min=0)],
            cells[starts + (y + 1).clip(max=h - 1) * w + x]
            - cells[starts + (y - 1).clip(min=0) * w + x],
        ),
        1,
    )
    inside = (x > 1) & (x < w - 1) & (y > 1) & (y < h - 1) & ~(scores <= 0)
    points = place + 0.25 * xp.sign(step) * inside[:, None]
    return xp.where(xp.isnan(scores)[:, None], xp.nan, points)


def heatmap_spread(heatmaps: Tensor, points: Tensor) -> Tensor:
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


def merge_flipped(heatmaps: Tensor, flipped: Tensor, skeleton: Skeleton, *, udp: bool) -> Tensor:
    """Average heatmaps with those of the mirrored crops (flip test).

    Both (n, k, h, w); udp: the convention of the set. Left and right change places again; in the
    plain convention the mirrored maps lie one cell to the left and are shifted back, as in the
    reference code.
    """
    back = flipped.flip(3).index_select(1, _flip_order(skeleton, flipped.device))
    if not udp:
        back = torch.cat((back[..., :1], back[..., :-1]), dim=3)
    return (heatmaps + back) / 2


@functools.cache
def _flip_order(skeleton: Skeleton, device: torch.device) -> Tensor:
    return torch.tensor(skeleton.flip_order).to(device)


@functools.cache
def tables_of(h: int, w: int, hybrid: bool, device: torch.device | None) -> Tables:
    """Return the tables of a size, on a device; None: for numpy. hybrid: a narrow blur at ends."""
    top, left = _patch_starts(h), _patch_starts(w)
    rows, columns = np.indices((h, w))
    # d/dx and d/dy; d2/dy2 and d2/dx2; d/dy and d/dx again, swapped; d2/dxdy.
    dx, dy = [0, 0, 0, -0.5, 0, 0.5, 0, 0, 0], [0, -0.5, 0, 0, 0, 0, 0, 0.5, 0]
    dxx, dyy = [0, 0, 0, 1, -2, 1, 0, 0, 0], [0, 1, 0, 0, -2, 0, 0, 1, 0]
    dxy = [0.5, -0.5, 0, -0.5, 1, -0.5, 0, -0.5, 0.5]
    tables = Tables(
        cells=np.stack((columns, rows, top[:, None] * w + left), axis=2).reshape(h * w, 3),
        offsets=(np.arange(min(PATCH, h))[:, None] * w + np.arange(min(PATCH, w))).ravel(),
        rows=_smoothing(h, hybrid),
        columns=np.ascontiguousarray(_smoothing(w, hybrid).transpose(0, 2, 1)),
        derivatives=np.array([dx, dy, dyy, dxx, dy, dx, dxy], dtype=np.float64).T.copy(),
        constants=np.array([0, 0, FLOAT32_EPS, FLOAT32_EPS, 0, 0, 0], dtype=np.float64),
    )
    if device is None:
        return tables
    tensors = (torch.from_numpy(table) for table in tables)
    return Tables(*((t.float() if t.is_floating_point() else t).to(device) for t in tensors))


def _patch_starts(size: int) -> NDArray[np.int64]:
    """Return (size,), where the patch around each place of a signal begins."""
    return (np.arange(size) - PATCH // 2).clip(0, max(size - PATCH, 0))


def _smoothing(size: int, hybrid: bool) -> NDArray[np.float64]:
    """Return for each place of a signal what smooths it and its two neighbours.

    A (size, 3, PATCH) matrix for the patch around it. hybrid: a narrower blur near the ends.
    """
    place = np.arange(size)
    neighbours = (place[:, None] + np.arange(-1, 2)).clip(0, size - 1)  # (size, 3)
    columns = _patch_starts(size)[:, None] + np.arange(min(PATCH, size))  # (size, PATCH)
    rows: NDArray[np.float64] = _blur(size, BLUR_SIGMA)[neighbours[:, :, None], columns[:, None]]
    if hybrid:
        near = np.minimum(place, size - 1 - place) < NARROW_REACH
        narrow = _blur(size, NARROW_SIGMA)[neighbours[:, :, None], columns[:, None]]
        rows = np.where(near[:, None, None], narrow, rows)
    return rows


def _blur(size: int, sigma: float) -> NDArray[np.float64]:
    """Return the (size, size) matrix that smooths a signal with BLUR_TAPS taps.

    The signal is mirrored at its ends without repeating the outermost value
    (cv2.BORDER_REFLECT_101).
    """
    reach = BLUR_TAPS // 2
    weights = [math.exp(-0.5 * (tap / sigma) ** 2) for tap in range(-reach, reach + 1)]
    total = sum(weights)
    matrix = np.zeros((size, size))
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
