"""Scans and clinical visits on different days: each scan is told of by the visits around it, the nearest first."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from neurolatent.cohort.candidates import Age, Candidate, Cell, Level, cells_of, refused
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.tables import Row, first_broken
from neurolatent.cohort.visits import Diagnosis
from neurolatent.errors import TableError

LASTING = ("sex",)
"""Of a person, and not of a visit: the person's own row is believed before a list of images."""


@dataclass(frozen=True)
class ClinicalVisit:
    """A row of one person and day."""

    day: int
    """Since any day that all of the person's visits and scans share."""
    row: Row


@dataclass(frozen=True)
class Person:
    """What the tables know of somebody."""

    visits: tuple[ClinicalVisit, ...]
    age_on: Callable[[int], Age | None]
    """By the same count of days; raises a TableError where a cell cannot be read."""
    row: Row | None = None
    """Of no particular visit."""
    diagnose: Callable[[Row], Diagnosis | None] | None = None
    """Where the descriptor's column and codes do not say it all."""


@dataclass(frozen=True)
class FoundScan:
    """An image, whose it is and when it was taken."""

    participant_id: str
    session_id: str
    run: str
    image: str
    day: int
    row: Row | None = None
    """Of a table of images."""


def nearest_first(visits: Iterable[ClinicalVisit], day: int, *, window_days: int | None) -> list[ClinicalVisit]:
    """Return the visits within the window, the nearest first; of two as near, the earlier."""
    within = [visit for visit in visits if window_days is None or abs(visit.day - day) <= window_days]
    return sorted(within, key=lambda visit: (abs(visit.day - day), visit.day))


def join(descriptor: Descriptor, scan: FoundScan, person: Person | None, *, missing: Exclusion) -> Candidate:
    """Give a scan what the tables say of it; each value comes from the nearest visit that has it.

    Args:
        descriptor: Columns, and the window in days.
        scan: As found.
        person: Whose scan it is; `None` where no table knows them.
        missing: Why the scan is left out in that case.
    """
    key = (scan.participant_id, scan.session_id, scan.run, scan.image, scan.image)
    if person is None:
        return Candidate(*key, exclusion=missing, day=scan.day)
    around = nearest_first(person.visits, scan.day, window_days=descriptor.diagnosis.window_days)
    rows: list[Row | None] = [scan.row, *(visit.row for visit in around), person.row]
    level_of: list[Level] = ["scan", *("session" for _ in around), "participant"]
    cells = cells_of(descriptor, zip(level_of, rows, strict=True)) | _diagnosis(person, around)
    own = cells_of(descriptor, [("participant", person.row)])
    cells |= {role: own[role] for role in LASTING if role in own}
    if "age" in cells and cells["age"].level != "scan":
        del cells["age"]  # of a visit, or at entry: what it was at the scan is worked out below
    unreadable = (row for row in rows if row is not None and not row.contradicts)
    # A visit that is told of in two ways is no matter for scans that take nothing from it.
    broken = first_broken([*unreadable, person.row, *(cell.row for cell in cells.values())])
    if broken is not None:
        return Candidate(*key, exclusion=Exclusion(scan.image, *broken, "check"), day=scan.day)
    try:
        age = person.age_on(scan.day)
    except TableError as error:
        return Candidate(*key, exclusion=refused(scan.image, error), day=scan.day)
    return Candidate(*key, cells=cells, day=scan.day, age=age)


def _diagnosis(person: Person, around: Iterable[ClinicalVisit]) -> dict[str, Cell]:
    """Return the diagnosis of the nearest visit that has one."""
    if person.diagnose is None:
        return {}
    for visit in around:
        for row in visit.row.rows:
            found = person.diagnose(row)
            if found:
                return {"diagnosis": Cell(found, row.where, "session", visit.row)}
    return {}
