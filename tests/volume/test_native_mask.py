"""Claims about masks that a source brings or an installed program makes."""

import json
import sys

import heads
import nibabel as nib
import numpy as np
import pytest

from neurolatent.errors import SettingsError
from neurolatent.volume.native_mask import mask_beside, refuse_mixed
from neurolatent.volume.preprocess import Options, preprocess
from neurolatent.volume.quality import overlap
from neurolatent.volume.resample import resample
from neurolatent.volume.target import registration_target

SPACING_MM = 8.0
PROGRAM = """
import sys
import nibabel as nib
import numpy as np
image = nib.load(sys.argv[1])
mask = np.zeros(image.shape, np.uint8)
mask[15:50, 15:60, 20:60] = 1
nib.save(nib.Nifti1Image(mask, image.affine), sys.argv[2])
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    heads.skip_registration(monkeypatch.setattr)


@pytest.fixture
def workspace(tmp_path):
    for person in ("sub-01", "sub-02"):
        heads.write_head(tmp_path / f"source/{person}_T1w.nii.gz", heads.pose(), orientation="LPI")
    visits = [heads.visit(person, f"{person}_T1w.nii.gz") for person in ("sub-01", "sub-02")]
    return heads.write_workspace(tmp_path / "out", tmp_path / "source", visits)


def give_mask(workspace, person, *, shrunk_mm=6.0, shift=0):
    """Write the template's mask, pulled in, beside a raw scan and on its grid."""
    source = workspace.root.parent / "source"
    image = nib.load(source / f"{person}_T1w.nii.gz")
    target = registration_target()
    inside = (target.distance_mm < -shrunk_mm).astype(np.float32)
    template_from_voxel = np.linalg.inv(target.world_from_voxel) @ np.linalg.inv(heads.pose()) @ image.affine
    mask = np.roll(resample(inside, template_from_voxel, image.shape) > 0.5, shift, axis=0)
    path = source / f"{person}_desc-brain_mask.nii.gz"
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), image.affine), path)
    return path


def record(workspace, person):
    (path,) = workspace.derivatives.glob(f"{person}/ses-M00/anat/*_T1w.json")
    return json.loads(path.read_text())


def mask(workspace, person):
    return nib.load(next(workspace.derivatives.glob(f"{person}/ses-M00/anat/*mask.nii.gz"))).get_fdata() > 0


def test_a_mask_beside_the_scan_is_used_and_never_called_intracranial(workspace):
    for person in ("sub-01", "sub-02"):
        give_mask(workspace, person)
    assert preprocess(workspace, spacing_mm=SPACING_MM).done == 2
    found = record(workspace, "sub-01")
    assert found["mask_source"] == "given"
    assert found["intracranial_ml"] is None
    smaller = float((registration_target().distance_mm < -6).sum()) * 8 / 1000 * heads.SCALE**3
    assert found["mask_volume_ml"] == pytest.approx(smaller, rel=0.03)
    given = mask(workspace, "sub-01")
    assert preprocess(workspace, spacing_mm=SPACING_MM, options=Options(ignore_given_masks=True)).done == 2
    assert record(workspace, "sub-01")["mask_source"] == "estimated"
    assert overlap(given, mask(workspace, "sub-01")) < 0.95


def test_a_mask_that_changes_is_seen(workspace):
    for person in ("sub-01", "sub-02"):
        give_mask(workspace, person)
    preprocess(workspace, spacing_mm=SPACING_MM)
    give_mask(workspace, "sub-02", shrunk_mm=3.0)
    assert preprocess(workspace, spacing_mm=SPACING_MM).done == 1


def test_masks_of_two_makers_are_refused_unless_allowed(workspace):
    give_mask(workspace, "sub-01")
    wording = r"^expected masks of one source for the whole cohort, got 1 estimated, 1 given: .*--allow-mixed-masks"
    with pytest.raises(SettingsError, match=wording):
        preprocess(workspace, spacing_mm=SPACING_MM)
    assert preprocess(workspace, spacing_mm=SPACING_MM, options=Options(allow_mixed_masks=True)).done == 2
    refuse_mixed(["given", "given"])


def test_a_mask_of_another_grid_or_size_fails_its_scan_alone(workspace):
    path = give_mask(workspace, "sub-01")
    give_mask(workspace, "sub-02")
    image = nib.load(path)
    nib.save(image.slicer[:-4], path)
    ((_, message),) = preprocess(workspace, spacing_mm=SPACING_MM).failures
    assert "sub-01_desc-brain_mask.nii.gz: expected a brain mask on the scan's grid" in message
    few = np.zeros(image.shape, np.uint8)
    for expected in ("got 0 in every voxel", "expected a brain of 400 to 3000 mL, got 0 mL"):
        nib.save(nib.Nifti1Image(few, image.affine), path)
        ((_, message),) = preprocess(workspace, spacing_mm=SPACING_MM).failures
        assert "sub-01_desc-brain_mask.nii.gz: " in message
        assert expected in message
        few[20, 20, 20] = 1


def test_the_maker_is_read_from_the_datasets_description(tmp_path):
    folder = tmp_path / "fmriprep/sub-01/anat"
    folder.mkdir(parents=True)
    (tmp_path / "fmriprep/dataset_description.json").write_text(json.dumps({"GeneratedBy": [{"Name": "fMRIPrep"}]}))
    for name in ("sub-01_desc-preproc_T1w.nii.gz", "sub-01_desc-brain_mask.nii.gz"):
        (folder / name).write_bytes(b"")
    found = mask_beside(folder / "sub-01_desc-preproc_T1w.nii.gz")
    assert (found.path.name, found.source) == ("sub-01_desc-brain_mask.nii.gz", "fmriprep")
    surfer = tmp_path / "bert/mri"
    surfer.mkdir(parents=True)
    for name in ("T1.mgz", "brainmask.mgz"):
        (surfer / name).write_bytes(b"")
    assert mask_beside(surfer / "T1.mgz").source == "freesurfer"
    assert mask_beside(tmp_path / "lonely_T1w.nii.gz") is None


def test_an_installed_program_makes_the_mask_without_a_shell(workspace, tmp_path):
    (tmp_path / "extract.py").write_text(PROGRAM)
    command = f"{sys.executable} {tmp_path / 'extract.py'} {{image}} {{mask}} ; touch {tmp_path / 'shell'}"
    assert preprocess(workspace, spacing_mm=SPACING_MM, options=Options(extractor=command)).done == 2
    assert not (tmp_path / "shell").exists()
    assert record(workspace, "sub-01")["mask_source"] != "estimated"
    assert record(workspace, "sub-01")["mask_volume_ml"] == pytest.approx(35 * 45 * 40 * 27 / 1000, rel=0.03)


def test_a_program_that_fails_or_is_not_there_says_so(workspace, tmp_path):
    with pytest.raises(SettingsError, match="expected an installed program, found no 'mri_synthstrip' on the path"):
        preprocess(workspace, spacing_mm=SPACING_MM, options=Options(extractor="synthstrip"))
    with pytest.raises(SettingsError, match=r"expected \{image\} and \{mask\} in the command"):
        preprocess(workspace, spacing_mm=SPACING_MM, options=Options(extractor=f"{sys.executable} {{image}}"))
    (tmp_path / "broken.py").write_text("raise SystemExit('no licence found')")
    command = f"{sys.executable} {tmp_path / 'broken.py'} {{image}} {{mask}}"
    messages = {
        message
        for _, message in preprocess(workspace, spacing_mm=SPACING_MM, options=Options(extractor=command)).failures
    }
    assert all(message.endswith("got exit status 1: no licence found") for message in messages)
