"""The tables of a data set, and which rows speak of which scan."""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from neurolatent.cohort.candidates import Candidate, Cell, Level, cells_of
from neurolatent.cohort.columns import DayColumn, Unit
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.readers.bids.agreement import contrast, told_of
from neurolatent.cohort.readers.bids.units import stated_unit
from neurolatent.cohort.tables import Row, has_columns, read_table, require_columns

PARTICIPANTS = "participants.tsv"
TIME_ONLY = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?", re.IGNORECASE)
PADDED_MONTHS = re.compile(r"M(\d+)")
Index = Mapping[str, tuple[Row, ...]]
"""The rows that speak of one thing, by its name: what one of them lacks another may tell."""


@dataclass(frozen=True)
class BidsTables:
    """The rows of a data set by what they describe."""

    participants: Index
    sessions: Index
    """By `sub-X/ses-Y`."""
    scans: Index
    """By the image's path relative to the root."""
    files: Mapping[Level, tuple[Path, ...]]
    root: Path
    units: Mapping[str, Unit]
    """Of ages, by the table as messages name it, where the data set states one."""

    def rows_of(self, scan: Candidate) -> list[tuple[Level, Row]]:
        """Return what speaks of a scan, the nearest first."""
        levels: tuple[tuple[Level, Index, str], ...] = (
            ("scan", self.scans, scan.image),
            ("session", self.sessions, session_key(scan)),
            ("participant", self.participants, scan.participant_id),
        )
        return [(level, row) for level, index, key in levels for row in index.get(key, ())]

    def cells_of(self, descriptor: Descriptor, scan: Candidate) -> dict[str, Cell]:
        """Collect a scan's values, ages in the unit that the data set states."""
        cells: dict[str, Cell] = {}
        for level, row in self.rows_of(scan):
            told = cells_of(descriptor, [(level, row)])
            if "age" in told:
                told["age"] = replace(told["age"], unit=self.units.get(row.file))
            cells = told | cells
        return cells


def read_bids_tables(descriptor: Descriptor, root: Path) -> BidsTables:
    """Read the tables of participants, sessions and scans that a data set has."""
    files = _find(root)
    keys: tuple[tuple[Level, str, Callable[[Row], str | None]], ...] = (
        ("participant", "participant_id", _participant_key),
        ("session", "session_id", _session_key),
        ("scan", "filename", _scan_key),
    )
    index: dict[Level, Index] = {}
    units: dict[str, Unit] = {}
    for level, key_column, key_of in keys:
        tables = {path: _rows(descriptor, root, path, key_column) for path in files[level]}
        index[level] = _index(descriptor, (row for rows in tables.values() for row in rows), key_of)
        for path, rows in tables.items():
            unit = stated_unit(descriptor.columns.age, path, rows[0], root) if rows else None
            units |= {rows[0].file: unit} if unit else {}
    return BidsTables(index["participant"], index["session"], index["scan"], files, root, units)


def session_key(scan: Candidate) -> str:
    """Name a scan's session as tables are searched for it."""
    return f"{scan.participant_id}/{_plain_session(scan.session_id)}"


def _find(root: Path) -> dict[Level, tuple[Path, ...]]:
    everyone = [path for path in [root / PARTICIPANTS] if path.is_file()]
    everyone = [path for path in everyone if not has_columns(path, ("session_id",))]  # else a row is a session
    sessions = sorted(root.glob("sub-*/sub-*_sessions.tsv"))
    labels = [path for path in sorted(root.glob("*.tsv")) if has_columns(path, ("participant_id", "session_id"))]
    scans = sorted([*root.glob("sub-*/sub-*_scans.tsv"), *root.glob("sub-*/ses-*/sub-*_scans.tsv")])
    return {"participant": tuple(everyone), "session": (*sessions, *labels), "scan": tuple(scans)}


def _rows(descriptor: Descriptor, root: Path, path: Path, key_column: str) -> tuple[Row, ...]:
    shown = path.relative_to(root).as_posix()
    rows = read_table(path, name=shown)
    require_columns(rows, [(key_column,)], shown)
    return tuple(_without_bare_times(descriptor.columns.date, row) for row in rows)


def _without_bare_times(column: DayColumn | None, row: Row) -> Row:
    """Drop an `acq_time` such as 13:45:30: a time without a day tells no day."""
    bare = [
        name.lower()
        for name in (column.names if column else ())
        if TIME_ONLY.fullmatch(row.cells.get(name.lower(), ""))
    ]
    return replace(row, cells={name: text for name, text in row.cells.items() if name not in bare}) if bare else row


def _index(descriptor: Descriptor, rows: Iterable[Row], key_of: Callable[[Row], str | None]) -> Index:
    found: dict[str, list[Row]] = {}
    for row in rows:
        key = key_of(row)
        if key is not None:
            found.setdefault(key, []).append(row)
    return {key: _agreed(descriptor, key, own) for key, own in found.items()}


def _agreed(descriptor: Descriptor, key: str, rows: list[Row]) -> tuple[Row, ...]:
    """Return the rows that tell anything new; where two contradict each other, the first carries the problem."""
    broken = [row for row in rows if row.problem is not None]
    if broken or len(rows) == 1:
        return tuple(broken or rows)
    distinct: dict[tuple[tuple[str, str], ...], Row] = {}
    for row in rows:
        distinct.setdefault(tuple(told_of(descriptor, row).items()), row)
    for one, other in combinations(distinct.values(), 2):
        said = contrast(descriptor, one, other)
        if said is not None:
            place = f"line {one.line}", f"line {other.line}"
            first, second = place if one.file == other.file else (one.where, other.where)
            contradiction = (
                f"expected one row for {key}, got rows that contradict each other: {first} ({said[0]}) and {second} "
                f"({said[1]}). Correct or remove one."
            )
            return (replace(one, problem=contradiction),)
    return tuple(distinct.values())


def _participant_key(row: Row) -> str | None:
    found = row.get(["participant_id"])
    return found and "sub-" + found[1].removeprefix("sub-")


def _session_key(row: Row) -> str | None:
    """Name the session: by its column in ClinicaDL's one table for all, by its folder in a table of one person."""
    found, person = row.get(["session_id"]), _participant_key(row) or Path(row.file).parts[0]
    return found and f"{person}/{_plain_session(found[1])}"


def _plain_session(name: str) -> str:
    """Write a session in one way: Clinica's `ses-M00` of old is its `ses-M000` of now."""
    bare = name.removeprefix("ses-")
    months = PADDED_MONTHS.fullmatch(bare)
    return f"ses-M{int(months[1]):03d}" if months else f"ses-{bare}"


def _scan_key(row: Row) -> str | None:
    found = row.get(["filename"])
    return found and posixpath.normpath(posixpath.join(posixpath.dirname(row.file), found[1]))
