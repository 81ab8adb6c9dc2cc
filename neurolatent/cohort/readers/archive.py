"""Images as the LONI archive lays them down: PERSON/SERIES/DAY_TIME/NUMBER/ with one NIfTI file or a DICOM series."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from neurolatent.cohort.days import read_day
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.readers.folder import find_images, naming_of

DICOM = ".dcm"
VISIT_CODE = re.compile(r"(?:m|y)0*(\d+)", re.IGNORECASE)
FIRST_VISITS = frozenset({"bl", "sc", "scmri", "f", "v01", "v02", "v03"})


@dataclass(frozen=True)
class ArchivedImage:
    """A NIfTI file or the folder of a DICOM series, and what its path says."""

    image: str
    """Relative to the source."""
    participant: str
    """As the archive writes it."""
    description: str
    day: date | None
    number: int | None


def find_archived(descriptor: Descriptor, root: Path) -> list[ArchivedImage | str]:
    """Return every image, or its bare path where the path says nothing; the files of a DICOM series count once."""
    naming = naming_of(descriptor)
    found: dict[str, ArchivedImage | str] = {}
    for path in find_images(root, descriptor.images.patterns, naming.example):
        image = path.rpartition("/")[0] if path.lower().endswith(DICOM) else path
        if image in found:
            continue
        groups = naming.groups(path)
        found[image] = image if groups is None else _archived(image, groups)
    return list(found.values())


def _archived(image: str, groups: dict[str, str]) -> ArchivedImage:
    digits = re.sub(r"\D", "", groups.get("image", ""))
    day = read_day(groups["date"], ("%Y-%m-%d",), image) if groups.get("date") else None
    number = int(digits) if digits else None
    return ArchivedImage(image, groups["participant"], groups.get("description", ""), day, number)


def session_name(code: str | None, number: int | None) -> str:
    """Name a session by its visit code, as Clinica does (bl → ses-M000, m06 → ses-M006), else by its image's number."""
    if code is None:
        return f"ses-I{number or 0}"
    plain = code.lower().strip()
    months = VISIT_CODE.fullmatch(plain)
    if plain in FIRST_VISITS:
        return "ses-M000"
    if months:
        return f"ses-M{int(months[1]) * (12 if plain.startswith('y') else 1):03d}"
    return "ses-" + re.sub(r"[^A-Za-z0-9]", "", code)


def nearest_code(codes: Iterable[tuple[int, str]], day: int, *, window_days: int | None) -> str | None:
    """Return the code of the visit nearest to a day, within the window."""
    near = sorted((abs(own - day), own, code) for own, code in codes)
    return near[0][2] if near and (window_days is None or near[0][0] <= window_days) else None
