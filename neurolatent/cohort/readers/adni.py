"""ADNI: ADNIMERGE beside LONI's tree or a list of images; Clinica's BIDS and CAPS go the way of BIDS."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from functools import partial

from neurolatent.cohort.candidates import Age, Candidate, Reading, Source, cell_of, text_of, unnamed
from neurolatent.cohort.checks import read_age
from neurolatent.cohort.choice import Series, choose_images, is_wanted
from neurolatent.cohort.clinical import ClinicalVisit, FoundScan, Person, join
from neurolatent.cohort.columns import DayColumn
from neurolatent.cohort.days import DAYS_PER_YEAR, day_of
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.readers.archive import ArchivedImage, Sessions, find_archived, name_sessions, session_name
from neurolatent.cohort.readers.bids import is_bids, read_bids
from neurolatent.cohort.readers.folder import naming_of, read_tables, require_roles
from neurolatent.cohort.tables import Row
from neurolatent.errors import TableError

MERGE, LIST, MRI = "merge", "images", "MRI"
COLUMNS = {MERGE: ("participant", "session", "date", "age_at_entry", "sex"), LIST: ("participant", "image", "date")}
LASTING = frozenset({"ptgender", "pteducat", "apoe4"})
BASELINE = "bl"
Codes = Mapping[str, list[tuple[int, str]]]


def read_adni(descriptor: Descriptor, source: Source) -> Reading:
    """Find the images, whatever their layout, and give each its person's rows of the visits around it."""
    if is_bids(source.root):
        return read_bids(descriptor, source)
    require_roles(descriptor, COLUMNS, ["participant", "session", "date", "age_at_entry", "image", "description"])
    found = find_archived(descriptor, source.root)
    tables = read_tables(descriptor, source, COLUMNS)
    people, codes = _people(descriptor, tables.rows[MERGE])
    listed = {_number(text_of(descriptor.columns.image, row)): row for row in tables.rows[LIST]}
    example = naming_of(descriptor).example
    lost = [unnamed(one, example) for one in found if isinstance(one, str)]
    images = [one for one in found if isinstance(one, ArchivedImage)]
    dated = [_dated(descriptor, one, listed.get(one.number)) for one in images]
    sessions = name_sessions(
        [(one.participant, one.day.toordinal(), one.number or 0) for one in dated if one.day],
        codes,
        window_days=descriptor.diagnosis.window_days,
    )
    series = [_series(descriptor, one, listed.get(one.number), people, sessions) for one in dated]
    present = {one.number for one in images}
    lost += [_absent(descriptor, row) for number, row in listed.items() if number not in present | {None}]
    lost = [one for one in lost if one is not None]
    return Reading((*lost, *choose_images(descriptor.images.choice, series)), tables.files, len(people))


def _people(descriptor: Descriptor, rows: Iterable[Row]) -> tuple[dict[str, Person], Codes]:
    """Return everybody by PTID, and the visit codes of each by day; a visit without a day says nothing of scans."""
    columns = descriptor.columns
    visits: dict[str, list[ClinicalVisit]] = {}
    codes: dict[str, list[tuple[int, str]]] = {}
    first: dict[str, Row] = {}
    for read in rows:
        person = text_of(columns.participant, read)
        if person is None:
            continue
        day, row = _day_or_fault(columns.date, read)
        if first.setdefault(person, row).problem is None and row.problem is not None:
            first[person] = row
        if day is not None:
            visits.setdefault(person, []).append(ClinicalVisit(day.toordinal(), row))
            code = text_of(columns.session, row)
            codes.setdefault(person, []).extend([(day.toordinal(), code)] if code else [])
    people = {
        person: Person(
            tuple(visits.get(person, ())), partial(_age_on, descriptor, codes.get(person, ()), row), _lasting(row)
        )
        for person, row in first.items()
    }
    return people, codes


def _lasting(row: Row) -> Row:
    """Keep what holds at every visit: a diagnosis or a score of one visit says nothing of a scan years later."""
    return replace(row, cells={name: text for name, text in row.cells.items() if name in LASTING})


def _age_on(descriptor: Descriptor, codes: Iterable[tuple[int, str]], row: Row, day: int) -> Age | None:
    """Add the time since baseline, as told or the day of the visit `bl`, to the age then, which every row repeats."""
    columns = descriptor.columns
    age = read_age(cell_of(columns.age_at_entry, row), columns.age_at_entry)
    entry = day_of(columns.entry_date, row)
    start = entry.toordinal() if entry else next((own for own, code in codes if code.lower() == BASELINE), None)
    if age is None or start is None:
        return None
    return Age(age.years + (day - start) / DAYS_PER_YEAR, age.precision_years, at_first_scan=False, where=age.where)


def _series(
    descriptor: Descriptor, found: ArchivedImage, row: Row | None, people: Mapping[str, Person], sessions: Sessions
) -> Series:
    person = found.participant
    name = "sub-ADNI" + re.sub(r"\W|_", "", person)
    if found.day is None:
        reason = "expected the day of the scan in its folder's name or in a list of images, got neither. Add the list."
        lost = Exclusion(found.image, found.image, reason, "error", "match")
        candidate = Candidate(name, session_name(None, found.number), "1", found.image, found.image, exclusion=lost)
        return Series(candidate, found.description, found.number or 0)
    day = found.day.toordinal()
    session, _ = sessions[person, day]
    scan = FoundScan(name, session, "1", found.image, day, row)
    reason = f"expected rows for {person}, got none. Add them, or leave the scan out."
    missing = Exclusion(found.image, "ADNIMERGE", reason, "warning", "match")
    return Series(join(descriptor, scan, people.get(person), missing=missing), found.description, found.number or 0)


def _dated(descriptor: Descriptor, found: ArchivedImage, row: Row | None) -> ArchivedImage:
    """Take the list's description, and its day where the path has none."""
    if row is None:
        return found
    listed, _ = _day_or_fault(descriptor.columns.date, row)
    described = text_of(descriptor.columns.description, row) or found.description
    return replace(found, day=found.day or listed, description=described)


def _day_or_fault(column: DayColumn | None, row: Row) -> tuple[date | None, Row]:
    """Return a row's day; a row that cannot be read, or whose day cannot, carries the fault."""
    if row.problem is not None:
        return None, row
    try:
        return day_of(column, row), row
    except TableError as error:
        return None, replace(row, problem=str(error).partition(": ")[2])


def _absent(descriptor: Descriptor, row: Row) -> Candidate | None:
    """List an image that the list names and the folder lacks, unless it is no T1w scan."""
    if row.cells.get("modality", MRI).upper() not in {MRI, "MR"}:
        return None
    if not is_wanted(descriptor.images.choice, text_of(descriptor.columns.description, row) or ""):
        return None
    number = text_of(descriptor.columns.image, row)
    reason = f"expected the image {number}, which the list names, found none. Download it, or use the list as it is."
    image = f"image {number}"
    return Candidate("", "", "", image, row.where, exclusion=Exclusion(image, row.where, reason, "warning", "match"))


def _number(text: str | None) -> int | None:
    digits = re.sub(r"\D", "", text or "")
    return int(digits) if digits else None
