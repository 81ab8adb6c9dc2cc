"""A perfect code, a code of noise, and people who must not be analysed."""

from dataclasses import replace

import pandas as pd
import pytest

from neurolatent.analysis.classify_ad import Settings, run
from neurolatent.errors import LeakageError, NotApplicableError


@pytest.fixture(scope="module")
def finding(study):
    return run(study, Settings(resamples=300))


def test_a_code_that_holds_the_disease_separates_and_has_every_rival_beside_it(finding, row):
    auc = row(finding, "semantic code", "ROC-AUC")
    assert auc.value > 0.97
    assert auc.low > 0.9
    assert (auc.n_subjects, auc.n_scans) == (48, 48)
    assert row(finding, "oracle", "ROC-AUC").role == "ceiling"
    assert row(finding, "measured volumes", "ROC-AUC").role == "baseline"
    assert finding.estimates[0].name == "ROC-AUC"
    assert finding.simulation


def test_a_difference_is_that_of_the_two_values_on_the_same_people(finding, row):
    model, rival = (row(finding, name, "ROC-AUC") for name in ("semantic code", "measured volumes"))
    difference = row(finding, "semantic code − measured volumes", "ROC-AUC")
    assert difference.value == pytest.approx(model.value - rival.value)


def test_a_code_of_noise_leaves_chance_inside_its_interval_and_loses_to_voxels(blind_study, row):
    finding = run(blind_study, Settings(resamples=300))
    auc = row(finding, "semantic code", "ROC-AUC")
    assert auc.low < 0.5 < auc.high
    assert row(finding, "semantic code − voxel PCA", "ROC-AUC").high < 0


def test_every_person_is_scored_once_by_a_probe_that_never_met_them(study, finding):
    table = pd.read_csv(study.workspace.findings("demo", "classify_ad") / "predictions.tsv", sep="\t")
    assert table["participant_id"].is_unique
    assert len(table) == 48
    assert (table["session_id"] == "ses-M00").all()
    fold_of = {person: round_.name for round_ in study.split.rounds() for person in round_.test}
    assert table["fold"].tolist() == [fold_of[person] for person in table["participant_id"]]
    assert {"semantic_code", "voxel_pca", "measured_volumes", "oracle"} <= set(table.columns)


def test_a_person_counts_by_the_first_scans_diagnosis_alone(study, row):
    first = {visit.key for visit in study.first_scans.values()}
    turned = [v if v.key in first else replace(v, diagnosis="AD") for v in study.visits]
    changed = tuple(replace(v, diagnosis="MCI") if v.participant_id == "sub-000" else v for v in turned)
    other = run(replace(study, visits=changed, truth=None), Settings(resamples=300))
    assert row(other, "semantic code", "ROC-AUC").n_subjects == 47
    assert all(estimate.model != "oracle" for estimate in other.estimates)


def test_a_cohort_of_healthy_people_is_refused_in_one_line(healthy_study):
    with pytest.raises(NotApplicableError, match=r"at least 10 people with AD and .* got 0 AD and 40 CN") as caught:
        run(healthy_study, Settings())
    assert "\n" not in str(caught.value)


def test_leaky_weights_give_no_finding(with_stages, make_stage):
    with pytest.raises(LeakageError):
        run(with_stages({"probe": make_stage(["sub-000"], supervised=True)}), Settings())
