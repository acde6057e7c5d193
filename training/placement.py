"""A view of a person on its way into a sample: mirrored, cut, boxed, placed and blended in."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenery import SIZE, point
from vitpose_ros.core.geometry.crops import crop_regions
from world.bodies import NAMES
from world.views import View

Array = NDArray[Any]
Random = np.random.Generator


def _flip_order() -> list[int]:
    swap = {'left': 'right', 'right': 'left'}
    other = [
        name.replace(name.split('_')[0], swap[name.split('_')[0]], 1)
        if name.split('_')[0] in swap
        else name
        for name in NAMES
    ]
    return [NAMES.index(name) for name in other]


FLIP = _flip_order()


def mirrored_keypoints(view: View) -> Array:
    """Return the keypoints of a view as seen in the mirror, (n, 3)."""
    keypoints = view.keypoints[FLIP]
    keypoints[:, 0] = view.person.shape[1] - 1 - keypoints[:, 0]
    return keypoints


def mirror(width: int, flipped: bool) -> Array:
    """Return what mirrors a view, or the identity: (3, 3)."""
    if not flipped:
        return np.eye(3)
    return np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1.0]])


def edges_of(view: View, flipped: bool) -> Array | None:
    """Return where the image ends, as seen in the mirror if flipped."""
    if view.edges is None or not flipped:
        return view.edges
    width = view.person.shape[1]
    left, top, right, bottom = view.edges
    return np.array([width - right, top, width - left, bottom])


def within(window: Array | None, edges: Array | None) -> Array | None:
    """Return what of a window lies within edges; None: without an end."""
    if window is None or edges is None:
        return edges if window is None else window
    return np.concatenate((np.maximum(window[:2], edges[:2]), np.minimum(window[2:], edges[2:])))


def box_of(view: View, flipped: bool, window: Array | None) -> Array:
    """Return the box of what the image shows of a person, in pixels of the view."""
    mask = view.person
    if flipped:
        mask = mask[:, ::-1]
    if window is not None:
        height, width = mask.shape
        x_min, y_min = (max(0, int(c)) for c in window[:2])
        x_max, y_max = (int(min(c, n)) for c, n in zip(window[2:], (width, height), strict=True))
        kept = np.zeros_like(mask)
        kept[y_min:y_max, x_min:x_max] = mask[y_min:y_max, x_min:x_max]
        if kept.sum() > 0.08 * mask.sum():
            mask = kept
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


def loosened(rng: Random, box: Array) -> Array:
    """Return a box as a detector gives it: shifted, too small or too large."""
    extent = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    kind = rng.random()
    if kind < 0.6:
        shift = rng.normal(0, 0.06, 4)
    elif kind < 0.85:
        shift = rng.uniform(0, 0.22, 4) * [-1, -1, 1, 1]
    else:
        shift = rng.uniform(0.1, 0.4, 4) * [-1, -1, 1, 1]
    return box + shift * extent


def half_body(rng: Random, keypoints: Array, box: Array) -> Array:
    """Return a box around the upper or the lower body alone."""
    rows = range(11) if rng.random() < 0.65 else range(11, 17)
    points = keypoints[list(rows), :2]
    low, high = points.min(axis=0), points.max(axis=0)
    pad = 0.15 * max(high - low) + 4
    half = np.concatenate((low - pad, high + pad))
    return np.array(half if min(high - low) > 12 else box)


def placement(rng: Random, box: Array, udp: bool, *, turned: bool) -> Array:
    """Return what maps pixels of the view to those of the crop, (2, 3)."""
    left, top, width, height = crop_regions(box[None].astype(np.float32), SIZE)[0]
    centre = np.array([left + width / 2, top + height / 2])
    angle, zoom = 0.0, 1.0
    if turned:
        angle = float(np.clip(rng.normal(0, 18), -45, 45)) if rng.random() < 0.6 else 0.0
        zoom = float(np.clip(np.exp(rng.normal(0, 0.16)), 0.65, 1.45))
    span = np.array(SIZE[::-1], float) - (1 if udp else 0)
    scale = span[0] / width * zoom
    c, s = np.cos(np.radians(angle)) * scale, np.sin(np.radians(angle)) * scale
    rotation = np.array([[c, -s], [s, c]])
    return np.column_stack((rotation, span / 2 - rotation @ centre))


def warped(view: View, matrix: Array, size: tuple[int, int] = SIZE) -> Array:
    """Return a view in its place in a picture of a size: (h, w, 4) uint8."""
    picture = view.picture
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    while scale < 0.6 and min(picture.shape[:2]) > 16:
        half = (picture.shape[1] // 2, picture.shape[0] // 2)
        ratio = np.array([picture.shape[1] / half[0], picture.shape[0] / half[1]])
        picture = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
        # Positions are those of pixel centres.
        shift = matrix[:, :2] @ ((ratio - 1) / 2)
        matrix = np.column_stack((matrix[:, :2] * ratio, matrix[:, 2] + shift))
        scale *= float(ratio.mean())
    return cv2.warpAffine(picture, matrix, size[::-1], flags=cv2.INTER_LINEAR)


def blend(image: Array, layer: Array, gain: Array) -> None:
    """Put a layer (h, w, 4) with a gain for each colour over an image, in place."""
    rows = np.nonzero(layer[..., 3].any(axis=1))[0]
    if len(rows) == 0:
        return
    part = slice(rows[0], rows[-1] + 1)
    alpha = layer[part, :, 3:].astype(np.float32) / 255
    colour = layer[part, :, :3] * gain
    image[part] = np.clip(image[part] * (1 - alpha) + colour, 0, 255)


def draw_shadow(rng: Random, image: Array, matrix: Array, view: View, keypoints: Array) -> None:
    """Darken the ground below the feet, in place."""
    feet = keypoints[15:17, :2].mean(axis=0) if rng.random() < 0.8 else keypoints[15, :2]
    feet = matrix[:, :2] @ [feet[0], view.ground - 2] + matrix[:, 2]
    size = np.linalg.norm(matrix[:, 0]) * view.person.shape[0]
    mask = np.zeros(image.shape[:2], np.uint8)
    axes = point(size * rng.uniform(0.08, 0.25) + 1, size * rng.uniform(0.015, 0.06) + 1)
    cv2.ellipse(mask, point(*feet), axes, rng.normal(0, 6), 0, 360, int(rng.uniform(60, 180)), -1)
    soft = cv2.GaussianBlur(mask, (0, 0), 1.5 + size * 0.012)[..., None].astype(np.float32) / 255
    image[:] = image * (1 - soft)


def outside(matrix: Array, window: Array) -> Array:
    """Return which pixels of the crop lie outside the image, (h, w) bool."""
    x_min, y_min, x_max, y_max = window
    corners = np.array([[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]])
    mapped = corners @ matrix[:, :2].T + matrix[:, 2]
    mask = np.ones(SIZE, np.uint8)
    cv2.fillConvexPoly(mask, mapped.round().astype(np.int32), 0)
    return mask.astype(bool)
