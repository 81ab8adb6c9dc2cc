import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from neurolatent.cohort.build import build_cohort
from neurolatent.cohort.sidecar import read_sidecar
from neurolatent.cohort.tables import read_table
from neurolatent.cohort.visits import read_visits
from neurolatent.errors import CohortError, TableError
from neurolatent.workspace import Workspace

HEADER = ("IXI_ID", "SEX_ID (1=m, 2=f)", "HEIGHT", "AGE")
ROWS = (
    (2, 2, 164, 35.80),
    (12, 1, 175, 38.78),
    (219, 2, 160, 53.08),
    (219, 2, 160, 58.07),
    (328, 2, 150, 61.79),
    (328, 1, 180, 62.08),
    (360, 2, 0, 54.19),
    (360, 2, 161, 54.23),
    (374, 1, 184, None),
    (513, 2, 153, None),
    (513, 2, 0, None),
)
SCANS = (
    "IXI002-Guys-0828",
    "IXI012-HH-1211",
    "IXI219-Guys-0894",
    "IXI328-HH-2295",
    "IXI360-IOP-0900",
    "IXI374-HH-1",
    "IXI600-HH-2",
)


@pytest.fixture
def ixi(tmp_path: Path, write_image: Callable[..., Path], write_xlsx: Callable[..., Path]) -> Path:
    root = tmp_path / "ixi"
    for scan in SCANS:
        write_image(root / "images" / f"{scan}-T1.nii.gz")
    write_image(root / "images" / "IXI002-Guys-0828-T2.nii.gz")
    write_xlsx(root / "IXI.xlsx", HEADER, *ROWS)
    return root


def test_site_field_and_diagnosis_follow_from_name_and_descriptor(ixi: Path, workspace: Workspace):
    visits = build_cohort("ixi", ixi, workspace).visits
    told = {v.participant_id: (v.session_id, v.run, v.sex, v.age_years, v.site, v.scanner_tesla) for v in visits}
    assert told == {
        "sub-IXI002": ("ses-1", "1", "F", 35.8, "Guys", 1.5),
        "sub-IXI012": ("ses-1", "1", "M", 38.78, "HH", 3.0),
        "sub-IXI360": ("ses-1", "1", "F", 54.19, "IOP", 1.5),
    }
    assert {(v.diagnosis, v.dx_rule, v.months, v.cohort) for v in visits} == {
        ("CN", "all are healthy volunteers", 0.0, "ixi")
    }


def test_contradictory_missing_and_absent_rows_are_listed_with_their_reason(ixi: Path, workspace: Workspace):
    result = build_cohort("ixi", ixi, workspace)
    listed = {exclusion.scan.split("/")[1][:6]: str(exclusion) for exclusion in result.exclusions}
    assert listed.keys() == {"IXI219", "IXI328", "IXI374", "IXI600"}
    assert "line 4 (age 53.08, sex F) and line 5 (age 58.07, sex F)" in listed["IXI219"]
    assert "line 6 (age 61.79, sex F) and line 7 (age 62.08, sex M)" in listed["IXI328"]
    assert "expected age_years, which this cohort requires, got none" in listed["IXI374"]
    assert "IXI.xlsx: expected a row for IXI600, got none" in listed["IXI600"]
    assert not result.failed, "the released workbook's known faults are no failure"


def test_a_value_counts_where_another_row_lacks_it(ixi: Path, workspace: Workspace, write_xlsx: Callable[..., Path]):
    write_xlsx(ixi / "IXI.xlsx", HEADER, (2, 0, 164, None), (2, 2, 164, 35.8), (2, 2, 164, None), (12, 1, 175, 38.78))
    visits = build_cohort("ixi", ixi, workspace).visits
    assert [(v.participant_id, v.sex, v.age_years) for v in visits] == [
        ("sub-IXI002", "F", 35.8),
        ("sub-IXI012", "M", 38.78),
    ]


def test_a_third_row_may_contradict_what_the_second_fills_in(
    ixi: Path, workspace: Workspace, write_xlsx: Callable[..., Path]
):
    write_xlsx(ixi / "IXI.xlsx", HEADER, (2, 2, 164, None), (2, 2, 164, 35.8), (2, 2, 164, 53.8))
    reasons = [row.reason for row in build_cohort("ixi", ixi, workspace).exclusions]
    assert any("line 3 (age 35.80, sex F) and line 4 (age 53.80, sex F)" in reason for reason in reasons)


def test_counts_add_up(ixi: Path, workspace: Workspace):
    result = build_cohort("ixi", ixi, workspace)
    counts = result.counts
    assert (counts.found, counts.matched, counts.kept, counts.participants, counts.people_in_tables) == (7, 6, 3, 3, 7)
    assert counts.found - counts.kept == len(result.exclusions)
    assert result.summary == "7 scans found, 6 matched, 3 kept, of 3 participants"


@pytest.mark.parametrize("place", [".", "tables", "..", "../tables"])
def test_workbook_is_found_in_beside_and_below_the_folder(ixi: Path, workspace: Workspace, place: str):
    target = ixi / "images" / place / "IXI.xlsx"
    target.parent.mkdir(exist_ok=True)
    (ixi / "IXI.xlsx").rename(target)
    assert len(build_cohort("ixi", ixi / "images", workspace).visits) == 3


def test_text_table_gives_the_same_visits_as_the_workbook(
    ixi: Path, workspace: Workspace, tmp_path: Path, write_csv: Callable[..., Path]
):
    from_workbook = build_cohort("ixi", ixi, workspace).visits
    (ixi / "IXI.xlsx").unlink()
    write_csv(ixi / "IXI.csv", *[["" if cell is None else cell for cell in row] for row in (HEADER_CSV, *ROWS)])
    assert build_cohort("ixi", ixi, Workspace(tmp_path / "other")).visits == from_workbook


HEADER_CSV = ("IXI_ID", "SEX_ID", "HEIGHT", "AGE")


def test_misnamed_image_is_an_error_and_the_others_go_on(ixi: Path, workspace: Workspace, write_image):
    write_image(ixi / "images" / "IXI2-Guys-T1.nii.gz")
    result = build_cohort("ixi", ixi, workspace)
    assert result.failed
    assert len(result.visits) == 3
    assert any("expected a name such as IXI002-Guys-0828-T1.nii.gz" in str(e) for e in result.exclusions)


def test_one_scan_in_two_files_keeps_neither(ixi: Path, workspace: Workspace, write_image):
    write_image(ixi / "images" / "IXI002-HH-0999-T1.nii.gz")
    result = build_cohort("ixi", ixi, workspace)
    assert [v.participant_id for v in result.visits] == ["sub-IXI012", "sub-IXI360"]
    assert sum("sub-IXI002/ses-1/1 once" in e.reason for e in result.exclusions) == 2


def test_unknown_sex_code_and_impossible_age_are_errors_with_their_line(ixi: Path, workspace: Workspace, write_xlsx):
    write_xlsx(ixi / "IXI.xlsx", HEADER, (2, 3, 164, 35.8), (12, 1, 175, 0), (360, 2, 161, "old"))
    result = build_cohort("ixi", ixi, workspace)
    errors = [str(e).partition(": ")[2] for e in result.exclusions if e.severity == "error"]
    assert errors[0].startswith("IXI.xlsx line 2, SEX_ID (1=m, 2=f): expected one of ['1', '2'] or n/a, got '3'.")
    assert errors[1].startswith("IXI.xlsx line 3, AGE: expected an age of 1 to 120 years, got 0.")
    assert errors[2].startswith("IXI.xlsx line 4, AGE: expected a number or n/a, got 'old'.")


def test_folder_without_images_or_workbook_says_what_was_expected(ixi: Path, workspace: Workspace, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CohortError, match=r"empty: expected images such as IXI002-Guys-0828-T1.nii.gz"):
        build_cohort("ixi", tmp_path / "empty", workspace)
    (ixi / "IXI.xlsx").unlink()
    with pytest.raises(CohortError, match=r"expected a table \['IXI.xls', 'IXI.xlsx', 'IXI.csv'\]"):
        build_cohort("ixi", ixi, workspace)
    with pytest.raises(CohortError, match=r"nowhere: expected the folder of the cohort 'ixi', found none"):
        build_cohort("ixi", tmp_path / "nowhere", workspace)


def test_workbook_without_its_columns_is_refused(ixi: Path, workspace: Workspace, write_xlsx):
    write_xlsx(ixi / "IXI.xlsx", ("IXI_ID", "AGE"), (2, 35.8))
    with pytest.raises(TableError, match=r"IXI.xlsx: expected a column SEX_ID \(1=m, 2=f\) or SEX_ID, got"):
        build_cohort("ixi", ixi, workspace)


@pytest.mark.data
@pytest.mark.parametrize("folder", ["ixi-2mm", "ixi-2mm/images"])
def test_real_heads_and_workbook_give_95_of_96(shared_data: Path, workspace: Workspace, folder: str):
    result = build_cohort("ixi", shared_data / folder, workspace)
    assert (result.counts.found, result.counts.kept, result.counts.people_in_tables) == (96, 95, 593)
    assert not result.failed
    (only,) = result.exclusions
    assert "IXI328" in only.scan
    assert "line 301 (age 61.79, sex F) and line 302 (age 62.08, sex M)" in only.reason
    assert all(visit.age_years and visit.sex and visit.scanner_tesla == 3.0 for visit in result.visits)


@pytest.mark.data
def test_real_workbook_with_a_scan_of_everybody_adds_up(
    shared_data: Path, tmp_path: Path, workspace: Workspace, write_image
):
    workbook = shared_data / "ixi-2mm" / "IXI.xls"
    rows = read_table(workbook, sheet="Table")
    people = {int(float(row.cells["ixi_id"])) for row in rows}
    assert (len(rows), len(rows) - len(people)) == (619, 26)
    for number in people:
        write_image(tmp_path / "source" / f"IXI{number:03d}-Guys-0001-T1.nii.gz")
    shutil.copy(workbook, tmp_path / "source")
    result = build_cohort("ixi", tmp_path / "source", workspace)
    reasons = Counter("contradict" in row.reason for row in result.exclusions)
    assert (result.counts.found, result.counts.kept, reasons[True], reasons[False]) == (593, 563, 2, 28)
    agreeing, contradicting, ageless = read_sidecar(workspace.visits_json).notes
    assert agreeing.startswith("IXI.xls: 24 names with several rows that agree, counted once: ")
    assert contradicting == "IXI.xls: 2 names with several rows that contradict each other: 219, 328."
    assert ageless.startswith("IXI.xls: 29 rows without age: ")


@pytest.mark.data
def test_real_ages_and_sexes_are_those_of_an_independent_table(shared_data: Path, workspace: Workspace):
    build_cohort("ixi", shared_data / "ixi-2mm", workspace)
    lines = (shared_data / "ixi-2mm" / "participants.csv").read_text(encoding="utf-8").splitlines()[1:]
    known = {line.split(",")[0]: line.split(",")[1:] for line in lines}
    for visit in read_visits(workspace.visits_tsv):
        age, sex = known[Path(visit.image).name.removesuffix("-T1.nii.gz")]
        assert visit.sex == sex
        assert visit.age_years == pytest.approx(float(age), abs=0.01)
