"""Scans whose file names say whose they are, joined to one table: IXI, OASIS-1, OASIS-2, and the like."""

from collections import Counter
from collections.abc import Mapping

from neurolatent.cohort.candidates import (
    Candidate,
    Cell,
    Level,
    Reading,
    Source,
    cells_of,
    index_table,
    text_of,
    unnamed,
)
from neurolatent.cohort.descriptor import Descriptor, Naming
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.readers.folder import find_images, naming_of, read_tables, require_roles
from neurolatent.cohort.tables import Row, first_broken

TABLE = "people"


def read_names(descriptor: Descriptor, source: Source) -> Reading:
    """Find the images and give each its row."""
    require_roles(descriptor, [TABLE], ["participant"])
    naming = naming_of(descriptor)
    images = find_images(source.root, descriptor.images.patterns, naming)
    tables = read_tables(descriptor, source, {TABLE: ("participant", "age", "sex")})
    rows = _index(descriptor, tables.rows[TABLE])
    found = (_candidate(descriptor, naming, rows, tables.files[0].name, image) for image in images)
    return Reading(tuple(found), tables.files, len(rows), _notes(descriptor, tables.rows[TABLE], rows))


def _index(descriptor: Descriptor, rows: tuple[Row, ...]) -> dict[str, Row]:
    return index_table(descriptor, TABLE, rows, lambda row: _key(descriptor, row))


def _key(descriptor: Descriptor, row: Row) -> str | None:
    told = text_of(descriptor.columns.participant, row)
    return _plain(told) if told else None


def _notes(descriptor: Descriptor, rows: tuple[Row, ...], index: Mapping[str, Row]) -> tuple[str, ...]:
    """Tell of rows that repeat others and of rows that lack a value, whether or not they have a scan."""
    repeated = sorted(key for key, count in Counter(_key(descriptor, row) for row in rows).items() if key and count > 1)
    broken = [key for key in repeated if index[key].problem]
    agreeing = [key for key in repeated if not index[key].problem]
    notes = {
        "names with several rows that agree, counted once": agreeing,
        "names with several rows that contradict each other": broken,
    }
    for role in ("age", "sex"):
        column = getattr(descriptor.columns, role)
        lacking = [row for row in rows if column and _key(descriptor, row) and text_of(column, row) is None]
        notes[f"rows without {role}"] = [f"{_key(descriptor, row)} (line {row.line})" for row in lacking]
    return tuple(f"{rows[0].file}: {len(found)} {what}: {', '.join(found)}." for what, found in notes.items() if found)


def _plain(text: str) -> str:
    """Write an id in one way: numbers without leading zeros, words in lower case."""
    bare = text.removesuffix(".0")
    return str(int(bare)) if bare.isdecimal() else bare.lower()


def _candidate(descriptor: Descriptor, naming: Naming, rows: Mapping[str, Row], table: str, image: str) -> Candidate:
    groups = naming.groups(image)
    if groups is None:
        return unnamed(image, naming.example)
    keys = [template.format_map(groups) for template in naming.row]
    row = next((rows[_plain(key)] for key in keys if _plain(key) in rows), None)
    level: Level = "scan" if naming.row_is_a_scan else "participant"
    broken = first_broken([row])
    exclusion = Exclusion(image, *broken, "check") if broken else None
    if row is None:
        reason = f"expected a row for {keys[0]}, got none. Add one, or leave the scan out."
        exclusion = Exclusion(image, table, reason, "warning", "match")
    told = {"site": Cell(groups["site"], image, "scan")} if groups.get("site") else {}
    participant_id, session_id, run = naming.key(groups)
    return Candidate(
        participant_id,
        session_id or descriptor.unnamed_session,
        run,
        image,
        image,
        cells=told | cells_of(descriptor, [(level, row)]),
        exclusion=exclusion,
    )
