"""ADNI in each of its layouts, traps included; the table that comes out equals one written by hand."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from neurolatent.cohort.build import build_cohort
from neurolatent.cohort.choice import rank
from neurolatent.cohort.descriptor import load_descriptor
from neurolatent.cohort.options import BuildOptions
from neurolatent.content import content_folder
from neurolatent.workspace import Workspace

MERGE = (
    ("RID", "PTID", "VISCODE", "SITE", "COLPROT", "EXAMDATE", "DX_bl", "AGE", "PTGENDER", "APOE4", "FLDSTRENG", "ABETA",
     "MMSE", "DX", "EXAMDATE_bl"),
    (295, "002_S_0295", "bl", 2, "ADNI1", "2006-04-18", "CN", 84.8, "Male", 1, "1.5 Tesla MRI", ">1700", 28, "CN",
     "2006-04-18"),
    (295, "002_S_0295", "m06", 2, "ADNI1", "2006-11-02", "CN", 84.8, "Male", 1, "", "", 29, "", "2006-04-18"),
    (413, "002_S_0413", "bl", 2, "ADNI1", "2006-05-02", "LMCI", 76.3, "Female", 0, "1.5 Tesla MRI", "<80", 29, "MCI",
     "2006-05-02"),
    (413, "002_S_0413", "m24", 2, "ADNI1", "2008-05-02", "LMCI", 76.3, "Female", 0, "3 Tesla MRI", "", 20, "Dementia",
     "2006-05-02"),
    (4001, "011_S_4001", "bl", 11, "ADNI2", "2011-09-01", "SMC", 70, "Female", 0, "3 Tesla MRI", "", 30, "SMC",
     "2011-09-01"),
)  # fmt: skip
IMAGES = (
    # Screening counts as baseline; corrected before raw, the first scan before its repeat.
    ("002_S_0295", "MP-RAGE", "2006-04-10_08_20_30.0", 13722),
    ("002_S_0295", "MP-RAGE_REPEAT", "2006-04-10_08_30_30.0", 13723),
    ("002_S_0295", "MPR__GradWarp__B1_Correction__N3__Scaled", "2006-04-10_08_20_30.0", 45107),
    ("002_S_0295", "MPR__GradWarp__N3__Scaled", "2006-04-10_08_20_30.0", 45100),
    ("002_S_0295", "MP-RAGE", "2006-11-02_08_16_44.0", 28560),
    ("002_S_0413", "MP-RAGE", "2006-04-20_08_16_44.0", 14444),
    ("002_S_0413", "MP-RAGE", "2008-07-31_08_16_44.0", 118682),
    ("011_S_4001", "Accelerated_SAG_MP-RAGE", "2011-09-03_08_16_44.0", 254001),
    ("011_S_4001", "Sagittal_3D_FLAIR", "2011-09-03_08_16_44.0", 254002),
    ("011_S_4001", "MPRAGE", "2016-09-03_08_16_44.0", 754002),
    ("099_S_0001", "MP-RAGE", "2008-07-31_08_16_44.0", 118999),
)
EXPECTED = {
    # participant, session: months, age, sex, diagnosis, site, tesla, mmse, ABETA, image
    ("sub-ADNI002S0295", "ses-M000"): (0.0, 84.778, "M", "CN", "2", 1.5, "28", ">1700", 45107),
    # The nearest visit has no diagnosis, and the one before it lies 198 days away.
    ("sub-ADNI002S0295", "ses-M006"): (6.8, 85.342, "M", None, "2", None, "29", "n/a", 28560),
    ("sub-ADNI002S0413", "ses-M000"): (0.0, 76.267, "F", "MCI", "2", 1.5, "29", "<80", 14444),
    ("sub-ADNI002S0413", "ses-M024"): (27.4, 78.548, "F", "AD", "2", 3.0, "20", "n/a", 118682),
    ("sub-ADNI011S4001", "ses-M000"): (0.0, 70.005, "F", "CN", "11", 3.0, "30", "n/a", 254001),
    # Five years after the only visit that the table knows.
    ("sub-ADNI011S4001", "ses-I754002"): (60.0, 75.007, "F", None, None, None, "n/a", "n/a", 754002),
}


def table_of(workspace: Workspace, root: Path, **options: object) -> dict:
    result = build_cohort("adni", root, workspace, options=BuildOptions(**options))
    return {
        (v.participant_id, v.session_id): (
            v.months, round(v.age_years, 3), v.sex, v.diagnosis, v.site, v.scanner_tesla, v.extra["mmse"],
            v.extra["ABETA"], int(v.image.rpartition("_I")[2].partition(".")[0]),
        )
        for v in result.visits
    }  # fmt: skip


@pytest.fixture
def write_tree(tmp_path: Path, write_image: Callable[..., Path], write_csv: Callable[..., Path]) -> Callable[..., Path]:
    def write(images: Sequence[tuple] = IMAGES, *, suffix: str = ".nii", merge: Sequence[tuple] = MERGE) -> Path:
        root = tmp_path / "download"
        for person, series, stamp, number in images:
            name = f"ADNI_{person}_MR_{series}_Br_20070319113623975_S13408_I{number}{suffix}"
            write_image(root / "ADNI" / person / series / stamp / f"I{number}" / name)
        write_csv(root / "tables" / "ADNIMERGE_21Nov2025.csv", *merge)
        return root

    return write


def test_raw_tree_becomes_the_table_written_by_hand(write_tree: Callable[..., Path], workspace: Workspace):
    assert table_of(workspace, write_tree()) == EXPECTED


def test_columns_in_another_order_change_nothing(write_tree: Callable[..., Path], workspace: Workspace):
    turned = [row[::-1] for row in MERGE]
    assert table_of(workspace, write_tree(merge=turned)) == EXPECTED


def test_dicom_series_are_folders(write_tree: Callable[..., Path], workspace: Workspace):
    root = write_tree(IMAGES[:1], suffix="_001.dcm")
    folder = next(root.rglob("*.dcm")).parent
    (folder / "ADNI_002.dcm").write_bytes(b"image")
    visits = build_cohort("adni", root, workspace).visits
    assert [visit.image for visit in visits] == [folder.relative_to(root).as_posix()]


def test_what_is_not_taken_is_listed_with_the_rule(write_tree: Callable[..., Path], workspace: Workspace):
    result = build_cohort("adni", write_tree(), workspace)
    listed = {row.scan.rpartition("_I")[2]: row for row in result.exclusions}
    assert {name: (row.stage, row.severity) for name, row in listed.items()} == {
        "13722.nii": ("choice", "note"), "13723.nii": ("choice", "note"), "45100.nii": ("choice", "note"),
        "254002.nii": ("choice", "note"), "118999.nii": ("match", "warning"),
    }  # fmt: skip
    assert (
        "'MPR__GradWarp__B1_Correction__N3__Scaled' (image 45107) is taken instead: one T1w image"
        in listed["13722.nii"].reason
    )
    assert "expected rows for 099_S_0001, got none" in listed["118999.nii"].reason
    counts = result.counts
    assert (counts.found, counts.matched, counts.kept) == (11, 10, 6)
    assert not result.failed


def test_list_of_images_gives_days_and_names_what_is_not_downloaded(
    tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path], write_csv: Callable[..., Path]
):
    root = tmp_path / "flat"
    write_csv(root / "ADNIMERGE.csv", *MERGE)
    names = "Image Data ID,Subject,Group,Sex,Age,Visit,Modality,Description,Type,Acq Date,Format,Downloaded"
    header = [f'"{name}"' for name in names.split(",")]
    rows = [
        (
            "I45107",
            "002_S_0295",
            "AD",
            "M",
            85,
            "sc",
            "MRI",
            "MPR; GradWarp; B1 Correction; N3; Scaled",
            "",
            "4/10/2006",
        ),
        ("14444", "002_S_0413", "MCI", "F", 76, "sc", "MRI", "MP-RAGE", "Original", "4/20/2006"),
        ("I99", "002_S_0413", "MCI", "F", 76, "sc", "MRI", "MP-RAGE", "Original", "4/20/2006"),
        ("I98", "002_S_0413", "MCI", "F", 76, "sc", "PET", "FDG", "Original", "4/20/2006"),
    ]
    write_csv(root / "my_list_11_21_2025.csv", header, *[(*row, "NiFTI", "") for row in rows])
    for person, number in (("002_S_0295", 45107), ("002_S_0413", 14444)):
        write_image(root / f"ADNI_{person}_MR_MPR_Br_20070319113623975_S13408_I{number}.nii")
    found = table_of(workspace, root)
    assert found == {key: row for key, row in EXPECTED.items() if row[-1] in {45107, 14444}}
    lost = build_cohort("adni", root, workspace).exclusions
    assert [(row.where, row.stage) for row in lost] == [("my_list_11_21_2025.csv line 4", "match")]
    assert "expected the image I99, which the list names, found none" in lost[0].reason


def test_flat_folder_without_a_list_says_what_is_missing(
    tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path], write_csv: Callable[..., Path]
):
    root = tmp_path / "flat"
    write_csv(root / "ADNIMERGE.csv", *MERGE)
    write_image(root / "ADNI_002_S_0295_MR_MPR_Br_20070319113623975_S13408_I45107.nii")
    result = build_cohort("adni", root, workspace)
    assert not result.visits
    assert "expected the day of the scan in its folder's name or in a list of images" in result.exclusions[0].reason


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("4/18/06", "list.csv line 2: expected a day such as 2024-05-31 or 05/31/2024, got '4/18/06'."),
        ("", "or in a list of images, got a row of a list without one (list.csv line 2). Fill it."),
    ],
)
def test_a_list_whose_day_cannot_be_read_says_so(
    tmp_path: Path,
    workspace: Workspace,
    write_image: Callable[..., Path],
    write_csv: Callable[..., Path],
    day: str,
    reason: str,
):
    root = tmp_path / "flat"
    write_csv(root / "ADNIMERGE.csv", *MERGE)
    header = ("Image Data ID", "Subject", "Description", "Acq Date")
    write_csv(root / "list.csv", header, ("I45107", "002_S_0295", "MP-RAGE", day))
    write_image(root / "ADNI_002_S_0295_MR_MPR_Br_20070319113623975_S13408_I45107.nii")
    (lost,) = build_cohort("adni", root, workspace).exclusions
    assert reason in str(lost)


@pytest.mark.parametrize(("first", "later"), [("ses-M000", "ses-M024"), ("ses-M00", "ses-M24")])
def test_clinicas_bids_keeps_diagnoses_of_visits(
    tmp_path: Path,
    workspace: Workspace,
    write_image: Callable[..., Path],
    write_tsv: Callable[..., Path],
    first: str,
    later: str,
):
    root, person = tmp_path / "bids", "sub-ADNI002S0413"
    for session in (first, later):
        write_image(root / person / session / "anat" / f"{person}_{session}_T1w.nii.gz")
    write_tsv(root / "participants.tsv",
              ("participant_id", "alternative_id_1", "sex", "age_bl", "site", "diagnosis_sc", "apoe4"),
              (person, "002_S_0413", "Female", 76.3, 2, "LMCI", 0))  # fmt: skip
    write_tsv(root / person / f"{person}_sessions.tsv",
              ("session_id", "examination_date", "age", "diagnosis", "MMSE"),
              (first, "2006-05-02", 76.3, "MCI", 29), (later, "2008-07-31", 78.5, "AD", "n/a"))  # fmt: skip
    write_tsv(root / person / first / f"{person}_{first}_scans.tsv",
              ("filename", "scan_id", "mri_field"), (f"anat/{person}_{first}_T1w.nii.gz", 14444, 1.5))  # fmt: skip
    visits = build_cohort("adni", root, workspace).visits
    told = [(v.session_id, v.months, v.age_years, v.sex, v.diagnosis, v.scanner_tesla, v.extra["mmse"]) for v in visits]
    assert told == [
        (first, 0.0, 76.3, "F", "MCI", 1.5, "29"),
        (later, 27.0, 78.5, "F", "AD", None, "n/a"),
    ]


def test_caps_takes_its_tables_from_elsewhere(
    tmp_path: Path, workspace: Workspace, write_image: Callable[..., Path], write_tsv: Callable[..., Path]
):
    root = tmp_path / "caps"
    for person, session in (("sub-ADNI002S0295", "ses-M000"), ("sub-ADNI002S0413", "ses-M000")):
        name = f"{person}_{session}_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz"
        write_image(root / "subjects" / person / session / "t1_linear" / name)
        write_image(root / "subjects" / person / session / "t1" / "spm" / name.replace("2009cSym", "2009cAsym"))
    write_tsv(
        tmp_path / "labels" / "labels.tsv",
        ("participant_id", "session_id", "diagnosis", "age", "sex"),
        ("sub-ADNI002S0295", "ses-M000", "CN", 84.8, "M"),
        ("sub-ADNI002S0413", "ses-M000", "MCI", 76.3, "F"),
    )
    visits = build_cohort("adni", root, workspace, options=BuildOptions(tables=tmp_path / "labels")).visits
    assert [(v.participant_id, v.session_id, v.age_years, v.sex, v.diagnosis) for v in visits] == [
        ("sub-ADNI002S0295", "ses-M000", 84.8, "M", "CN"),
        ("sub-ADNI002S0413", "ses-M000", 76.3, "F", "MCI"),
    ]


def kept(write_tree: Callable[..., Path], workspace: Workspace, *images: tuple) -> dict[int, str]:
    result = build_cohort("adni", write_tree(images), workspace)
    return {int(v.image.rpartition("_I")[2].partition(".")[0]): v.session_id for v in result.visits}


ORDERED = (
    "MPR; GradWarp; B1 Correction; N3; Scaled", "MPR-R; GradWarp; B1 Correction; N3; Scaled",
    "MPR; GradWarp; N3; Scaled_2",
    "MPR; ; N3; Scaled", "MPR-R; ; N3; Scaled", "MT1; GradWarp; N3m", "MT1; N3m", "MPR; GradWarp", "MPRAGE",
    "MP-RAGE REPEAT", "MPRAGE SENSE2", "Accelerated Sagittal MPRAGE Repeat", "SAG IR-SPGR", "IR-FSPGR-Repeat",
    "Accelerated SAG IR-SPGR",
)  # fmt: skip
NEVER = ("Sagittal 3D FLAIR", "HighResHippocampus", "Axial PD/T2 FSE", "B1-Calibration Head", "Axial T2-FLAIR",
         "Field Mapping", "Brain Mask", "Hippocampal Mask", "3 Plane Localizer", "DTI_30",
         "MPRAGE_MPR_Cor")  # fmt: skip


@pytest.mark.parametrize("spell", [str, lambda name: re.sub(r"[^A-Za-z0-9-]", "_", name)])
def test_series_are_ordered_as_the_rule_says_however_they_are_spelt(spell: Callable[[str], str]):
    choice = load_descriptor("adni").images.choice
    ranks = [rank(choice, spell(name)) for name in ORDERED]
    assert None not in ranks
    assert ranks == sorted(set(ranks))
    assert [name for name in NEVER if rank(choice, spell(name)) is not None] == []


def test_days_far_apart_are_sessions_of_their_own_and_the_nearest_has_the_visits_code(
    write_tree: Callable[..., Path], workspace: Workspace
):
    images = [
        ("002_S_0413", "Accelerated_SAG_MPRAGE", "2008-05-03_08_20_30.0", 20),
        ("002_S_0413", "MP-RAGE", "2008-09-15_08_20_30.0", 21),
        # A scan that failed, and its repeat two weeks later, are one visit.
        ("002_S_0295", "MP-RAGE", "2006-04-10_08_20_30.0", 10),
        ("002_S_0295", "MP-RAGE", "2006-04-24_08_20_30.0", 11),
    ]
    assert kept(write_tree, workspace, *images) == {20: "ses-M024", 21: "ses-I21", 10: "ses-M000"}


def test_images_of_one_day_without_a_visit_are_one_session(write_tree: Callable[..., Path], workspace: Workspace):
    series = ["MP-RAGE", "MP-RAGE_REPEAT", "MPR__GradWarp__B1_Correction__N3__Scaled"]
    images = [("002_S_0413", name, "2011-04-18_08_20_30.0", 30 + place) for place, name in enumerate(series)]
    assert kept(write_tree, workspace, *images) == {32: "ses-I30"}


def test_a_bad_day_costs_that_persons_scans_and_no_others(write_tree: Callable[..., Path], workspace: Workspace):
    merge = [tuple("2008-14-02" if cell == "2008-05-02" else cell for cell in row) for row in MERGE]
    result = build_cohort("adni", write_tree(merge=merge), workspace)
    assert {visit.participant_id for visit in result.visits} == {"sub-ADNI002S0295", "sub-ADNI011S4001"}
    assert any("expected a day such as 2024-05-31" in row.reason for row in result.exclusions)


def test_without_the_day_of_entry_ages_count_from_the_baseline_visit(
    write_tree: Callable[..., Path], workspace: Workspace
):
    old = [row[:-1] for row in MERGE]
    assert table_of(workspace, write_tree(merge=old)) == EXPECTED
    undated = [tuple("" if (cell, row[2]) == ("2006-04-18", "bl") else cell for cell in row) for row in old]
    result = build_cohort("adni", write_tree(merge=undated), workspace)
    assert not [visit for visit in result.visits if visit.participant_id == "sub-ADNI002S0295"]
    assert any("expected age_years, which this cohort requires, got none" in row.reason for row in result.exclusions)


def edit(row: tuple, **cells: object) -> tuple:
    return tuple(cells.get(name, cell) for name, cell in zip(MERGE[0], row, strict=True))


BASELINE, LATER = MERGE[3], MERGE[4]


def test_a_visit_told_in_two_ways_costs_its_own_scans_alone(write_tree: Callable[..., Path], workspace: Workspace):
    merge = (*MERGE, edit(BASELINE, DX="Dementia"))
    result = build_cohort("adni", write_tree(merge=merge), workspace)
    assert {v.key[:2] for v in result.visits} == EXPECTED.keys() - {("sub-ADNI002S0413", "ses-M000")}
    (lost,) = [row for row in result.exclusions if row.severity == "error"]
    assert str(lost).partition(".nii: ")[2] == (
        "tables/ADNIMERGE_21Nov2025.csv line 4: "
        "expected one row for 002_S_0413 bl, got rows that contradict each other: "
        "line 4 (age 76.30, sex F, diagnosis MCI) and line 7 (age 76.30, sex F, diagnosis AD). Correct or remove one."
    )


def test_rows_of_a_person_that_contradict_each_other_cost_that_persons_scans(
    write_tree: Callable[..., Path], workspace: Workspace
):
    merge = (*MERGE[:4], edit(LATER, PTGENDER="Male", AGE=66.3), MERGE[5])
    result = build_cohort("adni", write_tree(merge=merge), workspace)
    assert {visit.participant_id for visit in result.visits} == {"sub-ADNI002S0295", "sub-ADNI011S4001"}
    lost = [row.reason for row in result.exclusions if row.severity == "error"]
    assert len(lost) == 2
    assert all(
        "line 4 (sex F, age_at_entry 76.3) and line 5 (sex M, age_at_entry 66.3). Correct" in reason for reason in lost
    )


def test_rows_of_a_visit_that_agree_count_once_and_tell_what_the_other_lacks(
    write_tree: Callable[..., Path], workspace: Workspace
):
    gaps = [edit(row, DX="", AGE="", PTGENDER="", MMSE="") for row in MERGE[1:]]
    assert table_of(workspace, write_tree(merge=(MERGE[0], *gaps, *MERGE[1:]))) == EXPECTED


def test_a_descriptor_says_how_serious_a_contradiction_is(
    tmp_path: Path, write_tree: Callable[..., Path], workspace: Workspace
):
    text = (content_folder("cohorts") / "adni.toml").read_text(encoding="utf-8").replace('name = "adni"', 'name = "a"')
    (tmp_path / "a.toml").write_text(
        text.replace("[tables.merge]", '[tables.merge]\ncontradictions = "warning"'), encoding="utf-8"
    )
    root = write_tree(merge=(*MERGE, edit(BASELINE, DX="Dementia")))
    result = build_cohort(str(tmp_path / "a.toml"), root, workspace)
    assert [row.severity for row in result.exclusions if "contradict" in row.reason] == ["warning"]
    assert not result.failed


def test_two_days_of_baseline_are_not_chosen_between(write_tree: Callable[..., Path], workspace: Workspace):
    old = [row[:-1] for row in (*MERGE, edit(BASELINE, EXAMDATE="2006-09-02"))]
    result = build_cohort("adni", write_tree(merge=old), workspace)
    assert "sub-ADNI002S0413" not in {visit.participant_id for visit in result.visits}
    assert any(
        "expected one day of the visit 'bl', got 2006-05-02 and 2006-09-02" in e.reason for e in result.exclusions
    )


def test_lists_that_contradict_each_other_leave_the_image_out(
    write_tree: Callable[..., Path], workspace: Workspace, write_csv: Callable[..., Path]
):
    root, header = write_tree(), ("Image Data ID", "Subject", "Sex", "Description", "Acq Date")
    write_csv(root / "one.csv", header, ("I28560", "002_S_0295", "M", "MP-RAGE", "11/2/2006"))
    write_csv(root / "two.csv", header, ("28560", "002_S_0295", "F", "MP-RAGE", "11/2/2006"))
    result = build_cohort("adni", root, workspace)
    assert {v.key[:2] for v in result.visits} == EXPECTED.keys() - {("sub-ADNI002S0295", "ses-M006")}
    assert any("line 2 (sex M) and two.csv line 2 (sex F)" in row.reason for row in result.exclusions)
