"""Correlations of maps."""

import numpy as np
import pytest

from neurolatent.analysis.maps import correlate, correlation_of_means

RNG = np.random.default_rng(1)
FIRST, SECOND = RNG.normal(size=(2, 6, 5, 5, 5))
MASKS = RNG.random((6, 5, 5, 5)) < 0.5


def test_each_pair_is_correlated_inside_its_own_mask():
    expected = [np.corrcoef(a[m], b[m])[0, 1] for a, b, m in zip(FIRST, SECOND, MASKS, strict=True)]
    np.testing.assert_allclose(correlate(FIRST, SECOND, MASKS), expected)


def test_the_correlation_of_weighted_means_is_that_of_the_mean_maps():
    weights = RNG.integers(0, 3, size=(4, 6)).astype(float)
    statistic = correlation_of_means(FIRST, SECOND, MASKS[0])
    for row, found in zip(weights, statistic(weights), strict=True):
        means = [np.average(maps, axis=0, weights=row)[MASKS[0]] for maps in (FIRST, SECOND)]
        assert found == pytest.approx(np.corrcoef(*means)[0, 1])


def test_a_model_that_changes_nothing_correlates_with_nothing():
    assert correlate(np.zeros_like(FIRST), SECOND, MASKS).tolist() == [0] * 6
    assert correlation_of_means(np.zeros_like(FIRST), SECOND, MASKS[0])(np.ones((1, 6)))[0] == 0
