"""OASIS-3: days since entry instead of dates, clinical visits apart from scans, two ways of coding a diagnosis."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
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
from neurolatent.cohort.checks import number
from neurolatent.cohort.clinical import ClinicalVisit, FoundScan, Person, join
from neurolatent.cohort.days import DAYS_PER_YEAR
from neurolatent.cohort.descriptor import Descriptor, Naming
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.readers.folder import find_images, naming_of, read_tables, require_roles
from neurolatent.cohort.tables import Row
from neurolatent.cohort.visits import Diagnosis
from neurolatent.errors import TableError

PEOPLE, RATINGS, DIAGNOSES, SCANNERS = "demographics", "cdr", "diagnoses", "scanners"
COLUMNS = {
    PEOPLE: ("participant", "age_at_entry", "sex"),
    RATINGS: ("participant", "months"),
    DIAGNOSES: ("participant", "months"),
    SCANNERS: ("session",),
}
SESSION = re.compile(r"(?P<person>OAS3\d+)_.*?d(?P<day>\d+)$", re.IGNORECASE)
YES, NO = frozenset({"1", "1.0"}), frozenset({"0", "0.0"})


def read_oasis3(descriptor: Descriptor, source: Source) -> Reading:
    """Find the images and give each the rows of its person, its session, and the clinical visits around it."""
    require_roles(descriptor, COLUMNS, ["participant", "age_at_entry", "sex", "months", "session"])
    naming = naming_of(descriptor)
    images = find_images(source.root, descriptor.images.patterns, naming)
    tables = read_tables(descriptor, source, COLUMNS)
    people = _people(descriptor, tables.rows)
    scanners = _scanners(descriptor, tables.rows[SCANNERS])
    found = (_candidate(descriptor, naming, image, people, scanners) for image in images)
    return Reading(tuple(found), tables.files, len(people))


def diagnose(row: Row) -> Diagnosis | None:
    """Read form D1: version 2 codes Alzheimer's disease as PROBAD, version 3 as ALZDIS, primary where ALZDISIF is 1.

    Dementia is AD where that disease is probable or its primary cause, and `other` elsewhere; without dementia, any
    flag of mild cognitive impairment is MCI, and NORMCOG is CN. A row of another form says nothing.
    """

    def flag(name: str, codes: frozenset[str] = YES) -> bool:
        return row.cells.get(name) in codes

    if flag("demented"):
        return "AD" if flag("probad") or (flag("alzdis") and flag("alzdisif")) else "other"
    if flag("demented", NO) and any(flag(name) for name in row.cells if name.startswith("mci")):
        return "MCI"
    return "CN" if flag("normcog") else None


def _people(descriptor: Descriptor, rows: Mapping[str, Iterable[Row]]) -> dict[str, Person]:
    visits: dict[str, list[ClinicalVisit]] = {}
    faults: dict[str, Row] = {}
    values = {**values_of(descriptor), "diagnosis": diagnose}
    for table in (RATINGS, DIAGNOSES):
        dated = list(_dated(descriptor, rows[table], faults))
        for row in index_table(descriptor, table, dated, partial(_visit_name, descriptor), values=values).values():
            person, day = _visit(descriptor, row) or ("", 0)
            visits.setdefault(person, []).append(ClinicalVisit(day, row))
    index = index_table(descriptor, PEOPLE, rows[PEOPLE], partial(_person, descriptor))
    return {
        person: Person(
            tuple(visits.get(person, ())), partial(_age_on, descriptor, row), faults.get(person, row), diagnose
        )
        for person, row in index.items()
    }


def _dated(descriptor: Descriptor, rows: Iterable[Row], faults: dict[str, Row]) -> Iterator[Row]:
    """Yield the rows whose day can be read; one whose day cannot is its person's fault."""
    for row in rows:
        try:
            _visit(descriptor, row)
            yield row
        except TableError as error:
            faults[_person(descriptor, row) or ""] = replace(row, problem=str(error).partition(": ")[2])


def _person(descriptor: Descriptor, row: Row) -> str | None:
    told = text_of(descriptor.columns.participant, row)
    return told and told.upper()


def _visit(descriptor: Descriptor, row: Row) -> tuple[str, int] | None:
    person, day = _person(descriptor, row), cell_of(descriptor.columns.months, row)
    return (person, round(number(day))) if person and day else None


def _visit_name(descriptor: Descriptor, row: Row) -> str | None:
    visit = _visit(descriptor, row)
    return visit and f"{visit[0]} on day {visit[1]}"


def _age_on(descriptor: Descriptor, row: Row, day: int) -> Age | None:
    column, cell = descriptor.columns.age_at_entry, cell_of(descriptor.columns.age_at_entry, row)
    if column is None or cell is None:
        return None
    return Age(number(cell) + day / DAYS_PER_YEAR, column.precision_years or 0.1, at_first_scan=False, where=cell.where)


def _scanners(descriptor: Descriptor, rows: Iterable[Row]) -> dict[tuple[str, int], Row]:
    """Return the rows of the scanners' table by person and day; it may have one for each file of a session."""
    index = index_table(descriptor, SCANNERS, rows, lambda row: text_of(descriptor.columns.session, row))
    sessions = {SESSION.match(name): row for name, row in index.items()}
    return {(parts["person"].upper(), int(parts["day"])): row for parts, row in sessions.items() if parts}


def _candidate(
    descriptor: Descriptor,
    naming: Naming,
    image: str,
    people: Mapping[str, Person],
    scanners: Mapping[tuple[str, int], Row],
) -> Candidate:
    groups = naming.groups(image)
    if groups is None:
        return unnamed(image, naming.example)
    person, day = groups["participant"].upper(), int(groups["day"])
    reason = f"expected a row for {person}, got none. Add one, or leave the scan out."
    scan = FoundScan(*naming.key(groups), image, day, scanners.get((person, day)))
    return join(
        descriptor, scan, people.get(person), missing=Exclusion(image, f"table {PEOPLE}", reason, "warning", "match")
    )
