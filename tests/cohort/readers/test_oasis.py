"""OASIS-1, -2 and -3 in their own layouts, traps included, and the real tables of the first two."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from neurolatent.cohort.build import build_cohort
from neurolatent.cohort.descriptor import load_descriptor
from neurolatent.cohort.options import BuildOptions
from neurolatent.cohort.readers.oasis3 import diagnose
from neurolatent.cohort.tables import Row
from neurolatent.errors import SettingsError
from neurolatent.workspace import Workspace
from tests.cohort import trees

OASIS1 = (
    ("ID", "M/F", "Hand", "Age", "Educ", "SES", "MMSE", "CDR", "eTIV", "nWBV", "ASF", "Delay"),
    ("OAS1_0001_MR1", "F", "R", 74, 2, 3, 29, 0, 1344, 0.743, 1.306, "N/A"),
    ("OAS1_0003_MR1", "F", "R", 73, 4, 3, 27, 0.5, 1454, 0.708, 1.207, "N/A"),
    ("OAS1_0031_MR1", "M", "R", 88, 1, 4, 26, 1, 1419, 0.674, 1.236, "N/A"),
    ("OAS1_0061_MR1", "F", "R", 20, "", "", "", "", 1747, 0.851, 1.004, "N/A"),
    ("OAS1_0061_MR2", "F", "R", 20, "", "", "", "", 1757, 0.845, 0.999, 1),
)
OASIS2 = (
    ("Subject ID", "MRI ID", "Group", "Visit", "MR Delay", "M/F", "Hand", "Age", "EDUC", "SES", "MMSE", "CDR"),
    ("OAS2_0001", "OAS2_0001_MR1", "Nondemented", 1, 0, "M", "R", 87, 14, 2, 27, 0),
    ("OAS2_0001", "OAS2_0001_MR2", "Nondemented", 2, 457, "M", "R", 88, 14, 2, 30, 0),
    ("OAS2_0018", "OAS2_0018_MR1", "Converted", 1, 0, "F", "R", 87, 14, 1, 30, 0),
    ("OAS2_0018", "OAS2_0018_MR3", "Converted", 3, 489, "F", "R", 88, 14, "", "", 0.5),
)


def write_oasis1(root: Path, rows: object, write_csv: Callable[..., Path], write_image: Callable[..., Path]) -> Path:
    for name, *_ in list(rows)[1:]:
        folder = root / "disc1" / name / "PROCESSED" / "MPRAGE"
        for place, stem in (("SUBJ_111", "mpr_n4_anon_sbj_111"), ("T88_111", "mpr_n4_anon_111_t88_masked_gfc")):
            write_image(folder / place / f"{name}_{stem}.img")
            write_image(folder / place / f"{name}_{stem}.hdr")
    write_csv(root / "oasis_cross-sectional.csv", *rows)
    return root


def write_oasis2(root: Path, rows: object, write_csv: Callable[..., Path], write_image: Callable[..., Path]) -> Path:
    for part, (_, name, *_) in enumerate(list(rows)[1:]):
        for repeat in (1, 2):
            for ending in ("hdr", "img"):
                write_image(root / f"OAS2_RAW_PART{part % 2 + 1}" / name / "RAW" / f"mpr-{repeat}.nifti.{ending}")
    write_csv(root / "oasis_longitudinal.csv", *rows)
    return root


def test_oasis1_becomes_the_table_written_by_hand(
    tmp_path: Path, workspace: Workspace, write_csv: Callable[..., Path], write_image: Callable[..., Path]
):
    result = build_cohort("oasis1", write_oasis1(tmp_path / "o", OASIS1, write_csv, write_image), workspace)
    told = [(*v.key, v.months, v.age_years, v.sex, v.diagnosis, v.extra["cdr"], v.extra["mmse"]) for v in result.visits]
    assert told == [
        ("sub-OASIS10001", "ses-M000", "1", 0.0, 74.0, "F", "CN", "0", "29"),
        ("sub-OASIS10003", "ses-M000", "1", 0.0, 73.0, "F", "AD", "0.5", "27"),
        ("sub-OASIS10031", "ses-M000", "1", 0.0, 88.0, "M", "AD", "1", "26"),
        # Young people have no rating, which is no sign of health; a second scan is a repeat, not another person.
        ("sub-OASIS10061", "ses-M000", "1", 0.0, 20.0, "F", None, "n/a", "n/a"),
        ("sub-OASIS10061", "ses-M000", "2", 0.0, 20.0, "F", None, "n/a", "n/a"),
    ]
    assert all("SUBJ_111" in visit.image and visit.image.endswith(".img") for visit in result.visits)
    assert result.visits[1].dx_rule.endswith("0.5 (very mild dementia) AD too")


@pytest.mark.parametrize(("choice", "diagnosis"), [("ad", "AD"), ("mci", "MCI"), ("drop", None)])
def test_a_rating_of_one_half_means_what_the_user_says(
    tmp_path: Path,
    workspace: Workspace,
    write_csv: Callable[..., Path],
    write_image: Callable[..., Path],
    choice: str,
    diagnosis: str | None,
):
    root = write_oasis1(tmp_path / "o", OASIS1, write_csv, write_image)
    result = build_cohort("oasis1", root, workspace, options=BuildOptions(cdr05=choice))
    found = {visit.participant_id: visit for visit in result.visits}
    if diagnosis is None:
        assert "sub-OASIS10003" not in found
        assert [row.reason for row in result.exclusions] == ["left out by --cdr05 drop: its rating is 0.5."]
    else:
        assert found["sub-OASIS10003"].diagnosis == diagnosis
    assert found["sub-OASIS10031"].diagnosis == "AD"


def test_a_rating_is_not_asked_for_where_it_is_not_the_diagnosis(tmp_path: Path, workspace: Workspace):
    with pytest.raises(SettingsError, match=r"--cdr05 mci: expected a cohort whose diagnosis is the Clinical Dementia"):
        build_cohort("adni", tmp_path, workspace, options=BuildOptions(cdr05="mci"))


def test_oasis1_analyze_images_have_the_affine_that_clinica_gives_them():
    assert load_descriptor("oasis1").images.analyze_affine == (
        (0, 0, -1, 80), (1, 0, 0, -128), (0, 1, 0, -128), (0, 0, 0, 1),
    )  # fmt: skip


def test_oasis2_becomes_the_table_written_by_hand(
    tmp_path: Path, workspace: Workspace, write_csv: Callable[..., Path], write_image: Callable[..., Path]
):
    result = build_cohort("oasis2", write_oasis2(tmp_path / "o", OASIS2, write_csv, write_image), workspace)
    told = [(*v.key, v.months, v.age_years, v.diagnosis, v.extra["Group"]) for v in result.visits if v.run == "1"]
    assert told == [
        ("sub-OASIS20001", "ses-MR1", "1", 0.0, 87.0, "CN", "Nondemented"),
        ("sub-OASIS20001", "ses-MR2", "1", 15.0, 88.0, "CN", "Nondemented"),
        ("sub-OASIS20018", "ses-MR1", "1", 0.0, 87.0, "CN", "Converted"),
        ("sub-OASIS20018", "ses-MR3", "1", 16.1, 88.0, "AD", "Converted"),
    ]
    assert Counter(visit.run for visit in result.visits) == {"1": 4, "2": 4}


@pytest.mark.data
def test_oasis1_as_distributed(
    shared_data: Path,
    tmp_path: Path,
    workspace: Workspace,
    write_csv: Callable[..., Path],
    write_image: Callable[..., Path],
):
    with (shared_data / "oasis-tables" / "oasis_cross-sectional.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    root = write_oasis1(tmp_path / "o", rows, write_csv, write_image)
    result = build_cohort("oasis1", root, workspace)
    assert (result.counts.found, result.counts.kept, result.counts.participants) == (436, 436, 416)
    assert not result.exclusions
    assert sum(visit.run == "2" for visit in result.visits) == 20
    # 436 scans: 201 without a rating, 135 at 0, 70 at 0.5, 28 at 1, 2 at 2.
    assert Counter(visit.diagnosis for visit in result.visits) == {None: 201, "CN": 135, "AD": 100}


@pytest.mark.data
def test_oasis2_as_distributed(
    shared_data: Path,
    tmp_path: Path,
    workspace: Workspace,
    write_csv: Callable[..., Path],
    write_image: Callable[..., Path],
):
    with (shared_data / "oasis-tables" / "oasis_longitudinal.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    result = build_cohort("oasis2", write_oasis2(tmp_path / "o", rows, write_csv, write_image), workspace)
    sessions = {(visit.participant_id, visit.session_id): visit for visit in result.visits}
    assert (len(sessions), result.counts.kept, result.counts.participants) == (373, 746, 150)
    converted = {v.participant_id for v in sessions.values() if v.extra["Group"] == "Converted"}
    assert len(converted) == 14
    courses = {person: [v.diagnosis for v in sessions.values() if v.participant_id == person] for person in converted}
    assert courses.pop("sub-OASIS20131") == ["AD", "CN"]  # one "Converted" is rated 0.5 first and 0 two years later
    assert all((course[0], course[-1]) == ("CN", "AD") for course in courses.values())


def test_oasis3_becomes_the_table_written_by_hand(
    tmp_path: Path, workspace: Workspace, write_csv: Callable[..., Path], write_image: Callable[..., Path]
):
    root = tmp_path / "o"
    write_csv(root / "demo" / "OASIS3_demographics.csv", ("OASISID", "AgeatEntry", "GENDER", "EDUC", "HAND", "APOE"),
              ("OAS30001", 65.15, 2, 12, "R", 23), ("OAS30002", 67.25, 1, 18, "R", 34))  # fmt: skip
    write_csv(root / "uds" / "OASIS3_UDSb4_cdr.csv",
              ("OASISID", "OASIS_session_label", "days_to_visit", "age at visit", "MMSE", "CDRTOT", "CDRSUM"),
              ("OAS30001", "OAS30001_UDSb4_d0000", "0000", 65.15, 28, 0, 0),
              # 8 and 9 are scores here, 88 is no score; a day of 999 is a day.
              ("OAS30001", "OAS30001_UDSb4_d0999", "0999", 67.88, 8, 0.5, 1),
              ("OAS30002", "OAS30002_UDSb4_d0600", "0600", 68.9, 88, 0, 0))  # fmt: skip
    write_csv(root / "uds" / "OASIS3_UDSd1_diagnoses.csv",
              ("OASISID", "days_to_visit", "NORMCOG", "DEMENTED", "MCIAMEM", "PROBAD", "ALZDIS", "ALZDISIF"),
              ("OAS30001", "0000", 1, 8, 8, 8, ".", "."), ("OAS30001", "0999", 0, 1, 8, ".", 1, 1),
              ("OAS30002", "0600", 0, 0, 1, 8, ".", "."))  # fmt: skip
    write_csv(root / "OASIS3_MR_json.csv", ("subject_id", "label", "Manufacturer", "MagneticFieldStrength"),
              ("OAS30001", "OAS30001_MR_d0129", "Siemens", 3))  # fmt: skip
    for path in ("OAS30001_MR_d0129/anat2/NIFTI/sub-OAS30001_ses-d0129_run-01_T1w.nii.gz",
                 "OAS30001_MR_d0129/anat3/sub-OAS30001_ses-d0129_run-02_T1w.nii.gz",
                 "OAS30001_MR_d0129/anat4/sub-OAS30001_ses-d0129_T2w.nii.gz",
                 "OAS30001_MR_d0757/anat2/sub-OAS30001_sess-d0757_T1w.nii.gz",
                 "OAS30001_MR_d2757/anat2/sub-OAS30001_sess-d2757_T1w.nii.gz",
                 "OAS30002_MR_d0653/anat2/sub-OAS30002_ses-d0653_T1w.nii.gz",
                 "OAS30003_MR_d0000/anat2/sub-OAS30003_ses-d0000_T1w.nii.gz"):  # fmt: skip
        write_image(root / path)
    result = build_cohort("oasis3", root, workspace)
    told = [
        (*v.key, v.months, round(v.age_years, 2), v.sex, v.diagnosis, v.scanner_tesla, v.extra["mmse"], v.extra["cdr"])
        for v in result.visits
    ]
    assert told == [
        ("sub-OAS30001", "ses-d0129", "1", 0.0, 65.5, "F", "CN", 3.0, "28", "0"),
        ("sub-OAS30001", "ses-d0129", "2", 0.0, 65.5, "F", "CN", 3.0, "28", "0"),
        ("sub-OAS30001", "ses-d0757", "1", 20.6, 67.22, "F", "AD", None, "8", "0.5"),
        ("sub-OAS30001", "ses-d2757", "1", 86.3, 72.7, "F", None, None, "n/a", "n/a"),  # 1758 days from any visit
        ("sub-OAS30002", "ses-d0653", "1", 0.0, 69.04, "M", "MCI", None, "n/a", "0"),
    ]
    (lost,) = result.exclusions
    assert str(lost).startswith("OAS30003_MR_d0000/anat2/sub-OAS30003_ses-d0000_T1w.nii.gz: table demographics: ")
    assert lost.reason == "expected a row for OAS30003, got none. Add one, or leave the scan out."


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"normcog": "1", "demented": "8"}, "CN"),
        ({"normcog": "0", "demented": "1", "probad": "1"}, "AD"),
        ({"normcog": "0", "demented": "1", "probad": "0", "probadif": "2"}, "other"),
        ({"normcog": "0", "demented": "1", "alzdis": "1", "alzdisif": "1"}, "AD"),
        ({"normcog": "0", "demented": "1", "alzdis": "1", "alzdisif": "2"}, "other"),
        ({"normcog": "0", "demented": "0", "mciamem": "0", "mcin1lan": "1"}, "MCI"),
        ({"normcog": "0", "demented": "0", "mciamem": "0"}, None),
        ({"normcog": "0", "demented": ".", "mciamem": "1"}, None),
        ({"mmse": "30"}, None),
    ],
)
def test_form_d1_is_read_in_both_versions(cells: dict, expected: str | None):
    assert diagnose(Row("d1.csv", 2, cells)) == expected


CONTRADICTIONS = {
    # table: a row more of the first person, whose scans are of the days 0 and 731; what is left of them; the reason
    "demographics": (
        "OAS30001,77,1,12,R,33",
        [],
        "line 2 (sex M, age_at_entry 67.0) and line 8 (sex M, age_at_entry 77)",
    ),
    "UDSb4_cdr": ("OAS30001,x,731,29,0.5,.", ["ses-d0000"], "line 3 (cdr 0) and line 14 (cdr 0.5)"),
    "UDSd1_diagnoses": ("OAS30001,0,0,1,0,1", ["ses-d0731"], "line 2 (diagnosis CN) and line 14 (diagnosis AD)"),
    "MR_json": ("OAS30001_MR_d0731,1.5", ["ses-d0000"], "line 2 (scanner_tesla 3) and line 3 (scanner_tesla 1.5)"),
}


@pytest.fixture
def oasis3(tmp_path: Path, write_csv: Callable[..., Path], write_image: Callable[..., Path]) -> Path:
    root = trees.write_oasis3(tmp_path / "o", lambda path, _place, _visit: write_image(path))
    write_csv(root / "tables" / "OASIS3_MR_json.csv", ("label", "MagneticFieldStrength"), ("OAS30001_MR_d0731", 3))
    return root


@pytest.mark.parametrize("table", CONTRADICTIONS)
def test_oasis3_rows_that_contradict_each_other_cost_the_scans_that_take_from_them(
    table: str, oasis3: Path, workspace: Workspace
):
    row, left, reason = CONTRADICTIONS[table]
    path = oasis3 / "tables" / f"OASIS3_{table}.csv"
    path.write_text(path.read_text() + row + "\n")
    result = build_cohort("oasis3", oasis3, workspace)
    assert [visit.session_id for visit in result.visits if visit.participant_id == "sub-OAS30001"] == left
    assert result.counts.kept == 10 + len(left)
    assert all(reason in row.reason for row in result.exclusions)


def test_oasis3_rows_that_agree_count_once_and_tell_what_the_other_lacks(oasis3: Path, workspace: Workspace):
    expected = build_cohort("oasis3", oasis3, workspace).visits
    for table, *rows in (
        ("demographics", "OAS30001,67.04,.,12,R,33"),
        ("UDSb4_cdr", "OAS30001,x,0731,88,0.0,.", "OAS30001,x,0000,.,.,."),
        ("UDSd1_diagnoses", "OAS30001,0,.,.,.,."),
        ("MR_json", "OAS30001_MR_d0731,3.0"),
    ):
        path = oasis3 / "tables" / f"OASIS3_{table}.csv"
        header, *others = path.read_text().splitlines()
        path.write_text("\n".join([header, *others[:1], *rows, *others[1:]]) + "\n")
    assert build_cohort("oasis3", oasis3, workspace).visits == expected
