"""Whom the user asked to leave out is left out, listed, and counted."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from neurolatent.cohort.build import build_cohort
from neurolatent.cohort.options import BuildOptions
from neurolatent.cohort.sidecar import read_sidecar
from neurolatent.contract.check import check_cohort
from neurolatent.errors import SettingsError
from neurolatent.workspace import Workspace


@pytest.fixture
def source(tmp_path: Path, write_image: Callable[..., Path], write_csv: Callable[..., Path]) -> Path:
    rows = [
        ("1", 1, 50, "CN", 30),
        ("1", 2, 52, "CN", ""),
        ("1", 3, 54, "MCI", 25),
        ("2", 1, 88, "AD", 20),
        ("2", 2, 91, "AD", 18),
    ]
    for person, session, *_ in rows:
        write_image(tmp_path / "s" / f"{person}-{session}.nii")
    table = [(person, visit, age, "F", dx, mmse, f"{person}-{visit}.nii") for person, visit, age, dx, mmse in rows]
    write_csv(tmp_path / "s" / "t.csv", ("subject", "session", "age", "sex", "dx", "mmse", "path"), *table)
    return tmp_path / "s"


def kept(source: Path, workspace: Workspace, **options: object) -> list[str]:
    result = build_cohort("table", source, workspace, options=BuildOptions(**options))
    counts, stages = result.counts, Counter(row.stage for row in result.exclusions)
    assert counts.kept == counts.matched - sum(n for stage, n in stages.items() if stage != "match")
    assert len(result.exclusions) == counts.found - counts.kept
    assert read_sidecar(workspace.visits_json).exclusions == result.exclusions
    assert not result.failed
    return [Path(visit.image).stem for visit in result.visits]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["1-1", "1-2", "1-3", "2-1", "2-2"]),
        ({"diagnosis": ("CN", "AD")}, ["1-1", "1-2", "2-1", "2-2"]),
        ({"min_age": 52.0}, ["1-2", "1-3", "2-1", "2-2"]),
        ({"max_visits": 2}, ["1-1", "1-2", "2-1", "2-2"]),
        ({"require": ("mmse",)}, ["1-1", "1-3", "2-1", "2-2"]),
        # The first two sessions of those that are left.
        ({"require": ("mmse",), "max_visits": 2}, ["1-1", "1-3", "2-1", "2-2"]),
        ({"diagnosis": ("MCI",), "min_age": 60.0}, []),
    ],
)
def test_each_filter_keeps_what_it_says_and_the_numbers_add_up(
    source: Path, workspace: Workspace, options: dict, expected: list[str]
):
    if expected:
        assert kept(source, workspace, **options) == expected
    else:
        assert build_cohort("table", source, workspace, options=BuildOptions(**options)).failed


def test_reasons_name_the_option_and_the_value(source: Path, workspace: Workspace):
    options = BuildOptions(diagnosis=("AD",), min_age=90.0)
    reasons = {row.scan: row.reason for row in build_cohort("table", source, workspace, options=options).exclusions}
    assert reasons["1-3.nii"] == "left out by --diagnosis AD: it is MCI."
    assert reasons["2-1.nii"] == "left out by --min-age 90: age 88.0 years."


def test_whoever_is_older_than_the_cap_once_has_it_for_an_age_throughout(source: Path, workspace: Workspace):
    result = build_cohort("table", source, workspace, options=BuildOptions(cap_age=89.0))
    assert [visit.age_years for visit in result.visits] == [50.0, 52.0, 54.0, 89.0, 89.0]
    assert result.notes == ("Older than 89 at one of their scans: 1; 89 stands for all their ages.",)
    assert "88" not in workspace.visits_tsv.read_text()
    remarks = check_cohort(workspace, jobs=1).remarks
    assert not [one for one in remarks if one.where.column == "age_years"]


@pytest.mark.parametrize(
    ("ages", "written"),
    [((88.5, ""), [89.0, None]), ((88, 88), [89.0, 89.0]), ((88.5, "89+"), [89.0, 89.0]), ((80, 82), [80.0, 82.0])],
)
def test_no_age_at_another_scan_leads_to_a_great_one(
    tmp_path: Path,
    workspace: Workspace,
    write_csv: Callable[..., Path],
    write_image: Callable[..., Path],
    ages,
    written,
):
    rows = [("1", month, age, f"{month}.nii") for month, age in zip((0, 24), ages, strict=True)]
    for *_, image in rows:
        write_image(tmp_path / "g" / image)
    write_csv(tmp_path / "g" / "t.csv", ("subject", "months", "age", "path"), *rows)
    options = BuildOptions(cap_age=89.0, columns=("session=months", "months=months"))
    visits = build_cohort("table", tmp_path / "g", workspace, options=options).visits
    assert [visit.months for visit in visits] == [0.0, 24.0]
    assert [visit.age_years for visit in visits] == written


def test_an_unknown_column_to_require_names_the_known(source: Path, workspace: Workspace):
    with pytest.raises(
        SettingsError, match=r"--require apoe: expected one of \['participant_id'.*'mmse'\], got 'apoe'"
    ):
        build_cohort("table", source, workspace, options=BuildOptions(require=("apoe",)))


@pytest.mark.parametrize(
    ("column", "value", "match"), [("mmse", "31", "MMSE from 0 to 30"), ("cdr", "0.7", "CDR from 0 to 3")]
)
def test_a_score_that_cannot_be_is_told(
    source: Path, workspace: Workspace, write_csv: Callable[..., Path], column: str, value: str, match: str
):
    write_csv(source / "t.csv", ("subject", "path", column), ("1", "1-1.nii", value))
    result = build_cohort("table", source, workspace)
    assert match in str(result.exclusions[0])
