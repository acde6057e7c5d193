"""Decoding against a slow reference written from the formulas, with loops over whole maps."""

import numpy as np
import pytest
import slow
import torch

from vitpose_ros.core import SKELETONS
from vitpose_ros.core.geometry.heatmaps import decode, decode_by, heatmap_spread, merge_flipped
from vitpose_ros.core.model.config import PUBLIC_UDP

H, W = 64, 48
BOTH = pytest.mark.parametrize('udp', [True, False], ids=['dark', 'quarter'])


def maps_of(*heatmaps):
    """Stack maps as those of one subject."""
    return torch.from_numpy(np.stack(heatmaps).astype(np.float32))[None]


@BOTH
@pytest.mark.parametrize('size', [(64, 48), (96, 72), (12, 9), (3, 40)])
def test_decoding_equals_the_slow_reference(udp, size):
    random = np.random.default_rng(1)
    places = random.uniform((0, 0), (size[1] - 1, size[0] - 1), (40, 2))  # also at the borders
    noise = random.normal(0, 0.01, (40, *size))
    maps = np.stack([slow.gaussian(x, y, size=size) for x, y in places]) + noise
    maps = maps.astype(np.float32)
    points, scores = decode(torch.from_numpy(maps)[None], udp=udp)
    for heatmap, point, score in zip(maps, points[0].numpy(), scores[0].numpy(), strict=True):
        expected, height = slow.decode(heatmap, udp=udp)
        assert np.abs(point - expected).max() < 1e-4
        assert score == pytest.approx(height, abs=1e-6)


def test_hybrid_decoding_equals_the_slow_reference():
    random = np.random.default_rng(5)
    maps = np.array(
        [
            slow.gaussian(*random.uniform((0, 0), (W, H))) + 0.02 * random.random((H, W))
            for _ in range(60)
        ],
        dtype=np.float32,
    )
    points, scores = decode(torch.from_numpy(maps[None]), udp=True, hybrid=True)
    narrow = 0
    for heatmap, point, score in zip(maps, points[0].numpy(), scores[0].numpy(), strict=True):
        expected, height = slow.decode(heatmap, udp=True, hybrid=True)
        assert np.allclose(point, expected, atol=1e-4) and score == np.float32(height)
        narrow += not np.allclose(slow.decode(heatmap, udp=True)[0], expected, atol=1e-3)
    assert 15 < narrow < 50


def test_hybrid_decoding_is_better_at_the_border_and_the_same_within():
    errors = {False: [], True: []}
    for x, y in [(2.4, 30.3), (45.2, 20.1), (20.7, 3.3), (44.6, 60.4)]:
        heatmap = torch.from_numpy(slow.gaussian(x, y)).float()[None, None]
        for hybrid, found in errors.items():
            point = decode(heatmap, udp=True, hybrid=hybrid)[0][0, 0].numpy()
            found.append(np.linalg.norm(point - (x, y)))
    assert max(errors[True]) < 0.05 < 0.2 < min(errors[False])
    inside = torch.from_numpy(slow.gaussian(20.3, 30.7)).float()[None, None]
    assert torch.equal(decode(inside, udp=True)[0], decode(inside, udp=True, hybrid=True)[0])


def test_the_quarter_shift_has_no_hybrid():
    maps = torch.rand(3, 5, H, W, generator=torch.Generator().manual_seed(0))
    assert torch.equal(decode(maps, udp=False)[0], decode(maps, udp=False, hybrid=True)[0])


def test_a_gaussian_is_found_at_its_centre():
    random = np.random.default_rng(2)
    places = random.uniform((8, 8), (W - 9, H - 9), (50, 2))
    points, _ = decode(maps_of(*(slow.gaussian(x, y) for x, y in places)), udp=True)
    assert np.abs(points[0].numpy() - places).max() < 0.01  # cells


def test_the_quarter_shift_goes_to_the_higher_neighbour():
    places = np.array([[20, 30], [20.2, 30.1], [19.9, 30], [20.4, 29.7]])
    points, _ = decode(maps_of(*(slow.gaussian(x, y) for x, y in places)), udp=False)
    assert points[0].tolist() == [[20, 30], [20.25, 30.25], [19.75, 30], [20.25, 29.75]]


def test_the_quarter_shift_keeps_off_the_border():
    """Not in the two outermost columns and rows on the low side, nor the outermost on the high."""
    for x, y, shifted in ((1, 30, False), (2, 30, True), (46, 30, True), (47, 30, False)):
        points, _ = decode(maps_of(slow.gaussian(x + 0.3, y + 0.3)), udp=False)
        assert points[0, 0].tolist() == ([x + 0.25, y + 0.25] if shifted else [x, y])
    for x, y, shifted in ((20, 1, False), (20, 2, True), (20, 62, True), (20, 63, False)):
        points, _ = decode(maps_of(slow.gaussian(x + 0.3, y + 0.3)), udp=False)
        assert points[0, 0].tolist() == ([x + 0.25, y + 0.25] if shifted else [x, y])


@BOTH
def test_flat_and_negative_maps_stay_on_the_map(udp):
    maps = torch.stack(
        (
            torch.zeros(H, W),
            torch.full((H, W), -0.3),
            torch.full((H, W), 100.0),
            torch.eye(H)[:, :W],
            torch.rand(H, W, generator=torch.Generator().manual_seed(0)) * 1e-6,
        )
    )
    points, scores = decode(maps[None], udp=udp)
    assert torch.isfinite(points).all()
    assert (points >= -2).all() and (points[..., 0] <= W + 1).all()
    assert (points[..., 1] <= H + 1).all()
    assert scores[0, :4].tolist() == pytest.approx([0, -0.3, 100, 1])
    assert points[0, 1].tolist() == [0, 0], 'not refined'


def test_the_newton_step_is_bounded():
    """Without a bound, the step from these maps leaves the map."""
    random = torch.Generator().manual_seed(5)
    maps = torch.rand(1, 500, H, W, generator=random)
    maps[..., 0] = 1 + maps[..., 0] / 1000
    points, _ = decode(maps, udp=True)
    x, y = maps.flatten(2).argmax(2) % W, maps.flatten(2).argmax(2) // W
    assert ((points - torch.stack((x, y), dim=-1)).abs() <= 2).all()


@BOTH
def test_maps_with_nan_give_nan_and_spoil_no_other(udp):
    maps = maps_of(slow.gaussian(20, 30), slow.gaussian(20, 30))
    maps[0, 0, 5, 5] = float('nan')
    points, scores = decode(maps, udp=udp)
    assert torch.isnan(points[0, 0]).all() and torch.isnan(scores[0, 0])
    assert torch.allclose(points[0, 1], torch.tensor([20.0, 30.0]), atol=0.01)


@pytest.mark.parametrize('size', [(H, W), (8, 6), (20, 9)], ids=str)
@pytest.mark.parametrize(('udp', 'hybrid'), [(True, False), (True, True), (False, False)])
def test_pytorch_decodes_like_numpy(size, udp, hybrid):
    """PyTorch decodes on other devices; here on the processor, so that it is tested anywhere."""
    h, w = size
    generator = torch.Generator().manual_seed(4)
    maps = torch.rand(60, h * w, generator=generator)
    maps[0], maps[1], maps[2], maps[3, 5] = 0, 0.7, maps[2] - 2, torch.nan
    # Peaks with noise; before them noise alone, whose curvature is that of rounding in float32.
    centres = torch.rand(30, 2, generator=generator) * torch.tensor([w - 1, h - 1])
    x, y = torch.arange(w) - centres[:, :1], torch.arange(h) - centres[:, 1:]
    peaks = torch.exp(-(y**2) / 8)[:, :, None] * torch.exp(-(x**2) / 8)[:, None]
    maps[30:] = 0.8 * peaks.flatten(1) + 0.02 * maps[30:]
    for some in (maps, maps[:0]):
        with np.errstate(all='ignore'):
            expected, best = decode_by(np, some.numpy(), size, udp=udp, hybrid=hybrid)
        points, scores = decode_by(torch, some, size, udp=udp, hybrid=hybrid)
        assert points.dtype == scores.dtype == torch.float32
        assert points.shape == (len(some), 2)
        alike = np.isclose(points.numpy(), expected, atol=1e-4, equal_nan=True)
        assert not len(some) or alike.mean() > 0.95
        assert np.allclose(points[30:].numpy(), expected[30:], atol=1e-5)
        assert np.array_equal(scores.numpy(), best, equal_nan=True)


@BOTH
def test_a_thousand_subjects_with_133_keypoints_decode_like_one(udp):
    """Flat indices reach 4 * 10^8, where float32 knows only every 32nd number."""
    random = torch.Generator().manual_seed(3)
    maps = torch.empty(1000, 133, H, W)
    noise = torch.rand(133, H, W, generator=random)
    for index, subject in enumerate(maps):
        subject.copy_(noise.roll((index % H, index * 7 % W), (1, 2)))
    points, scores = decode(maps, udp=udp)
    for index in range(1000):
        alone, alone_scores = decode(maps[index : index + 1], udp=udp)
        assert torch.allclose(points[index], alone[0], atol=1e-5)
        assert torch.equal(scores[index], alone_scores[0])


@BOTH
def test_no_subjects_give_no_points(udp):
    points, scores = decode(torch.zeros(0, 17, H, W), udp=udp)
    assert points.shape == (0, 17, 2) and scores.shape == (0, 17)
    assert heatmap_spread(torch.zeros(0, 17, H, W), points).shape == (0, 17, 2, 2)


@BOTH
def test_half_precision_maps_are_decoded_in_full(udp):
    maps = maps_of(slow.gaussian(20.3, 30.4)).bfloat16()
    points, scores = decode(maps, udp=udp)
    expected, _ = decode(maps.float(), udp=udp)
    assert torch.equal(points, expected) and scores.dtype == torch.float32


# Covariances


# Narrow peaks are cut into few cells, which tells less of their shape.
@pytest.mark.parametrize(
    ('sigma', 'tolerance'), [(1.0, 0.1), (1.5, 0.05), (2.0, 0.02), (3.0, 0.01), (5.0, 0.005)]
)
def test_the_spread_of_a_gaussian_is_its_covariance(sigma, tolerance):
    places = np.random.default_rng(6).uniform((17, 17), (30, 46), (20, 2))
    shape = sigma**2 * np.eye(2)
    maps = maps_of(*(slow.gaussian(x, y, covariance=shape) for x, y in places))
    points, _ = decode(maps, udp=True)
    found = heatmap_spread(maps, points)[0].numpy()
    assert np.abs(found - shape).max() < tolerance * sigma**2


@pytest.mark.parametrize('angle', [0, 30, 45, 100])
@pytest.mark.parametrize('amplitude', [0.05, 1.0])
def test_the_spread_has_its_direction(angle, amplitude):
    turn = np.radians(angle)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shape = axes @ np.diag([9.0, 2.0]) @ axes.T
    maps = maps_of(slow.gaussian(23.7, 31.2, covariance=shape, amplitude=amplitude))
    found = heatmap_spread(maps, torch.tensor([[[23.7, 31.2]]]))[0, 0].numpy()
    assert np.abs(found - shape).max() < 0.03 * 9
    assert found[0, 1] == found[1, 0]


def test_a_second_peak_and_noise_show_in_the_spread_as_they_should():
    one, other = slow.gaussian(15, 30), slow.gaussian(35, 30, amplitude=0.8)
    noise = np.random.default_rng(8).normal(0, 0.01, (H, W))
    maps = maps_of(one, one + noise, one + other)
    points, _ = decode(maps, udp=True)
    clean, noisy, double = heatmap_spread(maps, points)[0].numpy()
    assert np.abs(noisy - clean).max() < 0.1 * clean[0, 0]
    assert double[0, 0] > 20 * clean[0, 0], 'it may be 20 cells to the right'
    assert double[1, 1] == pytest.approx(clean[1, 1], rel=0.05)


def test_a_map_without_a_positive_value_has_no_spread():
    maps = torch.stack((torch.zeros(H, W), torch.full((H, W), -1.0)))[None]
    points, _ = decode(maps, udp=True)
    assert torch.isnan(heatmap_spread(maps, points)).all()


# Flip test


@pytest.mark.parametrize('name', SKELETONS)
def test_flipped_maps_are_merged_as_the_reference_code_does(name):
    skeleton, udp = SKELETONS[name], name in PUBLIC_UDP
    random = np.random.default_rng(9)
    maps, flipped = random.random((2, 1, len(skeleton), 6, 5))
    expected = np.empty_like(maps)
    partner = list(range(len(skeleton)))
    for left, right in skeleton.flip_pairs:
        partner[left], partner[right] = right, left
    for k in range(len(skeleton)):
        for y in range(6):
            for x in range(5):
                source = x if udp else max(x - 1, 0)
                back = flipped[0, partner[k], y, 4 - source]
                expected[0, k, y, x] = (maps[0, k, y, x] + back) / 2
    found = merge_flipped(torch.from_numpy(maps), torch.from_numpy(flipped), skeleton, udp=udp)
    assert np.allclose(found.numpy(), expected)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
@BOTH
def test_cuda_decodes_like_the_cpu(udp):
    generator = torch.Generator().manual_seed(1)
    centres = torch.rand(50, 17, 2, generator=generator) * torch.tensor([W - 1, H - 1])
    rows = torch.exp(-((torch.arange(H) - centres[..., 1:]) ** 2) / 8)
    columns = torch.exp(-((torch.arange(W) - centres[..., :1]) ** 2) / 8)
    maps = rows[..., :, None] * columns[..., None, :]
    maps += 0.01 * torch.rand(maps.shape, generator=generator)
    points, scores = decode(maps, udp=udp)
    cuda_points, cuda_scores = decode(maps.cuda(), udp=udp)
    assert torch.allclose(cuda_points.cpu(), points, atol=1e-4)
    assert torch.equal(cuda_scores.cpu(), scores)
    spread = heatmap_spread(maps.cuda(), cuda_points)
    assert torch.allclose(spread.cpu(), heatmap_spread(maps, points), rtol=1e-3)
