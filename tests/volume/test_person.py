"""Claims about one person's scans: the first leads, later ones follow it, whatever fails."""

import json
import shutil

import heads
import nibabel as nib
import numpy as np
import pytest

from neurolatent.volume.preprocess import preprocess
from neurolatent.workspace import ScanKey

SPACING_MM = 8.0
SESSIONS = ("ses-M00", "ses-M12", "ses-M24")


@pytest.fixture(scope="module")
def raw_heads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    return [heads.write_head(folder / f"{session}.nii.gz", heads.pose(), seed=n) for n, session in enumerate(SESSIONS)]


@pytest.fixture
def person(tmp_path, raw_heads, monkeypatch):
    heads.skip_registration(monkeypatch.setattr)
    source = tmp_path / "source"
    source.mkdir()
    for path in raw_heads:
        shutil.copy(path, source)
    visits = [
        heads.visit("sub-01", f"{session}.nii.gz", session=session, months=months)
        for session, months in zip(reversed(SESSIONS), (24.0, 12.0, 0.0), strict=True)
    ]
    return heads.write_workspace(tmp_path / "out", source, visits), source


def record(workspace, session):
    (path,) = workspace.derivatives.glob(f"sub-01/{session}/anat/*.json")
    return json.loads(path.read_text())


def test_the_earliest_scan_leads_whatever_the_tables_order(person):
    workspace, _ = person
    assert preprocess(workspace, spacing_mm=SPACING_MM).done == 3
    assert {record(workspace, session)["reference"] for session in SESSIONS} == {"sub-01/ses-M00/1"}
    assert record(workspace, "ses-M00")["rigid_correlation"] is None
    assert record(workspace, "ses-M12")["rigid_correlation"] == 0.9
    assert record(workspace, "ses-M24")["Sources"] == ["sub-01/ses-M00/1", "sub-01/ses-M24/1"]


def test_all_visits_of_a_person_share_one_mask_and_one_scale(person):
    workspace, _ = person
    preprocess(workspace, spacing_mm=SPACING_MM)
    first, *later = [
        nib.load(next(workspace.derivatives.glob(f"sub-01/{session}/anat/*mask.nii.gz"))).get_fdata()
        for session in SESSIONS
    ]
    for mask in later:
        np.testing.assert_array_equal(mask, first)
    assert len({record(workspace, session)["template_scale"] for session in SESSIONS}) == 1


def test_a_later_scan_alone_comes_out_as_it_would_in_one_run(person):
    workspace, _ = person
    preprocess(workspace, spacing_mm=SPACING_MM)
    (volume,) = workspace.derivatives.glob("sub-01/ses-M24/anat/*_T1w.nii.gz")
    (path,) = workspace.derivatives.glob("sub-01/ses-M24/anat/*.json")
    before = volume.read_bytes(), path.read_text()
    path.unlink()
    result = preprocess(workspace, spacing_mm=SPACING_MM)
    assert (result.done, result.skipped) == (1, 2)
    assert (volume.read_bytes(), path.read_text()) == before


def test_a_bad_first_scan_leaves_the_lead_to_the_second_until_it_is_mended(person):
    workspace, source = person
    whole = (source / "ses-M00.nii.gz").read_bytes()
    (source / "ses-M00.nii.gz").write_bytes(b"")
    result = preprocess(workspace, spacing_mm=SPACING_MM)
    assert result.done == 2
    assert [key for key, _ in result.failures] == [ScanKey("sub-01", "ses-M00", "1")]
    assert record(workspace, "ses-M24")["reference"] == "sub-01/ses-M12/1"
    assert preprocess(workspace, spacing_mm=SPACING_MM).skipped == 2
    (source / "ses-M00.nii.gz").write_bytes(whole)
    mended = preprocess(workspace, spacing_mm=SPACING_MM)
    assert mended.done == 3
    assert {why for _, why in mended.redone} == {"the person's first scan changed"}


def test_a_repeat_keeps_its_run_in_its_name_and_follows_the_first(person, raw_heads):
    workspace, source = person
    shutil.copy(raw_heads[1], source / "again.nii.gz")
    visits = [
        heads.visit("sub-01", "ses-M00.nii.gz"),
        heads.visit("sub-01", "again.nii.gz", run="2"),
    ]
    workspace = heads.write_workspace(workspace.root, source, visits)
    assert preprocess(workspace, spacing_mm=SPACING_MM).done == 2
    names = sorted(path.name for path in workspace.derivatives.glob("sub-01/ses-M00/anat/*_T1w.json"))
    assert names == [
        "sub-01_ses-M00_run-2_space-MNI152NLin2009aSym_res-8_desc-preproc_T1w.json",
        "sub-01_ses-M00_space-MNI152NLin2009aSym_res-8_desc-preproc_T1w.json",
    ]


def test_a_field_of_view_without_the_top_of_the_head_is_refused(person):
    workspace, source = person
    image = nib.load(source / "ses-M12.nii.gz")
    nib.save(image.slicer[:, :, :46], source / "ses-M12.nii.gz")
    result = preprocess(workspace, spacing_mm=SPACING_MM)
    assert result.done == 2
    ((key, message),) = result.failures
    assert key.session_id == "ses-M12"
    assert message.startswith("ses-M12.nii.gz: expected at least 80% of the brain in the field of view, got ")
    assert message.endswith("Use a scan of the whole head.")
