"""What a reader hands on: scans as found and named, with their cells still as written."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from neurolatent.cohort.columns import SCORES, Column, Unit
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.tables import Row, merge_rows
from neurolatent.errors import TableError

Level = Literal["participant", "session", "scan"]
Values = Mapping[str, Callable[[Row], str | None]]
"""What a row says, by role."""
VALUES = ("age", "sex", "site", "scanner_tesla", "months", "date", *SCORES)
"""Roles whose cells a candidate carries; the others are the readers' own business."""
BEGINNINGS = ("age_at_entry", "birth_year", "entry_date")
"""Roles that a scan's age is worked out from."""
SHOWN = ("age", "sex")
"""What is told of rows that contradict each other even where they agree in it."""
SAME_AGE_YEARS = 0.1
"""Two rows of one person may differ by this much, as ages are computed from dates in more than one way."""


@dataclass(frozen=True)
class Cell:
    """A value as written, and where."""

    text: str
    where: str
    level: Level
    row: Row | None = None
    """That gave it, where one did."""
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
        for role, column in wanted.items():
            found = None if role in cells else cell_of(column, row, level)
            if found is not None:
                cells[role] = found
    return cells


def cell_of(column: Column | None, row: Row, level: Level = "session") -> Cell | None:
    """Return a row's value in a column, where it is missing that of further rows of its key, else `None`."""
    for one in row.rows if column else ():
        found = column and one.get(column.names, column.missing)
        if found:
            return Cell(found[1], f"{one.where}, {found[0]}", level, row)
    return None


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


def index_table(
    descriptor: Descriptor,
    table: str,
    rows: Iterable[Row],
    key_of: Callable[[Row], str | None],
    *,
    values: Values | None = None,
) -> dict[str, Row]:
    """Give each key its one row of a table of the descriptor's.

    Rows that agree count once, and one tells what another lacks. Rows that contradict each other in a value that a scan
    would take from them carry that as their problem, as serious as the descriptor says.

    Args:
        descriptor: Columns, and how serious a contradiction in the table is.
        table: By the descriptor's name for it.
        rows: Of the table.
        key_of: Whom or what a row speaks of.
        values: What rows must agree in; by default whatever a scan may take.
    """
    asked = values_of(descriptor) if values is None else values
    severity = descriptor.tables[table].contradictions
    return merge_rows(rows, key_of, lambda one, other: _contrast(asked, one, other), severity=severity)


def values_of(descriptor: Descriptor) -> Values:
    """Return how to read from a row what a scan may take of it: values, what an age is worked out from, own columns."""
    columns = {role: getattr(descriptor.columns, role) for role in BEGINNINGS}
    columns = _wanted(descriptor) | {role: column for role, column in columns.items() if column is not None}
    sexes = descriptor.columns.sex.codes if descriptor.columns.sex else {}
    codes: dict[str, Mapping[str, str]] = {"diagnosis": descriptor.diagnosis.codes, "sex": sexes}
    known = {role: {code.lower(): meaning for code, meaning in own.items()} for role, own in codes.items()}
    return {role: partial(_meaning, column, known.get(role, {})) for role, column in columns.items()}


def _meaning(column: Column, codes: Mapping[str, str], row: Row) -> str | None:
    text = text_of(column, row)
    return None if text is None else codes.get(text.lower().removesuffix(".0"), text)


def _contrast(values: Values, one: Row, other: Row) -> tuple[str, str] | None:
    """Return what each row says, `None` where they agree; a missing value contradicts nothing."""
    said = {role: (value(one), value(other)) for role, value in values.items()}
    differing = {role for role, (first, second) in said.items() if not _same(role, first, second)}
    if not differing:
        return None
    shown = {role: both for role, both in said.items() if role in differing or (role in SHOWN and any(both))}
    first, second = ({role: both[place] for role, both in shown.items()} for place in (0, 1))
    return _list(first), _list(second)


def _list(said: Mapping[str, str | None]) -> str:
    return ", ".join(f"{role} {_show(role, text)}" for role, text in said.items())


def _same(role: str, one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return True
    one, other = one.lower().lstrip("/"), other.lower().lstrip("/")  # as AIBL writes a year of birth without its day
    if one == other:
        return True
    apart = abs(float(one) - float(other)) if _is_number(one) and _is_number(other) else None
    return apart is not None and apart <= (SAME_AGE_YEARS if role in {"age", "age_at_entry"} else 0.0)


def _show(role: str, text: str | None) -> str:
    if text is None:
        return "missing"
    return f"{float(text):.2f}" if role == "age" and _is_number(text) else text


def _wanted(descriptor: Descriptor) -> dict[str, Column]:
    columns = {role: getattr(descriptor.columns, role) for role in VALUES}
    columns["diagnosis"] = descriptor.diagnosis.column
    wanted = {role: column for role, column in columns.items() if column is not None}
    return wanted | {name: Column(names=(name,)) for name in descriptor.carry}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
