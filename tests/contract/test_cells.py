"""Each fault of a cell is told with its row and column, what was expected, what came and what to do."""

import pytest

from neurolatent.contract.table import check_table

MONTHS = "Count months from the person's first scan."
NUMBER = "expected a number or n/a, got"
SEX = "expected one of F, M or n/a, got"
NAMED = "Rename it: it becomes part of file names."
PLANTED = {
    "text for a number": ("error", "age_years", "old", f"{NUMBER} 'old'. Write the number alone, or n/a."),
    "an empty number": ("error", "age_years", "", f"{NUMBER} an empty cell. Write n/a for a missing value."),
    "another word for missing": ("error", "age_years", "NA", f"{NUMBER} 'NA'. Write n/a for a missing value."),
    "not a number": ("error", "scanner_tesla", "nan", f"{NUMBER} 'nan'. Write n/a for a missing value."),
    "infinite": ("error", "age_years", "inf", f"{NUMBER} 'inf'. Write the number alone, or n/a."),
    "a decimal comma": ("error", "age_years", "71,1", f"{NUMBER} '71,1'. Write 71.1, with a decimal point."),
    "age too high": (
        "error",
        "age_years",
        "711",
        "expected a number from 1 to 120, got '711'. Write the age at the scan in years, or n/a.",
    ),
    "age of 0": (
        "error",
        "age_years",
        "0",
        "expected a number from 1 to 120, got '0'. Write the age at the scan in years, or n/a.",
    ),
    "negative months": ("error", "months", "-3", f"expected a number from 0 to 600, got '-3'. {MONTHS}"),
    "months that are days": ("error", "months", "9000", f"expected a number from 0 to 600, got '9000'. {MONTHS}"),
    "no months": ("error", "months", "n/a", "expected a value, got 'n/a'. Fill it in, or remove the row."),
    "no image": ("error", "image", "", "expected a value, got an empty cell. Fill it in, or remove the row."),
    "negative precision": (
        "error",
        "age_precision_years",
        "-1",
        "expected a number from 0 to 10, got '-1'. Write by how many years the age may be off, such as 0.5.",
    ),
    "field strength in millitesla": (
        "error",
        "scanner_tesla",
        "3000",
        ("expected a number from 0.05 to 12, got '3000'. Write the field strength in tesla, such as 1.5 or 3, or n/a."),
    ),
    "sex in lower case": ("error", "sex", "f", f"{SEX} 'f'. Write F."),
    "sex in full": ("error", "sex", "Female", f"{SEX} 'Female'. Write F."),
    "an unknown sex": ("error", "sex", "2", f"{SEX} '2'. Write one of these, or n/a."),
    "an empty sex": ("error", "sex", "", f"{SEX} an empty cell. Write n/a for a missing value."),
    "a diagnosis in lower case": (
        "error",
        "diagnosis",
        " ad",
        "expected one of CN, MCI, AD, other or n/a, got ' ad'. Write AD.",
    ),
    "an unknown diagnosis": (
        "error",
        "diagnosis",
        "SMC",
        "expected one of CN, MCI, AD, other or n/a, got 'SMC'. Write one of these, or n/a.",
    ),
    "spaces around a site": (
        "warning",
        "site",
        "A ",
        "expected a value without spaces around it, got 'A '. Write 'A': with spaces it is another value.",
    ),
    "an empty site": (
        "warning",
        "site",
        "",
        "expected a value or n/a, got an empty cell. Write n/a for a missing value.",
    ),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_bad_cell_is_told_with_its_place_and_a_way_out(spoil, kind):
    severity, column, text, what = PLANTED[kind]
    (remark,) = [r for r in check_table(spoil((3, column, text))).remarks if r.where.column == column]
    assert (remark.severity, remark.what) == (severity, what)
    assert str(remark.where) == f"visits.tsv line 3, {column}, sub-01/ses-M12/1"


@pytest.mark.parametrize("column", ["participant_id", "session_id", "run"])
def test_a_name_that_can_be_no_file_name_is_told(spoil, column):
    (remark,) = check_table(spoil((7, column, "../x"))).remarks
    assert (remark.severity, str(remark.where)) == ("error", f"visits.tsv line 7, {column}")
    assert remark.what == f"expected letters, digits and -_.+, got '../x'. {NAMED}"


def test_every_fault_of_a_row_and_of_other_rows_is_told_at_once(spoil):
    table = check_table(spoil((2, "sex", "f"), (2, "months", "x"), (5, "age_years", "old"), (7, "run", "")))
    found = {(remark.where.line, remark.where.column) for remark in table.remarks}
    assert found == {(2, "sex"), (2, "months"), (5, "age_years"), (7, "run")}
    assert [entry.line for entry in table.entries] == [2, 3, 4, 5, 6, 7]
