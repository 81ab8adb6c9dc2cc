"""Claims about scans that come in standard space: checked, taken as they are, never copied."""

import re
import shutil

import heads
import nibabel as nib
import numpy as np
import pytest

from neurolatent.volume import preprocess as preprocessing
from neurolatent.volume.cache import open_cache
from neurolatent.volume.preprocess import preprocess
from neurolatent.volume.quality import template_mask
from neurolatent.volume.space import Grid, is_given

GRID = Grid(8.0)
NAME = "{}_ses-M00_space-MNI152NLin2009aSym_res-8_desc-{}.nii.gz"
PEOPLE = ("sub-01", "sub-02", "sub-03")


def write(folder, person, volume=None, *, mask=None, affine=GRID.world_from_voxel):
    inside = template_mask(GRID) if mask is None else mask
    values = np.random.default_rng(int(person[-1])).uniform(0, 1, GRID.shape) * inside if volume is None else volume
    nib.save(nib.Nifti1Image(values.astype(np.float32), affine), folder / NAME.format(person, "preproc_T1w"))
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), affine), folder / NAME.format(person, "brain_mask"))


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for person in PEOPLE:
        write(folder, person)
    return folder


@pytest.fixture
def workspace(tmp_path, source):
    visits = [heads.visit(person, NAME.format(person, "preproc_T1w")) for person in PEOPLE]
    return heads.write_workspace(tmp_path / "out", source, visits)


def test_the_cache_reads_the_source_and_no_image_is_copied(workspace, source):
    assert preprocess(workspace, spacing_mm=8.0).done == 3
    cache = open_cache(workspace.cache(8.0))
    wanted = nib.load(source / NAME.format("sub-02", "preproc_T1w")).get_fdata()
    np.testing.assert_allclose(cache.volumes[1], wanted, atol=1e-3)
    np.testing.assert_array_equal(cache.masks[1], template_mask(GRID))
    assert not list(workspace.derivatives.rglob("*.nii.gz"))
    assert "\tgiven\t" in workspace.quality_tsv.read_text()


def test_a_rerun_reads_records_only(workspace, source):
    preprocess(workspace, spacing_mm=8.0)
    index = workspace.cache(8.0) / "index.json"
    written = index.stat().st_mtime_ns
    assert preprocess(workspace, spacing_mm=8.0).skipped == 3
    assert index.stat().st_mtime_ns == written
    write(source, "sub-02", np.zeros(GRID.shape) + 0.5 * template_mask(GRID))
    again = preprocess(workspace, spacing_mm=8.0)
    assert (again.done, again.skipped) == (1, 2)
    assert again.redone[0][1] == "the scan changed"
    assert open_cache(workspace.cache(8.0)).volumes[1].max() == 0.5


def test_a_moved_source_changes_nothing(workspace, source, tmp_path):
    preprocess(workspace, spacing_mm=8.0)
    shutil.move(source, tmp_path / "moved")
    assert preprocess(workspace, spacing_mm=8.0, source=tmp_path / "moved").skipped == 3


def pictures(workspace):
    return {path.name: path.read_bytes() for path in (workspace.derivatives / "qc").iterdir()}


def test_every_one_has_a_picture_of_its_own_and_a_deleted_one_is_made_again(workspace):
    preprocess(workspace, spacing_mm=8.0)
    before = pictures(workspace)
    assert set(before) == {f"{person}_ses-M00_run-1.png" for person in PEOPLE}
    assert len(set(before.values())) == 3
    (workspace.derivatives / "qc/sub-02_ses-M00_run-1.png").unlink()
    again = preprocess(workspace, spacing_mm=8.0)
    assert (again.done, again.skipped) == (1, 2)
    assert pictures(workspace) == before


def test_one_that_fails_later_leaves_no_picture(workspace, source):
    preprocess(workspace, spacing_mm=8.0)
    write(source, "sub-02", 300.0 * template_mask(GRID))
    assert len(preprocess(workspace, spacing_mm=8.0).failures) == 1
    assert set(pictures(workspace)) == {"sub-01_ses-M00_run-1.png", "sub-03_ses-M00_run-1.png"}


@pytest.mark.parametrize(("room", "read_again"), [(3, []), (1, ["sub-02", "sub-03"]), (0, [*PEOPLE])])
def test_the_cache_reads_again_only_what_there_was_no_room_for(room, read_again, workspace, monkeypatch):
    read = []
    real = preprocessing.read_given
    monkeypatch.setattr(preprocessing, "read_given", lambda path, grid: read.append(path.name[:6]) or real(path, grid))
    monkeypatch.setattr(preprocessing, "KEPT_BYTES", room * 5 * np.prod(GRID.shape))
    preprocess(workspace, spacing_mm=8.0)
    assert read == read_again
    for row, person in enumerate(PEOPLE):
        wanted = np.random.default_rng(int(person[-1])).uniform(0, 1, GRID.shape) * template_mask(GRID)
        np.testing.assert_allclose(open_cache(workspace.cache(8.0)).volumes[row], wanted, atol=1e-3)


BAD = {
    "another grid": (
        lambda folder: write(folder, "sub-02", np.zeros((12, 16, 12)), mask=np.ones((12, 16, 12), bool)),
        NAME.format("sub-02", "preproc_T1w") + ": expected the shape (24, 32, 24) of the 8 mm grid, got (12, 16, 12). "
        "Choose the preset of its spacing, or use the raw scan.",
    ),
    "another place": (
        lambda folder: write(folder, "sub-02", affine=np.diag([8.0, 8.0, 8.0, 1.0])),
        NAME.format("sub-02", "preproc_T1w")
        + ": expected the affine of the 8 mm grid, got one with origin (0.0, 0.0, 0.0) mm. Use the raw scan instead.",
    ),
    "other intensities": (
        lambda folder: write(folder, "sub-02", 300.0 * template_mask(GRID)),
        NAME.format("sub-02", "preproc_T1w")
        + ": expected intensities from 0 to 1, got 0 to 300. Use the raw scan instead.",
    ),
    "no voxel": (
        lambda folder: write(folder, "sub-02", np.zeros(GRID.shape)),
        NAME.format("sub-02", "preproc_T1w")
        + ": expected intensities from 0 to 1, got 0 to 0. Use the raw scan instead.",
    ),
    "NaN": (
        lambda folder: write(folder, "sub-02", np.full(GRID.shape, np.nan)),
        NAME.format("sub-02", "preproc_T1w")
        + ": expected finite intensities, got 18432 NaN or infinite voxels. Convert it again.",
    ),
    "no mask": (
        lambda folder: (folder / NAME.format("sub-02", "brain_mask")).unlink(),
        NAME.format("sub-02", "brain_mask")
        + ": expected an image, found no such file. Restore it, remove its row, or state --source.",
    ),
    "empty mask": (
        lambda folder: write(
            folder, "sub-02", np.full(GRID.shape, 0.5).cumsum(0) / 99, mask=np.zeros(GRID.shape, bool)
        ),
        NAME.format("sub-02", "brain_mask") + ": expected a mask with voxels inside, got an empty one. Write it again.",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_one_fails_alone_and_by_name(kind, workspace, source):
    spoil, wording = BAD[kind]
    spoil(source)
    result = preprocess(workspace, spacing_mm=8.0)
    assert result.done == 2
    assert re.fullmatch(re.escape(wording), result.failures[0][1])
    assert len(open_cache(workspace.cache(8.0)).keys) == 2


def test_only_the_projects_own_space_counts_as_given():
    assert is_given("sub-1/anat/sub-1_space-MNI152NLin2009aSym_res-4_desc-preproc_T1w.nii.gz")
    assert not is_given("sub-1/anat/sub-1_space-MNI152NLin2009cAsym_res-4_desc-preproc_T1w.nii.gz")
    assert not is_given("sub-1/anat/sub-1_T1w.nii.gz")
