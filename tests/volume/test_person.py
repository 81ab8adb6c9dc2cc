"""Claims about one person's scans: they meet halfway and share mask and scale, whatever fails."""

import json
import shutil

import heads
import nibabel as nib
import numpy as np
import pytest

from neurolatent.errors import ScanError
from neurolatent.volume import subject
from neurolatent.volume.preprocess import Options, preprocess
from neurolatent.volume.records import read_record
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


def test_every_scan_names_all_that_it_was_laid_onto(person):
    workspace, _ = person
    assert preprocess(workspace, spacing_mm=SPACING_MM).done == 3
    names = [f"sub-01/{session}/1" for session in SESSIONS]
    for session in SESSIONS:
        assert record(workspace, session)["Sources"] == names
        assert record(workspace, session)["rigid_correlation"] == 0.9


def test_a_person_with_one_scan_is_laid_onto_nobody(person):
    workspace, source = person
    workspace = heads.write_workspace(workspace.root, source, [heads.visit("sub-01", "ses-M00.nii.gz")])
    preprocess(workspace, spacing_mm=SPACING_MM)
    assert record(workspace, "ses-M00")["rigid_correlation"] is None
    assert record(workspace, "ses-M00")["Sources"] == ["sub-01/ses-M00/1"]


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


def test_a_person_whose_files_are_not_all_there_is_done_again_with_the_same_outcome(person):
    workspace, _ = person
    preprocess(workspace, spacing_mm=SPACING_MM)
    (volume,) = workspace.derivatives.glob("sub-01/ses-M24/anat/*_T1w.nii.gz")
    (path,) = workspace.derivatives.glob("sub-01/ses-M24/anat/*.json")
    before = volume.read_bytes(), path.read_text()
    path.unlink()
    result = preprocess(workspace, spacing_mm=SPACING_MM)
    assert (result.done, result.skipped) == (3, 0)
    assert (volume.read_bytes(), path.read_text()) == before


def test_a_bad_scan_stays_out_until_it_is_mended(person):
    workspace, source = person
    whole = (source / "ses-M00.nii.gz").read_bytes()
    (source / "ses-M00.nii.gz").write_bytes(b"")
    result = preprocess(workspace, spacing_mm=SPACING_MM)
    assert result.done == 2
    assert [key for key, _ in result.failures] == [ScanKey("sub-01", "ses-M00", "1")]
    assert record(workspace, "ses-M24")["Sources"] == ["sub-01/ses-M12/1", "sub-01/ses-M24/1"]
    assert preprocess(workspace, spacing_mm=SPACING_MM).skipped == 2
    (source / "ses-M00.nii.gz").write_bytes(whole)
    mended = preprocess(workspace, spacing_mm=SPACING_MM)
    assert mended.done == 3
    assert {why for _, why in mended.redone} == {"a scan of the person changed, came or went"}


def test_a_scan_that_cannot_be_registered_fails_once_and_is_remembered(person, monkeypatch):
    workspace, _ = person
    tried = []

    def refuse(_reference, _fit, _head, name):
        tried.append(name)
        msg = f"{name}: expected a correlation, got none. Look at it."
        raise ScanError(msg)

    monkeypatch.setattr(heads.midspace, "fit_rigid", refuse)
    for done in (1, 0):
        result = preprocess(workspace, spacing_mm=SPACING_MM)
        assert (result.done, len(result.failures)) == (done, 2)
    assert tried == ["ses-M12.nii.gz", "ses-M24.nii.gz"]
    assert (
        min(message for _, message in result.failures)
        == "ses-M12.nii.gz: expected a correlation, got none. Look at it."
    )


def test_a_visit_that_is_held_out_has_no_part_in_the_others_volumes(person):
    workspace, source = person
    preprocess(workspace, spacing_mm=SPACING_MM, options=Options(hold_out_visits=True))
    held = workspace.derivatives / "heldout/sub-01"
    assert [folder.name for folder in held.iterdir()] == ["ses-M12"]
    names = {path.name for path in (held / "ses-M12").glob("*_T1w.nii.gz")}
    assert names == {f"sub-01_{session}_space-MNI152NLin2009aSym_res-8_desc-preproc_T1w.nii.gz" for session in SESSIONS}
    before = {path.name: path.read_bytes() for path in (held / "ses-M12").glob("*.nii.gz")}
    heads.write_head(source / "ses-M12.nii.gz", heads.pose(), seed=99, scale=2.0)
    assert preprocess(workspace, spacing_mm=SPACING_MM, options=Options(hold_out_visits=True)).done == 3
    after = {path.name: path.read_bytes() for path in (held / "ses-M12").glob("*.nii.gz")}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"sub-01_ses-M12_space-MNI152NLin2009aSym_res-8_desc-preproc_T1w.nii.gz"}
    (path,) = (held / "ses-M12").glob("sub-01_ses-M12*_T1w.json")
    assert json.loads(path.read_text())["Sources"] == [f"sub-01/{session}/1" for session in SESSIONS]
    (path,) = (held / "ses-M12").glob("sub-01_ses-M00*_T1w.json")
    assert json.loads(path.read_text())["Sources"] == ["sub-01/ses-M00/1", "sub-01/ses-M24/1"]


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


def contents(workspace, session):
    (path,) = workspace.derivatives.glob(f"sub-01/{session}/anat/*_T1w.json")
    return read_record(path).content_hash


def write_mask(scan, ball_mm):
    """Write a ball around the middle of a written scan as the mask beside it."""
    image = nib.load(scan)
    places = np.moveaxis(np.indices(image.shape), 0, -1) @ image.affine[:3, :3].T + image.affine[:3, 3]
    inside = np.linalg.norm(places - places.mean(axis=(0, 1, 2)), axis=-1) < ball_mm
    path = scan.with_name(scan.name.replace(".nii.gz", "_synthstrip_mask.nii.gz"))
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), image.affine), path)


def test_the_cache_is_written_again_when_the_mask_of_another_visit_changes(person):
    workspace, source = person
    for session in SESSIONS:
        write_mask(source / f"{session}.nii.gz", 70)
    preprocess(workspace, spacing_mm=SPACING_MM)
    before = {session: contents(workspace, session) for session in SESSIONS}
    write_mask(source / "ses-M12.nii.gz", 60)
    preprocess(workspace, spacing_mm=SPACING_MM)
    for session in SESSIONS:
        assert contents(workspace, session) != before[session]


def test_a_rerun_without_held_out_visits_leaves_no_cache_of_them(person):
    workspace, _ = person
    preprocess(workspace, spacing_mm=SPACING_MM, options=Options(hold_out_visits=True))
    index = workspace.held_out_cache(SPACING_MM) / "index.json"
    assert index.exists()
    preprocess(workspace, spacing_mm=SPACING_MM)
    assert not index.exists()


def test_what_fails_without_a_visit_alone_is_told(person, monkeypatch):
    workspace, _ = person

    def refuse(_space, scan):
        msg = f"{scan.name}: expected a correlation, got none. Look at it."
        raise ScanError(msg)

    monkeypatch.setattr(subject, "place_outside", refuse)
    result = preprocess(workspace, spacing_mm=SPACING_MM, options=Options(hold_out_visits=True))
    assert result.done == 3
    assert result.failures == (
        (
            ScanKey("sub-01", "ses-M12", "1.without.ses-M12"),
            "ses-M12.nii.gz: expected a correlation, got none. Look at it.",
        ),
    )
