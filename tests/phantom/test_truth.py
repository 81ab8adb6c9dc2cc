"""Claims about the truth beside a cohort."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from neurolatent.errors import CohortError
from neurolatent.phantom import PhantomTruth, write_phantom
from neurolatent.phantom.body import standard_lattice
from neurolatent.volume.space import Grid

GRID = Grid(8.0)


def test_noise_free_images_are_those_that_were_scanned(tiny, truth):
    for name in truth.participants:
        for record in truth.person(name)["scans"]:
            stem = f"{name}_{record['session_id']}" + ("_run-2" if record["run"] == "2" else "")
            path = next((tiny / name / record["session_id"] / "anat").glob(f"{stem}_space-*_T1w.nii.gz"))
            clean, mask = truth.noise_free(name, record["months"], GRID)
            values = nib.Nifti1Image.from_filename(path).get_fdata()
            assert np.corrcoef(values[mask], clean[mask])[0, 1] > 0.93


def test_the_truth_goes_on_beyond_the_last_visit(truth):
    patient = next(name for name in truth.participants if truth.person(name)["group"] == "AD")
    last = truth.person(patient)["scans"][-1]["months"]
    volume, _ = truth.noise_free(patient, last + 60.0, GRID)
    assert np.isfinite(volume).all()
    assert truth.volumes_at(patient, last + 60.0)["ventricle"] > 1.3 * truth.volumes_at(patient, last)["ventricle"]


def test_volumes_are_those_of_the_course(truth):
    rows = truth.volumes()
    assert {(row["participant_id"], row["session_id"]) for row in rows} == set(truth.oracle())
    for row in rows:
        at_visit = truth.volumes_at(str(row["participant_id"]), float(row["months"]))
        assert row["hippocampus_ml"] == pytest.approx(at_visit["hippocampus"], rel=1e-4)
        assert row["brain_ml"] < row["intracranial_ml"]


def test_a_deformation_to_the_same_time_moves_nothing_and_back_again_returns(truth):
    name = truth.participants[1]
    assert not truth.deformation(name, 12.0, 12.0, GRID).any()
    forth, back = truth.deformation(name, 0.0, 48.0, GRID), truth.deformation(name, 48.0, 0.0, GRID)
    assert np.linalg.norm(forth, axis=0).max() > 0.5
    assert np.abs(forth + back).mean() < 0.3 * np.abs(forth).mean()


def test_a_deformation_carries_one_visits_image_to_the_others(truth):
    grid, name = Grid(4.0), truth.participants[1]
    early, mask = truth.noise_free(name, 0.0, grid)
    late, _ = truth.noise_free(name, 48.0, grid)
    displacement = torch.as_tensor(truth.deformation(name, 0.0, 48.0, grid)).reshape(3, -1)
    lattice = standard_lattice(grid)
    pulled = lattice.sample(torch.as_tensor(late)[None], lattice.points() + displacement).reshape(grid.shape).numpy()
    assert np.abs(pulled - early)[mask].mean() < 0.8 * np.abs(late - early)[mask].mean()


def test_a_deformation_opens_the_ventricles_as_much_as_they_grow(truth):
    grid = Grid(4.0)
    patient = next(name for name in truth.participants if truth.person(name)["group"] == "AD")
    displacement = truth.deformation(patient, 0.0, 36.0, grid)
    jacobian = np.eye(3)[..., None, None, None] + np.stack([np.stack(np.gradient(axis, 4.0)) for axis in displacement])
    growth = np.linalg.det(np.moveaxis(jacobian, (0, 1), (-2, -1)))
    early, late = (truth.volumes_at(patient, months)["ventricle"] for months in (0.0, 36.0))
    dark = (truth.noise_free(patient, 0.0, grid)[0] < 0.25) & (growth > 1.02)
    assert growth.min() > 0
    assert 1 < np.median(growth[dark]) < 2 * late / early


def test_the_oracle_gives_probabilities(truth):
    values = np.array(list(truth.oracle().values()))
    assert ((values > 0) & (values < 1)).all()


def test_conversion_is_asked_of_those_alone_who_have_mci(truth):
    assert truth.oracle("p_conversion") == {}  # a control and a patient


def test_regions_make_up_structures(truth):
    volumes = truth.volumes_at(truth.participants[0], 12.0)
    sides = [volumes[f"hippocampus_{side}"] for side in ("left", "right")]
    assert volumes["hippocampus"] == pytest.approx(sum(sides))
    assert volumes["ventricle"] > volumes["lateral_ventricle_left"] + volumes["third_ventricle"]


def test_tissue_maps_hold_the_volumes_of_the_course(truth):
    name, grid = truth.participants[1], Grid(2.0)
    maps, drawn = truth.tissue_maps(name, 24.0, grid), truth.volumes_at(name, 24.0)
    skull_ml = truth.person(name)["intracranial_ml"]
    for region in ("brain", "frontal", "lateral_ventricle_left", "hippocampus_right"):
        assert maps[region].sum() / maps["intracranial"].sum() * skull_ml == pytest.approx(drawn[region], rel=0.03)
    shares = maps["grey"] + maps["white"] + maps["fluid"]
    np.testing.assert_allclose(shares, maps["intracranial"], atol=1e-5)


def test_truth_is_written_as_images_that_name_their_space(tmp_path, numbers, seed):
    options = {"subjects": 60, "people": numbers[:1], "visits": 2, "seed": seed, "spacing_mm": 8.0, "repeats": 0.0}
    write_phantom(tmp_path, extras=("tissues", "deformations", "noise-free"), **options)
    truth = PhantomTruth.open(tmp_path)
    name = truth.participants[0]
    months = [scan["months"] for scan in truth.person(name)["scans"]]
    forth = tmp_path / "truth" / name / f"{name}_from-M00_to-M24_space-MNI152NLin2009aSym_res-8_mode-points_xfm.nii.gz"
    image = nib.Nifti1Image.from_filename(forth)
    assert image.header.get_intent()[0] == "displacement vector"
    stored = np.moveaxis(image.get_fdata()[:, :, :, 0], -1, 0)
    np.testing.assert_allclose(stored, truth.deformation(name, *months, GRID), atol=1e-5)
    assert forth.with_name(forth.name.replace("M00_to-M24", "M24_to-M00")).is_file()
    record = json.loads(forth.with_name(forth.name.replace(".nii.gz", ".json")).read_text())
    assert (record["Space"], record["Units"], record["ToMonths"]) == ("MNI152NLin2009aSym", "mm", months[1])
    folder = tmp_path / "truth" / name / "ses-M24"
    grey = next(folder.glob("*_label-grey_probseg.nii.gz"))
    np.testing.assert_allclose(
        nib.Nifti1Image.from_filename(grey).get_fdata(), truth.tissue_maps(name, months[1], GRID)["grey"], atol=1e-5
    )
    clean = nib.Nifti1Image.from_filename(next(folder.glob("*_desc-noisefree_T1w.nii.gz"))).get_fdata()
    np.testing.assert_allclose(clean, truth.noise_free(name, months[1], GRID)[0], atol=1e-5)
    labels = (tmp_path / "truth" / "labels.tsv").read_text().splitlines()
    assert "occipital" in labels[-1]
    assert nib.Nifti1Image.from_filename(next(folder.glob("*_dseg.nii.gz"))).get_fdata().max() <= len(labels) - 1


def test_an_unknown_person_is_named(truth):
    with pytest.raises(CohortError, match="sub-S9P0001: not among the 2 people"):
        truth.volumes_at("sub-S9P0001", 0.0)


def test_a_folder_without_truth_is_refused(tmp_path):
    with pytest.raises(CohortError, match="Only a phantom's source folder has truth"):
        PhantomTruth.open(tmp_path)
