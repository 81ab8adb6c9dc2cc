"""Take people out of a report and out of findings: random identifiers for names, counts for lists of scans."""

import csv
import io
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from neurolatent.analysis.finding import Finding, write_finding
from neurolatent.provenance import write_text
from neurolatent.report import numbers
from neurolatent.report.records import Exclusion, Summary
from neurolatent.sharing.identifiers import rename

T = TypeVar("T")
SEVERITIES = {
    "error": "Left out for a fault of its row or image",
    "warning": "Left out for a fault that its cohort is known for",
    "note": "Left out as asked, or for another image of the same visit",
}
PERSON_COLUMN = "participant_id"


def hide_in_summary(summary: Summary, names: Mapping[str, str]) -> Summary:
    """Return the summary with identifiers for people; scans that were left out are counted, not named or quoted."""
    cohort = replace(summary.cohort, exclusions=_counted(summary.cohort.exclusions))
    failures = replace(summary.preprocessing, failures=_counted(summary.preprocessing.failures))
    return _renamed(replace(summary, cohort=cohort, preprocessing=failures), names)


def write_shared_finding(folder: Path, source: Path, finding: Finding, names: Mapping[str, str]) -> None:
    """Write a finding and its tables with identifiers for people; its maps show single brains and stay behind."""
    for file in finding.tables.values():
        write_text(folder / file, _renamed_table((source / file).read_text(encoding="utf-8"), names))
    write_finding(folder, _renamed(replace(finding, maps={}), names))


def _counted(exclusions: tuple[Exclusion, ...]) -> tuple[Exclusion, ...]:
    """Say how many scans each severity cost: reasons quote cells, and a file's name tells whose it is."""
    counts: dict[str, int] = {}
    for one in exclusions:
        counts[one.severity] = counts.get(one.severity, 0) + one.count
    return tuple(
        Exclusion(SEVERITIES.get(severity, "Left out"), severity, (numbers.count(count, "scan", "scans"),), count)
        for severity, count in counts.items()
    )


def _renamed(value: T, names: Mapping[str, str]) -> T:
    """Rename people in every text of a record, however deep; pictures stay as they are."""
    return _anything_renamed(value, names)


def _anything_renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return rename(value, names)
    if isinstance(value, (tuple, list)):
        return type(value)(_anything_renamed(one, names) for one in value)
    if isinstance(value, Mapping):
        return {key: _anything_renamed(one, names) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{part.name: _anything_renamed(getattr(value, part.name), names) for part in fields(value)}
        )
    return value


def _renamed_table(text: str, names: Mapping[str, str]) -> str:
    """Rename people, and sort the rows by their new names: the old order would tell who is who."""
    header, *rows = csv.reader(text.splitlines(), delimiter="\t")
    renamed = [[rename(cell, names) for cell in row] for row in rows]
    if PERSON_COLUMN in header:
        renamed.sort(key=lambda row: row[header.index(PERSON_COLUMN)])
    written = io.StringIO()
    csv.writer(written, delimiter="\t", lineterminator="\n").writerows([header, *renamed])
    return written.getvalue()
