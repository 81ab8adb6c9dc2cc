"""No date leaves the reader."""

from collections.abc import Callable
from pathlib import Path

import pytest

from neurolatent.cohort.build import build_cohort
from neurolatent.cohort.options import BuildOptions
from neurolatent.cohort.privacy import DATE, is_named_by_date, tells_date
from neurolatent.workspace import Workspace

DESCRIPTOR = """name = "mine"
title = "Mine"
reader = "table"
simulation = false
carry = ["birth_place", "visited", "group"]
[images]
patterns = []
[tables.scans]
files = ["t.csv"]
[columns]
participant = { names = ["who"] }
session = { names = ["visit"] }
image = { names = ["path"] }
date = { names = ["visited"], formats = ["%d.%m.%Y"] }
[diagnosis]
rule = "none"
source = "none"
[licence]
name = "mine"
apply = "ask"
cite = "me"
"""


@pytest.fixture
def mine(tmp_path: Path, write_image: Callable[..., Path], write_csv: Callable[..., Path]) -> Callable[..., tuple]:
    def write(*rows: tuple) -> tuple:
        root = tmp_path / "s"
        for row in rows:
            write_image(root / row[2])
        write_csv(root / "t.csv", ("who", "visit", "path", "visited", "birth_place", "group"), *rows)
        (tmp_path / "mine.toml").write_text(DESCRIPTOR)
        return str(tmp_path / "mine.toml"), root

    return write


def test_columns_with_dates_or_about_birth_are_dropped_and_named(mine: Callable[..., tuple], workspace: Workspace):
    result = build_cohort(
        *mine(("1", "a", "1.nii", "31.05.2012", "Oslo", "x"), ("1", "b", "2.nii", "31.05.2013", "Oslo", "y")), workspace
    )
    assert [(visit.session_id, visit.months, dict(visit.extra)) for visit in result.visits] == [
        ("ses-a", 0.0, {"group": "x"}), ("ses-b", 12.0, {"group": "y"}),
    ]  # fmt: skip
    assert result.notes == (
        "The column 'birth_place' was dropped: it holds dates or tells of birth.",
        "The column 'visited' was dropped: it holds dates or tells of birth.",
    )
    assert "31.05" not in workspace.visits_tsv.read_text()


def test_sessions_named_by_dates_are_named_by_months(mine: Callable[..., tuple], workspace: Workspace):
    rows = [("1", "20120531", "1.nii", "31.05.2012", "", "x"), ("1", "20130531", "2.nii", "31.05.2013", "", "x"),
            ("1", "20130603", "3.nii", "03.06.2013", "", "x"),
            ("2", "20150101", "4.nii", "01.01.2015", "", "x")]  # fmt: skip
    result = build_cohort(*mine(*rows), workspace)
    assert [(visit.participant_id, visit.session_id) for visit in result.visits] == [
        ("sub-1", "ses-M000"), ("sub-1", "ses-M012"), ("sub-1", "ses-M012x2"), ("sub-2", "ses-M000"),
    ]  # fmt: skip
    assert "named by months" in result.notes[-1]


def test_sessions_that_are_no_dates_keep_their_names(mine: Callable[..., tuple], workspace: Workspace):
    result = build_cohort(*mine(("1", "d0129", "1.nii", "31.05.2012", "", "x")), workspace, options=BuildOptions())
    assert [visit.session_id for visit in result.visits] == ["ses-d0129"]


@pytest.mark.parametrize(
    "text",
    [
        "2011-04-12",
        "12/04/2011",
        "20110412",
        "201104121030",
        "20110412103000",
        "12-Apr-2011",
        "April 2012",
        "Apr. 12, 2011",
        "15MAR2019",
        "15-Mar-19",
        "2019m03d15",
        "20060418193713091",
        "3/15/19",
        "15/3/19",
        "2019-03",
        "03/1931",
        "15032019",
        "03152019",
        "2019-W11-5",
    ],
)
def test_dates_are_known_in_any_form(text: str):
    assert DATE.search(text)


NO_DATES = [
    "d0129",
    "M012",
    "1.5",
    "0.743",
    "1344",
    "120020",
    "Maria",
    "I45107",
    "1987.05",
    "7.1.10",
    "3/15",
    "1/2",
    "2010.02502",
    "10.1162/jocn.2007.19.9.1498",
]


@pytest.mark.parametrize("text", [*NO_DATES, "mar 12", "5 decoded 10", "3 marked 12", "it may 2 or 20"])
def test_what_is_no_date_is_left(text: str):
    assert not DATE.search(text)


@pytest.mark.parametrize("text", ["15.3.49", "15-03-49", "49-03-15", "3-15-19"])
def test_a_cell_that_is_a_date_without_its_century_is_one(text: str):
    assert tells_date(text)
    assert not DATE.search(f"FreeSurfer {text}")


@pytest.mark.parametrize(
    "label", ["190315", "ses-150319", "15MAR2019", "ses-2019m03d15", "20191105", "ses-201903", "ses-15032019"]
)
def test_sessions_and_runs_named_by_dates_are_known(label: str):
    assert is_named_by_date(label)


@pytest.mark.parametrize("label", ["ses-M012", "ses-01", "ses-d0129", "12", "ses-999999", "sub-S1P0042"])
def test_other_names_are_left(label: str):
    assert not is_named_by_date(label)


def test_runs_named_by_dates_are_numbered(tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path]):
    for run in ("20191105", "20191106"):
        write_image(tmp_path / "b" / "sub-1" / "anat" / f"sub-1_run-{run}_T1w.nii.gz")
    result = build_cohort("bids", tmp_path / "b", workspace)
    assert [visit.run for visit in result.visits] == ["1", "2"]
    assert "Runs were named by dates: they are numbered within their session instead." in result.notes


def test_sites_and_participants_that_look_like_dates_are_told(
    tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path], write_csv: Callable[..., Path]
):
    write_image(tmp_path / "t" / "a.nii")
    write_csv(tmp_path / "t" / "s.csv", ("subject", "path", "site"), ("19500312", "a.nii", "2011-04-12"))
    result = build_cohort("table", tmp_path / "t", workspace)
    assert result.visits[0].site is None
    assert result.notes == (
        "The column 'site' was emptied: it holds dates.",
        "Names of participants look like dates: give them others before anything is handed on.",
    )
