"""Dates stay behind: no column and no session that later files carry may tell one."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from neurolatent.cohort.visits import MISSING, Visit
from neurolatent.workspace import ScanKey

YEAR, MONTH, DAY = r"(?:19|20)\d{2}", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
FULL_MONTH, FULL_DAY, SHORT_YEAR = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])", r"\d{2}"
NAMED_MONTH = (
    r"(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)(?![a-z])"
)
FORMS = (
    rf"(?:{DAY}[-_. ]?)?{NAMED_MONTH}[-_., ]*(?:{DAY}[-_., ]+)?{YEAR}",
    rf"{DAY}[-_/.]?{NAMED_MONTH}[-_/.]?{SHORT_YEAR}",
    rf"{YEAR}[-_./]{MONTH}[-_./]{DAY}",
    rf"{YEAR}{FULL_MONTH}{FULL_DAY}(?:\d{{4}}|\d{{6,9}})?",
    rf"(?:{FULL_DAY}{FULL_MONTH}|{FULL_MONTH}{FULL_DAY}){YEAR}",
    rf"{YEAR}-?W[0-5]\d(?:-?[1-7])?",
    rf"{YEAR}[a-zA-Z]{FULL_MONTH}[a-zA-Z]{FULL_DAY}",
    rf"{DAY}[-_./]{MONTH}[-_./]{YEAR}",
    rf"{MONTH}[-_./]{DAY}[-_./]{YEAR}",
    rf"{YEAR}[-/]{FULL_MONTH}",
    rf"{MONTH}[-/]{YEAR}",
    rf"(?:{MONTH}/{DAY}|{DAY}/{MONTH})/{SHORT_YEAR}",
)
DATE = re.compile(rf"(?<!\d)(?:{'|'.join(FORMS)})(?!\d)")
"""A date anywhere in a text."""
SHORT = re.compile(rf"(?:{MONTH}[-_.]{DAY}|{DAY}[-_.]{MONTH}|{SHORT_YEAR}[-_./]{MONTH})[-_./](?:{SHORT_YEAR}|{DAY})")
"""A date without its century, where it is all that a cell says: in a text it could be a version."""
SIX = rf"{SHORT_YEAR}{FULL_MONTH}{FULL_DAY}|{FULL_DAY}{FULL_MONTH}{SHORT_YEAR}|{YEAR}{FULL_MONTH}"
LABEL = re.compile(rf"(?<!\d)(?:{SIX})(?!\d)")
"""A date in six figures, as names of sessions have them."""
MONTHS = re.compile(rf"{YEAR}{FULL_MONTH}(?:\.0)?")
"""Year and month, where every cell of a column is one: a single one could be any number."""
BIRTH = re.compile(r"birth|dob|yob|born|geburt|geboor|naissance|nacim|nascita|fodsel|syntym", re.IGNORECASE)


def tells_date(text: str) -> bool:
    """Whether a cell holds a date."""
    return bool(DATE.search(text) or SHORT.fullmatch(text.strip()))


def is_named_by_date(label: str) -> bool:
    """Whether the name of a session or a run is one."""
    return bool(DATE.search(label) or LABEL.search(label))


def hide_dates(visits: Sequence[Visit]) -> tuple[list[Visit], list[str]]:
    """Return the scans without dates in what later files carry, and what was done, in words.

    Own columns with a date, or about birth, are dropped. Where a session's name is a date, all sessions are named by
    their months instead.
    """
    private = sorted(name for name in {name for visit in visits for name in visit.extra} if _is_private(name, visits))
    notes = [f"The column {name!r} was dropped: it holds dates or tells of birth." for name in private]
    hidden = [_without(visit, private) for visit in visits] if private else list(visits)
    if any(is_named_by_date(visit.session_id) for visit in visits):
        names = _by_months(visits)
        hidden = [replace(visit, session_id=names[visit.participant_id, visit.session_id]) for visit in hidden]
        notes.append("Sessions were named by dates: they are named by months since the first scan instead.")
    if any(is_named_by_date(visit.run) for visit in visits):
        runs = _by_order(hidden)
        hidden = [replace(visit, run=runs[visit.key]) for visit in hidden]
        notes.append("Runs were named by dates: they are numbered within their session instead.")
    if any(tells_date(visit.site or "") for visit in visits):
        hidden = [replace(visit, site=None) for visit in hidden]
        notes.append("The column 'site' was emptied: it holds dates.")
    if any(is_named_by_date(visit.participant_id) for visit in visits):
        notes.append("Names of participants look like dates: give them others before anything is handed on.")
    return hidden, notes


def _is_private(name: str, visits: Iterable[Visit]) -> bool:
    cells = [text for visit in visits if (text := visit.extra.get(name, MISSING)) != MISSING]
    only_months = bool(cells) and all(map(MONTHS.fullmatch, cells))
    return only_months or bool(BIRTH.search(name)) or any(map(tells_date, cells))


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


def _by_order(visits: Iterable[Visit]) -> Mapping[ScanKey, str]:
    """Number each session's runs, in the order of their names."""
    sessions: dict[tuple[str, str], list[ScanKey]] = {}
    for key in sorted(visit.key for visit in visits):
        sessions.setdefault((key.participant_id, key.session_id), []).append(key)
    return {key: str(number) for keys in sessions.values() for number, key in enumerate(keys, start=1)}
