"""IXI: images named `IXI###-SITE-####-T1.nii.gz` anywhere below a folder, joined to one workbook by their id."""

import re
from pathlib import Path

from neurolatent.cohort.candidates import Candidate, Cell, Reading, cells_of, rows_agree, show_row
from neurolatent.cohort.descriptor import Column, Descriptor, Table
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.tables import Row, index_rows, read_table, require_columns
from neurolatent.errors import CohortError

PREFIX = "IXI"
DIGITS = 3


def read_ixi(descriptor: Descriptor, source: Path) -> Reading:
    """Find the images and give each its row."""
    table, participant, name = descriptor.table, descriptor.columns.participant, descriptor.images.name
    if table is None or participant is None or name is None:
        msg = f"{descriptor.name}.toml: the reader 'ixi' expects table, columns.participant and images.name. Add them."
        raise CohortError(msg)
    images = sorted({path for pattern in descriptor.images.patterns for path in source.glob(pattern)})
    if not images:
        msg = (
            f"{source}: expected images such as IXI002-Guys-0828-T1.nii.gz in or below it, found none. Check the path."
        )
        raise CohortError(msg)
    workbook = _find_table(source, table)
    rows = _people(descriptor, participant, workbook, table.sheet)
    found = (
        _candidate(descriptor, rows, workbook.name, re.fullmatch(name, path.name), path, source) for path in images
    )
    return Reading(tuple(found), (workbook,), len(rows))


def _find_table(source: Path, table: Table) -> Path:
    """Look in the folder, in its parent and then below the folder."""
    for name in table.files:
        places = [
            source / name,
            source.parent / name,
            *sorted(source.rglob(name)),
            *sorted(source.parent.glob(f"*/{name}")),
        ]
        for path in places:
            if path.is_file():
                return path
    msg = f"{source}: expected one of {list(table.files)} in it, below it or beside it, found none. Download it there."
    raise CohortError(msg)


def _people(descriptor: Descriptor, participant: Column, workbook: Path, sheet: str | None) -> dict[str, Row]:
    columns = descriptor.columns
    rows = read_table(workbook, sheet=sheet)
    require_columns(rows, [c.names for c in (participant, columns.age, columns.sex) if c], workbook.name)

    def key_of(row: Row) -> str | None:
        found = row.get(participant.names, participant.missing)
        digits = found and re.fullmatch(rf"(?:{PREFIX})?0*(\d+)(?:\.0)?", found[1])
        return f"{PREFIX}{digits[1].zfill(DIGITS)}" if digits else None

    # The released workbook contradicts itself: known, and no reason to call the whole build a failure.
    return index_rows(
        rows,
        key_of,
        lambda one, other: rows_agree(columns, one, other),
        lambda row: show_row(columns, row),
        severity="warning",
    )


def _candidate(
    descriptor: Descriptor, rows: dict[str, Row], table: str, parts: re.Match[str] | None, path: Path, source: Path
) -> Candidate:
    image = path.relative_to(source).as_posix()
    if parts is None:
        reason = "expected a name such as IXI002-Guys-0828-T1.nii.gz, got another. Restore the file's own name."
        return Candidate("", "", "", image, image, exclusion=Exclusion(image, image, reason, "error", "match"))
    person = PREFIX + parts["participant"]
    row = rows.get(person)
    exclusion = None
    if row is None:
        reason = f"expected a row for {person}, got none. Add one, or leave the scan out"
        exclusion = Exclusion(image, table, f"{reason}.", "warning", "match")
    elif row.problem:
        exclusion = Exclusion(image, row.where, row.problem, row.severity, "check")
    cells = {"site": Cell(parts["site"], image, "scan")} | cells_of(descriptor, [("participant", row)])
    return Candidate(f"sub-{person}", descriptor.unnamed_session, "1", image, image, cells=cells, exclusion=exclusion)
