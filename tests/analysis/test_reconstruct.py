"""What each part of a code keeps of a scan."""

import pandas as pd
import pytest

from neurolatent.analysis.reconstruct import Settings, run

QUICK = Settings(steps=4, scans=12, step_counts=(2, 4), resamples=300)


@pytest.fixture(scope="module")
def finding(study):
    return run(study, QUICK)


def test_a_model_that_inverts_exactly_reaches_the_vae(finding, row):
    share = row(finding, "code and inferred noise", "share of the VAE's masked SSIM")
    assert share.value == pytest.approx(1, abs=0.01)
    assert row(finding, "VAE", "masked SSIM").role == "ceiling"


def test_ones_own_code_beats_another_persons_with_the_same_noise(finding, row):
    assert row(finding, "code alone − another person's code", "masked SSIM").low > 0
    assert row(finding, "code alone − another person's code", "masked MSE").high < 0


def test_a_code_of_noise_does_not_beat_another_persons(blind_study, row):
    difference = row(run(blind_study, QUICK), "code alone − another person's code", "masked MSE")
    assert difference.low < 0 < difference.high


def test_one_scan_a_person_and_their_number_is_stated(study, finding):
    table = pd.read_csv(study.workspace.findings("demo", "reconstruct") / "scans.tsv", sep="\t")
    assert set(table["method"]) == {"vae", "code_and_noise", "code_only", "other_code", "mean_image"}
    assert (table.groupby("method")["participant_id"].nunique() == 12).all()
    assert finding.estimates[0].n_subjects == 12
    steps = pd.read_csv(study.workspace.findings("demo", "reconstruct") / "steps.tsv", sep="\t")
    assert steps["steps"].tolist() == [2, 4]
    assert steps["n"].tolist() == [5, 5]


def test_the_inferred_noise_is_described(finding):
    facts = {fact.name.split(" (")[0]: fact.value for fact in finding.facts}
    assert facts["inferred z_T, mean"] == pytest.approx(0, abs=0.05)
    assert facts["inferred z_T, SD"] == pytest.approx(1, abs=0.1)
    assert "inferred z_T, neighbour autocorrelation" in facts


def test_the_finding_reads_back_and_is_the_last_file_written(study, finding):
    from neurolatent.analysis.finding import read_finding

    folder = study.workspace.findings("demo", "reconstruct")
    again = read_finding(folder / "finding.json")
    assert again.estimates == list(finding.estimates)
    newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert newest.name == "finding.json"
    assert (again.weights_hash, again.split_hash) == (study.card.weights_hash, study.split.hash)
