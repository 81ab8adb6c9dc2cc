"""A table that somebody edited: every fault of every row, and never a crash."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurolatent.cohort.visits import COLUMNS, read_visits
from neurolatent.contract.table import check_table
from neurolatent.errors import TableError

SAVE_AS = "Save it as tab-separated text in UTF-8, without a byte order mark."
CLEAN_LINES = 7


def told(path) -> list[tuple[str, str, str]]:
    return [(r.severity, str(r.where), r.what) for r in check_table(path).remarks]


def lines_of(path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_a_clean_table_gives_no_remark(spoil):
    table = check_table(spoil())
    assert table.remarks == ()
    assert len(table.entries) == CLEAN_LINES - 1


def test_a_scan_that_is_there_twice_is_told(spoil):
    found = told(spoil((3, "session_id", "ses-M00"), (3, "months", "0"), (3, "age_years", "70.1")))
    what = (
        "expected each (participant, session, run) once, got it also on line 2. "
        "Give repeats their own run, or remove one of the rows."
    )
    assert found == [("error", "visits.tsv line 3, sub-01/ses-M00/1", what)]


def test_an_image_that_two_rows_name_is_told(spoil, rows):
    (found,) = told(spoil((6, "image", rows[0]["image"])))
    what = "expected an image of its own, got the same image as on line 2. Name the right image, or remove a row."
    assert found == ("error", "visits.tsv line 6, image, sub-02/ses-M12/1", what)


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (
            lambda path: path.unlink(),
            "visits.tsv",
            "expected a table of scans, got 'No such file or directory'. Make it with `neurolatent cohort build",
        ),
        (
            lambda path: path.write_text(""),
            "visits.tsv",
            "expected a table of scans, got an empty file. Rebuild the cohort.",
        ),
        (
            lambda path: path.write_text(lines_of(path)[0] + "\n"),
            "visits.tsv line 1",
            "expected a row for each scan, got none. Rebuild the cohort.",
        ),
        (
            lambda path: path.write_text("\n" + path.read_text()),
            "visits.tsv line 1",
            "expected the columns' names, got an empty line. Remove it.",
        ),
        (
            lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()),
            "visits.tsv line 1",
            f"expected UTF-8, got a byte order mark before it. {SAVE_AS}",
        ),
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b"as given", "Müller".encode("latin-1"), 1)),
            "visits.tsv line 2",
            f"expected UTF-8, got the byte 0xfc. {SAVE_AS}",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("\tn/a", "", 1)),
            "visits.tsv line 2",
            "expected 14 cells, got 13. Look for a missing tab; a missing value is written n/a, never left out.",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("as given", "as\tgiven", 1)),
            "visits.tsv line 2",
            "expected 14 cells, got 15. Look for a stray tab; a missing value is written n/a, never left out.",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("dx_rule", "DX rule", 1)),
            "visits.tsv line 1",
            "expected the column dx_rule, got 'DX rule'. Rename it to dx_rule.",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("mask_source", "x", 1)),
            "visits.tsv line 1",
            "expected the column mask_source, got none. Put it back, or rebuild the cohort.",
        ),
        (
            lambda path: path.write_text(
                "\n".join(line + "\tA" for line in lines_of(path)).replace("\tA", "\tsite", 1)
            ),
            "visits.tsv line 1, site",
            "expected each column once, got it 2 times. Remove or rename one.",
        ),
        (
            lambda path: path.write_text("\n".join(lines_of(path)).replace("\tA\t", '\t"A\t', 1)),
            "visits.tsv line 2",
            (
                "expected quotation marks in pairs, got a quotation mark on line 2 that takes in all up to line 7. "
                "Remove it, or write it twice."
            ),
        ),
        (
            lambda path: path.write_text(path.read_text().replace("as given", "x" * 140_000, 1)),
            "visits.tsv line 2",
            "expected a row of cells, got something else (field larger than field limit (131072)). " + SAVE_AS,
        ),
    ],
)
def test_a_mangled_table_is_told_where_it_is_mangled(spoil, change, where, what):
    path = spoil()
    change(path)
    (found,) = [f for f in told(path) if f[1] == where]
    assert found[0] == "error"
    assert found[2].startswith(what)


def test_a_table_saved_with_commas_is_told_for_what_it_is(spoil):
    path = spoil()
    path.write_text(path.read_text().replace("\t", ","))
    found = told(path)
    assert len(found) == len(COLUMNS)
    assert found[0][2] == (
        "expected the column participant_id, got other separators than tabs. Save the table as tab-separated text."
    )


def test_an_open_quotation_mark_hides_no_fault_behind_it(spoil):
    path = spoil((5, "sex", "x"), (6, "age_years", "old"))
    path.write_text("\n".join(lines_of(path)).replace("\tA\t", '\t"A\t', 1))
    where = [place for _, place, _ in told(path)]
    assert "visits.tsv line 5, sex, sub-02/ses-M00/1" in where
    assert "visits.tsv line 6, age_years, sub-02/ses-M12/1" in where


def refused(path) -> bool:
    try:
        read_visits(path)
    except TableError:
        return True
    return False


SLOW_FIXTURES = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW_FIXTURES
@given(
    line=st.integers(2, CLEAN_LINES),
    column=st.sampled_from(COLUMNS),
    text=st.sampled_from(["", "n/a", "NA", "x", "-1", "0", "1e9", "nan", "f", " F", "CN ", "1,5", "../x", "A", "3"]),
)
def test_what_stops_later_steps_is_always_an_error(tmp_path, spoil, rows, line, column, text):
    before = rows[line - 2][column]
    path = spoil((line, column, text))
    rows[line - 2][column] = before
    found = check_table(path)
    if refused(path):
        assert any(remark.severity == "error" for remark in found.remarks)


@SLOW_FIXTURES
@given(data=st.data())
def test_no_mangling_is_more_than_remarks(tmp_path, spoil, data):
    path = spoil()
    stored = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(stored) - 1))
        stored[at : at + data.draw(st.integers(0, 30))] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b"\t", b"\n", b'"', b"\r", b"\0", b"\xff", b"n/a", b"\n\n\n"])
        )
    path.write_bytes(bytes(stored))
    for remark in check_table(path).remarks:
        assert str(remark).startswith(f"{remark.severity}: visits.tsv")
