"""Read a cohort's tables as text, each row with the place it came from."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from neurolatent.cohort.exclusion import Severity
from neurolatent.cohort.visits import MISSING
from neurolatent.errors import TableError

SPREADSHEETS = frozenset({".xls", ".xlsx", ".ods"})
DELIMITERS = {".csv": ",", ".tsv": "\t"}
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}
"""What tables are separated by, and what it is called; the third where commas stand in numbers."""
R_MISSING = "NA"
"""What R writes where there is no value: many a table of ADNI went through it."""


@dataclass(frozen=True)
class Row:
    """One row of a table: cells by their column's name in lower case."""

    file: str
    line: int
    cells: Mapping[str, str]
    problem: str | None = None
    """Why the row cannot be used."""
    severity: Severity = "error"
    """Of the problem: a warning where the cohort is known for it."""
    contradicts: bool = False
    """Whether the problem is another row of the same key: the cells are readable, but nobody knows which hold."""
    also: tuple["Row", ...] = ()
    """Further rows of the same key, which tell what this one lacks."""

    @property
    def rows(self) -> tuple["Row", ...]:
        """Return the row and the further ones of its key."""
        return self, *self.also

    @property
    def where(self) -> str:
        """Name the file and the line, as an editor counts them."""
        return f"{self.file} line {self.line}"

    def get(self, names: Iterable[str], missing: Iterable[str] = ()) -> tuple[str, str] | None:
        """Return (column, text) of the first of these columns that the row has, `None` where its value is missing."""
        for name in names:
            text = self.cells.get(name.lower())
            if text is not None:
                absent = {"", MISSING, *(code.lower() for code in missing)}
                return None if text.lower() in absent or text == R_MISSING else (name, text)
        return None


def read_table(path: Path, *, name: str | None = None, sheet: str | None = None) -> tuple[Row, ...]:
    """Read a .tsv, .csv, .xls, .xlsx or .ods file; `name` stands for it in messages."""
    shown = name or path.name
    lines = _spreadsheet(path, shown, sheet) if path.suffix.lower() in SPREADSHEETS else _text_table(path, shown)
    if not lines:
        msg = f"{shown}: expected a line with the names of the columns, got an empty table. Fill it or remove it."
        raise TableError(msg)
    header = [cell.strip().lower() for cell in lines[0][1]]
    twice = sorted({cell for cell in header if cell and header.count(cell) > 1})
    if twice:
        msg = f"{shown}: expected each column once, got {twice} more than once. Rename or remove one."
        raise TableError(msg)
    return tuple(_row(shown, number, header, cells) for number, cells in lines[1:] if any(cells))


def has_columns(path: Path, names: Sequence[str]) -> bool:
    """Whether a table of text begins with a line that has these columns; anything else has none."""
    if not names:
        return True
    delimiter = DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        return False
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = next(csv.reader(file, delimiter=delimiter), [])
    except (csv.Error, OSError):
        return False
    return {name.lower() for name in names} <= {cell.strip().lower() for cell in header}


def first_broken(rows: Iterable[Row | None]) -> tuple[str, str, Severity] | None:
    """Return place, fault and severity of the first row that cannot be used."""
    for row in rows:
        if row is not None and row.problem is not None:
            return row.where, row.problem, row.severity
    return None


def require_columns(rows: Sequence[Row], groups: Iterable[Sequence[str]], file: str) -> None:
    """Refuse a table that has none of the columns of a group."""
    found = set(rows[0].cells) if rows else set[str]()
    for names in groups if rows else ():
        wanted = {name.lower() for name in names}
        if not found & wanted:
            _refuse_other_separator(found, wanted, file)
            msg = (
                f"{file}: expected a column {' or '.join(names)}, got {sorted(found)}. Rename it, or use a descriptor."
            )
            raise TableError(msg)


def _refuse_other_separator(found: Iterable[str], wanted: set[str], file: str) -> None:
    """Refuse a table whose first line holds the wanted column, but separated by something else than its ending says."""
    own = DELIMITERS.get(Path(file).suffix.lower())
    for other, called in SEPARATORS.items():
        headers = (header.split(other) for header in found if other in header)
        if own and own != other and any(wanted & {part.strip(' "') for part in parts} for parts in headers):
            told = f"expected columns separated by {SEPARATORS[own]}, got what looks like {called}"
            msg = f"{file}: {told}. Save it with {SEPARATORS[own]}, and numbers with points (64.5)."
            raise TableError(msg)


def merge_rows(
    rows: Iterable[Row],
    key_of: Callable[[Row], str | None],
    contrast: Callable[[Row, Row], tuple[str, str] | None],
    *,
    severity: Severity = "error",
) -> dict[str, Row]:
    """Give each key its one row; rows that agree count once, rows that contradict each other carry the problem.

    Args:
        rows: Of one table.
        key_of: Whom or what a row speaks of; `None` of nothing.
        contrast: What each of two rows says that contradict each other; `None` where they agree.
        severity: Of a contradiction.
    """
    index: dict[str, Row] = {}
    for row in rows:
        key = key_of(row)
        first = None if key is None else index.setdefault(key, row)
        if key is None or first is None or first is row or first.problem:
            continue
        index[key] = row if row.problem else _joined(key, first, row, contrast, severity)
    return index


def _joined(
    key: str, first: Row, row: Row, contrast: Callable[[Row, Row], tuple[str, str] | None], severity: Severity
) -> Row:
    joined = replace(first, also=(*first.also, row))
    for one in (replace(first, also=()), *first.also):
        said = contrast(one, row)
        if said is not None:
            other = f"line {row.line}" if row.file == one.file else row.where
            contradiction = (
                f"expected one row for {key}, got rows that contradict each other: "
                f"line {one.line} ({said[0]}) and {other} ({said[1]}). Correct or remove one."
            )
            return replace(joined, problem=contradiction, severity=severity, contradicts=True)
    return joined


def _row(file: str, number: int, header: list[str], cells: list[str]) -> Row:
    texts = [cell.strip() for cell in cells]
    problem = None
    if len(texts) != len(header):
        problem = f"expected {len(header)} cells, got {len(texts)}. Look for a missing or a stray separator."
    padded = texts + [""] * (len(header) - len(texts))
    return Row(file, number, dict(zip(header, padded, strict=False)), problem)


def _text_table(path: Path, shown: str) -> list[tuple[int, list[str]]]:
    delimiter = DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        msg = f"{shown}: expected a table {sorted(SPREADSHEETS | DELIMITERS.keys())}, got {path.suffix!r}. Convert it."
        raise TableError(msg)
    try:
        text = path.read_text(encoding="utf-8-sig")  # Excel begins its UTF-8 files with a mark
    except UnicodeDecodeError as error:
        msg = f"{shown}: expected UTF-8, got other bytes ({error.reason}). Save the table as UTF-8."
        raise TableError(msg) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        msg = f"{shown} line {reader.line_num}: expected a row of cells, got something else ({error}). Save it again."
        raise TableError(msg) from error


def _spreadsheet(path: Path, shown: str, sheet: str | None) -> list[tuple[int, list[str]]]:
    import pandas as pd
    from python_calamine import CalamineError

    try:
        frame = pd.read_excel(path, sheet_name=sheet or 0, header=None, dtype=object, engine="calamine")
    except (CalamineError, ValueError) as error:
        msg = f"{shown}: expected a workbook with the sheet {sheet or 'first'!r}, got: {error}. Download it again."
        raise TableError(msg) from error
    lines = frame.astype(object).where(frame.notna(), "").to_numpy().tolist()
    return [(number, [_text(value) for value in cells]) for number, cells in enumerate(lines, start=1)]


def _text(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
