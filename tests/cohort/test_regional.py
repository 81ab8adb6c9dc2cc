"""Volumes that other programs measured find their scans, or are listed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from neurolatent.cohort.build import build_cohort
from neurolatent.cohort.regional import join_regional, read_regional, write_regional
from neurolatent.cohort_steps import join_volumes
from neurolatent.errors import TableError
from neurolatent.workspace import Workspace

STATS = """# Title Segmentation Statistics
# Measure BrainSeg, BrainSegVol, Brain Segmentation Volume, 1243340.000000, mm^3
# Measure lhSurfaceHoles, lhSurfaceHoles, Number of defect holes in lh surfaces prior to fixing, 12, unitless
# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial Volume, 1405915.237151, mm^3
# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean
  1   4     12159    12542.6  Left-Lateral-Ventricle            22.8590
  2  17      4000     4012.5  Left-Hippocampus                  60.1
"""


@pytest.fixture
def visits(bids: Callable[..., Path], workspace: Workspace) -> tuple:
    rows = (("sub-01", 70, "F"), ("sub-02", 71, "M"))
    return build_cohort("bids", bids({"sub-01": ["ses-M00", "ses-M12"], "sub-02": [""]}, *rows), workspace).visits


def write_stats(root: Path, subject: str) -> None:
    (root / subject / "stats").mkdir(parents=True)
    (root / subject / "stats" / "aseg.stats").write_text(STATS, encoding="utf-8")


def test_freesurfers_subjects_are_joined_by_person_and_session(tmp_path: Path, visits: tuple, workspace: Workspace):
    for subject in ("sub-01_ses-M00", "sub-01_ses-M12.long.sub-01", "sub-02", "sub-01", "bert"):
        write_stats(tmp_path / "fs", subject)
    joined = join_regional(read_regional(tmp_path / "fs"), visits)
    assert joined.rows.keys() == {("sub-01", "ses-M00", "1"), ("sub-01", "ses-M12", "1"), ("sub-02", "ses-1", "1")}
    assert joined.rows["sub-02", "ses-1", "1"] == {
        "BrainSegVol": 1243340.0, "eTIV": 1405915.237151, "Left-Lateral-Ventricle": 12542.6, "Left-Hippocampus": 4012.5,
    }  # fmt: skip
    # `sub-01` means two sessions, `bert` nobody.
    assert joined.lost == (
        "bert/stats/aseg.stats: expected one scan that 'bert' names, got none. Rename it, or drop it.",
        "sub-01/stats/aseg.stats: expected one scan that 'sub-01' names, got 2. Rename it, or drop it.",
    )
    write_regional(workspace.regional_tsv, joined)
    header, first, *_ = workspace.regional_tsv.read_text().splitlines()
    assert header.split("\t") == [
        "participant_id", "session_id", "run", "BrainSegVol", "Left-Hippocampus", "Left-Lateral-Ventricle", "eTIV",
    ]  # fmt: skip
    assert first.split("\t") == ["sub-01", "ses-M00", "1", "1243340.0", "4012.5", "12542.6", "1405915.237"]


@pytest.mark.parametrize(
    "table",
    [
        "subject,intracranial,hippocampus\nsub-01_ses-M12_T1w_synthseg.nii.gz,1400000,4000.5\nsub-02_T1w,1500000,\n",
        "participant_id,session_id,intracranial,hippocampus\nsub-01,ses-M12,1400000,4000.5\n02,,1500000,n/a\n",
    ],
)
def test_tables_are_joined_too(tmp_path: Path, visits: tuple, table: str):
    (tmp_path / "v.csv").write_text(table)
    joined = join_regional(read_regional(tmp_path / "v.csv"), visits)
    assert joined.rows == {
        ("sub-01", "ses-M12", "1"): {"intracranial": 1400000.0, "hippocampus": 4000.5},
        ("sub-02", "ses-1", "1"): {"intracranial": 1500000.0},
    }
    assert not joined.lost


def test_a_region_has_one_name_whether_a_table_or_freesurfer_tells_it(tmp_path: Path, visits: tuple):
    write_stats(tmp_path / "fs", "sub-02")
    (tmp_path / "v.csv").write_text("subject,Left-Hippocampus\nsub-01_ses-M12,3900\n")
    joined = join_regional([*read_regional(tmp_path / "v.csv"), *read_regional(tmp_path / "fs")], visits)
    assert [regions["Left-Hippocampus"] for regions in joined.rows.values()] == [3900.0, 4012.5]


def test_a_scan_measured_twice_is_listed(tmp_path: Path, visits: tuple):
    (tmp_path / "v.csv").write_text("subject,x\nsub-02,1\nsub-02_T1w,2\n")
    joined = join_regional(read_regional(tmp_path / "v.csv"), visits)
    assert joined.rows["sub-02", "ses-1", "1"] == {"x": 1.0}
    assert joined.lost == ("v.csv line 3: expected 'sub-02_T1w' once, got it again. Remove one.",)


def test_volumes_of_nobody_here_leave_the_table_as_it_was(tmp_path: Path, visits: tuple, workspace: Workspace):
    (tmp_path / "good.csv").write_text("subject,x\nsub-02,1\n")
    (tmp_path / "bad.csv").write_text("subject,x\nbert,1\n")
    first = join_volumes(workspace.root, [tmp_path / "bad.csv"])
    assert first.failed
    assert not workspace.regional_tsv.exists()
    assert not join_volumes(workspace.root, [tmp_path / "good.csv"]).failed
    before = workspace.regional_tsv.read_bytes()
    again = join_volumes(workspace.root, [tmp_path / "bad.csv"])
    assert again.failed
    assert "got those of none; the table stays as it was. Check the names of the scans." in again.lines[-1]
    assert workspace.regional_tsv.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("v.csv", "subject,x\nsub-02,large\n", r"v.csv line 2, x: expected a volume in mm³, got 'large'"),
        ("v.csv", "name,x\nsub-02,1\n", r"v.csv line 2: expected a scan in one of \['subject'"),
        ("aseg.stats", "# nothing\n", r"aseg.stats: expected volumes, found none"),
        ("v.txt", "x", r"v.txt: expected aseg.stats, a folder of subjects or a table"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str, text: str, match: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(TableError, match=match):
        read_regional(tmp_path / name)


@pytest.mark.data
def test_the_real_subject_has_all_its_volumes(shared_data: Path):
    (one,) = read_regional(shared_data / "freesurfer-subject1")
    assert one.regions["eTIV"] == pytest.approx(1405915.237)
    assert one.regions["Left-Lateral-Ventricle"] == pytest.approx(12542.6)
    assert "lhSurfaceHoles" not in one.regions
    assert len(one.regions) > 60
