"""What is found in a cohort's folder, by whatever ending and through whatever links."""

from pathlib import Path

import pytest

from neurolatent.cohort.build import build_cohort
from neurolatent.cohort.readers.folder import find_files
from neurolatent.cohort.visits import IMAGE_ENDING
from neurolatent.errors import CohortError
from neurolatent.workspace import Workspace
from tests.cohort import trees


def stand_in(path: Path, _place: int, _visit: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"image")


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        stand_in(root / path, 0, 0)


@pytest.mark.parametrize(
    "patterns",
    [
        ("**/*.nii",),
        ("*/*.nii", "*.nii"),
        ("a/**/*.nii",),
        ("a/**/b/**/*.nii*",),
        ("**/b/*.nii", "**/b/**/x.*"),
        ("**/**/x.nii",),
        ("**/[xy].nii", "?/x.nii"),
        ("x.nii",),
    ],
)
def test_patterns_mean_what_pathlib_says(tmp_path: Path, patterns: tuple[str, ...]):
    touch(tmp_path, "x.nii", "a/x.nii", "a/b/x.nii", "a/b/c/y.nii", "a/b/c/b/z.nii.gz", ".git/a/x.nii", "b/x.txt")
    expected = {path.relative_to(tmp_path).as_posix() for pattern in patterns for path in tmp_path.glob(pattern)}
    assert find_files(tmp_path, patterns) == sorted(expected)


def test_the_case_of_an_ending_does_not_matter_and_that_of_a_name_does(tmp_path: Path):
    touch(tmp_path, "a.NII.GZ", "b.Nii", "c.IMG", "A.nii", "d.TXT")
    assert find_files(tmp_path, ["[abd].nii", "*.nii.gz", "*.img", "*.txt"]) == ["a.NII.GZ", "b.Nii", "c.IMG"]


@pytest.mark.parametrize("name", ["adni", "aibl", "ixi", "oasis1", "oasis2", "oasis3"])
def test_images_with_an_ending_in_capitals_are_found_and_named(name: str, tmp_path: Path, workspace: Workspace):
    def capital(path: Path, place: int, visit: int) -> None:
        stand_in(path.with_name(IMAGE_ENDING.sub(lambda ending: ending[0].upper(), path.name)), place, visit)

    expected = build_cohort(name, trees.TREES[name](tmp_path / "small" / "source", stand_in), workspace).visits
    found = build_cohort(name, trees.TREES[name](tmp_path / "capital" / "source", capital), workspace)
    assert not found.exclusions
    assert [(v.key, v.image.lower()) for v in found.visits] == [(v.key, v.image.lower()) for v in expected]
    assert all(visit.image.endswith((".NII", ".NII.GZ", ".IMG")) for visit in found.visits)


def test_a_dicom_series_in_capitals_is_a_folder(tmp_path: Path, workspace: Workspace):
    def series(path: Path, place: int, visit: int) -> None:
        for slice_of in (1, 2):
            stand_in(path.with_name(f"{path.stem}_{slice_of}.DCM"), place, visit)

    result = build_cohort("adni", trees.write_adni(tmp_path / "source", series), workspace)
    assert (result.counts.found, result.counts.kept) == (12, 12)


@pytest.fixture
def oasis1(tmp_path: Path) -> Path:
    return trees.write_oasis1(tmp_path / "source", stand_in)


def test_a_disc_that_is_a_link_out_of_the_folder_is_refused_line_by_line(oasis1: Path, workspace: Workspace):
    (oasis1 / "disc1").rename(oasis1.parent / "elsewhere")
    (oasis1 / "disc1").symlink_to(oasis1.parent / "elsewhere")
    touch(oasis1, "disc2/OAS1_0001_MR1/PROCESSED/MPRAGE/SUBJ_111/x.img")
    result = build_cohort("oasis1", oasis1, workspace)
    assert (result.counts.found, result.counts.kept) == (8, 0)
    assert sum("expected an image inside" in row.reason for row in result.exclusions) == 6


def test_a_disc_that_is_a_link_within_the_folder_counts_once(oasis1: Path, workspace: Workspace):
    expected = build_cohort("oasis1", oasis1, workspace).visits
    (oasis1 / "also").symlink_to("disc1")
    assert build_cohort("oasis1", oasis1, workspace).visits == expected


def test_a_person_who_is_a_link_is_found_by_the_path_that_names_them(tmp_path: Path, workspace: Workspace):
    root = trees.write_aibl(tmp_path / "source", stand_in)
    expected = build_cohort("aibl", root, workspace).visits
    (root / "store").mkdir()
    (root / "AIBL" / "2").rename(root / "store" / "second")
    (root / "AIBL" / "2").symlink_to("../store/second")
    result = build_cohort("aibl", root, workspace)
    assert result.visits == expected
    assert not result.exclusions


def test_links_to_folders_above_end_and_a_link_to_itself_is_told(oasis1: Path, workspace: Workspace):
    expected = build_cohort("oasis1", oasis1, workspace).visits
    (oasis1 / "disc1" / "up").symlink_to("..")
    (oasis1 / "disc1" / "out").symlink_to(oasis1.parent)
    (oasis1 / "all").symlink_to("/")
    (oasis1 / "self").symlink_to("self")
    (oasis1 / "disc2").mkdir()
    (oasis1 / "disc2" / "across").symlink_to("../disc3")
    (oasis1 / "disc3").mkdir()
    (oasis1 / "disc3" / "across").symlink_to("../disc2")
    result = build_cohort("oasis1", oasis1, workspace)
    assert (result.visits, result.exclusions) == (expected, ())
    image = oasis1 / expected[0].image
    image.unlink()
    image.symlink_to(image.name)
    (lost,) = build_cohort("oasis1", oasis1, workspace).exclusions
    assert "got a link that leads to itself" in lost.reason


def test_a_table_that_is_not_required_is_not_taken_from_another_cohorts_folder(tmp_path: Path, workspace: Workspace):
    root = trees.write_adni(tmp_path / "ADNI_DATA", stand_in)
    rows = [("Image Data ID", "Subject", "Modality", "Description", "Acq Date")]
    trees.write_rows(
        tmp_path / "AIBL_DATA" / "AIBL_list.csv", [*rows, ("I5000", "12", "MRI", "MPRAGE ADNI confirmed", "4/18/2007")]
    )
    assert build_cohort("adni", root, workspace).exclusions == ()
    trees.write_rows(root / "lists" / "mine.csv", [*rows, ("I6000", "001_S_1001", "MRI", "MPRAGE", "4/18/2017")])
    result = build_cohort("adni", root, workspace)
    assert [row.where for row in result.exclusions] == ["lists/mine.csv line 2"]


def test_a_required_table_is_found_beside_the_folder_and_two_are_told_apart(tmp_path: Path, workspace: Workspace):
    root = trees.write_adni(tmp_path / "images", stand_in)
    table = (root / "ADNIMERGE.csv").rename(tmp_path / "ADNIMERGE.csv")
    for folder in ("new", "old"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ADNIMERGE.csv").write_bytes(table.read_bytes())
    assert len(build_cohort("adni", root, workspace).visits) == 12
    table.unlink()
    with pytest.raises(
        CohortError, match=r"one table .*, got \['../new/ADNIMERGE.csv', '../old/ADNIMERGE.csv'\]. Move all but one"
    ):
        build_cohort("adni", root, workspace)


def test_two_links_to_one_file_stay_two_images(tmp_path: Path):
    """As git-annex keeps equal contents: the contract's checks tell of them, and nobody disappears."""
    touch(tmp_path, ".git/annex/key")
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).symlink_to(".git/annex/key")
    assert find_files(tmp_path, ["**/*.nii"]) == ["a.nii", "b.nii"]
