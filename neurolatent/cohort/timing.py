"""When each session took place: months since the participant's first scan."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from neurolatent.cohort.candidates import Candidate
from neurolatent.cohort.checks import MONTHS_PER_YEAR, exclude, number, read_age
from neurolatent.cohort.columns import YEARS_PER_UNIT, Columns
from neurolatent.cohort.days import read_day
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.visits import DAYS_PER_MONTH, check_age
from neurolatent.errors import TableError

MONTHS_RULE = (
    "Since the participant's first scan, days / 30.4375. Taken, for all of a participant's sessions alike, from the "
    "clock that tells most of them, the first of: the day that the cohort's reader found, a column of months, the day "
    "of the scan, the age in the sessions' or scans' table, the session's name (ses-M06), an age in whole years. A "
    "clock that puts sessions more than 50 years apart is not believed. Where no clock tells more than one session, "
    "that one is kept, else the first where names tell an order (ses-1, ses-2; ses-baseline), as month 0; else none."
)
CLOCKS = ("day", "months", "date", "age", "label", "whole years")
FINE_AGE_YEARS = 0.1
"""An age in whole years puts visits of half a year on one day: a session's name tells more."""
MONTH_LABEL = re.compile(r"ses-[Mm]0*(\d+)")
NUMBERED = re.compile(r"ses-(?P<word>[A-Za-z]*)(?P<number>\d+)")
BASELINES = frozenset({"ses-bl", "ses-baseline"})
"""Say of themselves that they come first; `pre`, `post` and other words say nothing that a reader may rely on."""
LONGEST_SPAN_MONTHS = 600.0
"""No person's MRI scans lie further apart: dates that do were shifted one by one to hide them."""
NO_TIME = (
    "expected to learn when this session took place, got no months, no believable day and no age for it. "
    "Add a column `months` to the sessions table."
)
NO_ORDER = (
    "expected to learn when this session took place or which session was the first, got no months, no believable day "
    "and no age, and names that tell no order: {names}. Add a column `months` to the sessions table."
)


@dataclass(frozen=True)
class Timing:
    """Months by candidate's place in the list, and those that have none."""

    months: Mapping[int, float]
    exclusions: Mapping[int, Exclusion]


def time_sessions(candidates: Iterable[Candidate], columns: Columns) -> Timing:
    """Place every participant's sessions in time.

    Zero is the first scan in the source, also where that scan is left out for another reason, so that mending a
    file never moves the others.
    """
    people: dict[str, list[tuple[int, Candidate]]] = defaultdict(list)
    for index, candidate in enumerate(candidates):
        people[candidate.participant_id].append((index, candidate))
    months: dict[int, float] = {}
    exclusions: dict[int, Exclusion] = {}
    for scans in people.values():
        _time_person(scans, columns, months, exclusions)
    return Timing(months, exclusions)


def _time_person(
    scans: list[tuple[int, Candidate]], columns: Columns, months: dict[int, float], exclusions: dict[int, Exclusion]
) -> None:
    readings: dict[str, dict[str, float]] = {}
    for index, candidate in scans:
        try:
            told = _clocks(candidate, columns)
        except TableError as error:
            exclusions[index] = exclude(candidate, error)
            continue
        if candidate.exclusion is not None and not told:
            continue  # what is left out anyway must not be taken for the one scan of its person
        session = readings.setdefault(candidate.session_id, {})
        session.update({clock: min(value, session.get(clock, value)) for clock, value in told.items()})
    times = _times(readings) if readings else {}
    reason = NO_TIME if times else NO_ORDER.format(names=", ".join(sorted(readings)))
    for index, candidate in scans:
        if candidate.session_id in times:
            months[index] = times[candidate.session_id]
        elif index not in exclusions:
            exclusions[index] = exclude(candidate, reason, severity="warning")


def _times(readings: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return each session's months, by the one clock that tells most sessions."""
    clocks = [{session: told[name] for session, told in readings.items() if name in told} for name in CLOCKS]
    believed = [c for c in clocks if c and max(c.values()) - min(c.values()) <= LONGEST_SPAN_MONTHS]
    told = max(believed, key=len, default={})
    if len(told) < min(2, len(readings)):
        kept = next(iter(told), None) or _first_by_name(list(readings))
        return {kept: 0.0} if kept else {}
    return {session: value - min(told.values()) for session, value in told.items()}


def _first_by_name(sessions: Sequence[str]) -> str | None:
    """Return the session that came first as far as names tell: the only one, the baseline, or the lowest number."""
    baselines = [session for session in sessions if session.lower() in BASELINES]
    if len(sessions) == 1 or len(baselines) == 1:
        return (baselines or sessions)[0]
    numbers = {session: parts for session in sessions if (parts := NUMBERED.fullmatch(session))}
    words = {parts["word"].lower() for parts in numbers.values()}
    if len(numbers) < len(sessions) or len(words) > 1:
        return None
    return min(numbers, key=lambda session: (int(numbers[session]["number"]), session))


def _clocks(candidate: Candidate, columns: Columns) -> dict[str, float]:
    """Return what each clock says, in months from any zero; a participant's own row tells no session's time."""
    own = {role: cell for role, cell in candidate.cells.items() if cell.level != "participant"}
    if candidate.day is not None:
        return {"day": candidate.day / DAYS_PER_MONTH}
    clocks: dict[str, float] = {}
    if "months" in own and columns.months is not None:
        clocks["months"] = number(own["months"]) * YEARS_PER_UNIT[columns.months.unit] * MONTHS_PER_YEAR
    if "date" in own:
        formats = columns.date.formats if columns.date else ()
        clocks["date"] = read_day(own["date"].text, formats, own["date"].where).toordinal() / DAYS_PER_MONTH
    age = read_age(own.get("age"), columns.age)
    if age is not None and not own["age"].capped:
        clock = "age" if age.precision_years <= FINE_AGE_YEARS else "whole years"
        clocks[clock] = check_age(age.years, age.where) * MONTHS_PER_YEAR
    label = MONTH_LABEL.fullmatch(candidate.session_id)
    if label is not None:
        clocks["label"] = float(label[1])
    return clocks
