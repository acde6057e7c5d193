"""Crops against plain loops over the formulas, in both conventions."""

import cv2
import numpy as np
import pytest
import slow
import torch

from vitpose_ros.core import SKELETONS, Frame
from vitpose_ros.core.geometry import crops as crops_module
from vitpose_ros.core.geometry.crops import (
    Cuts,
    HostCrops,
    crop_regions,
    heatmap_to_image,
    normalise,
    sample_crops,
    spread_to_image,
)
from vitpose_ros.core.geometry.heatmaps import decode, heatmap_spread
from vitpose_ros.core.model.config import PUBLIC_UDP

SIZE = (256, 192)
EXACT = int(cv2.__version__.split('.')[0]) >= 5  # older ones round positions to 1/32 pixel

BOXES = np.array(
    [
        [40, 20, 100, 110],
        [10.5, 30.25, 150.75, 60.5],  # wide
        [70, 5, 80, 115],  # tall
        [-30, -20, 50, 70],  # beyond the image
        [120, 80, 200, 200],
        [60, 60, 64, 65],  # enlarged
    ],
    dtype=np.float32,
)


def smooth_image():
    y, x = np.mgrid[0:120, 0:160]
    channels = [120 + 60 * np.sin(x / 9 + k) + 50 * np.cos(y / 7 - k) for k in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def noise_image():
    return np.random.default_rng(7).integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.fixture
def image():
    return smooth_image()


def extract_crops(frame, regions, size, udp):
    crops = HostCrops(size)
    crops.begin(len(regions))
    crops.cut(frame, Cuts(regions, udp, np.arange(len(regions))))
    return crops.batch().numpy()


def all_udp(value=True):
    return np.full(len(BOXES), value)


@pytest.mark.parametrize('udp', [True, False], ids=['udp', 'plain'])
@pytest.mark.parametrize(
    'make_image',
    [
        smooth_image,
        pytest.param(
            noise_image,
            marks=pytest.mark.skipif(not EXACT, reason='OpenCV rounds positions to 1/32 pixel'),
        ),
    ],
)
def test_crops_equal_a_slow_reference(make_image, udp):
    image = make_image()
    regions = crop_regions(BOXES, SIZE)
    crops = extract_crops(Frame(image, BOXES), regions, SIZE, all_udp(udp))
    random = np.random.default_rng(0)
    inside, border = [], []
    for box, region, crop in zip(BOXES.astype(float), regions, crops, strict=True):
        (cx, cy), (w, h) = slow.region(box, SIZE)
        assert np.allclose(region, (cx - w / 2, cy - h / 2, w, h), atol=1e-9)
        matrix = slow.crop_matrix(box, SIZE, udp=udp)
        for column, row in random.integers(0, (SIZE[1], SIZE[0]), (2000, 2)):
            expected, whole = slow.crop_pixel(image, matrix, column, row)
            difference = np.abs(crop[row, column] - expected).max()
            (inside if whole else border).append(difference)
    assert np.mean(np.array(inside) <= 1.0) > 0.999
    if EXACT:
        assert np.mean(np.array(border) <= 1.0) > 0.999
    else:  # the rounding shows where black begins
        assert max(border) <= 255 / 32


def test_a_frame_may_mix_conventions(image):
    regions = crop_regions(BOXES, SIZE)
    udp = np.arange(len(BOXES)) % 2 == 0
    mixed = extract_crops(Frame(image, BOXES), regions, SIZE, udp)
    for value in (True, False):
        alone = extract_crops(Frame(image, BOXES), regions, SIZE, all_udp(value))
        assert np.array_equal(mixed[udp == value], alone[udp == value])
        assert not np.array_equal(mixed[udp != value], alone[udp != value])


def test_the_corners_of_the_crop_lie_on_the_corners_of_the_region():
    """Unbiased: the outermost cell centres. Plain: the outermost cell edges."""
    regions = crop_regions(BOXES, SIZE)
    for udp, last in ((True, [47, 63]), (False, [48, 64])):
        corners = np.broadcast_to(np.array([[0, 0], last], dtype=np.float32), (len(BOXES), 2, 2))
        mapped = heatmap_to_image(corners, regions, (64, 48), all_udp(udp))
        assert np.allclose(mapped[:, 0], regions[:, :2], atol=1e-4)
        assert np.allclose(mapped[:, 1], regions[:, :2] + regions[:, 2:], atol=1e-4)


@pytest.mark.parametrize('name', SKELETONS)
def test_keypoints_in_the_image_equal_a_slow_reference(name):
    """Decoding and mapping back together, with noise and near the borders."""
    skeleton = SKELETONS[name]
    random = np.random.default_rng(3)
    low, high = random.uniform((-50, -80), (1800, 1000), (4, 2)), random.uniform(20, 900, (4, 2))
    boxes = np.concatenate((low, low + high), axis=1).astype(np.float32)
    maps = np.stack(
        [
            slow.gaussian(*random.uniform((-0.4, -0.4), (47.4, 63.4)))
            for _ in range(4 * len(skeleton))
        ]
    )
    maps = (maps + random.normal(0, 0.01, maps.shape)).astype(np.float32)
    maps = maps.reshape(4, len(skeleton), 64, 48)
    points, scores = decode(torch.from_numpy(maps), udp=(skeleton.name in PUBLIC_UDP))
    udp = np.full(4, (skeleton.name in PUBLIC_UDP))
    found = heatmap_to_image(points.numpy(), crop_regions(boxes, SIZE), (64, 48), udp)
    for i, box in enumerate(boxes.astype(float)):
        for k in range(len(skeleton)):
            point, score = slow.decode(maps[i, k], udp=(skeleton.name in PUBLIC_UDP))
            expected = slow.to_image(point, box, SIZE, udp=(skeleton.name in PUBLIC_UDP))
            assert np.abs(found[i, k] - expected).max() < 1e-3
            assert scores[i, k] == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize('name', SKELETONS)
@pytest.mark.parametrize('size', [(256, 192), (384, 288)])
def test_a_peak_comes_back_to_its_place_in_the_image(name, size):
    """A point is put into the crop by the crop's matrix, and its heatmap's peak found again.

    The quarter shift knows no places but whole and quarter cells; the plain sets are trained on
    Gaussians at whole cells, so their peaks are drawn where it can find them.
    """
    skeleton = SKELETONS[name]
    random = np.random.default_rng(4)
    cells = size[0] // 4, size[1] // 4
    for box in ([200, 100, 380, 560], [40, 300, 640, 420]):
        matrix = slow.crop_matrix(box, size, udp=(skeleton.name in PUBLIC_UDP))
        places = random.uniform((10, 10), (cells[1] - 11, cells[0] - 11), (20, 2))
        if skeleton.name not in PUBLIC_UDP:
            places = places.round() + random.choice((-0.25, 0, 0.25), places.shape)
        # Heatmap cells to crop pixels: intervals to intervals, or pixels to pixels.
        stretch = np.array([(size[1] - 1) / (cells[1] - 1), (size[0] - 1) / (cells[0] - 1)])
        crop_points = places * (stretch if (skeleton.name in PUBLIC_UDP) else 4)
        truth = np.linalg.solve(matrix[:, :2], (crop_points - matrix[:, 2]).T).T
        maps = np.stack([slow.gaussian(x, y, size=cells) for x, y in places]).astype(np.float32)
        points, _ = decode(torch.from_numpy(maps)[None], udp=(skeleton.name in PUBLIC_UDP))
        regions = crop_regions(np.array([box], dtype=np.float32), size)
        udp = np.array([(skeleton.name in PUBLIC_UDP)])
        [found] = heatmap_to_image(points.numpy(), regions, cells, udp)
        assert np.abs(found - truth).max() < 0.05  # pixels


@pytest.mark.parametrize('udp', [True, False], ids=['udp', 'plain'])
def test_a_spread_comes_back_in_pixels(udp):
    true = np.array([[6.0, 1.5], [1.5, 3.0]])  # cells
    box = np.array([[100, 50, 500, 450]], dtype=np.float32)
    regions = crop_regions(box, SIZE)
    points = np.array([[24.3, 30.8]])
    heatmap = torch.from_numpy(slow.gaussian(*points[0], covariance=true).astype(np.float32))
    cells = heatmap_spread(heatmap[None, None], torch.from_numpy(points[None]))
    [[found]] = spread_to_image(cells.numpy(), regions, (64, 48), np.array([udp]))
    _, (w, h) = slow.region(box[0].astype(float), SIZE)
    cell = np.diag([w / (47 if udp else 48), h / (63 if udp else 64)])
    expected = cell @ true @ cell
    assert np.abs(found - expected).max() < 0.02 * expected.max()


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
    expected = extract_crops(Frame(rgb, BOXES), regions, SIZE, all_udp())
    crops = extract_crops(Frame(stored, BOXES, channels), regions, SIZE, all_udp())
    assert np.array_equal(crops, expected)


@pytest.mark.parametrize('channels', ['rgb', 'bgr'])
def test_a_fourth_channel_changes_nothing(channels, image, monkeypatch):
    regions = crop_regions(BOXES, SIZE)
    frame = Frame(image, BOXES, channels)
    expected = extract_crops(frame, regions, SIZE, all_udp())
    monkeypatch.setattr(crops_module, 'WIDENED_PIXELS', 0)
    assert np.array_equal(extract_crops(frame, regions, SIZE, all_udp()), expected)


@pytest.mark.parametrize('channels', ['rgb', 'bgr', 'rgba'])
def test_no_full_frame_is_copied(channels, monkeypatch):
    """Neither for many small subjects nor for one that fills a 1080p frame."""
    image = np.zeros((1080, 1920, len(channels)), np.uint8)
    boxes = np.array([[0, 0, 1920, 1080], [100, 0, 1800, 1080], [5, 5, 90, 200]], np.float32)
    sizes = []

    def spy(function):
        def call(source, *arguments, **options):
            result = function(source, *arguments, **options)
            sizes.append(result.shape[0] * result.shape[1])
            return result

        return call

    monkeypatch.setattr(crops_module.cv2, 'cvtColor', spy(cv2.cvtColor))
    monkeypatch.setattr(crops_module.cv2, 'warpAffine', spy(cv2.warpAffine))
    extract_crops(Frame(image, boxes, channels), crop_regions(boxes, SIZE), SIZE, np.full(3, True))
    assert max(sizes) < 0.25 * 1080 * 1920


@pytest.mark.skipif(not EXACT, reason='OpenCV rounds positions to 1/32 pixel')
@pytest.mark.parametrize('udp', [True, False], ids=['udp', 'plain'])
@pytest.mark.parametrize('channels', ['rgb', 'bgr', 'rgba', 'bgra', 'mono'])
def test_crops_sampled_on_a_device_equal_those_of_opencv(channels, udp):
    image = np.random.default_rng(1).integers(
        0, 256, (120, 160, *{'mono': ()}.get(channels, (len(channels),))), dtype=np.uint8
    )
    regions = crop_regions(BOXES, SIZE)
    expected = extract_crops(Frame(image, BOXES, channels), regions, SIZE, all_udp(udp))
    found = sample_crops(torch.from_numpy(image), channels, regions, all_udp(udp), SIZE)
    assert found.shape == expected.shape and found.dtype == torch.uint8
    difference = np.abs(found.numpy().astype(int) - expected)
    assert np.mean(difference <= 1) > 0.9999


@pytest.mark.parametrize('shape', [(1, 1), (1, 40), (40, 1)])
def test_images_of_a_row_or_a_column_can_be_sampled(shape):
    image = np.full((*shape, 3), 200, np.uint8)
    regions = np.array([[-4.0, -4.0, shape[1] + 8.0, shape[0] + 8.0]])
    udp = np.array([True])
    expected = extract_crops(Frame(image, [[0, 0, *shape[::-1]]]), regions, SIZE, udp)
    found = sample_crops(torch.from_numpy(image), 'rgb', regions, udp, SIZE)
    assert expected.max() > 150
    difference = np.abs(found.numpy().astype(int) - expected)
    assert np.mean(difference <= (1 if EXACT else 200 / 32)) > 0.999


def test_padded_rows_are_read_where_they_lie(image):
    padded = np.full((120, 160 * 3 + 25), 255, dtype=np.uint8)
    padded[:, : 160 * 3] = image.reshape(120, -1)
    view = np.ndarray((120, 160, 3), np.uint8, buffer=padded.data, strides=(505, 3, 1))
    regions = crop_regions(BOXES, SIZE)
    expected = extract_crops(Frame(image, BOXES), regions, SIZE, all_udp())
    assert np.array_equal(extract_crops(Frame(view, BOXES), regions, SIZE, all_udp()), expected)


def test_normalisation_uses_the_statistics_of_imagenet():
    crops = torch.zeros(1, 2, 3, 3, dtype=torch.uint8)
    crops[0, 1, 2] = torch.tensor([255, 0, 128])
    out = normalise(crops)
    assert out.shape == (1, 3, 2, 3)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (128 / 255 - 0.406) / 0.225]
    assert torch.allclose(out[0, :, 1, 2], torch.tensor(expected), atol=1e-6)


def test_normalisation_uses_the_memory_that_it_is_given():
    crops = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    out = torch.full((3, 4, 5, 3), 7.0)
    assert torch.equal(normalise(crops, out), normalise(crops))
    assert torch.equal(out[:2].permute(0, 3, 1, 2), normalise(crops)) and (out[2] == 7).all()


def test_crops_go_to_their_places_in_memory_that_is_used_again(image):
    regions = crop_regions(BOXES, SIZE)
    expected = extract_crops(Frame(image, BOXES), regions, SIZE, all_udp())
    crops = HostCrops(SIZE)
    crops.begin(len(BOXES))
    memory = crops.batch().data_ptr()
    for _ in range(2):  # the second time over what is there
        crops.begin(4)
        crops.cut(Frame(image, BOXES[:3]), Cuts(regions[:3], all_udp()[:3], np.array([2, 0, 3])))
        crops.cut(Frame(255 - image, BOXES[4:5]), Cuts(regions[4:5], all_udp()[:1], np.array([1])))
        batch = crops.batch()
        assert batch.shape == (4, *SIZE, 3) and batch.data_ptr() == memory
        assert np.array_equal(batch[[2, 0, 3]].numpy(), expected[:3])


@pytest.mark.parametrize('udp', [True, False], ids=['udp', 'plain'])
@pytest.mark.parametrize('box', [[0, 0, 1e6, 1e6], [5, 5, 5.001, 5.001], [-1e5, 3, 1e5, 4]])
def test_extreme_boxes_still_give_a_crop(box, udp, image):
    boxes = np.array([box], dtype=np.float32)
    regions = crop_regions(boxes, SIZE)
    assert np.isfinite(regions).all()
    crops = extract_crops(Frame(image, boxes), regions, SIZE, np.array([udp]))
    assert crops.shape == (1, 256, 192, 3)
