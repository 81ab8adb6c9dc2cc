"""Take people out of a report and out of findings: random identifiers for names."""

import csv
import io
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from neurolatent.analysis.finding import Finding, write_finding
from neurolatent.provenance import write_text
from neurolatent.report.records import Summary
from neurolatent.sharing.identifiers import Names

T = TypeVar("T")
PERSON_COLUMN = "participant_id"


def with_identifiers(value: T, names: Names) -> T:
    """Return a record with identifiers for people in every text, however deep; pictures stay as they are."""
    return _renamed(value, names)


def hide_in_summary(summary: Summary, names: Names) -> Summary:
    """Return a report's summary with identifiers for people; pictures of scans go by these, not by the old order."""
    hidden = with_identifiers(summary, names)
    pictures = tuple(sorted(hidden.preprocessing.pictures, key=lambda picture: picture.title))
    return replace(hidden, preprocessing=replace(hidden.preprocessing, pictures=pictures))


def write_shared_finding(folder: Path, source: Path, finding: Finding, names: Names) -> None:
    """Write a finding and its tables with identifiers for people; its maps show single brains and stay behind."""
    for file in finding.tables.values():
        write_text(folder / file, _renamed_table((source / file).read_text(encoding="utf-8"), names))
    write_finding(folder, with_identifiers(replace(finding, maps={}), names))


def _renamed(value: Any, names: Names) -> Any:
    if isinstance(value, str):
        return names.of(value)
    if isinstance(value, (tuple, list)):
        return type(value)(_renamed(one, names) for one in value)
    if isinstance(value, Mapping):
        return {key: _renamed(one, names) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{part.name: _renamed(getattr(value, part.name), names) for part in fields(value)})
    return value


def _renamed_table(text: str, names: Names) -> str:
    """Rename people and sessions, and sort the rows by the new names: the old order would tell who is who."""
    header, *rows = csv.reader(text.splitlines(), delimiter="\t")
    place = header.index(PERSON_COLUMN) if PERSON_COLUMN in header else None
    renamed = [[names.of(cell if place is None else names.session(row[place], cell)) for cell in row] for row in rows]
    if place is not None:
        renamed.sort(key=lambda row: row[place])
    written = io.StringIO()
    csv.writer(written, delimiter="\t", lineterminator="\n").writerows([header, *renamed])
    return written.getvalue()
