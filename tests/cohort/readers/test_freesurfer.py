"""FreeSurfer's folder of subjects."""

from collections.abc import Callable
from pathlib import Path

import pytest

from neurolatent.cohort.build import BuildResult, build_cohort
from neurolatent.workspace import Workspace


def write_subject(root: Path, name: str, write_image: Callable[..., Path], *images: str) -> None:
    for image in images:
        write_image(root / name / "mri" / image)


def test_heads_are_taken_where_all_have_them_else_brains(
    tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path]
):
    root = tmp_path / "subjects"
    write_subject(root, "sub-01_ses-02", write_image, "T1.mgz", "brain.mgz")
    write_subject(root, "bert", write_image, "T1.mgz", "brain.mgz")
    visits = build_cohort("bids", root, workspace).visits
    assert [(*visit.key[:2], visit.image) for visit in visits] == [
        ("sub-01", "ses-02", "sub-01_ses-02/mri/T1.mgz"),
        ("sub-bert", "ses-1", "bert/mri/T1.mgz"),
    ]
    (root / "bert" / "mri" / "T1.mgz").unlink()
    assert {visit.image[-9:] for visit in build_cohort("bids", root, workspace).visits} == {"brain.mgz"}


def test_the_longitudinal_stream_adds_nobody(tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path]):
    root = tmp_path / "subjects"
    write_subject(root, "sub-01_ses-1", write_image, "T1.mgz")
    write_subject(root, "sub-01_ses-1.long.sub-01", write_image, "T1.mgz")
    write_subject(root, "sub-01_ses-2.long.sub-01", write_image, "T1.mgz")
    write_subject(root, "sub-01", write_image, "T1.mgz")
    write_image(root / "sub-01" / "base-tps")
    result = build_cohort("bids", root, workspace)
    found = {visit.image for visit in result.visits} | {row.scan for row in result.exclusions}
    assert found == {"sub-01_ses-1/mri/T1.mgz", "sub-01_ses-2.long.sub-01/mri/T1.mgz"}


def test_tables_are_those_of_the_raw_data_around(
    tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path], write_tsv: Callable[..., Path]
):
    raw = tmp_path / "raw"
    write_tsv(raw / "participants.tsv", ("participant_id", "age", "sex"), ("sub-01", 70, "F"))
    write_subject(raw / "derivatives" / "freesurfer", "sub-01", write_image, "T1.mgz")
    (visit,) = build_cohort("bids", raw / "derivatives" / "freesurfer", workspace).visits
    assert (visit.age_years, visit.sex) == (70.0, "F")


@pytest.mark.data
def test_the_real_subject(shared_data: Path, workspace: Workspace, tmp_path: Path):
    root = tmp_path / "subjects"
    (root / "subject1" / "mri").mkdir(parents=True)
    source = next(shared_data.rglob("brain.mgz"))
    (root / "subject1" / "mri" / "brain.mgz").write_bytes(source.read_bytes())
    (visit,) = build_cohort("bids", root, workspace).visits
    assert visit.participant_id == "sub-subject1"


def test_freesurfers_own_average_is_nobody(tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path]):
    write_subject(tmp_path / "s", "sub-01", write_image, "T1.mgz")
    write_subject(tmp_path / "s", "fsaverage", write_image, "brain.mgz")
    assert [visit.image for visit in build_cohort("bids", tmp_path / "s", workspace).visits] == ["sub-01/mri/T1.mgz"]


def people(result: BuildResult) -> list[tuple[str, str, str]]:
    return [tuple(visit.key) for visit in result.visits]


def test_only_ses_tells_a_session_and_any_other_name_is_a_person_of_its_own(
    tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path]
):
    for name in ("control_01", "control_02", "pat-1_ses-M06", "sub-01_ses-1_run-2"):
        write_subject(tmp_path / "s", name, write_image, "T1.mgz")
    result = build_cohort("bids", tmp_path / "s", workspace)
    assert people(result) == [
        ("sub-01", "ses-1", "2"),
        ("sub-control01", "ses-1", "1"),
        ("sub-control02", "ses-1", "1"),
        ("sub-pat1", "ses-M06", "1"),
    ]
    (note,) = result.notes
    assert note.startswith(
        "2 folders whose names hold no `_ses-` count as a person each: "
        "control_01 (sub-control01), control_02 (sub-control02)."
    )


def test_sessions_of_adni_and_oasis_stay_with_their_person(
    tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path]
):
    for name in ("002_S_0295", "OAS30001_MR_d0129", "OAS30001_MR_d0757.long.OAS30001", "OAS2_0001_MR2"):
        write_subject(tmp_path / "s", name, write_image, "T1.mgz")
    result = build_cohort("bids", tmp_path / "s", workspace)
    keys = {*people(result), *(("left out", row.scan.partition("/")[0], "") for row in result.exclusions)}
    assert {key[:2] for key in keys} == {
        ("sub-002S0295", "ses-1"),
        ("sub-OAS30001", "ses-d0129"),
        ("left out", "OAS30001_MR_d0757.long.OAS30001"),  # without a table nobody knows when it was
        ("sub-OAS20001", "ses-2"),
    }
    assert not result.notes


def test_two_spellings_never_become_one_person(tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path]):
    for name in ("control_01_ses-1", "control01_ses-2", "bert"):
        write_subject(tmp_path / "s", name, write_image, "T1.mgz")
    result = build_cohort("bids", tmp_path / "s", workspace)
    assert people(result) == [("sub-bert", "ses-1", "1")]
    assert [row.severity for row in result.exclusions] == ["error", "error"]
    assert "one spelling for sub-control01, got 'control01' beside 'control_01'" in str(result.exclusions[0])


@pytest.mark.parametrize("name", ["sub-01_M06", "sub-01_ses-1_acq-fast", "control_ses-", "___"])
def test_a_name_that_may_mean_more_than_one_thing_is_refused(
    tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path], name: str
):
    write_subject(tmp_path / "s", name, write_image, "T1.mgz")
    (refused,) = build_cohort("bids", tmp_path / "s", workspace).exclusions
    assert f"expected a subject such as sub-01_ses-02, got {name!r}. Rename its folder." in str(refused)
