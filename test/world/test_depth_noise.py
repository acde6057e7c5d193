"""Noise of depth cameras: as large as the formulas say, and deterministic."""

import numpy as np
import pytest

from world.depth_noise import NOISES, FlightNoise, StereoNoise

SHAPE = (240, 320)
FOCAL = 554.0


def measured(noise, depth, seed=0):
    return noise.measure(np.asarray(depth, np.float32), FOCAL, np.random.default_rng(seed))


@pytest.mark.parametrize('name', ['stereo', 'coarse stereo', 'time of flight'])
@pytest.mark.parametrize('depth_m', [1.0, 2.0, 4.0])
def test_the_error_on_a_plane_is_what_the_formula_says(name, depth_m):
    noise = NOISES[name]
    errors = np.concatenate(
        [measured(noise, np.full(SHAPE, depth_m), seed) - depth_m for seed in range(3)]
    )
    errors = errors[np.isfinite(errors)]
    assert errors.std() == pytest.approx(noise.sigma(depth_m), rel=0.1)
    assert abs(errors.mean()) < 0.15 * noise.sigma(depth_m)


def test_the_error_of_stereo_follows_from_baseline_and_focal_length():
    noise = StereoNoise(baseline_m=0.1, focal_px=500.0, error_px=0.05)
    assert noise.k == pytest.approx(0.001)
    assert noise.sigma(4.0) == pytest.approx(0.016)
    assert NOISES['stereo'].k == pytest.approx(0.0025)
    assert NOISES['coarse stereo'].k == pytest.approx(0.0052, abs=1e-4)
    assert NOISES['structured light'].k == pytest.approx(0.0019, abs=1e-4)


def test_neighbours_err_alike_in_stereo_but_not_in_time_of_flight():
    def alike(noise):
        errors = measured(noise, np.full(SHAPE, 3.0)) - 3.0
        a, b = errors[:, :-2].ravel(), errors[:, 2:].ravel()
        both = np.isfinite(a) & np.isfinite(b)
        return np.corrcoef(a[both], b[both])[0, 1]

    assert alike(StereoNoise()) > 0.4
    assert abs(alike(FlightNoise())) < 0.05


def test_disparity_comes_in_steps():
    noise = StereoNoise(error_px=0.2, step_px=0.25, holes=0.0)
    depth = measured(noise, np.full(SHAPE, 2.0))
    disparity = noise.focal_px * noise.baseline_m / np.unique(depth)
    assert disparity == pytest.approx(np.round(disparity * 4) / 4, abs=0.01)


def test_a_plane_has_as_many_holes_as_asked_for():
    for share in (0.0, 0.01, 0.1):
        found = np.mean(
            [
                np.isnan(measured(StereoNoise(holes=share), np.full(SHAPE, 2.0), seed)).mean()
                for seed in range(4)
            ]
        )
        assert found == pytest.approx(share, abs=0.004 + 0.3 * share)


def test_what_is_too_near_or_too_far_is_a_hole():
    assert np.isnan(measured(StereoNoise(), np.full(SHAPE, 0.2))).all()
    assert np.isnan(measured(FlightNoise(), np.full(SHAPE, 8.0))).all()


def stand(near=1.5, far=4.0):
    """Return a board before a wall."""
    depth = np.full(SHAPE, far)
    depth[60:200, 140:220] = near
    return depth


def test_the_shadow_of_stereo_is_left_of_what_is_near_and_as_wide_as_the_parallax():
    noise = StereoNoise(holes=0.0, torn=0.0, flying=0.0)
    holes = np.isnan(measured(noise, stand()))
    wide = FOCAL * noise.baseline_m * (1 / 1.5 - 1 / 4.0)  # pixels
    counted = holes[80:180].sum(axis=1)
    assert counted.mean() == pytest.approx(wide, abs=1.5)
    columns = np.nonzero(holes[80:180].mean(axis=0) > 0.5)[0]
    assert columns.min() >= 140 - wide - 4
    assert columns.max() <= 141
    assert not np.isnan(measured(FlightNoise(holes=0.0, torn=0.0), stand())).any()


@pytest.mark.parametrize('noise', [StereoNoise(holes=0.0), FlightNoise(holes=0.0)])
def test_pixels_fly_at_edges_alone(noise):
    depth = measured(noise, stand())
    between = (depth > 1.9) & (depth < 3.2)
    rows, columns = np.nonzero(between)
    assert len(rows) > 30
    edge = np.minimum.reduce([abs(rows - 60), abs(rows - 200)])
    edge = np.minimum(edge, np.minimum(abs(columns - 140), abs(columns - 220)))
    assert np.quantile(edge, 0.99) <= 6


def test_what_is_near_grows_at_its_edges():
    depth = measured(StereoNoise(torn=0.0, flying=0.0, holes=0.0), stand())
    assert (depth < 2.0).sum() > (stand() < 2.0).sum()


def test_the_same_seed_measures_the_same():
    for noise in (StereoNoise(), FlightNoise()):
        first, again, other = (measured(noise, stand(), seed) for seed in (3, 3, 4))
        assert np.array_equal(first, again, equal_nan=True)
        assert not np.array_equal(first, other, equal_nan=True)
