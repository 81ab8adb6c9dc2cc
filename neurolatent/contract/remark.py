"""A remark on a cohort's input: how grave it is, where, what was expected, what came, what to do."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from neurolatent.errors import NeurolatentError
from neurolatent.workspace import ScanKey

Severity = Literal["error", "warning", "note"]
SEVERITIES = get_args(Severity)
PLACES_SHOWN = 3
"""Of remarks that say the same of many scans: a person reads one line, a program gets all."""
MESSAGE = re.compile(r"(?:(?P<about>.*?): )?expected (?P<expected>.+?), (?:got|found) (?P<got>.+?)\. (?P<way_out>.+)")
"""How every message of `neurolatent.errors` is built."""


@dataclass(frozen=True)
class Place:
    """Where something is at fault: a cell of a table, or a scan."""

    file: str | None = None
    line: int | None = None
    """As an editor counts."""
    column: str | None = None
    scan: str | None = None
    """participant/session/run."""

    def __str__(self) -> str:
        """Name it in a few words."""
        row = f"{self.file or ''} line {self.line}".strip() if self.line else self.file
        return ", ".join(part for part in (row, self.column, self.scan) if part)


@dataclass(frozen=True)
class Remark:
    """One thing that a person should know or mend."""

    severity: Severity
    rule: str
    """Which rule it breaks: the same word for the same kind of fault."""
    where: Place
    expected: str
    got: str
    way_out: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.severity}: {self.where}: {self.what}"

    @property
    def what(self) -> str:
        """All but the place."""
        return f"expected {self.expected}, got {self.got}. {self.way_out}"


def scan_place(key: ScanKey, file: str | None = None) -> Place:
    """Name a scan; the file only where the scan's name does not say which is meant."""
    return Place(file=file, scan="/".join(key))


def from_error(error: NeurolatentError, rule: str, key: ScanKey, *, image: str) -> Remark:
    """Take a scan's error apart; its file is named only where it is not the image itself."""
    found = MESSAGE.fullmatch(str(error))
    if found is None:
        return Remark("error", rule, scan_place(key), "a scan that can be used", str(error), "Look at the scan.")
    about, expected, got, way_out = found.group("about", "expected", "got", "way_out")
    return Remark("error", rule, scan_place(key, None if about in {None, image} else about), expected, got, way_out)


def gravest_first(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """Sort by severity, else leave the order."""
    return tuple(sorted(remarks, key=lambda remark: SEVERITIES.index(remark.severity)))


def describe(remarks: Iterable[Remark]) -> list[str]:
    """Return one line for each remark, and one for all remarks that say the same of several places."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for remark in remarks:
        groups[remark.severity, remark.what].append(str(remark.where))
    return [f"{severity}: {_listed(places)}: {what}" for (severity, what), places in groups.items()]


def _listed(places: list[str]) -> str:
    more = len(places) - PLACES_SHOWN
    shown = "; ".join(places[:PLACES_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown
