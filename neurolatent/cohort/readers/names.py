"""Scans whose file names say whose they are, joined to one table: IXI, OASIS-1, OASIS-2, and the like."""

from collections.abc import Mapping

from neurolatent.cohort.candidates import (
    Candidate,
    Cell,
    Level,
    Reading,
    Source,
    cells_of,
    rows_agree,
    show_row,
    unnamed,
)
from neurolatent.cohort.descriptor import Descriptor, Naming
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.readers.folder import find_images, naming_of, read_tables, require_roles
from neurolatent.cohort.tables import Row, first_broken, index_rows

TABLE = "people"


def read_names(descriptor: Descriptor, source: Source) -> Reading:
    """Find the images and give each its row."""
    require_roles(descriptor, [TABLE], ["participant"])
    naming = naming_of(descriptor)
    images = find_images(source.root, descriptor.images.patterns, naming.example)
    tables = read_tables(descriptor, source, {TABLE: ("participant", "age", "sex")})
    rows = _index(descriptor, tables.rows[TABLE])
    found = (_candidate(descriptor, naming, rows, tables.files[0].name, image) for image in images)
    return Reading(tuple(found), tables.files, len(rows))


def _index(descriptor: Descriptor, rows: tuple[Row, ...]) -> dict[str, Row]:
    columns, participant = descriptor.columns, descriptor.columns.participant

    def key_of(row: Row) -> str | None:
        found = participant and row.get(participant.names, participant.missing)
        return _plain(found[1]) if found else None

    return index_rows(
        rows,
        key_of,
        lambda one, other: rows_agree(columns, one, other),
        lambda row: show_row(columns, row),
        severity=descriptor.tables[TABLE].contradictions,
    )


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
