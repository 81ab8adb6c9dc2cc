"""The command as a whole: nothing to say of a clean cohort, all that is wrong of another, and no file touched."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from planting import BRAIN, Planted, head, save

from neurolatent import cohort_steps
from neurolatent.cohort_commands import Check
from neurolatent.contract.check import check_cohort
from neurolatent.volume.space import Grid
from neurolatent.workspace import Workspace
from tests.cohort.trees import TREES

GIVEN = "sub-03_space-MNI152NLin2009aSym_res-8_desc-preproc_T1w.nii.gz"


def told(found) -> list[tuple[str, str, str]]:
    return [(remark.severity, str(remark.where), remark.what) for remark in found.remarks]


@pytest.mark.parametrize("deep", [False, True])
def test_a_clean_cohort_gives_no_remark_and_stays_as_it_is(cohort: Planted, deep):
    cohort.write()
    before = {path: path.read_bytes() for path in cohort.workspace.root.parent.rglob("*") if path.is_file()}
    heard: list[tuple[str, int, int]] = []
    found = cohort.check(deep=deep, progress=lambda what, done, total, note="": heard.append((what, done, total)))
    assert told(found) == []
    assert (found.rows, found.images, found.failed) == (6, 6, False)
    assert before == {path: path.read_bytes() for path in cohort.workspace.root.parent.rglob("*") if path.is_file()}
    assert [row for row in heard if row[1] == row[2]] == [("headers", 6, 6), *([("voxels", 6, 6)] if deep else [])]


def test_table_and_images_are_told_together_errors_first(cohort: Planted):
    cohort.rows[0]["sex"] = "f"
    cohort.rows[1]["diagnosis"] = "AD"
    cohort.image("sub-03", "ses-M00").unlink()
    found = cohort.check()
    assert [severity for severity, *_ in told(found)] == ["error", "error", "warning"]
    assert found.counts == {"errors": 2, "warnings": 1, "notes": 0}
    assert found.lines[-1] == "6 rows, 6 images (headers; --deep reads the voxels): 2 errors, 1 warnings, 0 notes"


def test_an_image_is_looked_at_though_its_row_is_at_fault(cohort: Planted):
    cohort.rows[5]["age_years"] = "old"
    cohort.image("sub-03", "ses-M00").write_bytes(b"")
    assert {where for _, where, _ in told(cohort.check())} == {
        "visits.tsv line 7, age_years, sub-03/ses-M00/1",
        "sub-03/ses-M00/1",
    }


def test_a_cohort_of_heads_and_brains_is_told(cohort: Planted):
    save(cohort.image("sub-03", "ses-M00"), np.where(BRAIN, head(5), 0))
    ((severity, where, what),) = told(cohort.check(deep=True))
    assert (severity, where) == ("warning", "visits.tsv, image")
    assert what == (
        "expected whole heads alone, or skull-stripped scans alone, got 5 whole and 1 skull-stripped "
        "(sub-03/ses-M00/1). Bring all scans to one kind: what differs between them a model takes for the site."
    )


def test_raw_scans_beside_standard_space_ones_are_told_and_so_are_two_grids(cohort: Planted):
    for row, spacing_mm in ((cohort.rows[5], 8.0), (cohort.rows[4], 6.0)):
        grid = Grid(spacing_mm)
        row["image"] = f"{row['participant_id']}/{GIVEN}"
        mask = GIVEN.replace("desc-preproc_T1w", "desc-brain_mask")
        volume = np.random.default_rng(int(spacing_mm)).uniform(0, 1, grid.shape)
        for name, voxels in ((GIVEN, volume), (mask, np.ones(grid.shape))):
            save(cohort.source / row["participant_id"] / name, voxels, kind="f4", affine=grid.world_from_voxel)
    found = told(cohort.check(deep=True))
    assert [(severity, where) for severity, where, _ in found] == [("warning", "visits.tsv, image")] * 2
    assert found[0][2].startswith(
        "expected scans of one kind, got 4 raw and 2 in standard space (sub-02/ses-M12/1, sub-03/ses-M00/1). Bring"
    )
    assert found[1][2].startswith("expected one grid, got 1 res-6 and 1 res-8 (sub-03/ses-M00/1). Keep one grid")


def test_a_source_that_moved_is_one_error_and_can_be_stated(cohort: Planted):
    moved = cohort.source.rename(cohort.source.with_name("moved"))
    ((severity, where, what),) = told(cohort.check())
    assert (severity, where) == ("error", "visits.json, source_root")
    assert what == (
        f"expected the folder of the images, got none at {cohort.source}. "
        "If it moved, state --source; the images were not looked at."
    )
    assert told(cohort.check(source=moved)) == []


def test_a_table_that_was_edited_is_a_note(cohort: Planted):
    cohort.write()
    path = cohort.workspace.visits_tsv
    path.write_text(path.read_text().replace("80.3", "80.4"))
    from neurolatent.contract.check import check_cohort

    ((severity, where, what),) = told(check_cohort(cohort.workspace))
    assert (severity, where) == ("note", "visits.tsv")
    assert what == (
        "expected the table as `cohort build` wrote it, got one that was changed since. "
        "Edits that are meant may stay; a rebuild of the cohort would undo them."
    )


@pytest.mark.parametrize("content", [None, "", "{}", "[1]", '{"format_version": 9}'])
def test_a_sidecar_that_cannot_be_read_is_one_error_and_the_table_is_looked_at(cohort: Planted, content):
    cohort.rows[0]["sex"] = "f"
    cohort.write()
    if content is None:
        cohort.workspace.visits_json.unlink()
    else:
        cohort.workspace.visits_json.write_text(content)
    from neurolatent.contract.check import check_cohort

    found = told(check_cohort(cohort.workspace, source=cohort.source))
    assert [(severity, where) for severity, where, _ in found] == [
        ("error", "visits.tsv line 2, sex, sub-01/ses-M00/1"),
        ("error", "visits.json"),
    ]
    assert found[1][2].startswith("expected the table's sidecar, got none that can be read (")


def test_a_workspace_that_is_not_there_is_told_and_not_made(tmp_path):
    from neurolatent.contract.check import check_cohort
    from neurolatent.workspace import Workspace

    found = check_cohort(Workspace(tmp_path / "nowhere"))
    assert [str(remark.where) for remark in found.remarks] == ["visits.tsv", "visits.json"]
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("column", "text", "status"), [(None, "", 0), ("diagnosis", "AD", 0), ("sex", "x", 1)])
def test_only_errors_are_a_failure_and_json_says_the_same(cohort: Planted, capsys, column, text, status):
    if column:
        cohort.rows[1][column] = text
    cohort.write()
    assert Check(cohort.workspace.root, jobs=1).run() == status
    capsys.readouterr()
    assert Check(cohort.workspace.root, jobs=1, json=True).run() == status
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"errors": status, "warnings": int(column == "diagnosis"), "notes": 0}
    assert len(found["remarks"]) == sum(found["counts"].values())
    for remark in found["remarks"]:
        assert set(remark) == {"severity", "rule", "where", "expected", "got", "way_out"}
        assert set(remark["where"]) == {"file", "line", "column", "scan"}


def test_headers_are_looked_at_without_torchio_and_simpleitk():
    code = "import sys; import neurolatent.contract.check; print({'torchio', 'SimpleITK'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.data
def test_a_cohort_of_real_heads_is_clean(shared_data, tmp_path):
    from neurolatent.cohort.build import build_cohort
    from neurolatent.contract.check import check_cohort
    from neurolatent.workspace import Workspace

    workspace = Workspace(tmp_path)
    build_cohort("ixi", shared_data / "ixi-2mm", workspace)
    assert told(check_cohort(workspace)) == []


def test_the_images_of_a_pool_are_looked_for_where_each_cohort_lies(tmp_path):
    for name in ("bids", "ixi"):
        source = TREES[name](tmp_path / name, lambda path, *_: save(path, head(3)))
        cohort_steps.build(name, source, out=tmp_path / f"w-{name}")
    members = [tmp_path / "w-bids", tmp_path / "w-ixi"]
    cohort_steps.pool(members, tmp_path / "pool", accept_diagnosis_rules=True)
    found = check_cohort(Workspace(tmp_path / "pool"))
    assert found.images == 18
    assert {remark.rule for remark in found.remarks if remark.severity == "error"} == {"same-scan"}


def test_analyze_images_are_placed_as_the_cohorts_descriptor_says(tmp_path):
    def write(path, place, visit):
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.AnalyzeImage(head(3 + place).astype(np.int16), np.diag([4.0, 4.0, 4.0, 1.0])), path)

    cohort_steps.build("oasis1", TREES["oasis1"](tmp_path / "o", write), out=tmp_path / "w")
    found = check_cohort(Workspace(tmp_path / "w"))
    assert not [remark for remark in found.remarks if remark.rule == "placement"]
