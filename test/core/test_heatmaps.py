"""Decoding against a slow reference written from the formulas, with loops over whole maps."""

import math

import numpy as np
import pytest
import torch

from vitpose_ros.core.heatmaps import decode_dark_udp

H, W = 64, 48


def slow_blur(heatmap):
    taps = [math.exp(-(t**2) / 8) for t in range(-5, 6)]
    taps = [t / sum(taps) for t in taps]

    def mirror(index, size):
        while not 0 <= index < size:
            index = -index if index < 0 else 2 * (size - 1) - index
        return index

    rows = np.zeros_like(heatmap)
    for y in range(H):
        for t, tap in enumerate(taps):
            rows[y] += tap * heatmap[mirror(y + t - 5, H)]
    out = np.zeros_like(heatmap)
    for x in range(W):
        for t, tap in enumerate(taps):
            out[:, x] += tap * rows[:, mirror(x + t - 5, W)]
    return out


def slow_decode(heatmap):
    heatmap = heatmap.astype(np.float64)
    y, x = np.unravel_index(np.argmax(heatmap), heatmap.shape)
    log = np.log(np.clip(slow_blur(heatmap), 0.001, 50))

    def at(dy, dx):
        return log[min(max(y + dy, 0), H - 1), min(max(x + dx, 0), W - 1)]

    gradient = np.array([(at(0, 1) - at(0, -1)) / 2, (at(1, 0) - at(-1, 0)) / 2])
    dxx = at(0, 1) - 2 * at(0, 0) + at(0, -1)
    dyy = at(1, 0) - 2 * at(0, 0) + at(-1, 0)
    dxy = (at(1, 1) - at(0, 1) - at(1, 0) + 2 * at(0, 0) - at(0, -1) - at(-1, 0) + at(-1, -1)) / 2
    hessian = np.array([[dxx, dxy], [dxy, dyy]]) + 1.1920929e-07 * np.eye(2)
    return np.array([x, y]) - np.linalg.solve(hessian, gradient), heatmap.max()


def gaussian(x, y, *, sigma=2.0, amplitude=0.9):
    rows, columns = np.mgrid[0:H, 0:W]
    return amplitude * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def test_decoding_equals_the_slow_reference():
    random = np.random.default_rng(1)
    places = random.uniform((0, 0), (W - 1, H - 1), (40, 2))  # also at the borders
    maps = np.stack([gaussian(x, y) + random.normal(0, 0.01, (H, W)) for x, y in places])
    points, scores = decode_dark_udp(torch.from_numpy(maps.astype(np.float32))[None])
    for heatmap, point, score in zip(maps, points[0].numpy(), scores[0].numpy(), strict=True):
        expected, height = slow_decode(heatmap.astype(np.float32))
        assert np.abs(point - expected).max() < 1e-3
        assert score == pytest.approx(height, abs=1e-6)


def test_a_gaussian_is_found_at_its_centre():
    random = np.random.default_rng(2)
    places = random.uniform((8, 8), (W - 9, H - 9), (50, 2))
    maps = np.stack([gaussian(x, y) for x, y in places]).astype(np.float32)
    points, _ = decode_dark_udp(torch.from_numpy(maps)[None])
    assert np.abs(points[0].numpy() - places).max() < 0.01  # cells


def test_flat_and_negative_maps_stay_on_the_map():
    maps = torch.stack(
        (
            torch.zeros(H, W),
            torch.full((H, W), -0.3),
            torch.full((H, W), 100.0),
            torch.eye(H)[:, :W],
        )
    )
    points, scores = decode_dark_udp(maps[None])
    assert torch.isfinite(points).all()
    assert (
        (points >= -2).all()
        and (points[..., 0] <= W + 1).all()
        and (points[..., 1] <= H + 1).all()
    )
    assert scores[0].tolist() == pytest.approx([0, -0.3, 100, 1])


def test_maps_with_nan_give_nan_and_spoil_no_other():
    maps = torch.from_numpy(np.stack([gaussian(20, 30), gaussian(20, 30)]).astype(np.float32))
    maps[0, 5, 5] = float('nan')
    points, scores = decode_dark_udp(maps[None])
    assert torch.isnan(points[0, 0]).all() and torch.isnan(scores[0, 0])
    assert torch.allclose(points[0, 1], torch.tensor([20.0, 30.0]), atol=0.01)


def test_many_subjects_decode_like_few():
    random = torch.Generator().manual_seed(3)
    maps = torch.rand(320, 17, H, W, generator=random)
    points, scores = decode_dark_udp(maps)
    for index in (0, 150, 319):
        alone, alone_scores = decode_dark_udp(maps[index : index + 1])
        assert torch.allclose(points[index], alone[0], atol=1e-4)
        assert torch.equal(scores[index], alone_scores[0])


def test_no_subjects_give_no_points():
    points, scores = decode_dark_udp(torch.zeros(0, 17, H, W))
    assert points.shape == (0, 17, 2) and scores.shape == (0, 17)
