"""What one person's rows must agree on: order, sex, year of birth, a diagnosis that does not go back."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from neurolatent.cohort.checks import FINEST_AGE_YEARS, MONTHS_PER_YEAR
from neurolatent.contract.cells import Entry
from neurolatent.contract.remark import Place, Remark, Severity

RANKS = {"CN": 0, "MCI": 1, "AD": 2}
NUMBERED = re.compile(r"(.*?)(\d+)")
"""A session whose name ends in a number, such as ses-M06."""
MONTHS_ROUNDING_YEARS = 0.1 / MONTHS_PER_YEAR
"""Months have one decimal: two of them are off by this much together."""
BIRTH_YEAR = 1.0
"""Beyond the ages' own precision: from here on it is another year of birth, below it a clock that goes wrong."""
UNKNOWN_PRECISION_YEARS = 1.0


def check_person(entries: Sequence[Entry], file: str) -> list[Remark]:
    """Return what one person's rows contradict each other in."""
    person = _Person(entries, file)
    person.check_order()
    person.check_sessions()
    person.check_sex()
    person.check_age()
    person.check_diagnosis()
    return person.remarks


class _Person:
    def __init__(self, entries: Sequence[Entry], file: str) -> None:
        self._entries, self._file = entries, file
        self._timed = sorted((e for e in entries if e.months is not None), key=lambda e: (e.months or 0.0, e.line))
        self.remarks: list[Remark] = []

    def check_order(self) -> None:
        """Rows stand in order of time, and so do the numbers in the sessions' names."""
        for before, after in pairwise(entry for entry in self._entries if entry.months is not None):
            if _months(after) < _months(before):
                got = f"month {_months(after):g} after month {_months(before):g} on line {before.line}"
                way_out = "Correct the months, or sort the rows."
                self._tell("warning", "order", after, "months", "a person's rows in order of time", got, way_out)
        for before, after in pairwise(self._timed):
            one, other = (NUMBERED.fullmatch(_session(entry)) for entry in (before, after))
            if one and other and one[1] == other[1] and int(other[2]) < int(one[2]):
                got = f"{_session(after)} later than {_session(before)} on line {before.line}"
                way_out = "Correct the months, or the session's name."
                expected = "sessions numbered in order of time"
                self._tell("warning", "order", after, "session_id", expected, got, way_out)

    def check_sessions(self) -> None:
        """Scans of one session share its day and its diagnosis."""
        first: dict[str, Entry] = {}
        for entry in self._entries:
            other = first.setdefault(_session(entry), entry)
            for column in ("months", "diagnosis"):
                one, two = getattr(other, column), getattr(entry, column)
                if one is not None and two is not None and one != two:
                    got = f"{_shown(two)} here and {_shown(one)} on line {other.line}"
                    way_out = "Correct one of them, or give the scan its own session."
                    self._tell("warning", "session", entry, column, f"one {column} a session", got, way_out)

    def check_sex(self) -> None:
        """One sex, the one that most rows state."""
        known = [entry for entry in self._entries if entry.sex is not None]
        counts = Counter(entry.sex for entry in known)
        if len(counts) < 2:
            return
        usual, count = counts.most_common(1)[0]
        for entry in known:
            if entry.sex != usual:
                got = f"{entry.sex} here and {usual} on {count} other row{'s' if count > 1 else ''}"
                way_out = "Correct it, or give the scan its own participant_id."
                self._tell("error", "sex", entry, "sex", "one sex a person", got, way_out)

    def check_age(self) -> None:
        """Age less time is the day of birth: the same for all visits, as far as their ages are known."""
        aged = [entry for entry in self._timed if entry.age_years is not None]
        if len(aged) < 2:
            return
        usual = aged[0] if len(aged) == 2 else sorted(aged, key=_born_years)[(len(aged) - 1) // 2]
        for entry in aged:
            allowed = _precision(entry) + _precision(usual) + MONTHS_ROUNDING_YEARS
            if abs(_born_years(entry) - _born_years(usual)) > allowed:
                self._tell_age(entry, usual, allowed)

    def check_diagnosis(self) -> None:
        """Dementia does not go back: told, and left to those who know the patient."""
        known = [entry for entry in self._timed if entry.diagnosis in RANKS]
        sessions: dict[str, Entry] = {}
        for entry in known:
            sessions.setdefault(_session(entry), entry)
        for before, after in pairwise(sessions.values()):
            if RANKS[after.diagnosis or ""] < RANKS[before.diagnosis or ""]:
                got = f"{after.diagnosis} after {before.diagnosis} on line {before.line}"
                way_out = "Check both rows; a reversion that is true may stay."
                expected = "a diagnosis that does not go back"
                self._tell("warning", "reversion", after, "diagnosis", expected, got, way_out)

    def _tell_age(self, entry: Entry, usual: Entry, allowed: float) -> None:
        before, after = sorted((entry, usual), key=lambda one: (_months(one), one is entry))
        time_years = (_months(after) - _months(before)) / MONTHS_PER_YEAR
        gain_years = (after.age_years or 0.0) - (before.age_years or 0.0)
        other = f"line {usual.line}"
        if gain_years < 0 < time_years:
            severity, rule, expected = "error", "age-backwards", f"an age that rises with time since {other}"
        elif abs(gain_years - time_years) > allowed + BIRTH_YEAR:
            severity, rule, expected = "error", "birth-year", f"the year of birth of {other}"
        else:
            severity, rule, expected = "warning", "age-rate", f"an age that rises as fast as time since {other}"
        spans = f"{gain_years:+.2f} years of age in {time_years:.2f} years of time"
        got = f"{spans}, where ages as precise as these allow {allowed:.2f} between them"
        way_out = "Correct age_years or months, or state the age_precision_years that the ages have."
        self._tell(severity, rule, entry, "age_years", expected, got, way_out)

    def _tell(
        self, severity: Severity, rule: str, entry: Entry, column: str, expected: str, got: str, way_out: str
    ) -> None:
        place = Place(self._file, entry.line, column, "/".join(entry.key or ()))
        self.remarks.append(Remark(severity, rule, place, expected, got, way_out))


def _months(entry: Entry) -> float:
    return entry.months or 0.0


def _session(entry: Entry) -> str:
    return entry.key.session_id if entry.key else ""


def _born_years(entry: Entry) -> float:
    """Return the day of birth in years before the person's month 0, as a negative number."""
    return _months(entry) / MONTHS_PER_YEAR - (entry.age_years or 0.0)


def _precision(entry: Entry) -> float:
    given = entry.age_precision_years
    return UNKNOWN_PRECISION_YEARS if given is None else max(given, FINEST_AGE_YEARS)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
