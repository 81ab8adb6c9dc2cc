"""Claims about moving volumes between grids."""

import numpy as np
import pytest

from neurolatent.volume.resample import antialias_sigmas, resample, resample_smoothed, smooth

SHAPE = (24, 20, 16)


def ramp() -> np.ndarray:
    i, j, k = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    return (1.0 * i + 2.0 * j - 0.5 * k + 20).astype(np.float32)


def test_the_identity_changes_nothing():
    np.testing.assert_allclose(resample(ramp(), np.eye(4), SHAPE), ramp(), rtol=1e-6)


def test_axes_keep_their_order_and_a_shift_its_direction():
    source_from_target = np.eye(4)
    source_from_target[:3, 3] = [3, 2, 1]
    np.testing.assert_allclose(resample(ramp(), source_from_target, (10, 10, 10)), ramp()[3:13, 2:12, 1:11], rtol=1e-6)


def test_outside_the_source_is_zero():
    source_from_target = np.eye(4)
    source_from_target[0, 3] = 100
    assert not resample(ramp(), source_from_target, SHAPE).any()


def test_a_linear_ramp_survives_smoothing_and_halving_away_from_the_edges():
    source_from_target = np.diag([2.0, 2.0, 2.0, 1.0])
    halved = resample_smoothed(ramp(), source_from_target, (12, 10, 8))
    np.testing.assert_allclose(halved[3:-3, 3:-3, 3:-3], ramp()[::2, ::2, ::2][3:-3, 3:-3, 3:-3], atol=0.02)


def test_stripes_finer_than_the_target_grey_out_instead_of_turning_into_others():
    stripes = np.zeros(SHAPE, np.float32)
    stripes[::2] = 1.0
    source_from_target = np.diag([4.0, 4.0, 4.0, 1.0])
    shrunk = resample_smoothed(stripes, source_from_target, (6, 5, 4))[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(shrunk, 0.5, atol=0.02)
    assert resample(stripes, source_from_target, (6, 5, 4))[1:-1, 1:-1, 1:-1].min() == 1.0


def test_splines_never_leave_the_range_of_the_source():
    block = np.zeros(SHAPE, np.float32)
    block[8:16, 6:14, 5:11] = 1.0
    source_from_target = np.diag([0.7, 0.7, 0.7, 1.0])
    finer = resample_smoothed(block, source_from_target, (32, 28, 22))
    assert finer.min() >= 0
    assert finer.max() <= 1


def test_only_axes_finer_than_the_target_are_smoothed():
    sigmas = antialias_sigmas([1.0, 2.0, 3.0], 2.0)
    assert sigmas[0] == pytest.approx(np.sqrt(3) / 2.3548, rel=1e-4)
    assert sigmas[1:] == [0.0, 0.0]


def test_smoothing_keeps_the_sum_and_has_the_variance_asked_for():
    point = np.zeros((31, 31, 31), np.float32)
    point[15, 15, 15] = 1.0
    blurred = smooth(point, [2.0, 1.0, 0.0])
    offsets = np.arange(31) - 15
    assert blurred.sum() == pytest.approx(1.0, abs=1e-3)
    assert (blurred.sum(axis=(1, 2)) * offsets**2).sum() == pytest.approx(4.0, rel=0.05)
    assert (blurred.sum(axis=(0, 2)) * offsets**2).sum() == pytest.approx(1.0, rel=0.05)
    assert (blurred.sum(axis=(0, 1)) > 0).sum() == 1
