"""The reference code's steps for one box and one heatmap, written from the formulas with loops."""

import math

import numpy as np


def region(box, size):
    """Box (x_min, y_min, x_max, y_max) to centre and padded size in pixels."""
    x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
    aspect = size[1] / size[0]
    if w > aspect * h:
        h = w / aspect
    elif w < aspect * h:
        w = h * aspect
    centre = (x + (box[2] - box[0]) / 2, y + (box[3] - box[1]) / 2)
    return centre, (1.25 * w, 1.25 * h)


def crop_matrix(box, size, *, udp):
    """Return the (2, 3) matrix from image to crop pixels."""
    (cx, cy), (w, h) = region(box, size)
    if udp:
        sx, sy = (size[1] - 1) / w, (size[0] - 1) / h
        return np.array([[sx, 0, sx * (w / 2 - cx)], [0, sy, sy * (h / 2 - cy)]])
    # From three points: the centre, the middle of the top, and one turned by 90 degrees.
    source = [(cx, cy), (cx, cy - w / 2), (cx - w / 2, cy - w / 2)]
    half = size[1] / 2
    x, y = size[1] / 2, size[0] / 2
    target = [(x, y), (x, y - half), (x - half, y - half)]
    return np.linalg.solve([[*point, 1] for point in source], target).T


def crop_pixel(image, matrix, column, row):
    """Interpolate one pixel of a crop, black beyond the image; tell whether no black is in it."""
    x, y = np.linalg.solve(matrix[:, :2], np.array([column, row]) - matrix[:, 2])
    value = np.zeros(image.shape[2])
    for iy in (math.floor(y), math.floor(y) + 1):
        for ix in (math.floor(x), math.floor(x) + 1):
            if 0 <= iy < image.shape[0] and 0 <= ix < image.shape[1]:
                value += image[iy, ix] * (1 - abs(y - iy)) * (1 - abs(x - ix))
    return value, 0 <= x < image.shape[1] - 1 and 0 <= y < image.shape[0] - 1


def blur(heatmap, sigma_x=2.0, sigma_y=2.0):
    """Smooth with 11 x 11 taps, mirrored at the border without its outermost value."""
    h, w = heatmap.shape

    def gaussian_taps(sigma):
        taps = [math.exp(-(t**2) / (2 * sigma**2)) for t in range(-5, 6)]
        return [t / sum(taps) for t in taps]

    def mirror(index, size):
        while not 0 <= index < size:
            index = -index if index < 0 else 2 * (size - 1) - index
        return index

    rows = np.zeros_like(heatmap)
    for y in range(h):
        for t, tap in enumerate(gaussian_taps(sigma_y)):
            rows[y] += tap * heatmap[mirror(y + t - 5, h)]
    out = np.zeros_like(heatmap)
    for x in range(w):
        for t, tap in enumerate(gaussian_taps(sigma_x)):
            out[:, x] += tap * rows[:, mirror(x + t - 5, w)]
    return out


def decode(heatmap, *, udp, hybrid=False):
    """Return x and y in cells, and the score, of one heatmap.

    hybrid: along each axis, sigma 0.8 where the peak is less than five cells from the border.
    """
    heatmap = heatmap.astype(np.float64)
    h, w = heatmap.shape
    y, x = np.unravel_index(np.argmax(heatmap), heatmap.shape)
    score = heatmap.max()
    if not udp:
        px, py = float(x), float(y)
        if 1 < x < w - 1 and 1 < y < h - 1:
            px += 0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
            py += 0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
        return np.array([px, py]), score

    sigma_x = 0.8 if hybrid and min(x, w - 1 - x) < 5 else 2.0
    sigma_y = 0.8 if hybrid and min(y, h - 1 - y) < 5 else 2.0
    log = np.log(np.clip(blur(heatmap, sigma_x, sigma_y), 0.001, 50))

    def at(dy, dx):
        return log[min(max(y + dy, 0), h - 1), min(max(x + dx, 0), w - 1)]

    gradient = np.array([(at(0, 1) - at(0, -1)) / 2, (at(1, 0) - at(-1, 0)) / 2])
    dxx = at(0, 1) - 2 * at(0, 0) + at(0, -1)
    dyy = at(1, 0) - 2 * at(0, 0) + at(-1, 0)
    dxy = (at(1, 1) - at(0, 1) - at(1, 0) + 2 * at(0, 0) - at(0, -1) - at(-1, 0) + at(-1, -1)) / 2
    hessian = np.array([[dxx, dxy], [dxy, dyy]]) + 1.1920929e-07 * np.eye(2)
    step = np.linalg.solve(hessian, gradient)
    return np.array([x, y]) - np.clip(step, -2, 2), score


def to_image(point, box, crop_size, *, udp):
    """Map a point in heatmap cells to image pixels."""
    (cx, cy), (w, h) = region(box, crop_size)
    columns, rows = crop_size[1] // 4, crop_size[0] // 4
    if udp:
        columns, rows = columns - 1, rows - 1
    return np.array([point[0] * w / columns + cx - w / 2, point[1] * h / rows + cy - h / 2])


def gaussian(x, y, *, size=(64, 48), covariance=((4, 0), (0, 4)), amplitude=0.9):
    """Draw a Gaussian at x, y into a heatmap of the given height and width."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    away = np.stack((columns - x, rows - y), axis=-1)
    distance = np.einsum('hwi,ij,hwj->hw', away, np.linalg.inv(covariance), away)
    return amplitude * np.exp(-distance / 2)
