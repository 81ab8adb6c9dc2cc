"""FreeSurfer's folder of subjects."""

from collections.abc import Callable
from pathlib import Path

import pytest

from neurolatent.cohort.build import build_cohort
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
