"""The table of scans: one row per scan, keyed by participant, session and run."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from neurolatent.errors import ScanError, TableError
from neurolatent.provenance import write_text
from neurolatent.workspace import ScanKey

MISSING = "n/a"
Sex = Literal["F", "M"]
Diagnosis = Literal["CN", "MCI", "AD", "other"]
SEXES, DIAGNOSES = get_args(Sex), get_args(Diagnosis)
AGE_LIMITS_YEARS = (1.0, 120.0)
DAYS_PER_MONTH = 30.4375
ORIGINAL_ID = "original_participant_id"
"""The column in which a pooled workspace keeps what a person was called before."""
DICOM = ".dcm"
IMAGE_ENDING = re.compile(r"\.(?:nii(?:\.gz)?|img|hdr|dcm|mgz)$", re.IGNORECASE)
KEY_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
"""What a participant, session or run may be called: the parts become file names."""


@dataclass(frozen=True)
class Visit:
    """One scan of one person; `None` is a missing value."""

    participant_id: str
    session_id: str
    run: str
    months: float
    """Since the participant's first scan: days / 30.4375."""
    age_years: float | None
    age_precision_years: float | None
    sex: Sex | None
    diagnosis: Diagnosis | None
    dx_rule: str | None
    site: str | None
    scanner_tesla: float | None
    cohort: str
    mask_source: str | None
    """`given` where the source brings an intracranial mask; otherwise filled in by preprocessing."""
    image: str
    """Path relative to the source root that the sidecar records; never leaves it."""
    extra: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The cohort's own columns."""

    @property
    def key(self) -> ScanKey:
        """What names the scan in every later file."""
        return ScanKey(self.participant_id, self.session_id, self.run)

    @property
    def person(self) -> tuple[str, str]:
        """Who this is in any workspace: the cohort, and what it calls the participant."""
        return self.cohort, self.extra.get(ORIGINAL_ID, self.participant_id)


COLUMNS = tuple(f.name for f in fields(Visit) if f.name != "extra")
NUMBERS = frozenset({"months", "age_years", "age_precision_years", "scanner_tesla"})


def write_visits(path: Path, visits: Iterable[Visit]) -> None:
    """Write the table as TSV, `n/a` for missing, months with one decimal."""
    rows = list(visits)
    own = sorted({name for visit in rows for name in visit.extra})
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow([*COLUMNS, *own])
    for visit in rows:
        cells = [_cell(name, getattr(visit, name)) for name in COLUMNS]
        writer.writerow([*cells, *(visit.extra.get(name, MISSING) for name in own)])
    write_text(path, text.getvalue())


def read_visits(path: Path) -> tuple[Visit, ...]:
    """Read and check the table; an error names the file, the row and the column."""
    if not path.is_file():
        msg = f"{path}: no table of scans. Make it with `neurolatent cohort build NAME SOURCE --out {path.parent}`."
        raise TableError(msg)
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            msg = f"{path.name}: expected the columns {list(COLUMNS)}, lacking {missing}. Rebuild the cohort."
            raise TableError(msg)
        visits = tuple(_visit(row, f"{path.name} line {reader.line_num}") for row in reader)
    refuse_duplicates(visits, path.name)
    return visits


def refuse_duplicates(visits: Iterable[Visit], where: str) -> None:
    """Refuse two rows with one (participant, session, run)."""
    seen: set[ScanKey] = set()
    for visit in visits:
        if visit.key in seen:
            expected = "expected each (participant, session, run) once"
            msg = f"{where}: {expected}, got {'/'.join(visit.key)} twice. Give repeats their own run."
            raise TableError(msg)
        seen.add(visit.key)


def check_age(age_years: float, where: str) -> float:
    """Return the age if a living person can have it."""
    low, high = AGE_LIMITS_YEARS
    if not low <= age_years <= high:
        expected = f"expected an age of {low:g} to {high:g} years"
        msg = f"{where}: {expected}, got {age_years:g}. Correct the table, or write {MISSING}."
        raise TableError(msg)
    return age_years


def plain_ending(path: str) -> str:
    """Write an image's ending in lower case, as patterns do: some systems and tools write `.NII.GZ`."""
    return IMAGE_ENDING.sub(lambda ending: ending[0].lower(), path)


def dicom_slices(folder: Path) -> set[Path]:
    """Return the files of a folder that are called as slices of a DICOM series."""
    return {path for path in folder.iterdir() if path.suffix.lower() == DICOM}


def image_path(source_root: Path, image: str) -> Path:
    """Return where an image lies, and refuse a path that leaves the source root, by `..` or by a link."""
    root = source_root.resolve()
    try:
        path = (root / image).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        msg = f"{image!r}: expected an image inside {root}, got a link that leads to itself. Copy the image there."
        raise ScanError(msg) from error
    if not path.is_relative_to(root):
        msg = f"{image}: expected an image inside {root}, got one at {path}. Copy it into the folder, or remove it."
        raise ScanError(msg)
    return path


def _cell(name: str, value: object) -> str:
    if value is None:
        return MISSING
    if isinstance(value, float):
        return f"{value:.1f}" if name == "months" else f"{value:.6g}"
    return str(value)


def _visit(row: Mapping[str, str], where: str) -> Visit:
    if None in row or None in row.values():
        msg = f"{where}: expected as many cells as columns, got another number. Rebuild the cohort."
        raise TableError(msg)
    values: dict[str, object] = {}
    for name in COLUMNS:
        text = row[name]
        values[name] = None if text == MISSING else _number(text, f"{where}, {name}") if name in NUMBERS else text
    for name in ("participant_id", "session_id", "run", "months", "cohort", "image"):
        if values[name] is None or values[name] == "":
            msg = f"{where}, {name}: expected a value, got {row[name]!r}. Rebuild the cohort."
            raise TableError(msg)
    for name in ("participant_id", "session_id", "run"):
        if not KEY_PART.fullmatch(row[name]):
            msg = f"{where}, {name}: expected letters, digits and -_.+, got {row[name]!r}. Rebuild the cohort."
            raise TableError(msg)
    _check_choice(values["sex"], SEXES, f"{where}, sex")
    _check_choice(values["diagnosis"], DIAGNOSES, f"{where}, diagnosis")
    if isinstance(values["age_years"], float):
        check_age(values["age_years"], f"{where}, age_years")
    extra = {name: text for name, text in row.items() if name not in COLUMNS}
    return Visit(**values, extra=MappingProxyType(extra))  # pyright: ignore[reportArgumentType]


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        msg = f"{where}: expected a number or {MISSING}, got {text!r}. Correct the table."
        raise TableError(msg)
    return value


def _check_choice(value: object, known: tuple[str, ...], where: str) -> None:
    if value is not None and value not in known:
        msg = f"{where}: expected one of {list(known)} or {MISSING}, got {value!r}. Correct the table."
        raise TableError(msg)
