"""Claims about preprocessing a workspace: what is done, skipped, redone and refused. Registration is put aside."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import heads
import nibabel as nib
import numpy as np
import pytest

from neurolatent.cohort.visits import read_visits, write_visits
from neurolatent.errors import SettingsError
from neurolatent.volume import recipe
from neurolatent.volume.cache import open_cache
from neurolatent.volume.preprocess import PreprocessResult, preprocess
from neurolatent.workspace import ScanKey, Workspace

SPACING_MM = 8.0
PEOPLE = ("sub-01", "sub-02", "sub-03")


@pytest.fixture(scope="session")
def raw_head(tmp_path_factory) -> Path:
    return heads.write_head(tmp_path_factory.mktemp("head") / "head.nii.gz", heads.pose())


@pytest.fixture
def source(tmp_path, raw_head) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for person in PEOPLE:
        shutil.copy(raw_head, folder / f"{person}_T1w.nii.gz")
    return folder


@pytest.fixture
def workspace(tmp_path, source) -> Workspace:
    return heads.write_workspace(
        tmp_path / "out", source, [heads.visit(person, f"{person}_T1w.nii.gz") for person in PEOPLE]
    )


@pytest.fixture
def quick(monkeypatch):
    heads.skip_registration(monkeypatch.setattr)


def run(workspace: Workspace, **options) -> PreprocessResult:
    return preprocess(workspace, spacing_mm=SPACING_MM, **options)


def key(person: str, session="ses-M00", run="1") -> ScanKey:
    return ScanKey(person, session, run)


def quality(workspace: Workspace) -> dict[str, dict[str, str]]:
    with workspace.quality_tsv.open() as file:
        return {row["participant_id"]: row for row in csv.DictReader(file, delimiter="\t")}


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_volumes_are_brain_only_between_0_and_1_and_the_cache_holds_them_in_the_tables_order(quick, workspace):
    seen = []
    result = run(workspace, progress=lambda *step: seen.append(step))
    assert (result.done, result.skipped, result.failures) == (3, 0, ())
    assert seen == [("preprocess", done, 3) for done in (1, 2, 3)]
    cache = open_cache(workspace.cache(SPACING_MM))
    assert cache.keys == tuple(key(person) for person in PEOPLE)
    volume, mask = cache.volumes[0].astype(np.float32), cache.masks[0]
    assert volume.min() == 0
    assert 0.99 < volume.max() <= 1
    assert not volume[~mask].any()
    stored = workspace.derivatives / "sub-01/ses-M00/anat/sub-01_ses-M00_space-MNI152NLin2009aSym_res-8"
    np.testing.assert_allclose(nib.load(f"{stored}_desc-preproc_T1w.nii.gz").get_fdata(), volume, atol=1e-3)
    np.testing.assert_array_equal(nib.load(f"{stored}_desc-brain_mask.nii.gz").get_fdata() > 0, mask)


def test_a_rerun_does_nothing_and_touches_no_file(quick, workspace):
    run(workspace)
    before = files(workspace.derivatives)
    result = run(workspace)
    assert (result.done, result.skipped) == (0, 3)
    assert files(workspace.derivatives) == before


def test_the_record_names_scans_by_key_and_says_what_went_in(quick, workspace, source):
    run(workspace)
    (path,) = workspace.derivatives.glob("sub-01/ses-M00/anat/*.json")
    record = json.loads(path.read_text())
    assert record["Sources"] == ["sub-01/ses-M00/1"]
    assert record["SkullStripped"] is True
    assert record["Resolution"] == "8 mm isotropic"
    assert record["template_scale"] == pytest.approx(heads.SCALE**3)
    low, high = (heads.intracranial_ml(fluid_mm=fluid_mm) for fluid_mm in (0.0, heads.FLUID_MM))
    assert low < record["mask_volume_ml"] < high
    assert record["versions"]["SimpleITK"]
    for written in workspace.derivatives.rglob("*"):
        if written.suffix in {".json", ".tsv"}:
            assert str(source) not in written.read_text()
            assert "_T1w.nii.gz" not in written.read_text()


def test_derivatives_describe_themselves_as_bids_derivatives(quick, workspace):
    run(workspace)
    description = json.loads((workspace.derivatives / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "neurolatent"


def test_a_bad_scan_fails_alone_with_one_line_and_leaves_nothing_behind(quick, workspace, source):
    run(workspace)
    bad = source / "sub-02_T1w.nii.gz"
    bad.write_bytes(bad.read_bytes()[:5000])
    (source / "sub-03_T1w.nii.gz").unlink()
    result = run(workspace)
    assert (result.done, result.skipped) == (0, 1)
    assert result.failures == (
        (
            key("sub-02"),
            (
                "sub-02_T1w.nii.gz: expected a whole image, got one that breaks off or is damaged. "
                "Copy or download it again."
            ),
        ),
        (
            key("sub-03"),
            "sub-03_T1w.nii.gz: expected an image, found no such file. Restore it, remove its row, or state --source.",
        ),
    )
    rows = quality(workspace)
    assert [rows[person]["status"] for person in PEOPLE] == ["done", "failed", "failed"]
    assert rows["sub-02"]["reason"].startswith("expected a whole image")
    assert open_cache(workspace.cache(SPACING_MM)).keys == (key("sub-01"),)
    left = [path.name for person in PEOPLE[1:] for path in workspace.derivatives.rglob(f"{person}_*")]
    assert left == ["sub-02_res-8_preprocessing.json"], "only that the same file need not be tried again"


def test_a_crash_inside_a_library_is_one_scans_failure(quick, workspace, monkeypatch):
    real = heads.subject.prepare_head

    def crash(scan, name):
        if name.startswith("sub-02"):
            msg = "filter gave up\non this image"
            raise RuntimeError(msg)
        return real(scan, name)

    monkeypatch.setattr(heads.subject, "prepare_head", crash)
    result = run(workspace)
    assert result.done == 2
    assert result.failures[0][1] == (
        "sub-02_T1w.nii.gz: expected a head that can be registered, got 'filter gave up on this image'. "
        "Look at the scan."
    )


def test_an_image_path_that_leaves_the_source_fails_alone_and_stays_out_of_the_table(quick, workspace):
    visits = read_visits(workspace.visits_tsv)
    write_visits(workspace.visits_tsv, [visits[0], replace(visits[1], image="../secret_T1w.nii.gz")])
    result = run(workspace)
    assert result.done == 1
    assert "expected an image inside" in result.failures[0][1]
    assert quality(workspace)["sub-02"]["reason"] == "the image's path leaves the source folder"


def test_a_scan_that_changed_is_done_again_and_the_reason_is_told(quick, workspace, source):
    run(workspace)
    before = open_cache(workspace.cache(SPACING_MM)).hash
    heads.write_head(source / "sub-02_T1w.nii.gz", heads.pose(), seed=5)
    result = run(workspace)
    assert (result.done, result.skipped) == (1, 2)
    assert result.redone == ((key("sub-02"), "a scan of the person changed, came or went"),)
    assert open_cache(workspace.cache(SPACING_MM)).hash != before


def test_other_settings_redo_every_scan(quick, workspace, monkeypatch):
    run(workspace)
    monkeypatch.setattr(recipe, "VERSION", recipe.VERSION + 1)
    result = run(workspace)
    assert (result.done, result.skipped) == (3, 0)
    assert {why for _, why in result.redone} == {"the settings changed"}


def test_a_deleted_output_is_made_again(quick, workspace):
    run(workspace)
    (volume,) = workspace.derivatives.glob("sub-02/ses-M00/anat/*_T1w.nii.gz")
    volume.unlink()
    assert run(workspace).done == 1
    assert volume.is_file()


def test_a_damaged_cache_is_written_again(quick, workspace):
    run(workspace)
    (workspace.cache(SPACING_MM) / "volumes.npy").write_bytes(b"damaged")
    run(workspace)
    assert len(open_cache(workspace.cache(SPACING_MM)).keys) == 3


def test_when_the_last_scan_fails_no_cache_is_left_to_mislead(quick, workspace, source):
    run(workspace)
    for path in source.iterdir():
        path.write_bytes(b"")
    assert len(run(workspace).failures) == 3
    assert not (workspace.cache(SPACING_MM) / "index.json").exists()


def test_a_source_that_moved_is_found_with_the_option_and_named_without(quick, workspace, source):
    moved = source.rename(source.with_name("moved"))
    with pytest.raises(
        SettingsError, match=r"expected the folder of the scans, found none\. If it moved, state --source"
    ):
        run(workspace)
    assert run(workspace, source=moved).done == 3


def test_several_processes_give_what_one_gives(workspace, source, tmp_path):
    # Worker processes are new: nothing can be put aside in them, so they get scans that fail before registration.
    for person in PEOPLE:
        (source / f"{person}_T1w.nii.gz").write_bytes(b"")
    alone = run(workspace)
    together = run(workspace, jobs=2)
    assert together == alone
    assert len(together.failures) == 3


@pytest.mark.parametrize("point", ["before the record", "in the middle of a volume"])
def test_a_killed_run_leaves_no_half_and_the_rerun_only_finishes(point, quick, workspace):
    script = Path(__file__).with_name("killed_run.py")
    killed = subprocess.run([sys.executable, script, workspace.root, point], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr.decode()
    finished = {path: time for path, time in files(workspace.derivatives).items() if "sub-01" in path.name}
    assert len(finished) == 6
    assert not list(workspace.derivatives.glob("sub-02/**/*.json"))
    result = run(workspace)
    assert (result.done, result.skipped, result.failures) == (2, 1, ())
    after = files(workspace.derivatives)
    assert {path: after[path] for path in finished} == finished
    assert len(open_cache(workspace.cache(SPACING_MM)).keys) == 3
    for path in workspace.derivatives.glob("sub-*/**/sub-*.nii.gz"):
        assert nib.load(path).get_fdata().any()
