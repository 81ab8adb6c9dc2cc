"""The unit of ages that the JSON file beside a table states."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurolatent.cohort.columns import YEARS_PER_UNIT, AmountColumn, Unit
from neurolatent.cohort.tables import Row
from neurolatent.errors import CohortError, TableError

UNITS: dict[str, Unit] = {
    **dict.fromkeys(("year", "yr", "a", "y"), "years"),
    **dict.fromkeys(("month", "mo"), "months"),
    **dict.fromkeys(("week", "wk"), "weeks"),
    **dict.fromkeys(("day", "d"), "days"),
}
"""By the word in the singular, or the symbol of the Unified Code for Units of Measure, which BIDS asks for."""

NO_UNITS = frozenset({"n/a", "na", "none", "integer", "int", "float", "number"})
"""What data sets write where they state none."""


def stated_unit(column: AmountColumn | None, table: Path, row: Row, root: Path) -> Unit | None:
    """Return the unit of a table's ages, `None` where no file states one; `row` is any of the table."""
    age = next((name for name in column.names if name.lower() in row.cells), None) if column else None
    for path in _beside(table, root) if age else ():
        described = {str(name).lower(): value for name, value in read_json_object(path).items()}.get(str(age).lower())
        told = described.get("Units") if isinstance(described, dict) else None
        if told and str(told).lower() not in NO_UNITS:
            return _read(str(told), f"{path.relative_to(root).as_posix()}, {age}")
    return None


def read_json_object(path: Path) -> dict[str, Any]:
    """Read what a JSON file says by name, nothing where it holds anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        msg = f"{path}: expected JSON, got something else ({error}). Correct the file, or remove it."
        raise CohortError(msg) from error
    return found if isinstance(found, dict) else {}


def _beside(table: Path, root: Path) -> Iterator[Path]:
    """Yield the files that may describe a table: its own, then the one for all tables of its kind."""
    for path in (table.with_suffix(".json"), root / f"{table.stem.rpartition('_')[2]}.json"):
        if path.is_file():
            yield path


def _read(text: str, where: str) -> Unit:
    """Take the one unit that a text names: `months`, `Years at the scan`, `mo`."""
    words = re.findall(r"[a-z]+", text.lower())
    symbols = len(words) == 1
    singular = [word.removesuffix("s") for word in words if symbols or len(word) > 1]
    named: list[Unit] = [UNITS[word] for word in singular if word in UNITS]
    if len(set(named)) == 1:
        return named[0]
    msg = f"{where}: expected Units of {' or '.join(YEARS_PER_UNIT)}, got {text!r}. Correct it, or remove it."
    raise TableError(msg)
