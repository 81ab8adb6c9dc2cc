"""Any table of scans, its columns named by the user."""

from collections.abc import Callable
from pathlib import Path

import pytest

from neurolatent.cohort.build import build_cohort
from neurolatent.cohort.options import BuildOptions
from neurolatent.errors import CohortError, SettingsError, TableError
from neurolatent.workspace import Workspace

HEADER = ("Subject", "Visit", "Age at scan", "Sex", "Dx", "File")
ROWS = (
    ("001", 1, 71.5, "female", "HC", "a/1.nii.gz"),
    ("001", 2, 73.5, "f", "MCI", "a/2.nii.gz"),
    ("2", 1, 80, "M", "AD", "b.nii"),
)
NAMED = ("participant=Subject", "session=Visit", "age=Age at scan", "image=File")


@pytest.fixture
def folder(tmp_path: Path, write_image: Callable[..., Path], write_csv: Callable[..., Path]) -> Path:
    for row in ROWS:
        write_image(tmp_path / "mine" / row[-1])
    write_csv(tmp_path / "mine" / "scans.csv", HEADER, *ROWS)
    return tmp_path / "mine"


def test_columns_are_named_on_the_command_line(folder: Path, workspace: Workspace):
    visits = build_cohort("table", folder, workspace, options=BuildOptions(columns=NAMED)).visits
    assert [(*v.key, v.months, v.age_years, v.sex, v.diagnosis, v.image) for v in visits] == [
        ("sub-001", "ses-1", "1", 0.0, 71.5, "F", "CN", "a/1.nii.gz"),
        ("sub-001", "ses-2", "1", 24.0, 73.5, "F", "MCI", "a/2.nii.gz"),
        ("sub-2", "ses-1", "1", 0.0, 80.0, "M", "AD", "b.nii"),
    ]


def test_the_table_itself_may_be_the_source(folder: Path, workspace: Workspace, write_csv: Callable[..., Path]):
    write_csv(folder / "another.csv", ("x",), (1,))
    visits = build_cohort("table", folder / "scans.csv", workspace, options=BuildOptions(columns=NAMED)).visits
    assert len(visits) == 3
    with pytest.raises(
        CohortError, match=r"expected one table .*, got \['another.csv', 'scans.csv'\]. Move all but one"
    ):
        build_cohort("table", folder, workspace, options=BuildOptions(columns=NAMED))


def test_a_file_for_a_cohort_of_several_tables_is_refused(folder: Path, workspace: Workspace):
    with pytest.raises(CohortError, match=r"scans.csv: expected the folder of the cohort 'adni', got the file"):
        build_cohort("adni", folder / "scans.csv", workspace)


@pytest.mark.parametrize(
    ("word", "match"),
    [
        ("person=Subject", r"--columns person=Subject: expected ROLE=NAME with a role of \['participant', 'session'"),
        ("participant", r"--columns participant: expected ROLE=NAME"),
    ],
)
def test_an_unknown_role_names_the_known_ones(folder: Path, workspace: Workspace, word: str, match: str):
    with pytest.raises(SettingsError, match=match):
        build_cohort("table", folder, workspace, options=BuildOptions(columns=(word,)))


def test_a_column_that_is_not_there_is_told_with_those_that_are(folder: Path, workspace: Workspace):
    with pytest.raises(TableError, match=r"scans.csv: expected a column Person, got \['age at scan', 'dx', 'file'"):
        build_cohort("table", folder, workspace, options=BuildOptions(columns=("participant=Person", "image=File")))


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("", "line 5: expected a value in the column File, got none. Fill it."),
        ("gone.nii", "expected the file gone.nii, found none"),
        ("../outside.nii", "expected an image inside"),
        ("/etc/passwd", "expected an image inside"),
    ],
)
def test_a_row_without_its_image_is_left_out_and_the_others_stay(
    folder: Path, workspace: Workspace, write_csv: Callable[..., Path], path: str, match: str
):
    write_csv(folder / "scans.csv", HEADER, *ROWS, ("3", 1, 70, "F", "CN", path))
    result = build_cohort("table", folder, workspace, options=BuildOptions(columns=NAMED))
    assert len(result.visits) == 3
    assert match in str(result.exclusions[0])
    assert result.failed


def test_an_absolute_path_below_the_folder_becomes_relative(
    folder: Path, workspace: Workspace, write_csv: Callable[..., Path]
):
    write_csv(folder / "scans.csv", HEADER, (*ROWS[0][:-1], folder / ROWS[0][-1]))
    visits = build_cohort("table", folder, workspace, options=BuildOptions(columns=NAMED)).visits
    assert [visit.image for visit in visits] == ["a/1.nii.gz"]


def test_a_table_without_rows_is_told(folder: Path, workspace: Workspace, write_csv: Callable[..., Path]):
    write_csv(folder / "scans.csv", HEADER)
    with pytest.raises(TableError, match=r"scans.csv: expected a row for each scan, got none"):
        build_cohort("table", folder, workspace, options=BuildOptions(columns=NAMED))


def test_sex_as_a_number_is_never_guessed(folder: Path, workspace: Workspace, write_csv: Callable[..., Path]):
    write_csv(folder / "scans.csv", HEADER, ("1", 1, 71.5, 1, "HC", "b.nii"))
    result = build_cohort("table", folder, workspace, options=BuildOptions(columns=NAMED))
    assert "sex: expected one of ['F', 'M', 'female'" in str(result.exclusions[0])


def test_rows_that_agree_in_every_cell_count_once_and_others_of_one_image_do_not(
    folder: Path, workspace: Workspace, write_csv: Callable[..., Path]
):
    other = (*ROWS[2][:2], 81, *ROWS[2][3:])
    write_csv(folder / "scans.csv", HEADER, *ROWS, ROWS[0], ROWS[1], other)
    result = build_cohort("table", folder, workspace, options=BuildOptions(columns=NAMED))
    assert [visit.image for visit in result.visits] == ["a/1.nii.gz", "a/2.nii.gz"]
    assert result.notes == ("scans.csv: 2 rows repeat another in every cell, and count once with it: line 5, 6.",)
    assert {row.scan for row in result.exclusions} == {"b.nii"}
    assert len(result.exclusions) == 2
