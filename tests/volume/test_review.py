"""Claims about the review file: what it says is taken, and a bad row is refused by its line."""

import re

import pytest

from neurolatent.errors import ScanError
from neurolatent.volume.review import Verdict, read_review
from neurolatent.workspace import ScanKey

HEAD = "participant_id\tsession_id\trun\tverdict\tnote"


def written(path, *rows, head=HEAD):
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_an_absent_file_and_a_bare_header_hold_no_verdict(tmp_path):
    assert read_review(tmp_path / "review.tsv") == {}
    assert read_review(written(tmp_path / "review.tsv")) == {}


def test_verdicts_come_back_with_their_notes(tmp_path):
    path = written(
        tmp_path / "review.tsv",
        "sub-01\tses-1\t1\tpass\tn/a",
        "sub-01\tses-1\t2\tfail\tmask takes in the eyes, é",
        '"sub-02"\tses-1\t1\tfail\t"a ""quoted"" word"',
    )
    assert read_review(path) == {
        ScanKey("sub-01", "ses-1", "1"): Verdict(passed=True, note=""),
        ScanKey("sub-01", "ses-1", "2"): Verdict(passed=False, note="mask takes in the eyes, é"),
        ScanKey("sub-02", "ses-1", "1"): Verdict(passed=False, note='a "quoted" word'),
    }


def test_what_a_spreadsheet_makes_of_the_file_is_read(tmp_path):
    path = tmp_path / "review.tsv"
    text = "note\treader\tverdict\trun\tsession_id\tparticipant_id\r\n\tAB\tfail\t1\tses-1\tsub-01\r\n\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_review(path) == {ScanKey("sub-01", "ses-1", "1"): Verdict(passed=False, note="")}


def test_a_row_that_says_the_same_again_keeps_the_first_note(tmp_path):
    rows = [f"sub-01\tses-1\t1\tfail\t{note}" for note in ("", "motion", "noise")]
    assert read_review(written(tmp_path / "review.tsv", *rows)) == {
        ScanKey("sub-01", "ses-1", "1"): Verdict(passed=False, note="motion")
    }


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (
            ["sub-01\tses-1\t1\tpass\t", "sub-02\tses-1\t1\tpass\t", "sub-01\tses-1\t1\tfail\t"],
            "review.tsv line 4: expected one verdict on sub-01/ses-1/1, got 'pass' above and 'fail' here. Remove",
        ),
        (
            ["sub-01\tses-1\t1\tmaybe\t"],
            "review.tsv line 2, verdict: expected one of ['fail', 'pass'], got 'maybe'. Correct the row, or export",
        ),
        (["\tses-1\t1\tpass\t"], "review.tsv line 2, participant_id: expected a name, got ''. Correct the row"),
        (["sub-01\tses-1\t1\tpass"], "review.tsv line 2: expected as many cells as columns, got another number in"),
        (["sub-01\tses-1\t1\tpass\ta\tb"], "review.tsv line 2: expected as many cells as columns, got another number"),
        (
            ['sub-01\tses-1\t1\tpass\t"open'],
            "review.tsv: expected UTF-8 text in columns split by tabs, got 'unexpected",
        ),
    ],
)
def test_a_bad_row_is_refused_by_its_line(tmp_path, rows, wanted):
    with pytest.raises(ScanError, match=re.escape(wanted)) as refused:
        read_review(written(tmp_path / "review.tsv", *rows))
    assert "\n" not in str(refused.value)


def test_a_missing_column_is_named(tmp_path):
    path = written(tmp_path / "review.tsv", head="participant_id\tsession_id\tverdict\tnote")
    with pytest.raises(ScanError, match=r"review.tsv line 1: expected the columns .*, lacking \['run'\]. Correct"):
        read_review(path)
    path.write_text("")
    with pytest.raises(ScanError, match=r"got \[\], lacking \['participant_id'"):
        read_review(path)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "review.tsv"
    path.write_bytes(HEAD.encode("utf-16"))
    with pytest.raises(ScanError, match=r"review.tsv: expected UTF-8 text"):
        read_review(path)
