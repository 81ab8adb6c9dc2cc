"""Any table of scans: a row is a scan, one column holds its path."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from neurolatent.cohort.candidates import Candidate, Reading, Source, cells_of, text_of
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.readers.folder import read_tables, require_roles
from neurolatent.cohort.tables import Row
from neurolatent.errors import TableError

TABLE = "scans"
PREFIXES = {"participant": "sub-", "session": "ses-"}


def read_scans(descriptor: Descriptor, source: Source) -> Reading:
    """Make a candidate of each row."""
    require_roles(descriptor, [TABLE], ["participant", "image"])
    tables = read_tables(descriptor, source, {TABLE: ("participant", "image")})
    rows, notes = _without_repeats(tables.rows[TABLE])
    found = tuple(_candidate(descriptor, source, row) for row in rows)
    if not found:
        msg = f"{tables.files[0].name}: expected a row for each scan, got none. Fill the table."
        raise TableError(msg)
    return Reading(found, tables.files, len({scan.participant_id for scan in found} - {""}), notes)


def _without_repeats(rows: Sequence[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """Count rows once that agree in every cell; tell of them."""
    distinct: dict[tuple[object, ...], Row] = {}
    for row in rows:
        distinct.setdefault((*sorted(row.cells.items()), row.problem), row)
    kept = {row.where for row in distinct.values()}
    repeated = [row for row in rows if row.where not in kept]
    lines = ", ".join(str(row.line) for row in repeated)
    notes = [
        f"{row.file}: {len(repeated)} rows repeat another in every cell, and count once with it: line {lines}."
        for row in repeated[:1]
    ]
    return list(distinct.values()), tuple(notes)


def _candidate(descriptor: Descriptor, source: Source, row: Row) -> Candidate:
    columns = descriptor.columns
    person, image = text_of(columns.participant, row), text_of(columns.image, row)
    problem = row.problem
    if problem is None and (person is None or image is None):
        lacking = columns.participant if person is None else columns.image
        problem = f"expected a value in the column {' or '.join(lacking.names if lacking else ())}, got none. Fill it."
    if problem is not None or person is None or image is None:
        place = image or row.where
        exclusion = Exclusion(place, row.where, str(problem), "error", "match")
        return Candidate("", "", "", place, row.where, exclusion=exclusion)
    session = text_of(columns.session, row)
    run = (text_of(columns.run, row) or "1").removesuffix(".0")
    return Candidate(
        _prefixed(person, "participant"),
        _prefixed(session, "session") if session else descriptor.unnamed_session,
        run,
        _below(image, source.root),
        f"{row.where}, {(columns.image.names if columns.image else ('image',))[0]}",
        cells=cells_of(descriptor, [("scan", row)]),
    )


def _prefixed(name: str, role: str) -> str:
    prefix = PREFIXES[role]
    return name if name.startswith(prefix) else prefix + name.removesuffix(".0")


def _below(image: str, root: Path) -> str:
    """Return the path relative to the source folder where it lies below it; other paths are refused later."""
    path = PurePosixPath(image)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else image
