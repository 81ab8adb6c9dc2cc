"""The summary holds what the workspace's files say, refuses what no longer fits, and keeps secrets."""

import json
import shutil
from dataclasses import replace

import pytest

from neurolatent.cohort import exclusion
from neurolatent.cohort.sidecar import read_sidecar, write_sidecar
from neurolatent.cohort.splits import make_split, write_split
from neurolatent.cohort.visits import read_visits
from neurolatent.errors import SettingsError, TableError
from neurolatent.report.exclusions import count_exclusions
from neurolatent.report.records import Exclusion, Summary
from neurolatent.report.sources import ORDER
from neurolatent.report.summary import summarise
from neurolatent.report.write import texts_of, write_report
from neurolatent.workspace import Workspace

RUN = "demo"


def change_finding(workspace: Workspace, protocol: str, **changes: object) -> None:
    path = workspace.findings(RUN, protocol) / "finding.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def keep_only(workspace: Workspace, protocol: str) -> None:
    for name in set(ORDER) - {protocol}:
        shutil.rmtree(workspace.findings(RUN, name))


def test_every_analysis_has_a_verdict_a_figure_and_tables(summary: Summary) -> None:
    assert [one.protocol for one in summary.sections] == list(ORDER)
    assert [one.protocol for one in summary.verdicts] == list(ORDER)
    assert all(one.figure and one.tables for one in summary.sections)


def test_the_verdicts_are_those_of_the_differences(summary: Summary) -> None:
    words = {one.protocol: one.word for one in summary.verdicts}
    assert words == {
        "classify_ad": "Beats 1 of 2",
        "regress_age": "Beats",
        "fill_missing_visit": "Loses 2 of 3",
        "age_counterfactual": "Loses",
        "reconstruct": "Beats",
    }


def test_people_are_counted_once_and_by_their_first_diagnosis(summary: Summary) -> None:
    rows = {row.label: [cell.value for cell in row.cells] for row in summary.cohort.table.rows}
    assert [head.label for head in summary.cohort.table.heads] == [
        "At the first scan", "CN", "MCI", "AD", "All", "Difference",
    ]  # fmt: skip
    assert rows["People"] == ["8", "8", "8", "24", ""]
    assert rows["Scans"] == ["24", "24", "24", "72", ""]
    assert rows["Follow-up, mean ± SD (months)"] == [*["24.0 ± 0.0"] * 4, "–"]


def test_a_timeline_shows_every_scan_and_gaps_are_counted(summary: Summary) -> None:
    timeline = summary.cohort.timeline
    assert timeline is not None
    assert timeline.alt == "Timeline of 24 people, 72 scans; 24 people came again, within 24 months."


def test_exclusions_are_counted_by_reason_and_neither_named_nor_quoted(summary: Summary) -> None:
    assert {one.reason: one.where for one in summary.cohort.exclusions} == {
        "No row in the table for …": ("1 scan",),
        "Expected an age of 1 to 120 years": ("2 scans",),
    }


@pytest.mark.parametrize(
    ("reason", "stage", "shown"),
    [
        ("expected one row for 328, got rows that contradict each other: line 301 (age 61.79, sex F)", "check",
         "Expected one row for …"),
        ("expected a row for smith_john, got none. Add one.", "match", "Expected a row for …"),
        ("expected age_years, which this cohort requires, got none. Add it.", "check",
         "Expected age_years, which this cohort requires"),
        ("expected a month and year of birth, got '03/1931'.", "check", "Expected a month and year of birth"),
        ("expected (participant, session, run) sub-1/ses-20190315/1 once, got it also from a.nii.", "check",
         "Expected (participant, session, run) … once"),
        ("got the series 'Br_20060418'; 'MPRAGE' is taken: the first.", "choice",
         "Another image of the visit is taken"),
        ("left out by --min-age 60: age 55.2 years.", "filter", "Left out by --min-age 60"),
    ],
)  # fmt: skip
def test_a_reason_is_told_without_anybodys_cells(reason: str, stage: str, shown: str) -> None:
    scan = "Smith_John_15Mar2019.nii.gz"
    (told,) = count_exclusions([exclusion.Exclusion(scan, scan, reason, "error", stage)], [])
    assert told == Exclusion(shown, "error", ("1 scan",))


def test_a_simulation_is_stamped_and_real_people_are_not(workspace: Workspace, summary: Summary) -> None:
    assert summary.stamp.startswith("Simulation")
    write_sidecar(workspace.visits_json, replace(read_sidecar(workspace.visits_json), simulation=False))
    keep_only(workspace, "regress_age")
    change_finding(workspace, "regress_age", simulation=False)
    real = summarise(workspace, run=RUN)
    assert (real.simulation, real.stamp) == (False, "")
    assert not any("simulat" in text.lower() for text in texts_of(real.methods))


def test_tiny_errors_are_printed_in_thousandths(summary: Summary) -> None:
    table = next(one for one in summary.sections if one.protocol == "fill_missing_visit").tables[0]
    column = [head.label for head in table.heads].index("Masked MSE")
    assert table.heads[column].detail == "×10⁻³"
    assert table.rows[0].cells[column - 1].value == "1.780"


def test_spans_stand_below_each_other_with_their_own_n(summary: Summary) -> None:
    table = next(one for one in summary.sections if one.protocol == "fill_missing_visit").tables[2]
    assert [row.label for row in table.rows][:2] == ["Everyone", "Span 12 months"]
    assert table.rows[1].detail == "6 people, 8 scans"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"cohort": {"hash": "0" * 64}}, "volume cache"),
        ({"split_hash": "0" * 64}, "split"),
        ({"weights_hash": "0" * 64}, "weights"),
    ],
)
def test_a_stale_finding_is_refused_by_name_with_the_command(
    workspace: Workspace, changes: dict[str, object], what: str
) -> None:
    change_finding(workspace, "regress_age", **changes)
    command = f"Run `neurolatent run regress_age {workspace.root} --run demo` again"
    with pytest.raises(SettingsError, match=f"made from the present {what}") as caught:
        summarise(workspace, run=RUN)
    assert command in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_new_split_makes_every_finding_stale(workspace: Workspace) -> None:
    write_split(workspace.split_json, make_split(read_visits(workspace.visits_tsv), seed=99))
    with pytest.raises(SettingsError, match="made from the present split"):
        summarise(workspace, run=RUN)


def test_findings_without_their_model_are_refused(workspace: Workspace) -> None:
    (workspace.model(RUN) / "card.json").unlink()
    with pytest.raises(SettingsError, match=r"made from the present weights \(none\)"):
        summarise(workspace, run=RUN)


def test_a_lost_table_is_refused_by_name(workspace: Workspace) -> None:
    (workspace.findings(RUN, "classify_ad") / "predictions.tsv").unlink()
    with pytest.raises(SettingsError, match=r"predictions.tsv: named by finding.json as 'predictions', but not there"):
        summarise(workspace, run=RUN)


def test_a_table_without_its_columns_is_refused_by_name(workspace: Workspace) -> None:
    (workspace.findings(RUN, "classify_ad") / "predictions.tsv").write_text("truth\n1\n")
    with pytest.raises(TableError, match=r"expected a table with the columns \['fold', 'truth'\], lacking \['fold'\]"):
        summarise(workspace, run=RUN)


def test_without_findings_the_rest_is_reported(workspace: Workspace) -> None:
    found = summarise(workspace, run="another")
    assert found.sections == ()
    assert {one.word for one in found.verdicts} == {"Not run"}
    assert "neurolatent run reconstruct WORKSPACE --run another" in found.verdicts[-1].sentence
    assert found.answer == "No analysis has been run on this model yet."


def test_no_text_holds_a_raw_folder_or_a_date(summary: Summary) -> None:
    text = "\n".join(texts_of(summary))
    assert not [secret for secret in ("/private", "clinic", "20111023", "raw.nii") if secret in text]


def test_scans_that_failed_are_listed_with_their_reason(summary: Summary) -> None:
    (failure,) = summary.preprocessing.failures
    assert failure.reason.startswith("Expected one 3D volume, got shape (4, 4, 4, 2)")
    assert failure.where == ("sub-S1P0009/ses-M12/1",)


def test_pictures_are_stripped_of_what_their_files_carry(summary: Summary) -> None:
    assert len(summary.preprocessing.pictures) == 2
    assert all(b"clinic" not in one.content and b"tEXt" not in one.content for one in summary.preprocessing.pictures)


def test_pictures_of_a_second_workspace_come_first(workspace: Workspace, built: Workspace) -> None:
    pictures = summarise(built, run="another", preprocessing=workspace.root).preprocessing.pictures
    assert [one.name.startswith("preprocessing-raw-") for one in pictures] == [True, True, False, False]
    assert [one.caption.startswith("The raw scan") for one in pictures] == [True, True, False, False]


def test_a_damaged_picture_is_refused_by_name(workspace: Workspace) -> None:
    (workspace.derivatives / "qc" / "sub-S1P0000_ses-M00_run-1.png").write_bytes(b"no picture")
    with pytest.raises(
        SettingsError, match=r"sub-S1P0000_ses-M00_run-1.png: expected a PNG picture, got a damaged file"
    ):
        summarise(workspace, run="another")


def test_nothing_is_written_when_the_source_folder_would_show(workspace: Workspace) -> None:
    keep_only(workspace, "classify_ad")
    sidecar = read_sidecar(workspace.visits_json)
    write_sidecar(workspace.visits_json, replace(sidecar, source_root=workspace.root.parent / "neurolatent"))
    change_finding(workspace, "classify_ad", settings={"secret": str(workspace.root.parent / "neurolatent" / "x")})
    with pytest.raises(SettingsError, match="Nothing was written"):
        write_report(workspace, run=RUN)
    assert not workspace.report_html.exists()


def test_the_same_files_give_the_same_summary(built: Workspace, summary: Summary) -> None:
    assert summarise(built, run=RUN) == summary
