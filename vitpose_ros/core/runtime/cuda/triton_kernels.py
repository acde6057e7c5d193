"""Kernels in Triton; kernels.py starts them. Each program computes in float32.

Sources of the methods: crops.py, vit.py and heatmaps.py of the core, whose results these give.
"""

import triton
import triton.language as tl

# Adding and subtracting this rounds a float32 below 2^22 to an integer, ties to even.
ROUND = tl.constexpr(12582912.0)
CELLS = tl.constexpr(16)  # the side of a block that holds a patch of heatmap cells, 13 x 13


# Triton compiles a kernel anew where a number becomes 1, or a multiple of 16, or an address one.
# What changes from frame to frame must not do that.
@triton.jit(
    do_not_specialize=[
        'frame', 'height', 'width', 'row_stride', 'pixel_stride', 'first_channel', 'channel_step',
    ]
)  # fmt: skip
def sample_patches(
    frame,  # (h, w, c) uint8, or planes of it
    regions,  # (n, 5) float32: x, y of the first pixel, steps in x, y, place of the crop
    padding,  # (3,) what is outside of the crop
    out,
    height,
    width,
    row_stride,  # bytes, as all strides here
    pixel_stride,
    first_channel,
    channel_step,  # from red to green to blue
    grid_height,
    grid_width,
    CENTRE: tl.constexpr,
    SCALE: tl.constexpr,
    PATCH: tl.constexpr,  # side in pixels
    MARGIN: tl.constexpr,  # pixels that the grid of patches lies up and left of the crop
    AS_PATCHES: tl.constexpr,  # out is (n, patches, PATCH PATCH 3), or else (n, h, w, 3) uint8
):
    """Sample a patch of a crop out of a frame, bilinear, black where that leaves the frame."""
    number = tl.program_id(0)
    patch = tl.program_id(1)
    pixel = tl.arange(0, PATCH * PATCH)
    x = patch % grid_width * PATCH + pixel % PATCH - MARGIN
    y = patch // grid_width * PATCH + pixel // PATCH - MARGIN
    region = regions + number * 5
    at_x = tl.load(region) + x.to(tl.float32) * tl.load(region + 2)
    at_y = tl.load(region + 1) + y.to(tl.float32) * tl.load(region + 3)
    place = tl.load(region + 4).to(tl.int64)
    left, top = tl.floor(at_x), tl.floor(at_y)
    right_part, lower_part = at_x - left, at_y - top
    column, row = left.to(tl.int32), top.to(tl.int32)
    in_left, in_right = (column >= 0) & (column < width), (column >= -1) & (column + 1 < width)
    in_top, in_bottom = (row >= 0) & (row < height), (row >= -1) & (row + 1 < height)
    # A frame may have more than 2^31 bytes.
    corner = frame + row.to(tl.int64) * row_stride + column.to(tl.int64) * pixel_stride
    for channel in tl.static_range(3):
        at = corner + first_channel + channel * channel_step
        upper_left = tl.load(at, mask=in_top & in_left, other=0).to(tl.float32)
        upper_right = tl.load(at + pixel_stride, mask=in_top & in_right, other=0).to(tl.float32)
        at += row_stride
        lower_left = tl.load(at, mask=in_bottom & in_left, other=0).to(tl.float32)
        lower_right = tl.load(at + pixel_stride, mask=in_bottom & in_right, other=0).to(tl.float32)
        upper = upper_left + (upper_right - upper_left) * right_part
        lower = lower_left + (lower_right - lower_left) * right_part
        value = (upper + (lower - upper) * lower_part + ROUND) - ROUND
        if AS_PATCHES:
            value = (value - CENTRE) * (1 / SCALE)
            value = tl.where((x < 0) | (y < 0), tl.load(padding + channel).to(tl.float32), value)
            start = (place * grid_height * grid_width + patch) * (PATCH * PATCH * 3)
            at_out = start + pixel * 3 + channel
        else:
            at_out = ((place * grid_height * PATCH + y) * grid_width * PATCH + x) * 3 + channel
        tl.store(out + at_out, value.to(out.dtype.element_ty))


@triton.jit
def add_norm(
    tokens,  # (rows, d)
    added,  # (period, d), again and again
    weight,  # (d,)
    bias,  # (d,)
    total,  # (rows, d): the sum
    normed,  # (rows, d): its layer norm
    period,
    d,
    eps,
    BLOCK: tl.constexpr,  # the next power of two from d
):
    """Add two rows, and normalise the sum."""
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    inside = i < d
    value = tl.load(tokens + row * d + i, mask=inside, other=0).to(tl.float32)
    value += tl.load(added + row % period * d + i, mask=inside, other=0).to(tl.float32)
    tl.store(total + row * d + i, value.to(total.dtype.element_ty), mask=inside)
    centred = tl.where(inside, value - tl.sum(value, 0) / d, 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, 0) / d + eps)
    out = centred * scale * tl.load(weight + i, mask=inside, other=0).to(tl.float32)
    out += tl.load(bias + i, mask=inside, other=0).to(tl.float32)
    tl.store(normed + row * d + i, out.to(normed.dtype.element_ty), mask=inside)


@triton.jit
def expert_product(
    hidden,  # (n t, hidden)
    weight,  # (sets, hidden, part)
    bias,  # (sets, part)
    index,  # (n,) int64: the set of each sample
    out,  # (n t, part), rows out_stride apart
    t,
    part,
    out_stride,
    HIDDEN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,  # divides HIDDEN
):
    """Multiply some rows of a sample with some columns of its expert."""
    sample = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    expert = tl.load(index + sample)
    in_rows, in_columns = row[:, None] < t, column[None, :] < part
    depth = tl.arange(0, DEPTH)
    left = hidden + (sample * t + row)[:, None] * HIDDEN + depth[None, :]
    right = weight + expert * HIDDEN * part + depth[:, None] * part + column[None, :]
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for _ in range(0, HIDDEN, DEPTH):
        a = tl.load(left, mask=in_rows, other=0)
        b = tl.load(right, mask=in_columns, other=0)
        total = tl.dot(a, b, total)
        left += DEPTH
        right += DEPTH * part
    total += tl.load(bias + expert * part + column, mask=column < part, other=0).to(tl.float32)[
        None, :
    ]
    at = out + (sample * t + row)[:, None] * out_stride + column[None, :]
    tl.store(at, total.to(out.dtype.element_ty), mask=in_rows & in_columns)


@triton.jit
def within(value, low, high):
    """Clip a value; NaN stays."""
    return tl.where(value != value, value, tl.minimum(tl.maximum(value, low), high))


@triton.jit
def smoothed(
    patch,  # (CELLS, CELLS), of which PH x PW count
    rows,  # (3, PH), what smooths a row and its neighbours; see heatmaps.Tables
    columns,  # (PW, 3)
    low,
    high,
    DOWN: tl.constexpr,  # 0 to 2: which neighbour of the highest cell
    RIGHT: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
):
    """Return a neighbour of the highest cell in the smoothed map, clipped."""
    i = tl.arange(0, CELLS)
    by_row = tl.load(rows + DOWN * PH + i, mask=i < PH, other=0)
    by_column = tl.load(columns + i * 3 + RIGHT, mask=i < PW, other=0)
    smooth = tl.sum(tl.sum(patch * by_row[:, None], 0) * by_column, 0)
    return within(smooth, low, high)


@triton.jit
def decode(
    maps,  # (m, h w)
    cells,  # (h w, 3) int64, as in heatmaps.Tables
    rows,  # (h, 3, PH) float32
    columns,  # (w, PW, 3) float32
    out,  # (m, 3) float32, rows out_stride apart: x, y in cells, score
    h,
    w,
    out_stride,
    lowest,
    highest,
    largest_step,
    eps,
    flat,  # of the determinant: what rounding alone makes
    UDP: tl.constexpr,
    PH: tl.constexpr,  # height and width of a patch
    PW: tl.constexpr,
    BLOCK: tl.constexpr,  # the next power of two from h w
):
    """Find the peak of a map: its highest cell, refined by DARK (UDP) or by a quarter cell."""
    number = tl.program_id(0).to(tl.int64)
    start = maps + number * h * w
    i = tl.arange(0, BLOCK)
    values = tl.load(start + i, mask=i < h * w, other=float('-inf')).to(tl.float32)
    strange = tl.max((values != values).to(tl.int32), 0) > 0
    best = tl.argmax(tl.where(values != values, float('-inf'), values), 0)
    score = tl.load(start + best).to(tl.float32)
    x = tl.load(cells + best * 3).to(tl.int32)
    y = tl.load(cells + best * 3 + 1).to(tl.int32)
    if UDP:
        corner = tl.load(cells + best * 3 + 2)
        i = tl.arange(0, CELLS)
        inside = (i < PH)[:, None] & (i < PW)[None, :]
        at = start + corner + i[:, None] * w + i[None, :]
        patch = tl.load(at, mask=inside, other=0).to(tl.float32)
        of_row = rows + y * 3 * PH
        of_column = columns + x * PW * 3
        middle = smoothed(patch, of_row, of_column, lowest, highest, 1, 1, PH, PW)
        upper_left = smoothed(patch, of_row, of_column, lowest, highest, 0, 0, PH, PW)
        upper = smoothed(patch, of_row, of_column, lowest, highest, 0, 1, PH, PW)
        left = smoothed(patch, of_row, of_column, lowest, highest, 1, 0, PH, PW)
        right = smoothed(patch, of_row, of_column, lowest, highest, 1, 2, PH, PW)
        lower = smoothed(patch, of_row, of_column, lowest, highest, 2, 1, PH, PW)
        lower_right = smoothed(patch, of_row, of_column, lowest, highest, 2, 2, PH, PW)
        # Logarithms less that of the middle: the same differences, of smaller numbers.
        upper_left, lower_right = tl.log(upper_left / middle), tl.log(lower_right / middle)
        left, right = tl.log(left / middle), tl.log(right / middle)
        upper, lower = tl.log(upper / middle), tl.log(lower / middle)
        dx, dy = 0.5 * (right - left), 0.5 * (lower - upper)
        dxx, dyy = right + left + eps, lower + upper + eps
        dxy = 0.5 * (upper_left - upper - left - right - lower + lower_right)
        determinant = dxx * dyy - dxy * dxy
        refined = (tl.abs(determinant) > flat) & (score > 0)
        safe = tl.where(refined, determinant, 1.0)
        step_x = within((dyy * dx - dxy * dy) / safe, -largest_step, largest_step)
        step_y = within((dxx * dy - dxy * dx) / safe, -largest_step, largest_step)
        to_x = tl.where(refined, x - step_x, x.to(tl.float32))
        to_y = tl.where(refined, y - step_y, y.to(tl.float32))
    else:
        row = start + y * w
        before = tl.load(row + tl.maximum(x - 1, 0)).to(tl.float32)
        behind = tl.load(row + tl.minimum(x + 1, w - 1)).to(tl.float32)
        above = tl.load(start + tl.maximum(y - 1, 0) * w + x).to(tl.float32)
        below = tl.load(start + tl.minimum(y + 1, h - 1) * w + x).to(tl.float32)
        inside = (x > 1) & (x < w - 1) & (y > 1) & (y < h - 1) & (score > 0)
        quarter = tl.where(inside, 0.25, 0.0)
        to_x = x + quarter * ((behind > before).to(tl.float32) - (behind < before).to(tl.float32))
        to_y = y + quarter * ((below > above).to(tl.float32) - (below < above).to(tl.float32))
    nan = float('nan')
    at = out + number * out_stride
    tl.store(at, tl.where(strange, nan, to_x))
    tl.store(at + 1, tl.where(strange, nan, to_y))
    tl.store(at + 2, tl.where(strange, nan, score))
