"""What a reader hands on: scans as found and named, with their cells still as written."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from neurolatent.cohort.columns import SCORES, Column, Columns, Unit
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.tables import Row
from neurolatent.errors import TableError

Level = Literal["participant", "session", "scan"]
VALUES = ("age", "sex", "site", "scanner_tesla", "months", "date", *SCORES)
"""Roles whose cells a candidate carries; the others are the readers' own business."""
SAME_AGE_YEARS = 0.1
"""Two rows of one person may differ by this much, as ages are computed from dates in more than one way."""


@dataclass(frozen=True)
class Cell:
    """A value as written, and where."""

    text: str
    where: str
    level: Level
    unit: Unit | None = None
    """Of an age, where the data set itself states one; goes before the column's."""
    capped: bool = False
    """Whether the person may be older than this age."""


@dataclass(frozen=True)
class Age:
    """An age, and how far it may be off."""

    years: float
    precision_years: float
    at_first_scan: bool
    """Of the participant, not of this scan."""
    where: str


@dataclass(frozen=True)
class Candidate:
    """A scan that a reader found or a table named, before its values are checked."""

    participant_id: str
    session_id: str
    run: str
    image: str
    """Relative to the source root, unless a table says otherwise; checked later."""
    named_by: str
    """Table and line that name the image, or the image itself where a search found it."""
    mask_source: str | None = None
    cells: Mapping[str, Cell] = field(default_factory=dict[str, Cell])
    """By role (`age`, `sex` …) and, for own columns, by name."""
    exclusion: Exclusion | None = None
    """Set where the reader itself has to leave the scan out."""
    day: int | None = None
    """Of the scan, in days since any day that all of the person's scans share; tells more than any cell."""
    age: Age | None = None
    """At the scan, where the reader works it out; goes before any cell."""


@dataclass(frozen=True)
class Reading:
    """All that a reader found."""

    candidates: tuple[Candidate, ...]
    tables: tuple[Path, ...]
    """Every table that was read."""
    people_in_tables: int
    """How many participants the tables list, with and without scans."""
    notes: tuple[str, ...] = ()
    """What is odd about the tables themselves, whoever has a scan."""


@dataclass(frozen=True)
class Source:
    """The folder of a cohort as downloaded."""

    root: Path
    tables: Path | None = None
    """Folder of its tables, where they lie elsewhere."""


Reader = Callable[[Descriptor, Source], Reading]


def cells_of(descriptor: Descriptor, levels: Iterable[tuple[Level, Row | None]]) -> dict[str, Cell]:
    """Collect the values that the descriptor asks for; the first level that has one gives it."""
    cells: dict[str, Cell] = {}
    wanted = _wanted(descriptor)
    for level, row in levels:
        if row is None:
            continue
        for role, (names, missing) in wanted.items():
            found = row.get(names, missing)
            if found is not None and role not in cells:
                cells[role] = Cell(found[1], f"{row.where}, {found[0]}", level)
    return cells


def cell_of(column: Column | None, row: Row, level: Level = "session") -> Cell | None:
    """Return a row's value in a column, `None` where it is missing."""
    found = column and row.get(column.names, column.missing)
    return Cell(found[1], f"{row.where}, {found[0]}", level) if found else None


def text_of(column: Column | None, row: Row) -> str | None:
    """Return what a row says in a column."""
    cell = cell_of(column, row)
    return cell and cell.text


def refused(image: str, error: TableError) -> Exclusion:
    """Leave a scan out for a cell that cannot be read; an error's text begins with its place."""
    where, _, reason = str(error).partition(": ")
    return Exclusion(image, where, reason, "error", "check")


def unnamed(image: str, example: str) -> Candidate:
    """Leave an image out whose name says nothing."""
    reason = f"expected a name such as {example}, got another. Restore the file's own name."
    return Candidate("", "", "", image, image, exclusion=Exclusion(image, image, reason, "error", "match"))


def rows_agree(columns: Columns, first: Row, second: Row) -> bool:
    """Whether two rows say the same of a person: each column equal, ages to 0.1 years or both missing."""
    for role in Columns.model_fields:
        column = getattr(columns, role)
        if column is None:
            continue
        one, other = first.get(column.names, column.missing), second.get(column.names, column.missing)
        if one == other:
            continue
        if role != "age" or one is None or other is None or not _close(one[1], other[1]):
            return False
    return True


def show_row(columns: Columns, row: Row) -> str:
    """Write down what a row says of a person, for a message."""
    parts: list[str] = []
    for role in Columns.model_fields:
        column = getattr(columns, role)
        if column is None or role == "participant" or not any(name.lower() in row.cells for name in column.names):
            continue
        _, text = row.get(column.names, column.missing) or ("", "missing")
        if role == "age" and _is_number(text):
            text = f"{float(text):.2f}"
        elif role == "sex":
            text = column.codes.get(text, text)
        parts.append(f"{role} {text}")
    return ", ".join(parts)


def _wanted(descriptor: Descriptor) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    columns = {role: getattr(descriptor.columns, role) for role in VALUES}
    columns["diagnosis"] = descriptor.diagnosis.column
    wanted = {role: (column.names, column.missing) for role, column in columns.items() if column is not None}
    return wanted | {name: ((name,), ()) for name in descriptor.carry}


def _close(one: str, other: str) -> bool:
    return _is_number(one) and _is_number(other) and abs(float(one) - float(other)) <= SAME_AGE_YEARS


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
