"""A course that is linear in time, which a blend fills best."""

import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from neurolatent.analysis.fill_missing_visit import Settings, run
from neurolatent.errors import NotApplicableError
from neurolatent.volume.cache import write_cache
from neurolatent.workspace import made_without


@pytest.fixture(scope="module")
def finding(study):
    return run(study, Settings(steps=4, triplets=18, resamples=300))


@pytest.fixture(scope="module")
def table(study, finding):
    return pd.read_csv(study.workspace.findings("demo", "fill_missing_visit") / "triplets.tsv", sep="\t")


def test_where_change_is_linear_in_time_a_blend_beats_carrying_forward(table):
    mse = table.pivot_table(index=["participant_id", "before", "target", "after"], columns="method", values="mse")
    assert (mse["linear_blend"] < mse["carry_forward"]).all()


def test_a_model_that_is_linear_comes_near_the_blend_and_near_its_ceiling_on_the_clean_image(table):
    clean = table.groupby("method")["ssim_noise_free"].mean()
    assert clean["model"] > clean["carry_forward"]
    assert clean["model"] > 0.97 * clean["vae_ceiling"]


def test_rows_stand_over_everyone_and_by_span_with_their_people(finding, row):
    overall = row(finding, "latent interpolation", "masked SSIM")
    assert (overall.n_subjects, overall.n_scans, overall.versus) == (18, 18, "linear blend")
    for span in (12, 18, 24):
        assert row(finding, "VAE ceiling", "masked SSIM", f"span {span} months").n_scans == 6
    assert not [e for e in finding.estimates if e.group == "span 36 months"]


def test_each_difference_is_paired(finding, row):
    model, blend = (row(finding, name, "masked MSE") for name in ("latent interpolation", "linear blend"))
    difference = row(finding, "latent interpolation − linear blend", "masked MSE")
    assert difference.value == pytest.approx(model.value - blend.value)
    assert difference.low > 0, "a real scan's noise is in the model's image and averaged out of the blend"


def test_the_example_is_a_real_triplet_filled_in(study, finding):
    folder = study.workspace.findings("demo", "fill_missing_visit")
    before, after, blend = (
        nib.load(folder / finding.maps[f"example_{name}"]) for name in ("before", "after", "linear_blend")
    )
    np.testing.assert_allclose(before.affine, study.cache.grid.world_from_voxel)
    np.testing.assert_allclose(blend.get_fdata(), (before.get_fdata() + after.get_fdata()) / 2, atol=1e-6)


def test_volumes_made_without_the_target_are_used_where_they_are_there(study, finding):
    assert any(note.startswith("Target seen in preprocessing: in 18 of 18") for note in finding.notes)
    folder, cache = study.workspace.held_out_cache(study.cache.grid.spacing_mm), study.cache
    try:
        names = [
            (made_without(key, session), cache.row(key))
            for key in cache.keys
            for session in {other.session_id for other in cache.keys if other.participant_id == key.participant_id}
        ]
        scans = (
            (key, np.asarray(cache.volumes[row]) * 0 + 0.5, np.asarray(cache.masks[row]), "") for key, row in names
        )
        write_cache(folder, scans, count=len(names), grid=cache.grid, preprocessing=cache.preprocessing)
        apart = run(replace(study, truth=None), Settings(steps=4, triplets=18, resamples=20))
    finally:
        shutil.rmtree(folder)
    assert any("No target had a part" in note for note in apart.notes)
    carried = [e.value for e in apart.estimates if (e.name, e.group) == ("carry-forward: masked MSE", "all")]
    carried = carried or [e.value for e in apart.estimates if "MSE" in e.name and e.model == "carry-forward"]
    assert max(carried) < 1e-6, "all of these volumes are the same grey"


def test_a_cohort_of_one_visit_each_is_refused(healthy_study):
    with pytest.raises(NotApplicableError, match=r"three visits spanning 12 to 36 months.*got them of 0"):
        run(healthy_study, Settings())
