"""AIBL in LONI's layout and in Clinica's BIDS, traps included."""

from collections.abc import Callable
from pathlib import Path

import pytest

from neurolatent.cohort.build import BuildResult, build_cohort
from neurolatent.workspace import Workspace


@pytest.fixture
def aibl(tmp_path: Path, write_image: Callable[..., Path], write_csv: Callable[..., Path]) -> Path:
    root = tmp_path / "aibl"
    tables = {
        "ptdemog": [("RID", "SITEID", "VISCODE", "PTGENDER", "PTDOB"), (12, 1, "bl", 1, "/1935"),
                    (34, 2, "bl", 2, "/1940")],
        "pdxconv": [("RID", "SITEID", "VISCODE", "DXCURREN"), (12, 1, "bl", 1), (12, 1, "m18", 2), (34, 2, "bl", -4)],
        "mmse": [("RID", "SITEID", "VISCODE", "EXAMDATE", "MMSCORE"), (12, 1, "bl", "03/05/2007", 29),
                 (12, 1, "m18", "-4", -4), (34, 2, "bl", "-4", 30)],
        "cdr": [("RID", "SITEID", "VISCODE", "EXAMDATE", "CDGLOBAL"), (12, 1, "bl", "", 0), (12, 1, "m18", "", 0.5)],
        "mrimeta": [("RID", "SITEID", "VISCODE", "EXAMDATE"), (12, 1, "bl", "03/01/2007")],
        "mri3meta": [("RID", "SITEID", "VISCODE", "EXAMDATE"), (12, 1, "m18", "9/10/2008"),
                     (34, 2, "bl", "02/03/2009")],
    }  # fmt: skip
    for name, rows in tables.items():
        write_csv(root / "Data_extract_3.3.0" / f"aibl_{name}_01-Jun-2018.csv", *rows)
    for person, series, stamp, number in (
        ("12", "MPRAGE_ADNI_confirmed", "2007-03-01_10_20_30.0", 101),
        ("12", "MPRAGE_ADNI_confirmed_repeat", "2007-03-01_10_30_30.0", 100),
        ("12", "MPRAGE_ADNI_confirmed", "2008-09-12_10_20_30.0", 102),
        ("34", "MPRAGE", "2009-02-03_10_20_30.0", 103),
        ("12", "Axial_PD_T2_FSE", "2007-03-01_10_20_30.0", 104),
    ):
        write_image(root / "AIBL" / person / series / stamp / f"I{number}" / f"AIBL_{person}_{number}.nii")
    return root


def test_raw_tree_becomes_the_table_written_by_hand(aibl: Path, workspace: Workspace):
    result = build_cohort("aibl", aibl, workspace)
    told = [
        (v.participant_id, v.session_id, v.months, round(v.age_years, 2), v.age_precision_years, v.sex, v.diagnosis,
         v.site, v.scanner_tesla, v.extra["mmse"], v.extra["cdr"])
        for v in result.visits
    ]  # fmt: skip
    assert told == [
        # Born in the middle of 1935: 71.67 years, half a year off at most; the next scan is 18 months later, not 12.
        ("sub-AIBL12", "ses-M000", 0.0, 71.67, 0.5, "M", "CN", "1", 1.5, "29", "0"),
        ("sub-AIBL12", "ses-M018", 18.4, 73.2, 0.5, "M", "MCI", "1", 3.0, "n/a", "0.5"),
        ("sub-AIBL34", "ses-M000", 0.0, 68.59, 0.5, "F", None, "2", 3.0, "30", "n/a"),
    ]
    assert [(row.scan.rpartition("_")[2], row.stage) for row in result.exclusions] == [("100.nii", "choice")]


def test_clinicas_bids(
    tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path], write_tsv: Callable[..., Path]
):
    root, person = tmp_path / "bids", "sub-AIBL12"
    for session in ("ses-M000", "ses-M018"):
        write_image(root / person / session / "anat" / f"{person}_{session}_T1w.nii.gz")
    write_tsv(root / "participants.tsv", ("participant_id", "sex"), (person, "M"))
    write_tsv(root / person / f"{person}_sessions.tsv",
              ("session_id", "examination_date", "age", "MMS", "cdr_global", "diagnosis"),
              ("ses-M000", "2007-03-01", 72, 29, 0, "CN"), ("ses-M018", "2008-09-12", 73, -4, 0.5, "MCI"))  # fmt: skip
    visits = build_cohort("aibl", root, workspace).visits
    told = [(v.session_id, v.months, v.age_years, v.sex, v.diagnosis, v.extra["mmse"], v.extra["cdr"]) for v in visits]
    assert told == [
        ("ses-M000", 0.0, 72.0, "M", "CN", "29", "0"),
        ("ses-M018", 18.4, 73.0, "M", "MCI", "n/a", "0.5"),
    ]


def test_a_birth_year_that_is_no_year_leaves_the_scan_out(aibl: Path, workspace: Workspace):
    table = next(aibl.rglob("aibl_ptdemog_*.csv"))
    table.write_text(table.read_text().replace("/1935", "/unknown"))
    result = build_cohort("aibl", aibl, workspace)
    assert {visit.participant_id for visit in result.visits} == {"sub-AIBL34"}
    assert any("line 2, PTDOB: expected a number or n/a, got 'unknown'" in str(row) for row in result.exclusions)


def add(root: Path, table: str, *rows: tuple) -> None:
    path = next(root.rglob(f"aibl_{table}_*.csv"))
    path.write_text(path.read_text() + "".join(",".join(map(str, row)) + "\n" for row in rows))


def kept(result: BuildResult) -> list[tuple[str, str]]:
    return [visit.key[:2] for visit in result.visits]


FIRST, SECOND, OTHER = ("sub-AIBL12", "ses-M000"), ("sub-AIBL12", "ses-M018"), ("sub-AIBL34", "ses-M000")


def test_two_rows_of_a_person_that_contradict_each_other_leave_the_person_out(aibl: Path, workspace: Workspace):
    add(aibl, "ptdemog", (12, 1, "m18", 2, "/1955"))
    result = build_cohort("aibl", aibl, workspace)
    assert kept(result) == [OTHER]
    reasons = [row.reason for row in result.exclusions if row.stage == "check"]
    assert len(reasons) == 3
    assert all("line 2 (sex M, birth_year /1935) and line 4 (sex F, birth_year /1955)" in reason for reason in reasons)


def test_a_year_of_birth_with_and_without_its_stroke_is_one(aibl: Path, workspace: Workspace):
    add(aibl, "ptdemog", (12, 1, "m18", 1, "1935"))
    assert kept(build_cohort("aibl", aibl, workspace)) == [FIRST, SECOND, OTHER]


def test_a_visit_with_two_diagnoses_is_left_out_and_the_others_stay(aibl: Path, workspace: Workspace):
    add(aibl, "pdxconv", (12, 1, "m18", 3))
    result = build_cohort("aibl", aibl, workspace)
    assert kept(result) == [FIRST, OTHER]
    (lost,) = [row for row in result.exclusions if row.severity == "error"]
    assert "line 3 (diagnosis MCI) and line 5 (diagnosis AD)" in lost.reason


def test_a_value_counts_where_another_row_lacks_it(aibl: Path, workspace: Workspace):
    table = next(aibl.rglob("aibl_ptdemog_*.csv"))
    expected = build_cohort("aibl", aibl, workspace).visits
    table.write_text(table.read_text().replace("12,1,bl,1,/1935", "12,1,bl,-4,-4\n12,1,m18,1,/1935"))
    assert build_cohort("aibl", aibl, workspace).visits == expected


@pytest.mark.parametrize(
    ("clinical_day", "left"),
    [("09/09/2008", [FIRST, OTHER]), ("", [OTHER])],
    ids=["of a visit whose day another table tells", "of a visit whose day nothing else tells"],
)
def test_a_day_that_is_none_leaves_scans_out_and_the_others_stay(
    aibl: Path, workspace: Workspace, clinical_day: str, left: list
):
    for table, old, new in (("mri3meta", "9/10/2008", "13/31/2008"), ("cdr", "m18,,", f"m18,{clinical_day},")):
        path = next(aibl.rglob(f"aibl_{table}_*.csv"))
        path.write_text(path.read_text().replace(old, new))
    result = build_cohort("aibl", aibl, workspace)
    assert kept(result) == left
    assert any(
        "aibl_mri3meta_01-Jun-2018.csv line 2: expected a day such as" in str(row) and "'13/31/2008'" in row.reason
        for row in result.exclusions
    )


@pytest.mark.parametrize(
    ("day_of_3t", "tesla"), [("02/27/2007", 1.5), ("03/01/2007", None), ("03/02/2007", 1.5), ("02/26/2007", 1.5)]
)
def test_field_strength_is_that_of_the_exam_nearest_to_the_image(
    aibl: Path, workspace: Workspace, day_of_3t: str, tesla: float | None
):
    add(aibl, "mri3meta", (12, 1, "bl", day_of_3t))
    told = {visit.key[:2]: visit.scanner_tesla for visit in build_cohort("aibl", aibl, workspace).visits}
    assert told == {FIRST: tesla, SECOND: 3.0, OTHER: 3.0}


def test_an_image_of_the_second_exam_of_a_visit_has_that_exams_field_strength(aibl: Path, workspace: Workspace):
    for table in ("mrimeta", "mri3meta"):
        path = next(aibl.rglob(f"aibl_{table}_*.csv"))
        path.write_text(path.read_text().replace("12,1,bl,03/01/2007", "12,1,bl,01/20/2007"))
    add(aibl, "mri3meta", (12, 1, "bl", "03/01/2007"))
    told = {visit.key[:2]: visit.scanner_tesla for visit in build_cohort("aibl", aibl, workspace).visits}
    assert told[FIRST] == 3.0
