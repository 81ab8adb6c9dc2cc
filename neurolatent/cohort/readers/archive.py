"""Images as the LONI archive lays them down: PERSON/SERIES/DAY_TIME/NUMBER/ with one NIfTI file or a DICOM series."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from neurolatent.cohort.days import read_day
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.readers.folder import find_images, naming_of
from neurolatent.cohort.visits import DICOM
from neurolatent.errors import TableError

FILE_NUMBER = re.compile(r"_I(\d+)\.nii(?:\.gz)?$", re.IGNORECASE)
SESSION_DAYS = 30
"""Images so near to each other are of one visit: a scan that failed is repeated within weeks."""
VISIT_CODE = re.compile(r"(?:m|y)0*(\d+)", re.IGNORECASE)
FIRST_VISITS = frozenset({"bl", "sc", "scmri", "f", "v01", "v02", "v03"})


Sessions = Mapping[tuple[str, int], tuple[str, str | None]]
"""The session of a person's day, and its visit code."""


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
    for path in find_images(root, descriptor.images.patterns, naming):
        image = path.rpartition("/")[0] if path.lower().endswith(DICOM) else path
        if image in found:
            continue
        groups = naming.groups(path)
        found[image] = image if groups is None else _archived(image, groups)
    return list(found.values())


def _archived(image: str, groups: dict[str, str]) -> ArchivedImage | str:
    in_name = FILE_NUMBER.search(image)  # before the folder's, which is that of the image it was made from
    digits = in_name[1] if in_name else re.sub(r"\D", "", groups.get("image", ""))
    try:
        day = read_day(groups["date"], ("%Y-%m-%d",), image) if groups.get("date") else None
    except TableError:
        return image
    return ArchivedImage(
        image, groups["participant"], groups.get("description", ""), day, int(digits) if digits else None
    )


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


def name_sessions(
    images: Iterable[tuple[str, int, int]], codes: Mapping[str, Sequence[tuple[int, str]]], *, window_days: int | None
) -> Sessions:
    """Return the session, and its visit code, of each person's day with images: (person, day, image number).

    Days at most a month apart are one session. A visit code belongs to the session nearest to its day, within the
    window; sessions without one are named by their lowest image number.
    """
    days: dict[str, dict[int, int]] = {}
    for person, day, number in images:
        own = days.setdefault(person, {})
        own[day] = min(number, own.get(day, number))
    names: dict[tuple[str, int], tuple[str, str | None]] = {}
    for person, own in days.items():
        groups = _near_days(sorted(own))
        coded = _codes_of(groups, codes.get(person, ()), window_days)
        for place, group in enumerate(groups):
            code = coded.get(place)
            name = session_name(code, min(own[day] for day in group))
            names.update({(person, day): (name, code) for day in group})
    return names


def _near_days(days: Sequence[int]) -> list[list[int]]:
    groups: list[list[int]] = []
    for day in days:
        if groups and day - groups[-1][0] <= SESSION_DAYS:
            groups[-1].append(day)
        else:
            groups.append([day])
    return groups


def _codes_of(
    groups: Sequence[Sequence[int]], codes: Sequence[tuple[int, str]], window_days: int | None
) -> dict[int, str]:
    """Give each code to the session nearest to its day, and each session the nearest of its codes."""
    pairs = sorted(
        (min(abs(day - own) for own in group), place, code) for place, group in enumerate(groups) for day, code in codes
    )
    given: dict[int, str] = {}
    taken: set[str] = set()
    for distance, place, code in pairs:
        within = window_days is None or distance <= window_days
        if within and place not in given and session_name(code, None) not in taken:
            given[place] = code
            taken.add(session_name(code, None))
    return given
