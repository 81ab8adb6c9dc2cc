"""Every fault of a table of scans at once, row by row, where reading it for use stops at the first."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from neurolatent.cohort.visits import COLUMNS, MISSING
from neurolatent.contract.cells import KEY_COLUMNS, Entry, check_cells
from neurolatent.contract.people import check_person
from neurolatent.contract.remark import Place, Remark
from neurolatent.contract.rows import RawRow, read_rows


@dataclass(frozen=True)
class TableCheck:
    """What could be read of the table, and what was wrong with it."""

    entries: tuple[Entry, ...]
    remarks: tuple[Remark, ...]


def check_table(path: Path) -> TableCheck:
    """Look at every row and never stop: what is at fault in one hides nothing in the others."""
    rows, remarks = read_rows(path)
    if not rows:
        return TableCheck((), tuple(remarks))
    header = rows[0].cells
    remarks += _check_header(header, path.name)
    if not set(KEY_COLUMNS) <= set(header):
        return TableCheck((), tuple(remarks))
    entries: list[Entry] = []
    for row in rows[1:]:
        if len(row.cells) != len(header):
            remarks.append(_wrong_count(row, header, path.name))
            continue
        entry, told = check_cells(path.name, row.line, dict(zip(header, row.cells, strict=True)))
        entries.append(entry)
        remarks += told
    if not rows[1:]:
        got, place = "none", Place(path.name, rows[0].line)
        remarks.append(Remark("error", "rows", place, "a row for each scan", got, "Rebuild the cohort."))
    remarks += _check_rows(entries, path.name)
    return TableCheck(tuple(entries), tuple(remarks))


def _check_header(header: Sequence[str], file: str) -> list[Remark]:
    place = Place(file, 1)
    lacking = [name for name in COLUMNS if name not in header]
    remarks = [_lacking(name, header, place) for name in lacking]
    twice = sorted({name for name in header if header.count(name) > 1})
    for name in twice:
        got = f"it {header.count(name)} times"
        remarks.append(
            Remark("error", "columns", Place(file, 1, name), "each column once", got, "Remove or rename one.")
        )
    return remarks


def _lacking(name: str, header: Sequence[str], place: Place) -> Remark:
    plain = {column.strip().lower(): column for column in header}
    alike = get_close_matches(name, plain, n=1)
    if len(header) == 1 and any(mark in header[0] for mark in ",;"):
        got, way_out = "other separators than tabs", "Save the table as tab-separated text."
    elif alike:
        got, way_out = f"{plain[alike[0]]!r}", f"Rename it to {name}."
    else:
        got, way_out = "none", "Put it back, or rebuild the cohort."
    return Remark("error", "columns", place, f"the column {name}", got, way_out)


def _wrong_count(row: RawRow, header: Sequence[str], file: str) -> Remark:
    expected, got = f"{len(header)} cells", f"{len(row.cells)}"
    kind = "missing" if len(row.cells) < len(header) else "stray"
    way_out = f"Look for a {kind} tab; a missing value is written {MISSING}, never left out."
    return Remark("error", "cells", Place(file, row.line), expected, got, way_out)


def _check_rows(entries: Sequence[Entry], file: str) -> list[Remark]:
    """What one row cannot tell: scans and images that are there twice, and each person's rows over time."""
    remarks = _repeated(
        entries,
        lambda entry: entry.key,
        lambda entry, first: _twice(entry, first, file),
    )
    remarks += _repeated(
        entries,
        lambda entry: entry.image,
        lambda entry, first: _same_image(entry, first, file),
    )
    people: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.key is not None:
            people[entry.key.participant_id].append(entry)
    for scans in people.values():
        remarks += check_person(scans, file)
    return remarks


def _repeated(
    entries: Sequence[Entry], value: Callable[[Entry], Hashable | None], tell: Callable[[Entry, Entry], Remark]
) -> list[Remark]:
    first: dict[Hashable, Entry] = {}
    remarks: list[Remark] = []
    for entry in entries:
        found = value(entry)
        if found is None:
            continue
        if first.setdefault(found, entry) is not entry:
            remarks.append(tell(entry, first[found]))
    return remarks


def _twice(entry: Entry, first: Entry, file: str) -> Remark:
    place = Place(file, entry.line, scan="/".join(entry.key or ()))
    expected, got = "each (participant, session, run) once", f"it also on line {first.line}"
    return Remark("error", "duplicate", place, expected, got, "Give repeats their own run, or remove one of the rows.")


def _same_image(entry: Entry, first: Entry, file: str) -> Remark:
    place = Place(file, entry.line, "image", "/".join(entry.key) if entry.key else None)
    got = f"the same image as on line {first.line}"
    return Remark("error", "same-image", place, "an image of its own", got, "Name the right image, or remove a row.")
