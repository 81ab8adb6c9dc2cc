"""Small source folders of every cohort, laid out as distributed, with any images in them."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

WriteImage = Callable[[Path, int, int], None]
"""Writes the image of a person's visit, both counted from 0, where the path's ending says how."""
ENTRY = date(2010, 3, 14)
DAYS = (0, 731)
"""Of the two visits, since entry."""


@dataclass(frozen=True)
class Patient:
    """One person of a tree."""

    number: int
    sex: str
    age_years: float
    """At entry."""
    diagnoses: tuple[str, str]

    def day(self, visit: int) -> date:
        """When a visit was."""
        return ENTRY + timedelta(days=DAYS[visit])


PATIENTS = tuple(
    Patient(number, "FM"[number % 2], 64.0 + 3 * number, diagnoses)
    for number, diagnoses in enumerate(
        [("CN", "CN"), ("CN", "CN"), ("CN", "MCI"), ("MCI", "AD"), ("AD", "AD"), ("AD", "AD")], start=1
    )
)
CDR = {"CN": "0", "MCI": "0.5", "AD": "1"}
MMSE = {"CN": "29", "MCI": "26", "AD": "21"}


def write_rows(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write a table, comma- or tab-separated by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",", lineterminator="\n").writerows(rows)


def each() -> list[tuple[int, Patient, int]]:
    """Return everybody with both visits: place, person, visit."""
    return [(place, person, visit) for place, person in enumerate(PATIENTS) for visit in (0, 1)]


def write_adni(root: Path, image: WriteImage) -> Path:
    """LONI's tree beside ADNIMERGE."""
    words = {"AD": "Dementia"}
    rows: list[Sequence[object]] = [
        (
            "RID",
            "PTID",
            "VISCODE",
            "SITE",
            "EXAMDATE",
            "DX_bl",
            "AGE",
            "PTGENDER",
            "FLDSTRENG",
            "MMSE",
            "DX",
            "EXAMDATE_bl",
        )
    ]
    for place, person, visit in each():
        ptid, dx = f"{person.number:03d}_S_{1000 + person.number}", person.diagnoses[visit]
        rows.append((1000 + person.number, ptid, ("bl", "m24")[visit], person.number, person.day(visit),
                     person.diagnoses[0], person.age_years,
                     {"F": "Female", "M": "Male"}[person.sex], "3 Tesla MRI", MMSE[dx],
                     words.get(dx, dx), person.day(0)))  # fmt: skip
        number = 10_000 + 10 * person.number + visit
        folder = root / "ADNI" / ptid / "MPRAGE" / f"{person.day(visit)}_08_20_30.0" / f"I{number}"
        image(folder / f"ADNI_{ptid}_MR_MPRAGE_Br_20110319113623975_S134_I{number}.nii", place, visit)
    write_rows(root / "ADNIMERGE.csv", rows)
    return root


def write_oasis1(root: Path, image: WriteImage) -> Path:
    """Discs with Analyze images; a second scan of the first person."""
    rows: list[Sequence[object]] = [
        ("ID", "M/F", "Hand", "Age", "Educ", "SES", "MMSE", "CDR", "eTIV", "nWBV", "ASF", "Delay")
    ]
    for place, person in enumerate(PATIENTS):
        dx = person.diagnoses[0]
        for scan in (1, 2) if place == 0 else (1,):
            name = f"OAS1_{person.number:04d}_MR{scan}"
            told = (MMSE[dx], CDR[dx]) if scan == 1 else ("", "")
            rows.append(
                (name, person.sex, "R", int(person.age_years), 3, 2, *told, 1500, 0.75, 1.1, "N/A" if scan == 1 else 20)
            )
            image(
                root / "disc1" / name / "PROCESSED" / "MPRAGE" / "SUBJ_111" / f"{name}_mpr_n4_anon_sbj_111.img",
                place,
                0,
            )
    write_rows(root / "oasis_cross-sectional.csv", rows)
    return root


def write_oasis2(root: Path, image: WriteImage) -> Path:
    """Raw parts with pairs of NIfTI files."""
    rows: list[Sequence[object]] = [
        ("Subject ID", "MRI ID", "Group", "Visit", "MR Delay", "M/F", "Hand", "Age", "EDUC", "SES", "MMSE", "CDR")
    ]
    for place, person, visit in each():
        subject, dx = f"OAS2_{person.number:04d}", person.diagnoses[visit]
        name = f"{subject}_MR{visit + 1}"
        rows.append(
            (
                subject,
                name,
                "Converted",
                visit + 1,
                DAYS[visit],
                person.sex,
                "R",
                int(person.age_years) + 2 * visit,
                14,
                2,
                MMSE[dx],
                CDR[dx],
            )
        )
        image(root / f"OAS2_RAW_PART{place % 2 + 1}" / name / "RAW" / "mpr-1.nifti.img", place, visit)
    write_rows(root / "oasis_longitudinal.csv", rows)
    return root


def write_oasis3(root: Path, image: WriteImage) -> Path:
    """Days since entry, tables in folders of their own."""
    people: list[Sequence[object]] = [("OASISID", "AgeatEntry", "GENDER", "EDUC", "HAND", "APOE")]
    ratings: list[Sequence[object]] = [("OASISID", "OASIS_session_label", "days_to_visit", "MMSE", "CDRTOT", "CDRSUM")]
    forms: list[Sequence[object]] = [("OASISID", "days_to_visit", "NORMCOG", "DEMENTED", "MCIAMEM", "PROBAD")]
    for place, person, visit in each():
        subject, dx = f"OAS3{person.number:04d}", person.diagnoses[visit]
        if visit == 0:
            people.append((subject, person.age_years, {"M": 1, "F": 2}[person.sex], 12, "R", 33))
        ratings.append((subject, f"{subject}_UDSb4_d{DAYS[visit]:04d}", DAYS[visit], MMSE[dx], CDR[dx], "."))
        forms.append((subject, DAYS[visit], int(dx == "CN"), int(dx == "AD"), int(dx == "MCI"), int(dx == "AD")))
        folder = root / f"{subject}_MR_d{DAYS[visit]:04d}" / "anat2"
        image(folder / f"sub-{subject}_ses-d{DAYS[visit]:04d}_T1w.nii.gz", place, visit)
    write_rows(root / "tables" / "OASIS3_demographics.csv", people)
    write_rows(root / "tables" / "OASIS3_UDSb4_cdr.csv", ratings)
    write_rows(root / "tables" / "OASIS3_UDSd1_diagnoses.csv", forms)
    return root


def write_aibl(root: Path, image: WriteImage) -> Path:
    """LONI's tree beside one table for each thing that was asked."""
    tables: dict[str, list[Sequence[object]]] = {
        "ptdemog": [("RID", "SITEID", "VISCODE", "PTGENDER", "PTDOB")],
        "pdxconv": [("RID", "SITEID", "VISCODE", "DXCURREN")],
        "mmse": [("RID", "SITEID", "VISCODE", "EXAMDATE", "MMSCORE")],
        "cdr": [("RID", "SITEID", "VISCODE", "EXAMDATE", "CDGLOBAL")],
        "mrimeta": [("RID", "SITEID", "VISCODE", "EXAMDATE")],
        "mri3meta": [("RID", "SITEID", "VISCODE", "EXAMDATE")],
    }
    for place, person, visit in each():
        key, dx = (person.number, 1 + person.number % 2, ("bl", "m24")[visit]), person.diagnoses[visit]
        if visit == 0:
            tables["ptdemog"].append((*key, {"M": 1, "F": 2}[person.sex], f"/{ENTRY.year - int(person.age_years)}"))
        tables["pdxconv"].append((*key, {"CN": 1, "MCI": 2, "AD": 3}[dx]))
        tables["mmse"].append((*key, "-4", MMSE[dx]))
        tables["cdr"].append((*key, "", CDR[dx]))
        tables["mri3meta"].append((*key, f"{person.day(visit):%m/%d/%Y}"))
        number = 500 + 2 * person.number + visit
        folder = root / "AIBL" / str(person.number) / "MPRAGE_ADNI_confirmed" / f"{person.day(visit)}_10_20_30.0"
        image(folder / f"I{number}" / f"AIBL_{person.number}_{number}.nii", place, visit)
    for name, rows in tables.items():
        write_rows(root / "Data_extract_3.3.0" / f"aibl_{name}_01-Jun-2018.csv", rows)
    return root


def write_ixi(root: Path, image: WriteImage) -> Path:
    """One folder of images and one table; everybody once."""
    rows: list[Sequence[object]] = [("IXI_ID", "SEX_ID (1=m, 2=f)", "HEIGHT", "DOB", "STUDY_DATE", "AGE")]
    for place, person in enumerate(PATIENTS):
        born = ENTRY - timedelta(days=round(365.25 * person.age_years))
        rows.append((person.number, {"M": 1, "F": 2}[person.sex], 170, born, ENTRY, person.age_years))
        image(root / f"IXI{person.number:03d}-{('HH', 'Guys')[place % 2]}-0828-T1.nii.gz", place, 0)
    write_rows(root / "IXI.csv", rows)
    return root


def write_bids(root: Path, image: WriteImage) -> Path:
    """Raw BIDS with tables of participants and of sessions."""
    write_rows(
        root / "participants.tsv", [("participant_id", "sex"), *((f"sub-{p.number:02d}", p.sex) for p in PATIENTS)]
    )
    for place, person in enumerate(PATIENTS):
        name = f"sub-{person.number:02d}"
        rows = [
            (
                f"ses-{visit + 1}",
                f"{person.age_years + DAYS[visit] / 365.25:.2f}",
                person.diagnoses[visit],
                person.day(visit),
            )
            for visit in (0, 1)
        ]
        write_rows(root / name / f"{name}_sessions.tsv", [("session_id", "age", "diagnosis", "session_date"), *rows])
        for visit in (0, 1):
            image(root / name / f"ses-{visit + 1}" / "anat" / f"{name}_ses-{visit + 1}_T1w.nii.gz", place, visit)
    return root


def write_table(root: Path, image: WriteImage) -> Path:
    """A table of scans and a heap of images."""
    rows: list[Sequence[object]] = [("subject", "visit", "age", "sex", "dx", "scan_date", "site", "path")]
    for place, person, visit in each():
        name = f"images/{person.number}_{visit}.nii.gz"
        age = person.age_years + DAYS[visit] / 365.25
        rows.append(
            (person.number, visit + 1, f"{age:.2f}", person.sex, person.diagnoses[visit], person.day(visit), "A", name)
        )
        image(root / name, place, visit)
    write_rows(root / "scans.csv", rows)
    return root


TREES: dict[str, Callable[[Path, WriteImage], Path]] = {
    "adni": write_adni,
    "aibl": write_aibl,
    "bids": write_bids,
    "ixi": write_ixi,
    "oasis1": write_oasis1,
    "oasis2": write_oasis2,
    "oasis3": write_oasis3,
    "table": write_table,
}
"""By the names of the descriptors; the phantom writes its own."""
