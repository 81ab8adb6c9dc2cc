import json
from collections.abc import Callable
from pathlib import Path

import pytest

from neurolatent.cohort.build import BuildResult, build_cohort
from neurolatent.cohort.options import BuildOptions
from neurolatent.content import content_folder
from neurolatent.errors import CohortError, TableError
from neurolatent.workspace import Workspace

SPACE = "space-MNI152NLin2009aSym_res-4_desc-preproc_T1w"


@pytest.fixture
def build(workspace: Workspace) -> Callable[..., BuildResult]:
    return lambda root, name="bids": build_cohort(name, root, workspace)


def months(result: BuildResult) -> dict[str, float]:
    return {f"{visit.participant_id}/{visit.session_id}": visit.months for visit in result.visits}


def ages(result: BuildResult) -> dict[str, float | None]:
    return {visit.session_id: visit.age_years for visit in result.visits}


def test_data_set_without_sessions_gets_one(bids, build):
    result = build(bids({"sub-01": [""], "sub-02": [""]}, ("sub-01", 34, "F"), ("sub-02", "n/a", "male")))
    assert [(*v.key, v.age_years, v.sex) for v in result.visits] == [
        ("sub-01", "ses-1", "1", 34.0, "F"),
        ("sub-02", "ses-1", "1", None, "M"),
    ]
    assert not result.failed


def test_scans_without_any_table_are_kept_with_nothing_known(bids, build):
    (visit,) = build(bids({"sub-01": [""]})).visits
    assert (visit.age_years, visit.sex, visit.diagnosis, visit.dx_rule) == (None, None, None, None)


def test_session_table_tells_months_age_and_diagnosis(bids, build, write_tsv):
    root = bids({"sub-01": ["ses-M00", "ses-M06"]}, ("sub-01", 60, "F"))
    write_tsv(
        root / "sub-01/sub-01_sessions.tsv",
        ("session_id", "months", "age", "diagnosis", "site", "scanner_tesla"),
        ("ses-M00", 0, 70.25, "CN", "A", 1.5),
        ("M06", 6.4, 70.78, "Dementia", "B", 3),
    )
    result = build(root)
    assert months(result) == {"sub-01/ses-M00": 0.0, "sub-01/ses-M06": 6.4}
    assert ages(result) == {"ses-M00": 70.25, "ses-M06": 70.78}
    assert [(v.diagnosis, v.site, v.scanner_tesla) for v in result.visits] == [("CN", "A", 1.5), ("AD", "B", 3.0)]
    assert [v.age_precision_years for v in result.visits] == [0.01, 0.01]


def test_months_count_from_the_first_scan(bids, build, write_tsv):
    root = bids({"sub-01": ["ses-b", "ses-c"]})
    write_tsv(root / "sub-01/sub-01_sessions.tsv", ("session_id", "months"), ("ses-a", 0), ("ses-b", 6), ("ses-c", 18))
    assert months(build(root)) == {"sub-01/ses-b": 0.0, "sub-01/ses-c": 12.0}


def test_months_come_from_the_day_of_the_scan(bids, build, write_tsv):
    root = bids({"sub-01": ["ses-1", "ses-2"]}, ("sub-01", 70, "F"))
    for session, day in (("ses-1", "2010-01-01T09:00:00"), ("ses-2", "2011-01-01T18:30:00")):
        name = f"sub-01_{session}"
        write_tsv(
            root / "sub-01" / session / f"{name}_scans.tsv", ("filename", "acq_time"), (f"anat/{name}_T1w.nii.gz", day)
        )
    result = build(root)
    assert months(result) == {"sub-01/ses-1": 0.0, "sub-01/ses-2": 12.0}
    assert ages(result) == {"ses-1": 70.0, "ses-2": pytest.approx(71.0, abs=0.01)}, (
        "a participant's age is at the first"
    )


def test_months_come_from_ages_where_nothing_else_tells(bids, build, write_tsv):
    root = bids({"sub-01": ["ses-1", "ses-2"]})
    write_tsv(root / "sub-01/sub-01_sessions.tsv", ("session_id", "age"), ("ses-1", 70.0), ("ses-2", 71.5))
    assert months(build(root)) == {"sub-01/ses-1": 0.0, "sub-01/ses-2": 18.0}


@pytest.mark.parametrize("labels", [("ses-M00", "ses-M06"), ("ses-M000", "ses-M006")])
def test_months_come_from_session_names_last(bids, build, labels):
    assert list(months(build(bids({"sub-01": labels}))).values()) == [0.0, 6.0]


def test_one_clock_serves_all_sessions_of_a_person(bids, build, write_tsv):
    root = bids({"sub-01": ["ses-1", "ses-2", "ses-3"]})
    write_tsv(
        root / "sub-01/sub-01_sessions.tsv",
        ("session_id", "months", "age"),
        ("ses-1", 100, 70.0),
        ("ses-2", "n/a", 71.0),
        ("ses-3", "n/a", 72.0),
    )
    assert list(months(build(root)).values()) == [0.0, 12.0, 24.0]


def test_sessions_without_a_time_keep_the_first_and_list_the_rest(bids, build):
    result = build(bids({"sub-01": ["ses-1", "ses-2"]}, ("sub-01", 70, "F")))
    assert months(result) == {"sub-01/ses-1": 0.0}
    assert [(e.severity, e.reason[:54]) for e in result.exclusions] == [
        ("warning", "expected to learn when this session took place, got no")
    ]
    assert not result.failed


@pytest.mark.parametrize(
    ("sessions", "first"),
    [
        (["ses-10", "ses-9"], "ses-9"),
        (["ses-TP02", "ses-tp1"], "ses-tp1"),
        (["ses-baseline", "ses-after"], "ses-baseline"),
        (["ses-followup"], "ses-followup"),
    ],
)
def test_names_that_tell_an_order_keep_the_first_session(bids, build, sessions: list[str], first: str):
    result = build(bids({"sub-01": sessions}, ("sub-01", 70, "F")))
    assert [(v.session_id, v.months, v.age_years) for v in result.visits] == [(first, 0.0, 70.0)]
    assert len(result.exclusions) == len(sessions) - 1


@pytest.mark.parametrize("sessions", [["ses-pre", "ses-post"], ["ses-1", "ses-b2"], ["ses-bl", "ses-baseline"]])
def test_names_that_tell_no_order_keep_no_session_and_say_so(bids, build, sessions: list[str]):
    result = build(bids({"sub-01": sessions, "sub-02": [""]}, ("sub-01", 70, "F"), ("sub-02", 71, "F")))
    assert [v.participant_id for v in result.visits] == ["sub-02"]
    assert [row.severity for row in result.exclusions] == ["warning", "warning"]
    assert f"names that tell no order: {', '.join(sorted(sessions))}. Add a column" in result.exclusions[0].reason


def test_dates_shifted_apart_to_hide_them_are_not_believed(bids, build, write_tsv):
    root = bids({"sub-01": ["ses-1", "ses-2"]})
    rows = [("ses-1", "1802-01-01"), ("ses-2", "1880-01-01")]
    write_tsv(root / "sub-01/sub-01_sessions.tsv", ("session_id", "acq_time"), *rows)
    assert months(build(root)) == {"sub-01/ses-1": 0.0}


def test_runs_are_repeats_of_one_session(bids, build, write_image):
    root = bids({"sub-01": ["ses-1"]})
    write_image(root / "sub-01/ses-1/anat/sub-01_ses-1_run-02_T1w.nii.gz")
    assert [v.run for v in build(root).visits] == ["1", "2"]


def variants(bids, write_image, *entities: str) -> Path:
    """Write a visit with several T1w images, beside a person with one."""
    root = bids({"sub-02": ["ses-1"]})
    for entity in entities:
        write_image(root / f"sub-01/ses-1/anat/sub-01_ses-1{entity}_T1w.nii.gz")
    return root


def taken(result: BuildResult, person: str = "sub-01") -> list[str]:
    stem, suffix = f"{person}_ses-1", "_T1w.nii.gz"
    names = [Path(visit.image).name for visit in result.visits if visit.participant_id == person]
    return [name.removeprefix(stem).removesuffix(suffix) for name in names]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (["", "_acq-a", "_rec-norm", "_ce-gad"], [""]),
        (["_acq-mprage", "_acq-mp2rage_rec-norm"], ["_acq-mp2rage_rec-norm"]),
        (["_ce-gad", "_acq-z"], ["_acq-z"]),
        (["_acq-b_run-1", "_acq-b_run-2", "_acq-c_run-3"], ["_acq-b_run-1", "_acq-b_run-2"]),
        (["_run-1", "_run-2", "_acq-a_run-3"], ["_run-1", "_run-2"]),
    ],
)
def test_one_kind_of_image_is_taken_with_its_repeats_and_the_others_are_listed(
    bids, build, write_image, there: list[str], expected: list[str]
):
    result = build(variants(bids, write_image, *there))
    assert taken(result) == expected
    assert not result.failed
    assert len(result.exclusions) == len(there) - len(expected)
    for row in result.exclusions:
        assert (row.severity, row.stage) == ("note", "choice")
        assert f"'sub-01_ses-1{expected[0]}_T1w.nii.gz' is taken instead: one kind of T1w image" in row.reason
    assert not result.notes


def test_a_contrast_agent_is_told_where_a_visit_has_no_other_image(bids, build, write_image):
    result = build(variants(bids, write_image, "_ce-gad"))
    assert taken(result) == ["_ce-gad"]
    assert result.notes == (
        "1 scans are with a contrast agent, as their visits have no other: sub-01_ses-1_ce-gad_T1w.nii.gz.",
    )


def test_an_image_that_is_not_there_is_never_the_one_that_is_taken(bids, build, write_image, write_tsv):
    root = variants(bids, write_image, "_acq-a")
    write_tsv(root / "sub-01/ses-1/sub-01_ses-1_scans.tsv", ("filename",), ("anat/sub-01_ses-1_T1w.nii.gz",))
    result = build(root)
    assert taken(result) == ["_acq-a"]
    assert "expected the file sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz, found none" in str(result.exclusions[0])


def test_without_a_rule_one_scan_in_two_files_keeps_neither_and_names_both(bids, tmp_path, workspace, write_image):
    text = (content_folder("cohorts") / "bids.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(("[images.choice]", 'rule = "one', "after ="))]
    own = tmp_path / "mine.toml"
    own.write_text("\n".join(lines).replace('name = "bids"', 'name = "mine"'), encoding="utf-8")
    result = build_cohort(str(own), variants(bids, write_image, "", "_acq-fast"), workspace)
    assert [v.participant_id for v in result.visits] == ["sub-02"]
    assert result.failed
    assert len(result.exclusions) == 2
    assert "expected (participant, session, run) sub-01/ses-1/1 once, got it also from" in result.exclusions[0].reason
    assert "acq-fast" in str(result.exclusions[0])
    assert "acq-fast" in str(result.exclusions[1])


@pytest.mark.parametrize("suffix", [".NII.GZ", ".NII", ".Nii.gz"])
def test_suffixes_in_capitals_are_found_too(bids, build, write_image, write_tsv, suffix: str):
    root = bids({"sub-01": ["ses-1"]})
    write_image(root / f"sub-02/ses-1/anat/sub-02_ses-1_T1w{suffix}")
    write_image(root / f"sub-03/anat/sub-03_T1w{suffix}")
    write_tsv(root / "sub-04/sub-04_scans.tsv", ("filename",), (f"anat/sub-04_T1w{suffix}",))
    result = build(root)
    assert [v.participant_id for v in result.visits] == ["sub-01", "sub-02", "sub-03"]
    assert [row.where for row in result.exclusions] == ["sub-04/sub-04_scans.tsv line 2"]


def test_a_row_given_twice_alike_counts_once_and_otherwise_costs_its_scans(bids, build):
    people = {"sub-01": [""], "sub-02": [""], "sub-03": [""]}
    alike = [("sub-01", 70, "F"), ("sub-01", 70.04, "F")]
    result = build(bids(people, *alike, ("sub-02", 70, "F"), ("sub-02", 71, "F"), ("sub-03", 72, "M")))
    assert [v.participant_id for v in result.visits] == ["sub-01", "sub-03"]
    (bad,) = result.exclusions
    assert (bad.severity, bad.where) == ("error", "participants.tsv line 4")
    assert "line 4 (age 70.00, sex F) and line 5 (age 71.00, sex F)" in bad.reason


def test_ragged_row_costs_its_own_scans_only(bids, build):
    result = build(bids({"sub-01": [""], "sub-02": [""]}, ("sub-01", 70), ("sub-02", 71, "M")))
    assert [v.participant_id for v in result.visits] == ["sub-02"]
    assert str(result.exclusions[0]) == (
        "sub-01/anat/sub-01_T1w.nii.gz: participants.tsv line 2: "
        "expected 3 cells, got 2. Look for a missing or a stray separator."
    )


def standard(root: Path, stem: str, write_image, *, mask: bool = True) -> None:
    folder = root / stem.split("_", 1)[0] / stem.split("_")[1] / "anat"
    write_image(folder / f"{stem}_{SPACE}.nii.gz")
    if mask:
        write_image(folder / f"{stem}_{SPACE.replace('desc-preproc_T1w', 'desc-brain_mask')}.nii.gz")


def test_phantom_in_standard_space_is_read_with_its_masks_and_groups(tmp_path, build, write_image, write_tsv):
    root = tmp_path / "phantom"
    stem = "sub-S1P0042_ses-M00"
    standard(root, stem, write_image)
    standard(root, stem + "_run-2", write_image, mask=False)
    write_tsv(root / "participants.tsv", ("participant_id", "sex", "group", "site"), ("sub-S1P0042", "F", "sMCI", "A"))
    write_tsv(
        root / "sub-S1P0042/sub-S1P0042_sessions.tsv",
        ("session_id", "months", "age", "diagnosis", "site", "scanner_tesla"),
        ("ses-M00", 0.0, 71.5, "MCI", "B", 3.0),
    )
    first, second = build(root, "phantom").visits
    assert (first.key, second.key) == (("sub-S1P0042", "ses-M00", "1"), ("sub-S1P0042", "ses-M00", "2"))
    assert (first.mask_source, second.mask_source) == ("given", None)
    assert (first.extra["group"], first.site, first.diagnosis, first.cohort) == ("sMCI", "B", "MCI", "phantom")


def test_warped_images_are_refused_and_native_ones_taken_instead(tmp_path, build, write_image):
    root = tmp_path / "fmriprep"
    warped = "space-MNI152NLin2009cAsym_res-2_desc-preproc_T1w.nii.gz"
    for name in ("sub-01_desc-preproc_T1w.nii.gz", "sub-01_desc-brain_mask.nii.gz", f"sub-01_{warped}"):
        write_image(root / "sub-01/anat" / name)
    write_image(root / f"sub-02/anat/sub-02_{warped}")
    result = build(root)
    assert [(v.image, v.mask_source) for v in result.visits] == [
        ("sub-01/anat/sub-01_desc-preproc_T1w.nii.gz", "given")
    ]
    shadowed, refused = result.exclusions
    assert refused.severity == "error"
    assert refused.scan == f"sub-02/anat/sub-02_{warped}"
    assert "got space-MNI152NLin2009cAsym: non-linear warping flattens atrophy" in refused.reason
    assert (shadowed.severity, shadowed.stage, shadowed.scan) == ("note", "choice", f"sub-01/anat/sub-01_{warped}")
    assert "'sub-01_desc-preproc_T1w.nii.gz' is taken instead" in shadowed.reason


def test_warped_images_that_are_allowed_stand_in_only_where_nothing_else_is_there(tmp_path, workspace, write_image):
    root = tmp_path / "fmriprep"
    warped, linear = (f"space-MNI152NLin2009{end}_desc-preproc_T1w.nii.gz" for end in ("cAsym", "aSym"))
    for name in ("sub-01_desc-preproc_T1w.nii.gz", f"sub-01_{linear}", f"sub-01_{warped}", f"sub-02_{linear}"):
        write_image(root / name[:6] / "anat" / name)
    for name in (f"sub-02_{warped}", f"sub-03_{warped}", f"sub-01_run-2_{warped}"):
        write_image(root / name[:6] / "anat" / name)
    result = build_cohort("bids", root, workspace, options=BuildOptions(allow_nonlinear=True))
    assert [Path(visit.image).name for visit in result.visits] == [
        "sub-01_desc-preproc_T1w.nii.gz", f"sub-01_run-2_{warped}", f"sub-02_{linear}", f"sub-03_{warped}",
    ]  # fmt: skip
    assert sorted(Path(row.scan).name for row in result.exclusions) == sorted(
        [f"sub-01_{linear}", f"sub-01_{warped}", f"sub-02_{warped}"]
    )
    assert not result.failed


def test_derivatives_take_the_tables_of_the_raw_data_set_around_them(bids, build, write_image, write_tsv):
    raw = bids({"sub-01": ["ses-1"]}, ("sub-01", 70, "F"))
    write_tsv(raw / "sub-01/ses-1/sub-01_ses-1_scans.tsv", ("filename",), ("anat/sub-01_ses-1_T1w.nii.gz",))
    derived = raw / "derivatives" / "fmriprep"
    write_image(derived / "sub-01/ses-1/anat/sub-01_ses-1_desc-preproc_T1w.nii.gz")
    (derived / "dataset_description.json").write_text(json.dumps({"DatasetType": "derivative"}), encoding="utf-8")
    result = build(derived)
    assert [(v.age_years, v.sex) for v in result.visits] == [(70.0, "F")]
    assert not result.failed


def test_scan_in_the_folder_of_another_person_is_an_error(bids, build, write_image):
    root = bids({"sub-01": [""]})
    write_image(root / "sub-01/anat/sub-02_T1w.nii.gz")
    result = build(root)
    assert [v.participant_id for v in result.visits] == ["sub-01"]
    assert "expected a scan of sub-01, got one of sub-02" in result.exclusions[0].reason


def test_folder_without_scans_says_which_to_give(tmp_path, build):
    with pytest.raises(CohortError, match=r"expected T1w scans at .*Give the folder that holds the `sub-\*` folders"):
        build(tmp_path)


@pytest.mark.data
def test_real_raw_layout_is_read(shared_data: Path, build):
    result = build(shared_data / "bids-layouts" / "synthetic")
    assert (result.counts.found, result.counts.people_in_tables) == (10, 5)
    assert {v.participant_id: (v.sex) for v in result.visits} == dict(
        zip([f"sub-0{n}" for n in range(1, 6)], "FMMFM", strict=True)
    )


@pytest.mark.data
def test_real_fmriprep_layout_offers_its_native_images_only(shared_data: Path, build):
    result = build(shared_data / "bids-layouts" / "ds000001-fmriprep")
    errors = [row for row in result.exclusions if row.severity == "error"]
    assert [row.scan for row in errors] == [f"sub-{n}/anat/sub-{n}_desc-preproc_T1w.nii.gz" for n in (10, 11, 13, 16)]
    assert all("got an empty file" in row.reason for row in errors)
    assert result.failed


@pytest.mark.data
@pytest.mark.parametrize("allow_nonlinear", [False, True])
def test_real_fmriprep_layout_gives_everybody_once(
    shared_data: Path, tmp_path, workspace, write_image, allow_nonlinear
):
    source = shared_data / "bids-layouts" / "ds000001-fmriprep"
    images = [path.relative_to(source) for path in source.glob("sub-*/anat/*_T1w.nii.gz")]
    for image in images:
        write_image(tmp_path / "fmriprep" / image)
    result = build_cohort(
        "bids", tmp_path / "fmriprep", workspace, options=BuildOptions(allow_nonlinear=allow_nonlinear)
    )
    assert [visit.image for visit in result.visits] == [
        f"sub-{n}/anat/sub-{n}_desc-preproc_T1w.nii.gz" for n in (10, 11, 13, 16)
    ]
    assert len(result.exclusions) == len(images) - 4
    assert {row.stage for row in result.exclusions} == {"choice"}


def sessions(root: Path, write_tsv, *rows: tuple, person: str = "sub-01") -> None:
    write_tsv(root / person / f"{person}_sessions.tsv", *rows)


def test_names_that_lost_their_leading_zeros_still_meet_their_scans_and_are_noted(bids, build, write_tsv):
    root = bids({"sub-01": ["ses-01", "ses-02"], "sub-10": [""]}, (1, "n/a", "F"), (10, 71, "M"))
    sessions(root, write_tsv, ("session_id", "age"), (1, 70.5), (2, 71.5))
    result = build(root)
    assert [(v.participant_id, v.age_years, v.sex, v.months) for v in result.visits] == [
        ("sub-01", 70.5, "F", 0.0),
        ("sub-01", 71.5, "F", 12.0),
        ("sub-10", 71.0, "M", 0.0),
    ]
    assert result.notes == (
        "participants.tsv: 1 rows are matched to scans whose names differ by leading zeros alone: sub-1 for sub-01.",
        (
            "sub-01/sub-01_sessions.tsv: 2 rows are matched to scans whose names differ by leading zeros alone: "
            "sub-01/ses-1 for sub-01/ses-01, sub-01/ses-2 for sub-01/ses-02."
        ),
        "sub-01/sub-01_sessions.tsv: 1 of 3 scans have no row: sub-10/ses-1.",
    )


def test_one_table_of_labels_may_have_lost_zeros_of_both_names(bids, build, write_tsv):
    root = bids({"sub-01": ["ses-01"], "sub-02": ["ses-01"]})
    write_tsv(root / "labels.tsv", ("participant_id", "session_id", "age"), (1, 1, 70.5), (2, 1, 71.5))
    assert [v.age_years for v in build(root).visits] == [70.5, 71.5]


@pytest.mark.parametrize(("people", "rows"), [(["sub-01", "sub-001"], ["sub-1"]), (["sub-01"], ["sub-1", "sub-001"])])
def test_names_that_zeros_alone_do_not_tell_apart_are_never_guessed(bids, build, people, rows):
    result = build(bids({person: [""] for person in people}, *[(row, 70, "F") for row in rows]))
    assert {v.age_years for v in result.visits} == {None}
    strangers, lacking = result.notes
    assert strangers == f"participants.tsv: {len(rows)} rows belong to no scan: {', '.join(sorted(rows))}."
    assert lacking == (
        f"participants.tsv: {len(people)} of {len(people)} scans have no row: {', '.join(sorted(people))}."
    )


def test_rows_and_scans_that_meet_nothing_are_noted_in_each_kind_of_table(bids, build, write_tsv):
    root = bids({"sub-01": ["ses-1"], "sub-02": ["ses-1"]}, ("sub-01", 70, "F"), ("sub-03", 71, "F"))
    sessions(root, write_tsv, ("session_id", "site"), ("ses-9", "A"))
    name = "sub-01/ses-1/sub-01_ses-1_scans.tsv"
    write_tsv(root / name, ("filename",), ("anat/sub-01_ses-1_T1w.nii.gz",), ("func/sub-01_ses-1_bold.nii.gz",))
    assert build(root).notes == (
        "participants.tsv: 1 rows belong to no scan: sub-03.",
        "sub-01/sub-01_sessions.tsv: 1 rows belong to no scan: sub-01/ses-9.",
        "participants.tsv: 1 of 2 scans have no row: sub-02.",
        "sub-01/sub-01_sessions.tsv: 2 of 2 scans have no row: sub-01/ses-1, sub-02/ses-1.",
        f"{name}: 1 of 2 scans have no row: sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz.",
    )


@pytest.mark.parametrize(
    ("told", "age", "age_years"),
    [("months", 24, 2.0), ("Weeks", 240, 240 * 7 / 365.25), ("day", 2400, 2400 / 365.25), ("years", 24, 24.0)],
)
def test_ages_are_in_the_unit_that_the_data_set_states(bids, build, told: str, age: int, age_years: float):
    root = bids({"sub-01": [""]}, ("sub-01", age, "F"))
    (root / "participants.json").write_text(json.dumps({"Age": {"Units": told}}), encoding="utf-8")
    result = build(root)
    assert [v.age_years for v in result.visits] == [pytest.approx(age_years, abs=1e-4)]
    assert bool(result.notes) == (told != "years")


def test_the_unit_of_one_table_is_not_that_of_another_and_tells_the_time_too(bids, build, write_tsv):
    root = bids({"sub-01": ["ses-1", "ses-2"], "sub-02": ["ses-1"]}, ("sub-01", 30, "F"), ("sub-02", 30, "F"))
    sessions(root, write_tsv, ("session_id", "age"), ("ses-1", 24), ("ses-2", 30))
    (root / "sessions.json").write_text(json.dumps({"age": {"Units": "mo"}}), encoding="utf-8")
    result = build(root)
    assert [(v.age_years, v.months) for v in result.visits] == [(2.0, 0.0), (2.5, 6.0), (30.0, 0.0)]
    assert result.notes[0] == "sub-01/sub-01_sessions.tsv: ages are in months, as the JSON file states."


def test_a_unit_that_nobody_knows_is_refused(bids, build):
    root = bids({"sub-01": [""]}, ("sub-01", 24, "F"))
    (root / "participants.json").write_text(json.dumps({"age": {"Units": "decades"}}), encoding="utf-8")
    with pytest.raises(TableError, match=r"participants.json, age: expected Units of years or months.*got 'decades'"):
        build(root)


@pytest.mark.parametrize("name", ["aaa.tsv", "zzz.tsv"])
def test_a_list_of_sessions_beside_the_tables_costs_no_scan(bids, build, write_tsv, name: str):
    root = bids({"sub-01": ["ses-M000", "ses-M006"]}, ("sub-01", 60, "F"))
    sessions(root, write_tsv, ("session_id", "age", "diagnosis"), ("ses-M000", 84.8, "n/a"), ("ses-M006", "n/a", "AD"))
    rows = (("sub-01", "ses-M000", "M", "CN"), ("sub-01", "ses-M006", "n/a", "Dementia"))
    write_tsv(root / name, ("participant_id", "session_id", "sex", "diagnosis"), *rows)
    result = build(root)
    assert [(v.age_years, v.sex, v.diagnosis) for v in result.visits] == [(84.8, "M", "CN"), (60.5, "F", "AD")]
    assert not result.exclusions


def test_tables_that_contradict_each_other_are_both_named(bids, build, write_tsv):
    root = bids({"sub-01": ["ses-1"], "sub-02": ["ses-1"], "sub-03": ["ses-1"]})
    for person, age, diagnosis in (("sub-01", 70, "CN"), ("sub-02", 70, "AD"), ("sub-03", 70, "CN")):
        sessions(root, write_tsv, ("session_id", "age", "diagnosis"), ("ses-1", age, diagnosis), person=person)
    rows = (("sub-01", "ses-1", 75, "CN"), ("sub-02", "ses-1", 70, "CN"), ("sub-03", "ses-1", 70.05, "control"))
    write_tsv(root / "labels.tsv", ("participant_id", "session_id", "age_years", "diagnosis"), *rows)
    result = build(root)
    assert [v.participant_id for v in result.visits] == ["sub-03"]
    age, diagnosis = (row.reason for row in result.exclusions)
    assert "sub-01/sub-01_sessions.tsv line 2 (age 70.00) and labels.tsv line 2 (age 75.00)" in age
    assert "sub-02/sub-02_sessions.tsv line 2 (age 70.00, diagnosis AD) and labels.tsv line 3 (age 70.00" in diagnosis


@pytest.mark.parametrize("time", ["13:45:30", "09:05", "14:00:01.5", "13:45:30.123Z", "08:00:00+02:00"])
def test_a_time_without_a_day_costs_no_scan_and_hides_no_day(bids, build, write_tsv, time: str):
    root = bids({"sub-01": ["ses-1", "ses-2"], "sub-02": ["ses-1"]}, ("sub-01", 70, "F"), ("sub-02", 70, "F"))
    for person, session in (("sub-01", "ses-1"), ("sub-01", "ses-2"), ("sub-02", "ses-1")):
        name = f"{person}_{session}"
        rows = [("filename", "acq_time"), (f"anat/{name}_T1w.nii.gz", time)]
        write_tsv(root / person / session / f"{name}_scans.tsv", *rows)
    sessions(root, write_tsv, ("session_id", "session_date"), ("ses-1", "2010-01-01"), ("ses-2", "2011-01-01"))
    result = build(root)
    assert [(v.participant_id, v.months) for v in result.visits] == [("sub-01", 0.0), ("sub-01", 12.0), ("sub-02", 0.0)]
    assert not result.exclusions
