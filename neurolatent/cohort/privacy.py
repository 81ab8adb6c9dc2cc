"""Dates stay behind: no column and no session that later files carry may tell one."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from neurolatent.cohort.visits import Visit

YEAR, MONTH, DAY = r"(?:19|20)\d{2}", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
FULL_MONTH, FULL_DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
NAMED_MONTH = r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?i:[a-z]*)"
FORMS = (
    rf"(?:{DAY}[-_. ])?{NAMED_MONTH}[-_., ]+(?:{DAY}[-_., ]+)?{YEAR}",
    rf"{YEAR}[-_./]{MONTH}[-_./]{DAY}",
    rf"{YEAR}{FULL_MONTH}{FULL_DAY}(?:\d{{4}}|\d{{6}})?",
    rf"{DAY}[-_./]{MONTH}[-_./]{YEAR}",
    rf"{MONTH}[-_./]{DAY}[-_./]{YEAR}",
)
DATE = re.compile(rf"(?<!\d)(?:{'|'.join(FORMS)})(?!\d)")
BIRTH = re.compile(r"birth|dob|yob|born", re.IGNORECASE)


def hide_dates(visits: Sequence[Visit]) -> tuple[list[Visit], list[str]]:
    """Return the scans without dates in what later files carry, and what was done, in words.

    Own columns with a date, or about birth, are dropped. Where a session's name is a date, all sessions are named by
    their months instead.
    """
    private = sorted(name for name in {name for visit in visits for name in visit.extra} if _is_private(name, visits))
    notes = [f"The column {name!r} was dropped: it holds dates or tells of birth." for name in private]
    hidden = [_without(visit, private) for visit in visits] if private else list(visits)
    if any(DATE.search(visit.session_id) for visit in visits):
        names = _by_months(visits)
        hidden = [replace(visit, session_id=names[visit.participant_id, visit.session_id]) for visit in hidden]
        notes.append("Sessions were named by dates: they are named by months since the first scan instead.")
    if any(DATE.search(visit.site or "") for visit in visits):
        hidden = [replace(visit, site=None) for visit in hidden]
        notes.append("The column 'site' was emptied: it holds dates.")
    if any(DATE.search(visit.participant_id) for visit in visits):
        notes.append("Names of participants look like dates: give them others before anything is handed on.")
    return hidden, notes


def _is_private(name: str, visits: Iterable[Visit]) -> bool:
    return bool(BIRTH.search(name)) or any(DATE.search(visit.extra.get(name, "")) for visit in visits)


def _without(visit: Visit, names: Iterable[str]) -> Visit:
    dropped = set(names)
    kept = {name: text for name, text in visit.extra.items() if name not in dropped}
    return replace(visit, extra=MappingProxyType(kept))


def _by_months(visits: Iterable[Visit]) -> Mapping[tuple[str, str], str]:
    """Name each session by its months; a second one in the same month gets a number."""
    months = {(visit.participant_id, visit.session_id): visit.months for visit in visits}
    names: dict[tuple[str, str], str] = {}
    taken: dict[tuple[str, str], int] = {}
    for (person, session), value in sorted(months.items(), key=lambda item: (item[0][0], item[1], item[0][1])):
        name = f"ses-M{round(value):03d}"
        count = taken.get((person, name), 0)
        taken[person, name] = count + 1
        names[person, session] = name + (f"x{count + 1}" if count else "")
    return names
