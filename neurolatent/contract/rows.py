"""Read the rows of a table that somebody may have edited, whatever an editor or a spreadsheet made of it."""

import csv
import io
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurolatent.contract.remark import Place, Remark

DELIMITER = "\t"
SAVE_AS = "Save it as tab-separated text in UTF-8, without a byte order mark."


@dataclass(frozen=True)
class RawRow:
    """Cells as written, and the line that they end on."""

    line: int
    cells: tuple[str, ...]
    lines: int = 1
    """How many lines the row takes: more than one where a cell is in quotation marks."""


def read_rows(path: Path) -> tuple[list[RawRow], list[Remark]]:
    """Return the rows, the one with the columns' names first, and what keeps others from reading them."""
    file = Place(file=path.name)
    try:
        stored = path.read_bytes()
    except OSError as error:
        build = f"Make it with `neurolatent cohort build NAME SOURCE --out {path.parent}`."
        return [], [Remark("error", "file", file, "a table of scans", f"{error.strerror!r}", build)]
    text, remarks = _decode(stored, path.name)
    if not text.strip():
        return [], [*remarks, Remark("error", "file", file, "a table of scans", "an empty file", "Rebuild the cohort.")]
    lines = list(io.StringIO(text, newline=""))
    rows: list[RawRow] = []
    for row in _parse(lines, path.name):
        if isinstance(row, Remark):
            remarks.append(row)
        elif rows and row.lines > 1 and len(row.cells) != len(rows[0].cells):
            remarks.append(_open_quote(path.name, row))
            rows += _one_by_one(lines, path.name, row)
        elif row.cells:
            rows.append(row)
        elif not rows:
            got = "an empty line"
            remarks.append(
                Remark("error", "columns", Place(path.name, row.line), "the columns' names", got, "Remove it.")
            )
    return rows, remarks


def _decode(stored: bytes, name: str) -> tuple[str, list[Remark]]:
    """Return the text, with a replacement for what is not UTF-8, and where that is."""
    remarks: list[Remark] = []
    if stored.startswith(b"\xef\xbb\xbf"):
        stored = stored[3:]
        remarks.append(Remark("error", "encoding", Place(name, 1), "UTF-8", "a byte order mark before it", SAVE_AS))
    for number, line in enumerate(stored.split(b"\n"), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            got = f"the byte 0x{line[error.start]:02x}"
            remarks.append(Remark("error", "encoding", Place(name, number), "UTF-8", got, SAVE_AS))
    return stored.decode("utf-8", errors="replace"), remarks


def _parse(
    lines: Sequence[str], name: str, *, first: int = 0, quoting: int = csv.QUOTE_MINIMAL
) -> Generator[RawRow | Remark]:
    """Give each row, and a remark in the place of one that cannot be parsed."""
    reader = csv.reader(iter(lines), delimiter=DELIMITER, quoting=quoting)  # pyright: ignore[reportArgumentType]
    before = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            place = Place(name, first + reader.line_num)
            yield Remark("error", "cells", place, "a row of cells", f"something else ({error})", SAVE_AS)
        else:
            yield RawRow(first + reader.line_num, tuple(cells), reader.line_num - before)
        before = reader.line_num


def _open_quote(name: str, row: RawRow) -> Remark:
    first = row.line - row.lines + 1
    got = f"a quotation mark on line {first} that takes in all up to line {row.line}"
    place = Place(name, first)
    return Remark("error", "cells", place, "quotation marks in pairs", got, "Remove it, or write it twice.")


def _one_by_one(lines: Sequence[str], name: str, row: RawRow) -> list[RawRow]:
    """Return the lines that an open quotation mark ran together, each as a row."""
    first = row.line - row.lines
    parsed = _parse(lines[first : row.line], name, first=first, quoting=csv.QUOTE_NONE)
    return [one for one in parsed if isinstance(one, RawRow) and one.cells]
