"""Read the tables beside a finding: columns of text, turned into numbers where a figure needs them."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurolatent.cohort.visits import MISSING
from neurolatent.errors import TableError
from neurolatent.shapes import Values


@dataclass(frozen=True)
class Columns:
    """A table by column; `n/a` is a missing value."""

    name: str
    """The file's name, for messages."""
    texts: Mapping[str, tuple[str, ...]]

    def text(self, column: str) -> np.ndarray:
        """Return a column as it stands."""
        return np.array(self.texts[column], dtype=object)

    def numbers(self, column: str) -> Values:
        """Return a column as numbers, NaN where a value is missing."""
        try:
            return np.array([np.nan if text in {MISSING, ""} else float(text) for text in self.texts[column]])
        except ValueError as error:
            msg = f"{self.name}, {column}: expected numbers or {MISSING}, got other text ({error}). Rerun the protocol."
            raise TableError(msg) from error

    def is_numeric(self, column: str) -> bool:
        """Return whether a column holds numbers, at least one, and nothing else."""
        try:
            return bool(np.isfinite(self.numbers(column)).any())
        except TableError:
            return False


def read_columns(path: Path, *, expected: tuple[str, ...]) -> Columns:
    """Read a TSV file; a lacking column or a short row is refused."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    heads = rows[0] if rows else []
    lacking = [name for name in expected if name not in heads]
    if lacking or any(len(row) != len(heads) for row in rows):
        got = f"lacking {lacking}" if lacking else "got rows of different lengths"
        msg = f"{path}: expected a table with the columns {list(expected)}, {got}. Rerun the step that wrote it."
        raise TableError(msg)
    return Columns(path.name, {name: tuple(row[place] for row in rows[1:]) for place, name in enumerate(heads)})
