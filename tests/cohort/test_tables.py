from collections.abc import Callable
from pathlib import Path

import pytest

from neurolatent.cohort.tables import merge_rows, read_table, require_columns
from neurolatent.errors import TableError


def test_lines_are_counted_as_an_editor_does(tmp_path: Path):
    path = tmp_path / "people.tsv"
    path.write_text('ID\tnote\na\tone\n\nb\t"two\nlines"\nc\tthree\n', encoding="utf-8")
    assert [row.where for row in read_table(path)][::2] == ["people.tsv line 2", "people.tsv line 6"]


def test_workbook_and_text_table_read_alike(tmp_path: Path, write_xlsx: Callable[..., Path]):
    rows = [("ID", "Age", "Sex"), (1, 33.25, "f"), (22, None, "m")]
    (tmp_path / "t.csv").write_text("ID,Age,Sex\n1,33.25,f\n22,,m\n", encoding="utf-8")
    book = read_table(write_xlsx(tmp_path / "t.xlsx", *rows), sheet="Table")
    assert [dict(row.cells) for row in book] == [dict(row.cells) for row in read_table(tmp_path / "t.csv")]
    assert book[1].where == "t.xlsx line 3"


def test_lacking_sheet_is_named(tmp_path: Path, write_xlsx: Callable[..., Path]):
    with pytest.raises(TableError, match=r"t.xlsx: expected a workbook with the sheet 'Table'"):
        read_table(write_xlsx(tmp_path / "t.xlsx", ("ID",), sheet="Other"), sheet="Table")


def test_byte_order_mark_and_case_of_columns_do_not_matter(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_bytes("\ufeffSubject ID,AGE\nx,70\n".encode())
    (row,) = read_table(path)
    assert row.get(["subject id"]) == ("subject id", "x")
    assert row.get(["years", "Age"]) == ("Age", "70")


def test_missing_codes_hold_for_one_column_only(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("age,mmse,site\n88,88,n/a\n", encoding="utf-8")
    (row,) = read_table(path)
    assert row.get(["age"]) == ("age", "88")
    assert row.get(["mmse"], ["88"]) is None
    assert row.get(["site"]) is None


def test_ragged_row_carries_its_problem(tmp_path: Path):
    path = tmp_path / "t.tsv"
    path.write_text("id\tage\na\t70\t\tF\nb\t71\n", encoding="utf-8")
    bad, good = read_table(path)
    assert bad.problem == "expected 2 cells, got 4. Look for a missing or a stray separator."
    assert good.problem is None


def test_rows_that_agree_count_once_and_others_are_named_with_their_values(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("id,age\na,70\na,70\nb,60\nb,65\n", encoding="utf-8")
    index = merge_rows(
        read_table(path),
        lambda row: row.cells["id"],
        lambda x, y: None if x.cells == y.cells else (f"age {x.cells['age']}", f"age {y.cells['age']}"),
    )
    assert index["a"].problem is None
    assert index["b"].problem == (
        "expected one row for b, got rows that contradict each other: "
        "line 4 (age 60) and line 5 (age 65). Correct or remove one."
    )


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("t.csv", b"", r"t.csv: expected a line with the names of the columns, got an empty table"),
        ("t.csv", b"id,age,AGE\na,1,2\n", r"t.csv: expected each column once, got \['age'\]"),
        ("t.csv", b"id\n\xff\xfe\n", r"t.csv: expected UTF-8"),
        ("t.txt", b"id\na\n", r"t.txt: expected a table .* got '.txt'"),
        ("t.xls", b"not a workbook", r"t.xls: expected a workbook"),
    ],
)
def test_unreadable_table_says_what_to_do(tmp_path: Path, name: str, content: bytes, match: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=match):
        read_table(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "header", "match"),
    [
        (
            "t.csv",
            "RID;AGE",
            "separated by commas, got what looks like semicolons. Save it with commas, and",
        ),
        ("t.csv", '"AGE";"RID";"X"', "separated by commas, got what looks like semicolons"),
        ("t.csv", "RID\tAGE", "separated by commas, got what looks like tabs. Save it with commas"),
        ("t.tsv", "AGE,RID", "separated by tabs, got what looks like commas. Save it with tabs"),
        ("t.tsv", "AGE; RID", "separated by tabs, got what looks like semicolons"),
    ],
)
def test_a_table_with_another_separator_is_told_apart_from_one_without_the_column(
    tmp_path: Path, name: str, header: str, match: str
):
    (tmp_path / name).write_text(f"{header}\n1;64,5\n", encoding="utf-8")
    with pytest.raises(TableError, match=rf"^{name}: expected columns {match}"):
        require_columns(read_table(tmp_path / name), [("RID",)], name)


def test_lacking_column_is_named_with_those_found(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("subject,age\na,70\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"t.csv: expected a column ID or RID, got \['age', 'subject'\]"):
        require_columns(read_table(path), [("ID", "RID")], "t.csv")


def test_what_r_writes_for_a_missing_value_is_none(tmp_path: Path):
    (tmp_path / "t.csv").write_text("id,age,name\n1,NA,na\n")
    (row,) = read_table(tmp_path / "t.csv")
    assert row.get(["age"]) is None
    assert row.get(["name"]) == ("name", "na")
