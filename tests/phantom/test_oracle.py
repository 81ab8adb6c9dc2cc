"""Claims about the oracle."""

import numpy as np
import pytest

from neurolatent.phantom.oracle import FIRST_INDEX, ORACLE_SEED, fit_oracle


@pytest.fixture(scope="module")
def chances(crowd, parameters):
    return fit_oracle(parameters, arm="balanced").probability(crowd, np.zeros(len(crowd.index)))


def test_it_separates_ad_from_controls_but_not_wholly(crowd, chances):
    patients, controls = chances[crowd.group == 3], chances[crowd.group == 0]
    auc = np.mean(patients[:, None] > controls[None, :])
    assert 0.90 < auc < 0.97


def test_it_is_calibrated_on_people_it_never_saw(crowd, chances):
    either = (crowd.group == 0) | (crowd.group == 3)
    for low, high in ((0.0, 0.2), (0.2, 0.8), (0.8, 1.0)):
        chosen = either & (chances >= low) & (chances < high)
        assert np.mean(crowd.group[chosen] == 3) == pytest.approx(chances[chosen].mean(), abs=0.08)


def test_mild_impairment_lies_between(crowd, chances):
    controls, stable, converting, patients = (np.median(chances[crowd.group == group]) for group in range(4))
    assert controls < min(stable, converting)
    assert max(stable, converting) < patients


def test_its_people_are_none_of_a_cohorts(crowd):
    assert crowd.seed != ORACLE_SEED
    assert crowd.index.max() < FIRST_INDEX
