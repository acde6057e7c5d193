"""Crops against plain loops over the formulas."""

import math

import numpy as np
import pytest
import torch

from vitpose_ros.core import Frame
from vitpose_ros.core.crops import crop_regions, extract_crops, heatmap_to_image, normalise

SIZE = (256, 192)


def slow_region(box):
    """Box to padded region, as the reference code states it for one box."""
    x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
    if w > 0.75 * h:
        h = w / 0.75
    elif w < 0.75 * h:
        w = 0.75 * h
    w, h = 1.25 * w, 1.25 * h
    return (box[0] + box[2]) / 2 - w / 2, (box[1] + box[3]) / 2 - h / 2, w, h, x, y


def slow_crop_pixel(image, region, column, row):
    """Bilinear sample, black outside, of one pixel; and whether no black is mixed in."""
    left, top, width, height = region[:4]
    x = left + column * width / (SIZE[1] - 1)
    y = top + row * height / (SIZE[0] - 1)
    whole = 0 <= x < image.shape[1] - 1 and 0 <= y < image.shape[0] - 1
    value = np.zeros(3)
    for iy in (math.floor(y), math.floor(y) + 1):
        for ix in (math.floor(x), math.floor(x) + 1):
            if 0 <= iy < image.shape[0] and 0 <= ix < image.shape[1]:
                value += image[iy, ix] * (1 - abs(y - iy)) * (1 - abs(x - ix))
    return value, whole


@pytest.fixture
def image():
    # Smooth, so that OpenCV's fixed-point positions matter little.
    y, x = np.mgrid[0:120, 0:160]
    channels = [120 + 60 * np.sin(x / 9 + k) + 50 * np.cos(y / 7 - k) for k in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


BOXES = np.array(
    [[40, 20, 100, 110], [10.5, 30.25, 150.75, 60.5], [-30, -20, 50, 70], [120, 80, 200, 200]],
    dtype=np.float32,
)


def test_crops_equal_a_slow_reference(image):
    regions = crop_regions(BOXES, SIZE)
    crops = extract_crops(Frame(image, BOXES), regions, SIZE)
    random = np.random.default_rng(0)
    inside, border = [], []
    for box, region, crop in zip(BOXES.astype(float), regions, crops, strict=True):
        expected_region = slow_region(box)
        assert np.allclose(region, expected_region[:4], atol=1e-9)
        for column, row in random.integers(0, (SIZE[1], SIZE[0]), (400, 2)):
            expected, whole = slow_crop_pixel(image, expected_region, column, row)
            difference = np.abs(crop[row, column] - expected).max()
            (inside if whole else border).append(difference)
    assert np.mean(np.array(inside) <= 1.0) > 0.999
    # OpenCV 4 rounds positions to 1/32 pixel, which shows where black begins.
    assert max(border) <= 255 / 32


def test_the_corners_of_the_crop_lie_on_the_corners_of_the_region():
    regions = crop_regions(BOXES, SIZE)
    corners = np.array([[0, 0], [47, 63]], dtype=np.float32)  # first and last heatmap cell
    mapped = heatmap_to_image(np.broadcast_to(corners, (4, 2, 2)), regions, (64, 48))
    assert np.allclose(mapped[:, 0], regions[:, :2], atol=1e-4)
    assert np.allclose(mapped[:, 1], regions[:, :2] + regions[:, 2:], atol=1e-4)


@pytest.mark.parametrize('channels', ['rgb', 'bgr', 'rgba', 'bgra', 'mono'])
def test_every_channel_order_gives_rgb_crops(channels, image):
    grey = image[..., 0]
    rgb = np.repeat(grey[..., None], 3, axis=2) if channels == 'mono' else image
    stored = {
        'rgb': image,
        'bgr': image[..., ::-1].copy(),
        'rgba': np.dstack((image, grey)),
        'bgra': np.dstack((image[..., ::-1], grey)),
        'mono': grey.copy(),
    }[channels]
    regions = crop_regions(BOXES, SIZE)
    expected = extract_crops(Frame(rgb, BOXES), regions, SIZE)
    assert np.array_equal(extract_crops(Frame(stored, BOXES, channels), regions, SIZE), expected)


def test_padded_rows_are_read_where_they_lie(image):
    padded = np.full((120, 160 * 3 + 25), 255, dtype=np.uint8)
    padded[:, : 160 * 3] = image.reshape(120, -1)
    view = np.ndarray((120, 160, 3), np.uint8, buffer=padded.data, strides=(505, 3, 1))
    regions = crop_regions(BOXES, SIZE)
    expected = extract_crops(Frame(image, BOXES), regions, SIZE)
    assert np.array_equal(extract_crops(Frame(view, BOXES), regions, SIZE), expected)


def test_normalisation_uses_the_statistics_of_imagenet():
    crops = torch.zeros(1, 2, 3, 3, dtype=torch.uint8)
    crops[0, 1, 2] = torch.tensor([255, 0, 128])
    out = normalise(crops)
    assert out.shape == (1, 3, 2, 3)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (128 / 255 - 0.406) / 0.225]
    assert torch.allclose(out[0, :, 1, 2], torch.tensor(expected), atol=1e-6)


@pytest.mark.parametrize('box', [[0, 0, 1e6, 1e6], [5, 5, 5.001, 5.001], [-1e5, 3, 1e5, 4]])
def test_extreme_boxes_still_give_a_crop(box, image):
    boxes = np.array([box], dtype=np.float32)
    regions = crop_regions(boxes, SIZE)
    assert np.isfinite(regions).all()
    assert extract_crops(Frame(image, boxes), regions, SIZE).shape == (1, 256, 192, 3)
