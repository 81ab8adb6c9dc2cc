import json
from pathlib import Path

import pytest

from neurolatent import cohort_steps
from neurolatent.cohort.build import BuildResult, build_cohort
from neurolatent.cohort.sidecar import read_sidecar
from neurolatent.cohort.splits import read_split
from neurolatent.cohort.visits import COLUMNS, read_visits
from neurolatent.errors import ScanError, SettingsError, TableError
from neurolatent.provenance import hash_file
from neurolatent.workspace import Workspace

GOOD = ("sub-09", 71, "F")


def only_error(result: BuildResult) -> str:
    """Check that one scan failed, that the good one goes on, and return the line."""
    assert result.failed
    assert [visit.participant_id for visit in result.visits] == ["sub-09"]
    (exclusion,) = result.exclusions
    assert exclusion.severity == "error"
    assert "\n" not in str(exclusion)
    return str(exclusion)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (("sub-01", 0, "F"), "participants.tsv line 2, age: expected an age of 1 to 120 years, got 0."),
        (("sub-01", 400, "F"), "participants.tsv line 2, age: expected an age of 1 to 120 years, got 400."),
        (("sub-01", "89?", "F"), "participants.tsv line 2, age: expected a number or n/a, got '89?'."),
        (("sub-01", "<89", "F"), "participants.tsv line 2, age: expected a number or n/a, got '<89'."),
        (("sub-01", "400+", "F"), "participants.tsv line 2, age: expected an age of 1 to 120 years, got 400."),
        (("sub-01", "64,5", "F"), "participants.tsv line 2, age: expected a number or n/a, got '64,5'. Write 64.5."),
        (("sub-01", "nan", "F"), "participants.tsv line 2, age: expected a number or n/a, got 'nan'."),
        (
            ("sub-01", 70, "2"),
            "participants.tsv line 2, sex: expected one of ['F', 'M', 'female', 'male', 'man', 'woman']",
        ),
    ],
)
def test_bad_value_costs_one_scan_and_one_line(bids, workspace: Workspace, row, line: str):
    message = only_error(build_cohort("bids", bids({"sub-01": [""], "sub-09": [""]}, row, GOOD), workspace))
    assert message.startswith(f"sub-01/anat/sub-01_T1w.nii.gz: {line}")
    assert message.endswith(
        ("Correct the table, or write n/a.", "Correct the table.", "add the code to the descriptor.", "Write 64.5.")
    )


@pytest.mark.parametrize(
    ("told", "age_years"), [("89+", 89), (">89", 89), (">= 90", 90), ("90 +", 90), ("≥89.5", 89.5)]
)
def test_a_capped_age_is_its_number_and_is_noted(bids, workspace: Workspace, told: str, age_years: float):
    result = build_cohort("bids", bids({"sub-01": [""], "sub-09": [""]}, ("sub-01", told, "F"), GOOD), workspace)
    assert [visit.age_years for visit in result.visits] == [age_years, 71.0]
    assert read_sidecar(workspace.visits_json).notes == (
        f"1 ages are given as {told} and are taken as the number: these people may be older.",
    )


def test_capped_ages_tell_no_time(bids, workspace: Workspace, write_tsv):
    root = bids({"sub-01": ["ses-1", "ses-2"], "sub-02": ["ses-M00", "ses-M24"]})
    for person, sessions in (("sub-01", ("ses-1", "ses-2")), ("sub-02", ("ses-M00", "ses-M24"))):
        rows = [(session, "89+") for session in sessions]
        write_tsv(root / person / f"{person}_sessions.tsv", ("session_id", "age"), *rows)
    result = build_cohort("bids", root, workspace)
    assert [(v.session_id, v.months, v.age_years) for v in result.visits] == [
        ("ses-1", 0.0, 89.0), ("ses-M00", 0.0, 89.0), ("ses-M24", 24.0, 89.0),
    ]  # fmt: skip
    assert result.notes[0].startswith("4 ages are given as 89+ ")


def test_unknown_diagnosis_names_the_codes(bids, workspace: Workspace, write_tsv):
    root = bids({"sub-01": [""], "sub-09": [""]}, ("sub-01", 70, "F"), GOOD)
    write_tsv(root / "sub-01/sub-01_sessions.tsv", ("session_id", "diagnosis"), ("ses-1", "demented"))
    message = only_error(build_cohort("bids", root, workspace))
    assert "sub-01/sub-01_sessions.tsv line 2, diagnosis: expected one of ['AD', 'CN'," in message
    assert "got 'demented'" in message


def test_impossible_day_is_an_error(bids, workspace: Workspace, write_tsv):
    root = bids({"sub-01": [""], "sub-09": [""]}, ("sub-01", 70, "F"), GOOD)
    write_tsv(root / "sub-01/sub-01_sessions.tsv", ("session_id", "acq_time"), ("ses-1", "31/12/2010"))
    message = only_error(build_cohort("bids", root, workspace))
    assert "acq_time: expected a day such as 2024-05-31, got '31/12/2010'" in message


def test_scan_named_in_a_table_that_does_not_exist(bids, workspace: Workspace, write_tsv):
    root = bids({"sub-09": [""]}, GOOD)
    write_tsv(root / "sub-01/sub-01_scans.tsv", ("filename",), ("anat/sub-01_T1w.nii.gz",), ("func/sub-01_bold.nii",))
    assert only_error(build_cohort("bids", root, workspace)) == (
        "sub-01/anat/sub-01_T1w.nii.gz: sub-01/sub-01_scans.tsv line 2: "
        "expected the file sub-01/anat/sub-01_T1w.nii.gz, found none. Restore it or its row."
    )


@pytest.mark.parametrize("named", ["../../outside/sub-01_T1w.nii.gz", "{outside}/sub-01_T1w.nii.gz"])
def test_path_in_a_table_may_not_leave_the_source(bids, tmp_path, workspace: Workspace, write_tsv, write_image, named):
    root = bids({"sub-09": [""]}, GOOD)
    write_image(tmp_path / "outside/sub-01_T1w.nii.gz")
    name = named.format(outside=tmp_path / "outside")
    write_tsv(root / "sub-01/sub-01_scans.tsv", ("filename",), (name,))
    message = only_error(build_cohort("bids", root, workspace))
    assert f"sub-01/sub-01_scans.tsv line 2: expected an image inside {root}" in message
    assert "Copy it into the folder, or remove it." in message


def test_link_may_not_leave_the_source(bids, tmp_path, workspace: Workspace, write_image):
    root = bids({"sub-01": [""], "sub-09": [""]}, GOOD)
    image = root / "sub-01/anat/sub-01_T1w.nii.gz"
    image.unlink()
    image.symlink_to(write_image(tmp_path / "outside/scan.nii.gz"))
    assert only_error(build_cohort("bids", root, workspace)).startswith(
        f"sub-01/anat/sub-01_T1w.nii.gz: expected an image inside {root}, got one at {tmp_path}/outside/scan.nii.gz."
    )


def test_link_within_the_source_is_fine_and_a_broken_one_is_named(bids, workspace: Workspace, write_image):
    root = bids({"sub-01": [""], "sub-09": [""]}, GOOD)
    image = root / "sub-01/anat/sub-01_T1w.nii.gz"
    image.unlink()
    image.symlink_to("../../.git/annex/objects/key.nii.gz")
    assert "found none but a link to nothing (fetch it, e.g. `datalad get`)" in only_error(
        build_cohort("bids", root, workspace)
    )
    write_image(root / ".git/annex/objects/key.nii.gz")
    assert len(build_cohort("bids", root, workspace).visits) == 2


def test_empty_image_is_an_error(bids, workspace: Workspace):
    root = bids({"sub-01": [""], "sub-09": [""]}, GOOD)
    (root / "sub-01/anat/sub-01_T1w.nii.gz").write_bytes(b"")
    assert "expected an image, got an empty file. Copy or download it again." in only_error(
        build_cohort("bids", root, workspace)
    )


def test_nothing_kept_is_a_failure_that_still_leaves_its_reasons(bids, workspace: Workspace):
    result = build_cohort("bids", bids({"sub-01": [""]}, ("sub-01", 400, "F")), workspace)
    assert result.failed
    assert read_visits(workspace.visits_tsv) == ()
    assert read_sidecar(workspace.visits_json).exclusions == result.exclusions


def test_equal_inputs_give_equal_bytes(bids, workspace: Workspace):
    root = bids(
        {f"sub-{n:02}": ["ses-M00", "ses-M12"] for n in range(1, 9)},
        *[(f"sub-{n:02}", 60 + n, "F") for n in range(1, 8)],
    )
    build_cohort("bids", root, workspace)
    first = (workspace.visits_tsv.read_bytes(), workspace.visits_json.read_bytes())
    build_cohort("bids", root, workspace)
    assert (workspace.visits_tsv.read_bytes(), workspace.visits_json.read_bytes()) == first


def test_what_is_returned_is_what_is_written(bids, workspace: Workspace):
    result = build_cohort("bids", bids({"sub-01": ["ses-M00", "ses-M06"]}, ("sub-01", 70.123456789, "F")), workspace)
    assert read_visits(workspace.visits_tsv) == result.visits


def test_sidecar_tells_sources_columns_rule_and_licence(bids, workspace: Workspace):
    root = bids({"sub-01": [""], "sub-02": [""]}, ("sub-01", 70, "F"), ("sub-02", 400, "F"))
    result = build_cohort("bids", root, workspace)
    sidecar = read_sidecar(workspace.visits_json)
    assert (sidecar.cohort, sidecar.simulation, sidecar.source_root) == ("bids", False, root)
    assert [(table.path, table.sha256) for table in sidecar.sources] == [
        ("participants.tsv", hash_file(root / "participants.tsv"))
    ]
    assert sidecar.columns.keys() == set(COLUMNS)
    assert all(sidecar.columns.values())
    assert sidecar.exclusions == result.exclusions
    assert sidecar.counts == result.counts
    assert sidecar.visits_hash == hash_file(workspace.visits_tsv)
    assert sidecar.diagnosis_rule
    assert sidecar.licence


def test_carried_columns_are_explained_too(tmp_path, workspace: Workspace, write_image, write_tsv):
    write_image(tmp_path / "p/sub-1/ses-M00/anat/sub-1_ses-M00_T1w.nii.gz")
    build_cohort("phantom", tmp_path / "p", workspace)
    assert "group" in read_sidecar(workspace.visits_json).columns


@pytest.fixture
def kept_site(bids, tmp_path, write_tsv) -> tuple[str, Path]:
    """Write a cohort of twelve people, two of whom the descriptor keeps for testing, and return its name and folder."""
    from neurolatent.content import content_folder

    text = (content_folder("cohorts") / "bids.toml").read_text(encoding="utf-8")
    split = 'carry = ["Centre"]\n\n[split]\ntest_only = { column = "Centre", values = ["Oslo", "2"] }\n\n[images]'
    text = text.replace('name = "bids"', 'name = "mine"').replace("[images]", split, 1)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    root = bids({f"sub-{n:02}": ["ses-M00", "ses-M12"] for n in range(12)})
    centres = ["Rome", "oslo", "2.0", *["n/a"] * 9]
    rows = [(f"sub-{n:02}", centre) for n, centre in enumerate(centres)]
    write_tsv(root / "participants.tsv", ("participant_id", "centre"), *rows)
    return str(tmp_path / "mine.toml"), root


def test_people_for_testing_only_are_told_and_written_down(kept_site, workspace: Workspace):
    result = build_cohort(*kept_site, workspace)
    assert result.test_only == {"sub-01", "sub-02"}
    assert result.summary.endswith("of 12 participants, 2 of them for testing only")
    assert read_sidecar(workspace.visits_json).test_only == ("sub-01", "sub-02")


def test_one_marked_scan_keeps_a_person_for_testing(kept_site, workspace: Workspace, write_tsv):
    name, root = kept_site
    write_tsv(root / "sub-05/sub-05_sessions.tsv", ("session_id", "centre"), ("ses-M12", "Oslo"))
    assert build_cohort(name, root, workspace).test_only == {"sub-01", "sub-02", "sub-05"}


@pytest.mark.parametrize("folds", [None, 3])
def test_both_commands_that_split_keep_people_for_testing(kept_site, workspace: Workspace, folds):
    cohort_steps.build(*kept_site, out=workspace.root, folds=folds)
    built = read_split(workspace.split_json)
    assert built.test_only == {"sub-01", "sub-02"}
    said = cohort_steps.split(workspace.root, folds=folds, fractions=cohort_steps.FRACTIONS, seed=2, replace=True)
    assert "2 for testing only" in said
    assert read_split(workspace.split_json).test_only == built.test_only


def test_sidecar_from_before_people_were_kept_for_testing_still_opens(bids, workspace: Workspace):
    build_cohort("bids", bids({"sub-01": [""]}), workspace)
    record = json.loads(workspace.visits_json.read_text(encoding="utf-8"))
    del record["test_only"]
    workspace.visits_json.write_text(json.dumps(record), encoding="utf-8")
    assert read_sidecar(workspace.visits_json).test_only == ()


def test_moved_source_is_found_by_its_new_root_and_never_outside_it(bids, tmp_path, workspace: Workspace):
    root = bids({"sub-01": [""]})
    (visit,) = build_cohort("bids", root, workspace).visits
    moved = root.rename(tmp_path / "moved")
    sidecar = read_sidecar(workspace.visits_json)
    assert sidecar.image(visit, source=moved).is_file()
    text = workspace.visits_tsv.read_text(encoding="utf-8").replace("sub-01/anat/", "../sub-01/anat/")
    workspace.visits_tsv.write_text(text, encoding="utf-8")
    (edited,) = read_visits(workspace.visits_tsv)
    with pytest.raises(ScanError, match="expected an image inside"):
        sidecar.image(edited, source=moved)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format_version": 99}, r"visits.json: expected format version 1, got 99"),
        ({"counts": {}}, r"visits.json: expected a whole sidecar"),
        ({"colour": "red"}, r"visits.json: expected a whole sidecar"),
    ],
)
def test_sidecar_of_another_make_is_refused(bids, workspace: Workspace, change, match):
    build_cohort("bids", bids({"sub-01": [""]}), workspace)
    record = json.loads(workspace.visits_json.read_text(encoding="utf-8")) | change
    workspace.visits_json.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(TableError, match=match):
        read_sidecar(workspace.visits_json)


def test_own_descriptor_needs_no_python(bids, tmp_path, workspace: Workspace, write_tsv):
    from neurolatent.content import content_folder

    text = (content_folder("cohorts") / "bids.toml").read_text(encoding="utf-8")
    text = text.replace('name = "bids"', 'name = "mine"').replace(
        '"age", "age_years"], unit = "years"', '"alder"], unit = "months"'
    )
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    root = bids({"sub-01": [""]})
    write_tsv(root / "participants.tsv", ("participant_id", "alder"), ("sub-01", 846))
    (visit,) = build_cohort(str(tmp_path / "mine.toml"), root, workspace).visits
    assert (visit.cohort, visit.age_years) == ("mine", 70.5)
    assert visit.age_precision_years == pytest.approx(1 / 12, abs=1e-4)


def test_a_refused_session_without_a_clock_costs_no_other(tmp_path, workspace: Workspace, write_image, write_tsv):
    root = tmp_path / "source"
    write_image(root / "sub-1/ses-1/anat/sub-1_ses-1_space-MNI152NLin2009cAsym_T1w.nii.gz")
    write_image(root / "sub-1/ses-2/anat/sub-1_ses-2_T1w.nii.gz")
    assert [visit.session_id for visit in build_cohort("bids", root, workspace).visits] == ["ses-2"]


def test_the_session_that_a_clock_tells_is_kept(tmp_path, workspace: Workspace, write_image, write_tsv):
    root = tmp_path / "source"
    for session in ("ses-a", "ses-b"):
        write_image(root / f"sub-1/{session}/anat/sub-1_{session}_T1w.nii.gz")
    write_tsv(root / "sub-1/sub-1_sessions.tsv", ("session_id", "age"), ("ses-a", "n/a"), ("ses-b", 71.5))
    assert [(v.session_id, v.age_years) for v in build_cohort("bids", root, workspace).visits] == [("ses-b", 71.5)]


def test_names_tell_more_than_ages_in_whole_years(tmp_path, workspace: Workspace, write_image, write_tsv):
    root, sessions = tmp_path / "source", ("ses-M000", "ses-M006", "ses-M012", "ses-M018")
    for session in sessions:
        write_image(root / f"sub-1/{session}/anat/sub-1_{session}_T1w.nii.gz")
    ages = zip(sessions, (68, 68, 69, 69), strict=True)
    write_tsv(root / "sub-1/sub-1_sessions.tsv", ("session_id", "age"), *ages)
    assert [visit.months for visit in build_cohort("bids", root, workspace).visits] == [0.0, 6.0, 12.0, 18.0]


def test_one_image_under_two_names_is_left_out(tmp_path, workspace: Workspace, write_image, write_csv):
    write_image(tmp_path / "t/a.nii")
    write_csv(tmp_path / "t/s.csv", ("subject", "path"), ("1", "a.nii"), ("2", "./a.nii"))
    result = build_cohort("table", tmp_path / "t", workspace)
    assert not result.visits
    assert {row.reason for row in result.exclusions} == {
        "expected an image of its own, got one that several rows name. Correct them."
    }


def test_clinicas_old_and_new_names_of_sessions_are_one(tmp_path, workspace: Workspace, write_image, write_tsv):
    root = tmp_path / "source"
    write_image(root / "sub-1/ses-M00/anat/sub-1_ses-M00_T1w.nii.gz")
    write_tsv(root / "sub-1/sub-1_sessions.tsv", ("session_id", "age", "diagnosis"), ("ses-M000", 70.2, "CN"))
    assert [(v.session_id, v.age_years, v.diagnosis) for v in build_cohort("bids", root, workspace).visits] == [
        ("ses-M00", 70.2, "CN")
    ]


def test_a_table_of_participants_with_sessions_is_one_of_sessions(
    tmp_path, workspace: Workspace, write_image, write_tsv
):
    root = tmp_path / "source"
    for session in ("ses-1", "ses-2"):
        write_image(root / f"sub-1/{session}/anat/sub-1_{session}_T1w.nii.gz")
    rows = (("sub-1", "ses-1", 70.2), ("sub-1", "ses-2", 72.4))
    write_tsv(root / "participants.tsv", ("participant_id", "session_id", "age"), *rows)
    assert [visit.age_years for visit in build_cohort("bids", root, workspace).visits] == [70.2, 72.4]


def test_a_participants_second_row_tells_what_the_first_lacks(bids, workspace: Workspace):
    root = bids({"sub-01": [""], "sub-09": [""]}, ("sub-01", "n/a", "F"), ("sub-01", 70, "n/a"), GOOD)
    told = {v.participant_id: (v.age_years, v.sex) for v in build_cohort("bids", root, workspace).visits}
    assert told == {"sub-01": (70.0, "F"), "sub-09": (71.0, "F")}


def test_a_workspace_stays_one_cohorts_and_a_split_that_stays_is_told(bids, tmp_path):
    root = bids({f"sub-{number:02d}": [""] for number in range(10)})
    assert not any("split.json" in line for line in cohort_steps.build("bids", root, out=tmp_path / "w").lines)
    before = (tmp_path / "w" / "split.json").read_bytes()
    again = cohort_steps.build("bids", root, out=tmp_path / "w", folds=5)
    assert again.lines[0].startswith("note: split.json stays as it was made before (holdout, seed 1)")
    assert (tmp_path / "w" / "split.json").read_bytes() == before
    with pytest.raises(SettingsError, match="expected a workspace of the cohort 'table', got one of 'bids'"):
        cohort_steps.build("table", root, out=tmp_path / "w")
