"""Age from codes that hold it, beside what must lose."""

import numpy as np
import pandas as pd
import pytest

from neurolatent.analysis.regress_age import WITH_NOISE, Settings, run
from neurolatent.analysis.selection import stable_controls
from neurolatent.errors import NotApplicableError


@pytest.fixture(scope="module")
def finding(study):
    return run(study, Settings(resamples=300))


def test_a_code_that_holds_age_predicts_it_and_beats_the_mean(finding, row):
    error = row(finding, "semantic code", "MAE")
    assert error.value < 2
    assert row(finding, "mean age", "MAE").value > 5
    difference = row(finding, "semantic code − mean age", "MAE")
    assert difference.high < 0
    assert difference.value == pytest.approx(error.value - row(finding, "mean age", "MAE").value)
    assert finding.estimates[0] == error


def test_only_controls_train_and_are_judged_though_all_are_predicted(study, finding, row):
    error = row(finding, "semantic code", "MAE")
    assert (error.n_subjects, error.n_scans) == (24, 96)
    table = pd.read_csv(study.workspace.findings("demo", "regress_age") / "predictions.tsv", sep="\t")
    assert len(table) == 192
    judged = table[table["diagnosis"] == "CN"]
    assert np.abs(judged["semantic_code"] - judged["age_years"]).mean() == pytest.approx(error.value, rel=1e-3)


def test_noise_is_held_against_the_semantic_code_on_the_same_scans(study, finding, row):
    noise, code = (row(finding, name, "MAE", WITH_NOISE) for name in ("stochastic code", "semantic code"))
    assert (noise.n_scans, code.n_scans) == (24, 24)
    assert row(finding, "semantic code − stochastic code", "MAE", WITH_NOISE).high < 0
    table = pd.read_csv(study.workspace.findings("demo", "regress_age") / "predictions.tsv", sep="\t")
    assert table["stochastic_code"].notna().sum() == 48


def test_the_gap_is_freed_of_age(finding):
    slopes = {fact.name: fact.value for fact in finding.facts if "slope" in fact.name}
    assert abs(slopes["gap–age slope after correction"]) <= abs(slopes["gap–age slope before correction"]) + 0.02


def test_a_cohort_without_any_diagnosis_is_analysed_whole_and_says_so(make, tmp_path, row):
    unlabelled = make(tmp_path, people=24, months=(0.0,), labelled=False, truth=False)
    finding = run(unlabelled, Settings(resamples=300))
    assert row(finding, "semantic code", "MAE").n_subjects == 24
    assert "The cohort states no diagnosis, so all 24 people are analysed." in finding.notes


def test_people_who_convert_are_no_stable_controls(study):
    from dataclasses import replace

    visits = list(study.visits)
    visits[3] = replace(visits[3], diagnosis="MCI")
    assert visits[3].participant_id == "sub-000"
    controls = stable_controls(visits).participants
    assert "sub-000" not in controls
    assert len(controls) == 23


def test_a_holdout_is_judged_on_its_test_people(healthy_study, row):
    finding = run(healthy_study, Settings(resamples=300))
    assert row(finding, "semantic code", "MAE").n_subjects == len(healthy_study.test_subjects) == 8
    assert finding.simulation is False


def test_where_every_scan_has_a_stochastic_code_all_methods_share_one_group(healthy_study, row):
    finding = run(healthy_study, Settings(resamples=300))
    assert {estimate.group for estimate in finding.estimates} == {"all"}
    assert row(finding, "semantic code − stochastic code", "MAE").n_scans == 8


def test_too_few_controls_are_refused(make, tmp_path):
    with pytest.raises(NotApplicableError, match="at least 10 training and 5 test controls with an age, got 8 and 12"):
        run(make(tmp_path, people=24, months=(0.0,)), Settings())
