"""Resampling subjects: coverage, clusters, strata, pairs."""

import numpy as np
import pytest

from neurolatent.analysis import scores
from neurolatent.analysis.intervals import difference, interval, resample_subjects
from neurolatent.errors import SettingsError


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    names = [f"s{n}" for n in range(40)]
    resamples = resample_subjects(names, seed=1, resamples=500)
    found = [interval(resamples, scores.mean(rng.exponential(size=40))) for _ in range(400)]
    covered = np.mean([one.low <= 1 <= one.high for one in found])
    assert 0.88 <= covered <= 0.97


def test_repeated_scans_of_a_person_do_not_narrow_the_interval():
    rng = np.random.default_rng(2)
    values = rng.normal(size=30)
    once = interval(resample_subjects([f"s{n}" for n in range(30)], seed=1), scores.mean(values))
    people = [f"s{n}" for n in range(30) for _ in range(10)]
    tenfold = interval(resample_subjects(people, seed=1), scores.mean(np.repeat(values, 10)))
    assert tenfold.value == pytest.approx(once.value)
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low, rel=1e-9)


def test_all_scans_of_a_drawn_person_are_drawn_together():
    weights = resample_subjects(["a", "b", "a", "c"], seed=1, resamples=50).weights
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(1), np.full(50, 3))


def test_a_stratum_keeps_its_number_of_people():
    resamples = resample_subjects(list("abcdef"), seed=1, strata=["x", "x", "y", "y", "y", "y"], stratified_by="class")
    np.testing.assert_array_equal(resamples.weights[:, :2].sum(1), np.full(2000, 2))
    assert resamples.method == "percentile bootstrap over subjects within class, 2000 resamples"


def test_the_draws_depend_on_the_seed_alone():
    first, again, other = (resample_subjects(list("abcd"), seed=seed).weights for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_paired_difference_sees_what_two_intervals_cannot():
    rng = np.random.default_rng(3)
    shared = rng.normal(scale=5, size=50)
    better, worse = shared + 0.5 + 0.1 * rng.normal(size=50), shared
    resamples = resample_subjects([f"s{n}" for n in range(50)], seed=1)
    first, second = (interval(resamples, scores.mean(values)) for values in (better, worse))
    paired = interval(resamples, difference(scores.mean(better), scores.mean(worse)))
    assert first.low < second.high, "the two intervals overlap"
    assert paired.low > 0
    assert paired.value == pytest.approx(first.value - second.value)


def test_a_person_in_two_strata_is_refused():
    with pytest.raises(SettingsError, match="a: expected one stratum for all of a subject's scans, got 'x' and 'y'"):
        resample_subjects(["a", "b", "a"], seed=1, strata=["x", "x", "y"])


def test_one_person_gives_no_interval():
    with pytest.raises(SettingsError, match=r"at least 2 subjects, got \['a'\]"):
        resample_subjects(["a", "a"], seed=1)
