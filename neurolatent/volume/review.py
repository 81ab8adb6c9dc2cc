"""What a person decided about preprocessed scans: the review file, read and checked."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurolatent.cohort.visits import MISSING
from neurolatent.errors import ScanError
from neurolatent.workspace import ScanKey

COLUMNS = (*ScanKey._fields, "verdict", "note")
PASSED = {"pass": True, "fail": False}
WAY_OUT = "Correct the row, or export the file anew from the quality page."


@dataclass(frozen=True)
class Verdict:
    """What a reviewer decided about one scan."""

    passed: bool
    note: str
    """Free words on one line; empty where there are none."""

    @property
    def word(self) -> str:
        """As it stands in the file."""
        return "pass" if self.passed else "fail"


def read_review(path: Path) -> dict[ScanKey, Verdict]:
    """Read the verdicts; an absent file holds none.

    A scan may stand there twice if both rows decide the same; the first note is kept.

    Raises:
        ScanError: If the table or a row of it cannot be used.
    """
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # a spreadsheet may put a byte order mark in front
            reader = csv.DictReader(file, delimiter="\t", strict=True)
            _require_columns(reader.fieldnames or (), path.name)
            return _verdicts(reader, path.name)
    except (csv.Error, UnicodeDecodeError) as error:
        msg = f"{path.name}: expected UTF-8 text in columns split by tabs, got {str(error)!r}. {WAY_OUT}"
        raise ScanError(msg) from error


def _verdicts(reader: "csv.DictReader[str]", name: str) -> dict[ScanKey, Verdict]:
    verdicts: dict[ScanKey, Verdict] = {}
    for row in reader:
        where = f"{name} line {reader.line_num}"
        key, verdict = _row(row, where)
        earlier = verdicts.get(key, verdict)
        if earlier.passed != verdict.passed:
            got = f"got {earlier.word!r} above and {verdict.word!r} here"
            msg = f"{where}: expected one verdict on {'/'.join(key)}, {got}. Remove one of the rows."
            raise ScanError(msg)
        verdicts[key] = earlier if earlier.note else verdict
    return verdicts


def _require_columns(heads: Sequence[str], name: str) -> None:
    lacking = [column for column in COLUMNS if column not in heads]
    if lacking:
        msg = f"{name} line 1: expected the columns {list(COLUMNS)}, got {list(heads)}, lacking {lacking}. {WAY_OUT}"
        raise ScanError(msg)


def _row(row: Mapping[str | None, str | None], where: str) -> tuple[ScanKey, Verdict]:
    cells = {column: row[column] for column in COLUMNS}
    if None in row or None in row.values():
        got = [text for text in cells.values() if text is not None]
        msg = f"{where}: expected as many cells as columns, got another number in {got}. {WAY_OUT}"
        raise ScanError(msg)
    texts = {column: (text or "").strip() for column, text in cells.items()}
    for column in ScanKey._fields:
        if texts[column] in {"", MISSING}:
            msg = f"{where}, {column}: expected a name, got {texts[column]!r}. {WAY_OUT}"
            raise ScanError(msg)
    if texts["verdict"] not in PASSED:
        msg = f"{where}, verdict: expected one of {sorted(PASSED)}, got {texts['verdict']!r}. {WAY_OUT}"
        raise ScanError(msg)
    note = "" if texts["note"] == MISSING else texts["note"]
    return ScanKey(*(texts[column] for column in ScanKey._fields)), Verdict(PASSED[texts["verdict"]], note)
