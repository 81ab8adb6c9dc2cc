"""AIBL: one table for each thing that was asked, by person and visit code; the day of a visit is that of its scan."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from functools import partial
from typing import NamedTuple

from neurolatent.cohort.candidates import Age, Cell, Reading, Source, cell_of, text_of, unnamed
from neurolatent.cohort.checks import number
from neurolatent.cohort.choice import Series, choose_images
from neurolatent.cohort.clinical import ClinicalVisit, FoundScan, Person, join
from neurolatent.cohort.days import DAYS_PER_YEAR, day_of
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.readers.archive import ArchivedImage, Sessions, find_archived, name_sessions
from neurolatent.cohort.readers.bids import is_bids, read_bids
from neurolatent.cohort.readers.folder import naming_of, read_tables, require_roles
from neurolatent.cohort.tables import Row
from neurolatent.errors import TableError

PEOPLE = "people"
SCANS = {"mri_1p5t": "1.5", "mri_3t": "3"}
"""The tables of scans, and the field strength of each in tesla."""
CLINICAL = ("diagnoses", "mmse", "cdr")
VISITS = (*SCANS, *CLINICAL)
COLUMNS = {PEOPLE: ("participant", "sex", "birth_year"), **dict.fromkeys(VISITS, ("participant", "session"))}
MIDDLE_OF_YEAR = (7, 1)
HALF_A_YEAR = 0.5
EARLIEST_BIRTH = 1880


def read_aibl(descriptor: Descriptor, source: Source) -> Reading:
    """Find the images, as LONI lays them down or as Clinica's BIDS, and give each the rows of its visit."""
    if is_bids(source.root):
        return read_bids(descriptor, source)
    require_roles(descriptor, COLUMNS, ["participant", "session", "date", "birth_year"])
    found = find_archived(descriptor, source.root)
    tables = read_tables(descriptor, source, COLUMNS)
    days = _days(descriptor, tables.rows)
    people = _people(descriptor, tables.rows, days)
    example = naming_of(descriptor).example
    lost = [unnamed(one, example) for one in found if isinstance(one, str)]
    images = [one for one in found if isinstance(one, ArchivedImage)]
    codes = {person: [(visit.day, code) for code, visit in own.items()] for person, own in days.items()}
    sessions = name_sessions(
        [(_plain(one.participant), one.day.toordinal(), one.number or 0) for one in images if one.day],
        codes,
        window_days=descriptor.diagnosis.window_days,
    )
    series = [_series(descriptor, one, people, days, sessions) for one in images]
    return Reading((*lost, *choose_images(descriptor.images.choice, series)), tables.files, len(people))


class VisitDay(NamedTuple):
    """When a visit was, and the field strength where a table of scans tells it."""

    day: int
    tesla: Cell | None


Days = Mapping[str, Mapping[str, VisitDay]]
"""By person and visit code."""


def _days(descriptor: Descriptor, rows: Mapping[str, Iterable[Row]]) -> Days:
    """Return when each visit was: the day of its scan, else of any clinical row that has one."""
    columns = descriptor.columns
    days: dict[str, dict[str, VisitDay]] = {}
    for table, row in ((name, row) for name in VISITS for row in rows[name]):
        person, code, day = text_of(columns.participant, row), text_of(columns.session, row), day_of(columns.date, row)
        if person and code and day:
            tesla = Cell(SCANS[table], row.where, "scan") if table in SCANS else None
            days.setdefault(_plain(person), {}).setdefault(code, VisitDay(day.toordinal(), tesla))
    return days


def _people(descriptor: Descriptor, rows: Mapping[str, Iterable[Row]], days: Days) -> dict[str, Person]:
    columns = descriptor.columns
    visits: dict[str, list[ClinicalVisit]] = {}
    for row in (row for name in VISITS for row in rows[name]):
        person = _plain(text_of(columns.participant, row) or "")
        known = days.get(person, {}).get(text_of(columns.session, row) or "")
        if known:
            visits.setdefault(person, []).append(ClinicalVisit(known.day, row))
    people: dict[str, Person] = {}
    for row in rows[PEOPLE]:
        person = _plain(text_of(columns.participant, row) or "")
        people.setdefault(person, Person(tuple(visits.get(person, ())), partial(_age_on, descriptor, row), row))
    return people


def _age_on(descriptor: Descriptor, row: Row, day: int) -> Age | None:
    """Count from the middle of the year of birth: half a year off at most, and even within a person."""
    cell = cell_of(descriptor.columns.birth_year, row)
    if cell is None:
        return None
    year = int(number(replace(cell, text=cell.text.lstrip("/"))))
    if not EARLIEST_BIRTH <= year <= date.fromordinal(day).year:
        msg = f"{cell.where}: expected a year of birth before the scan, got {cell.text!r}. Correct the table."
        raise TableError(msg)
    born = date(year, *MIDDLE_OF_YEAR).toordinal()
    return Age((day - born) / DAYS_PER_YEAR, HALF_A_YEAR, at_first_scan=False, where=cell.where)


def _series(
    descriptor: Descriptor, found: ArchivedImage, people: Mapping[str, Person], days: Days, sessions: Sessions
) -> Series:
    person = _plain(found.participant)
    name = f"sub-AIBL{person}"
    if found.day is None:
        return Series(unnamed(found.image, naming_of(descriptor).example), found.description, found.number or 0)
    day = found.day.toordinal()
    session, code = sessions[person, day]
    tesla = days[person][code].tesla if code else None
    scan = FoundScan(name, session, "1", found.image, day)
    reason = f"expected a row for {person}, got none. Add one, or leave the scan out."
    missing = Exclusion(found.image, f"table {PEOPLE}", reason, "warning", "match")
    candidate = join(descriptor, scan, people.get(person), missing=missing)
    if tesla:
        candidate = replace(candidate, cells={"scanner_tesla": tesla, **candidate.cells})
    return Series(candidate, found.description, found.number or 0)


def _plain(person: str) -> str:
    digits = re.sub(r"\D", "", person.removesuffix(".0"))
    return str(int(digits)) if digits else person
