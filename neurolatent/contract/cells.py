"""What each cell of the table of scans may hold: types, ranges, codes, names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from neurolatent.cohort.timing import LONGEST_SPAN_MONTHS
from neurolatent.cohort.visits import (
    AGE_LIMITS_YEARS,
    COLUMNS,
    DIAGNOSES,
    KEY_PART,
    MISSING,
    NUMBERS,
    SEXES,
)
from neurolatent.contract.remark import Place, Remark, Severity
from neurolatent.workspace import ScanKey

KEY_COLUMNS = ScanKey._fields
NEEDED = frozenset({*KEY_COLUMNS, "months", "cohort", "image"})
RANGES = {
    "months": (0.0, LONGEST_SPAN_MONTHS, "Count months from the person's first scan."),
    "age_years": (*AGE_LIMITS_YEARS, f"Write the age at the scan in years, or {MISSING}."),
    "age_precision_years": (0.0, 10.0, "Write by how many years the age may be off, such as 0.5."),
    "scanner_tesla": (0.05, 12.0, f"Write the field strength in tesla, such as 1.5 or 3, or {MISSING}."),
}
CODES = {"sex": SEXES, "diagnosis": DIAGNOSES}
SPELLINGS = {"sex": {"female": "F", "woman": "F", "male": "M", "man": "M"}, "diagnosis": {}}
NO_VALUES = frozenset({"", "na", "n/a", "nan", "none", "null", "missing", "unknown", "-", ".", "?"})
WRITE_MISSING = f"Write {MISSING} for a missing value."


@dataclass(frozen=True)
class Entry:
    """What could be read of one row: `None` where a value is missing or at fault."""

    line: int
    key: ScanKey | None
    months: float | None
    age_years: float | None
    age_precision_years: float | None
    sex: str | None
    diagnosis: str | None
    cohort: str | None
    image: str | None


def check_cells(file: str, line: int, cells: Mapping[str, str]) -> tuple[Entry, list[Remark]]:
    """Read one row, and say what is wrong with each of its cells."""
    key = ScanKey(*(cells[name] for name in KEY_COLUMNS))
    named = all(KEY_PART.fullmatch(part) and part != MISSING for part in key)
    row = _Row(file, line, "/".join(key) if named else None, cells)
    values = {name: row.value(name) for name in COLUMNS if name in cells}
    entry = Entry(
        line=line,
        key=key if named else None,
        **{name: values.get(name) for name in Entry.__dataclass_fields__ if name not in {"line", "key"}},  # pyright: ignore[reportArgumentType]
    )
    return entry, row.remarks


class _Row:
    def __init__(self, file: str, line: int, scan: str | None, cells: Mapping[str, str]) -> None:
        self._place, self._scan, self._cells = (file, line), scan, cells
        self.remarks: list[Remark] = []

    def value(self, name: str) -> float | str | None:
        """Return a cell's value, or `None` where it has none that can be used."""
        text = self._cells[name]
        if text == MISSING or (name in NEEDED and not text.strip()):
            if name in NEEDED:
                self._tell("value", name, "a value", text, "Fill it in, or remove the row.")
            return None
        if name in NUMBERS:
            return self._number(name, text)
        if name in CODES:
            return self._code(name, text)
        if name in KEY_COLUMNS and not KEY_PART.fullmatch(text):
            self._tell("name", name, "letters, digits and -_.+", text, "Rename it: it becomes part of file names.")
            return None
        return self._text(name, text)

    def _number(self, name: str, text: str) -> float | None:
        value = _float(text)
        if value is None:
            self._tell("number", name, f"a number or {MISSING}", text, _mend_number(text))
            return None
        low, high, way_out = RANGES[name]
        if not low <= value <= high:
            self._tell("range", name, f"a number from {low:g} to {high:g}", text, way_out)
            return None
        return value

    def _code(self, name: str, text: str) -> str | None:
        known = CODES[name]
        if text in known:
            return text
        expected = f"one of {', '.join(known)} or {MISSING}"
        self._tell("code", name, expected, text, _mend_code(name, text))
        return None

    def _text(self, name: str, text: str) -> str | None:
        if not text.strip():
            self._tell("space", name, f"a value or {MISSING}", text, WRITE_MISSING, severity="warning")
            return None
        if text != text.strip():
            way_out = f"Write {text.strip()!r}: with spaces it is another value."
            self._tell("space", name, "a value without spaces around it", text, way_out, severity="warning")
        return text

    def _tell(
        self, rule: str, column: str, expected: str, text: str, way_out: str, *, severity: Severity = "error"
    ) -> None:
        place = Place(*self._place, column, self._scan)
        got = repr(text) if text else "an empty cell"
        self.remarks.append(Remark(severity, rule, place, expected, got, way_out))


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _mend_number(text: str) -> str:
    if text.strip().lower() in NO_VALUES:
        return WRITE_MISSING
    if _float(text.replace(",", ".")) is not None:
        return f"Write {text.replace(',', '.')}, with a decimal point."
    return f"Write the number alone, or {MISSING}."


def _mend_code(name: str, text: str) -> str:
    bare = text.strip().lower()
    if bare in NO_VALUES:
        return WRITE_MISSING
    meant = {code.lower(): code for code in CODES[name]} | SPELLINGS[name]
    return f"Write {meant[bare]}." if bare in meant else f"Write one of these, or {MISSING}."
