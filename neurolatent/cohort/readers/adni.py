"""ADNI: ADNIMERGE beside LONI's tree or a list of images; Clinica's BIDS and CAPS go the way of BIDS."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from functools import partial

from neurolatent.cohort.candidates import (
    Age,
    Candidate,
    Reading,
    Source,
    cell_of,
    index_table,
    text_of,
    unnamed,
    values_of,
)
from neurolatent.cohort.checks import read_age
from neurolatent.cohort.choice import Series, choose_images, is_wanted
from neurolatent.cohort.clinical import ClinicalVisit, FoundScan, Person, join
from neurolatent.cohort.days import DAYS_PER_YEAR, day_of, day_or_fault
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.readers.archive import ArchivedImage, Sessions, find_archived, name_sessions, session_name
from neurolatent.cohort.readers.bids import is_bids, read_bids
from neurolatent.cohort.readers.folder import naming_of, read_tables, require_roles
from neurolatent.cohort.tables import Row, first_broken
from neurolatent.errors import TableError

MERGE, LIST, MRI = "merge", "images", "MRI"
COLUMNS = {MERGE: ("participant", "session", "date", "age_at_entry", "sex"), LIST: ("participant", "image", "date")}
LASTING = frozenset({"ptgender", "pteducat", "apoe4"})
AT_ENTRY = frozenset({"sex", "age_at_entry", "entry_date"})
"""Roles in which all of a person's rows must agree."""
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
    listed = _listed(descriptor, tables.rows[LIST])
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
    lost += [_absent(descriptor, row) for number, row in listed.items() if number not in present]
    lost = [one for one in lost if one is not None]
    return Reading((*lost, *choose_images(descriptor.images.choice, series)), tables.files, len(people))


def _listed(descriptor: Descriptor, rows: Iterable[Row]) -> dict[int | None, Row]:
    """Return the rows of the lists by the image's number; two lists may name the same image."""
    columns = descriptor.columns
    values = {
        **values_of(descriptor),
        "participant": partial(text_of, columns.participant),
        "description": partial(text_of, columns.description),
    }

    def key(row: Row) -> str | None:
        number = _number(text_of(columns.image, row))
        return None if number is None else f"image {number}"

    index = index_table(descriptor, LIST, rows, key, values=values)
    return {int(name.removeprefix("image ")): row for name, row in index.items()}


def _people(descriptor: Descriptor, rows: Iterable[Row]) -> tuple[dict[str, Person], Codes]:
    """Return everybody by PTID, and the visit codes of each by day; a visit without a day says nothing of scans."""
    columns = descriptor.columns
    dated = [day_or_fault(columns.date, row) for row in rows]
    codes: dict[str, list[tuple[int, str]]] = {}
    for day, row in dated:
        person, code = text_of(columns.participant, row), text_of(columns.session, row)
        if person and code and day:
            codes.setdefault(person, []).append((day.toordinal(), code))
    visits: dict[str, list[ClinicalVisit]] = {}
    known = [row for _, row in dated if row.problem is None]
    for row in index_table(descriptor, MERGE, known, partial(_visit_name, descriptor)).values():
        person, day = text_of(columns.participant, row), day_of(columns.date, row)
        if person and day:
            visits.setdefault(person, []).append(ClinicalVisit(day.toordinal(), row))
    lasting = {role: value for role, value in values_of(descriptor).items() if role in AT_ENTRY}
    index = index_table(
        descriptor, MERGE, [row for _, row in dated], partial(text_of, columns.participant), values=lasting
    )
    people = {
        person: Person(
            tuple(visits.get(person, ())), partial(_age_on, descriptor, codes.get(person, ()), row), _lasting(row)
        )
        for person, row in index.items()
    }
    return people, codes


def _visit_name(descriptor: Descriptor, row: Row) -> str | None:
    """Name a visit by its code, else by its day."""
    person, day = text_of(descriptor.columns.participant, row), day_of(descriptor.columns.date, row)
    visit = text_of(descriptor.columns.session, row) or (day and f"on {day}")
    return f"{person} {visit}" if person and visit else None


def _lasting(row: Row) -> Row:
    """Keep what holds at every visit: a diagnosis or a score of one visit says nothing of a scan years later."""
    cells = {name: text for name, text in row.cells.items() if name in LASTING}
    return replace(row, cells=cells, also=tuple(_lasting(one) for one in row.also))


def _age_on(descriptor: Descriptor, codes: Iterable[tuple[int, str]], row: Row, day: int) -> Age | None:
    """Add the time since baseline, as told or the day of the visit `bl`, to the age then, which every row repeats."""
    columns = descriptor.columns
    age = read_age(cell_of(columns.age_at_entry, row), columns.age_at_entry)
    entry = day_of(columns.entry_date, row)
    starts = [entry.toordinal()] if entry else sorted({own for own, code in codes if code.lower() == BASELINE})
    if age is None or not starts:
        return None
    if len(starts) > 1:
        days = " and ".join(str(date.fromordinal(start)) for start in starts)
        msg = f"{row.where}: expected one day of the visit {BASELINE!r}, got {days}. Correct or remove one row."
        raise TableError(msg)
    years = age.years + (day - starts[0]) / DAYS_PER_YEAR
    return Age(years, age.precision_years, at_first_scan=False, where=age.where)


def _series(
    descriptor: Descriptor, found: ArchivedImage, row: Row | None, people: Mapping[str, Person], sessions: Sessions
) -> Series:
    person = found.participant
    name = "sub-ADNI" + re.sub(r"\W|_", "", person)
    if found.day is None:
        lost = _without_day(descriptor, found.image, row)
        candidate = Candidate(name, session_name(None, found.number), "1", found.image, found.image, exclusion=lost)
        return Series(candidate, found.description, found.number or 0)
    day = found.day.toordinal()
    session, _ = sessions[person, day]
    scan = FoundScan(name, session, "1", found.image, day, row)
    reason = f"expected rows for {person}, got none. Add them, or leave the scan out."
    missing = Exclusion(found.image, "ADNIMERGE", reason, "warning", "match")
    return Series(join(descriptor, scan, people.get(person), missing=missing), found.description, found.number or 0)


def _without_day(descriptor: Descriptor, image: str, row: Row | None) -> Exclusion:
    """Say why an image has no day: no list names it, or what is wrong with the list's row."""
    broken = first_broken([row and day_or_fault(descriptor.columns.date, row)[1]])
    if broken is not None:
        return Exclusion(image, *broken, "match")
    told = f"a row of a list without one ({row.where}). Fill it" if row else "neither. Add the list"
    reason = f"expected the day of the scan in its folder's name or in a list of images, got {told}."
    return Exclusion(image, image, reason, "error", "match")


def _dated(descriptor: Descriptor, found: ArchivedImage, row: Row | None) -> ArchivedImage:
    """Take the list's description, and its day where the path has none."""
    if row is None:
        return found
    listed, _ = day_or_fault(descriptor.columns.date, row)
    described = text_of(descriptor.columns.description, row) or found.description
    return replace(found, day=found.day or listed, description=described)


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
