"""AIBL: one table for each thing that was asked, by person and visit code; the day of a visit is that of its scan."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import NamedTuple

from neurolatent.cohort.candidates import (
    Age,
    Cell,
    Reading,
    Source,
    cell_of,
    index_table,
    text_of,
    unnamed,
    values_of,
)
from neurolatent.cohort.checks import number
from neurolatent.cohort.choice import Series, choose_images
from neurolatent.cohort.clinical import ClinicalVisit, FoundScan, Person, join
from neurolatent.cohort.days import DAYS_PER_YEAR, day_or_fault
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
LASTING = frozenset({"sex", "birth_year"})
"""Roles in which all of a person's rows must agree."""
HALF_A_YEAR = 0.5
EARLIEST_BIRTH = 1880


def read_aibl(descriptor: Descriptor, source: Source) -> Reading:
    """Find the images, as LONI lays them down or as Clinica's BIDS, and give each the rows of its visit."""
    if is_bids(source.root):
        return read_bids(descriptor, source)
    require_roles(descriptor, COLUMNS, ["participant", "session", "date", "birth_year"])
    found = find_archived(descriptor, source.root)
    tables = read_tables(descriptor, source, COLUMNS)
    exams = _exams(descriptor, tables.rows)
    people = _people(descriptor, tables.rows, exams)
    example = naming_of(descriptor).example
    lost = [unnamed(one, example) for one in found if isinstance(one, str)]
    images = [one for one in found if isinstance(one, ArchivedImage)]
    codes = {person: [(day, code) for code, day in _days(own).items()] for person, own in exams.items()}
    sessions = name_sessions(
        [(_plain(one.participant), one.day.toordinal(), one.number or 0) for one in images if one.day],
        codes,
        window_days=descriptor.diagnosis.window_days,
    )
    series = [_series(descriptor, one, people, exams, sessions) for one in images]
    return Reading((*lost, *choose_images(descriptor.images.choice, series)), tables.files, len(people))


class Exam(NamedTuple):
    """A day of a visit, and the field strength where a table of scans tells of it."""

    day: int
    code: str
    tesla: Cell | None


Exams = Mapping[str, Sequence[Exam]]
"""By person; those of the tables of scans come first."""


def _exams(descriptor: Descriptor, rows: Mapping[str, Iterable[Row]]) -> Exams:
    """Return the days of each visit: those of its scans, and those of its clinical rows that have one."""
    columns = descriptor.columns
    exams: dict[str, list[Exam]] = {}
    for table, row in ((name, row) for name in VISITS for row in rows[name]):
        person, code = _person(descriptor, row), text_of(columns.session, row)
        day, _ = day_or_fault(columns.date, row)
        if person and code and day:
            tesla = Cell(SCANS[table], row.where, "scan", row) if table in SCANS else None
            exams.setdefault(person, []).append(Exam(day.toordinal(), code, tesla))
    return exams


def _days(exams: Iterable[Exam]) -> dict[str, int]:
    """Return when each visit was, by its code: the day of its scan, else of any clinical row that has one."""
    days: dict[str, int] = {}
    for exam in exams:
        days.setdefault(exam.code, exam.day)
    return days


def _people(descriptor: Descriptor, rows: Mapping[str, Iterable[Row]], exams: Exams) -> dict[str, Person]:
    visits: dict[str, list[ClinicalVisit]] = {}
    faults: dict[str, Row] = {}
    for row in (row for table in VISITS for row in _visit_rows(descriptor, table, rows[table])):
        person, code = _person(descriptor, row) or "", text_of(descriptor.columns.session, row) or ""
        day = _days(exams.get(person, ())).get(code)
        if day is not None:
            visits.setdefault(person, []).append(ClinicalVisit(day, row))
        elif row.problem is not None and not row.contradicts:
            faults[person] = row  # of no day that is known: it may be of any of the person's scans
    lasting = {role: value for role, value in values_of(descriptor).items() if role in LASTING}
    index = index_table(descriptor, PEOPLE, rows[PEOPLE], partial(_person, descriptor), values=lasting)
    return {
        person: Person(tuple(visits.get(person, ())), partial(_age_on, descriptor, row), faults.get(person, row))
        for person, row in index.items()
    }


def _visit_rows(descriptor: Descriptor, table: str, rows: Iterable[Row]) -> Iterable[Row]:
    """Return the one row of each visit; a visit may take more than one day."""
    dated = [day_or_fault(descriptor.columns.date, row)[1] for row in rows]
    values = {role: value for role, value in values_of(descriptor).items() if role != "date"}
    return index_table(descriptor, table, dated, partial(_visit_name, descriptor), values=values).values()


def _person(descriptor: Descriptor, row: Row) -> str | None:
    told = text_of(descriptor.columns.participant, row)
    return told and _plain(told)


def _visit_name(descriptor: Descriptor, row: Row) -> str | None:
    person, code = _person(descriptor, row), text_of(descriptor.columns.session, row)
    return f"{person} {code}" if person and code else None


def _tesla_on(exams: Iterable[Exam], day: int, window_days: int | None) -> Cell | None:
    """Return the field strength of the exam nearest to the day; `None` where both tables have one as near."""
    scans = [(abs(exam.day - day), exam.tesla) for exam in exams if exam.tesla]
    nearest = min((distance for distance, _ in scans), default=0)
    near = [tesla for distance, tesla in scans if distance == nearest]
    within = window_days is None or nearest <= window_days
    return near[0] if within and len({tesla.text for tesla in near}) == 1 else None


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
    descriptor: Descriptor, found: ArchivedImage, people: Mapping[str, Person], exams: Exams, sessions: Sessions
) -> Series:
    person = _plain(found.participant)
    name = f"sub-AIBL{person}"
    if found.day is None:
        return Series(unnamed(found.image, naming_of(descriptor).example), found.description, found.number or 0)
    day = found.day.toordinal()
    session, _ = sessions[person, day]
    scan = FoundScan(name, session, "1", found.image, day)
    reason = f"expected a row for {person}, got none. Add one, or leave the scan out."
    missing = Exclusion(found.image, f"table {PEOPLE}", reason, "warning", "match")
    candidate = join(descriptor, scan, people.get(person), missing=missing)
    tesla = _tesla_on(exams.get(person, ()), day, descriptor.diagnosis.window_days)
    if tesla:
        candidate = replace(candidate, cells={"scanner_tesla": tesla, **candidate.cells})
    return Series(candidate, found.description, found.number or 0)


def _plain(person: str) -> str:
    digits = re.sub(r"\D", "", person.removesuffix(".0"))
    return str(int(digits)) if digits else person
