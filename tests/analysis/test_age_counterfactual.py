"""An edit along the age pattern of a model that is linear changes what age changes."""

from dataclasses import replace

import numpy as np
import pytest

from neurolatent.analysis.age_counterfactual import Settings, run
from neurolatent.analysis.edits import fit_rulers
from neurolatent.analysis.selection import stable_controls


@pytest.fixture(scope="module")
def finding(study):
    return run(study, Settings(steps=4, people=10, resamples=300))


def test_the_change_of_an_edit_is_the_true_change_and_a_random_edit_is_not(finding, row):
    name = "correlation with the true change"
    edit = row(finding, "edited code", name)
    assert edit.value > 0.8
    assert edit.low > 0
    assert (edit.n_subjects, edit.versus) == (10, "voxelwise age slope")
    assert abs(row(finding, "random direction", name).value) < 0.7
    assert row(finding, "edited code − random direction", name).low > 0
    assert row(finding, "edited code", "correlation of the mean change with the true change").value > 0.8


def test_an_independent_regression_in_the_image_sees_the_years_that_were_asked_for(finding, row):
    seen = row(finding, "edited code", "change of the age seen in the image")
    assert 7 < seen.value < 13
    assert seen.higher_is_better is None


def test_the_edit_follows_the_pattern_and_not_the_weights(study):
    """The stub mixes its factors, so the true direction of age in the code is known."""
    controls = stable_controls(study.visits)
    scans = [visit for visit in study.first_scans.values() if visit.participant_id in controls.participants]
    truth = study.model.mixing[0].numpy()  # ten years, the first factor's unit, in code space
    for ruler in fit_rulers(study, controls, scans, older_by_years=10.0, seed=1).values():
        weights = ruler.probe.weights / ruler.probe.scaling.sd
        along = [float(v @ truth / np.linalg.norm(v) / np.linalg.norm(truth)) for v in (ruler.step, weights)]
        assert along[0] > 0.7
        assert along[0] > along[1]
        before, after = ruler.probe.predict(np.stack([np.zeros(6), ruler.step]))
        assert after > before


def test_without_truth_the_map_is_held_against_the_voxelwise_slope_beside_a_random_edit(healthy_study, row):
    finding = run(healthy_study, Settings(steps=4, resamples=300))
    name = "correlation with the voxelwise age slope"
    assert row(finding, "edited code", name).versus == "random direction"
    assert row(finding, "edited code − random direction", name).low > 0
    assert "change_truth" not in finding.maps
    assert not [e for e in finding.estimates if e.model == "voxelwise age slope"]


def test_maps_are_per_decade_whatever_the_dose(study, finding, row):
    half = run(replace(study), Settings(steps=4, people=10, older_by_years=5.0, resamples=300))
    name = "correlation with the true change"
    assert row(half, "edited code", name).value == pytest.approx(row(finding, "edited code", name).value, abs=0.02)
    assert {"change_model", "change_truth", "change_voxel_slope", "mean_image"} == set(half.maps)
