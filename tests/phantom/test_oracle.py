"""Claims about the oracle."""

import numpy as np
import pytest

from neurolatent.phantom.oracle import fit_oracle


@pytest.fixture(scope="module")
def oracle(parameters):
    return fit_oracle(parameters, arm="balanced")


@pytest.fixture(scope="module")
def chances(crowd, oracle):
    return oracle.p_ad(crowd, np.zeros(len(crowd.index)))


def test_it_is_calibrated_on_people_it_never_saw(crowd, chances):
    either = (crowd.group == 0) | (crowd.group == 3)
    for low, high in ((0.0, 0.2), (0.2, 0.8), (0.8, 1.0)):
        chosen = either & (chances >= low) & (chances < high)
        assert np.mean(crowd.group[chosen] == 3) == pytest.approx(chances[chosen].mean(), abs=0.08)


def test_mild_impairment_lies_between(crowd, chances):
    controls, stable, converting, patients = (np.median(chances[crowd.group == group]) for group in range(4))
    assert controls < stable < converting < patients


def test_who_will_convert_shows_a_little_in_the_first_volumes(crowd, oracle):
    chances = oracle.p_conversion(crowd, np.zeros(len(crowd.index)))
    stable, converting = chances[crowd.group == 1], chances[crowd.group == 2]
    assert 0.58 < np.mean(converting[:, None] > stable) < 0.75


def test_age_is_known_better_than_by_its_mean_and_never_exactly(crowd, oracle):
    controls = crowd.group == 0
    ages = crowd.age_years[controls]
    error = np.abs(oracle.age_years(crowd, np.zeros(len(crowd.index)))[controls] - ages).mean()
    assert 1.0 < error < 0.6 * np.abs(ages - ages.mean()).mean()
