"""Who a cohort's people are, in numbers: by diagnosis at the first scan, over time, and what nobody wrote down."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import fmean, variance

from neurolatent.cohort.exclusion import Exclusion, Stage
from neurolatent.cohort.sidecar import Counts
from neurolatent.cohort.visits import DIAGNOSES, MISSING, Visit

NOT_STATED = "not stated"
ASKED_FOR = ("age_years", "sex", "diagnosis", "site", "scanner_tesla")
"""Columns of the table of scans whose gaps are counted, beside a cohort's own."""
Rate = tuple[int, int]
"""How many of how many."""


@dataclass(frozen=True)
class Person:
    """One participant's scans, the first one first."""

    visits: tuple[Visit, ...]

    @property
    def first(self) -> Visit:
        """The scan that the table counts a person by."""
        return self.visits[0]

    @property
    def diagnosis(self) -> str:
        """Diagnosis at the first scan."""
        return self.first.diagnosis or NOT_STATED

    @property
    def months(self) -> float:
        """From the first scan to the last."""
        return self.visits[-1].months - self.first.months

    def score(self, name: str) -> float | None:
        """A clinical score at the first scan."""
        text = self.first.extra.get(name, MISSING)
        return None if text == MISSING else float(text)


@dataclass(frozen=True)
class Group:
    """The people of one diagnosis, or all."""

    name: str
    people: tuple[Person, ...]

    @property
    def ages_years(self) -> list[float]:
        """At the first scan, of those whose age is known."""
        return [one.first.age_years for one in self.people if one.first.age_years is not None]

    @property
    def women(self) -> Rate:
        """Of those whose sex is known."""
        known = [one.first.sex for one in self.people if one.first.sex]
        return known.count("F"), len(known)

    @property
    def followed_months(self) -> list[float]:
        """Of those who came again on another day."""
        return [one.months for one in self.people if one.months > 0]

    def scores(self, name: str) -> list[float]:
        """A clinical score at the first scan, of those who have one."""
        return [value for one in self.people if (value := one.score(name)) is not None]

    def scans_by(self, column: str) -> Counter[str]:
        """Count scans by site or field strength, as far as known."""
        values = [getattr(visit, column) for one in self.people for visit in one.visits]
        return Counter(f"{value:g}" if isinstance(value, float) else value for value in values if value is not None)


@dataclass(frozen=True)
class Gap:
    """A column, and how many scans and people lack a value there."""

    column: str
    scans: Rate
    people: Rate
    """Who have no value at any scan."""


def people_of(visits: Iterable[Visit]) -> list[Person]:
    """Group scans by participant, in time."""
    by_id: dict[str, list[Visit]] = {}
    for visit in visits:
        by_id.setdefault(visit.participant_id, []).append(visit)
    return [Person(tuple(sorted(own, key=lambda visit: (visit.months, visit.run)))) for own in by_id.values()]


def groups_of(people: Sequence[Person]) -> list[Group]:
    """Return a group for each diagnosis that occurs, in the usual order."""
    found = {one.diagnosis for one in people}
    names = [name for name in (*DIAGNOSES, NOT_STATED) if name in found]
    return [Group(name, tuple(one for one in people if one.diagnosis == name)) for name in names]


def largest_difference(samples: Sequence[Sequence[float]]) -> float | None:
    """Return the largest standardised difference between two groups' means: Austin 2009, doi:10.1002/sim.3697.

    It is the difference over the root of the mean variance; `None` where no two groups can be compared.
    """
    found = [_difference(one, other) for one, other in combinations([s for s in samples if len(s) > 1], 2)]
    return max((value for value in found if value is not None), default=None)


def largest_rate_difference(rates: Sequence[Rate]) -> float | None:
    """Return the same for shares, whose variance is p (1 − p)."""
    shares = [count / total for count, total in rates if total]
    found = [
        abs(p - q) / sqrt((p * (1 - p) + q * (1 - q)) / 2) for p, q in combinations(shares, 2) if {p, q} - {0.0, 1.0}
    ]
    return max(found, default=None)


def gaps_of(visits: Sequence[Visit]) -> list[Gap]:
    """Count what is missing, column by column."""
    own = sorted({name for visit in visits for name in visit.extra})
    return [_gap(name, visits) for name in (*ASKED_FOR, *own)]


def stages_of(counts: Counts, exclusions: Sequence[Exclusion]) -> dict[str, int]:
    """Return how many scans were left after each station of the build; the last is what was kept."""
    lost = Counter(row.stage for row in exclusions)
    left, stages = counts.found, {"found": counts.found}
    order: Mapping[str, Stage] = {"matched": "match", "chosen": "choice", "fit": "check", "kept": "filter"}
    for name, stage in order.items():
        left -= lost[stage]
        stages[name] = left
    return stages


def _difference(one: Sequence[float], other: Sequence[float]) -> float | None:
    spread = sqrt((variance(one) + variance(other)) / 2)
    return abs(fmean(one) - fmean(other)) / spread if spread else None


def _gap(name: str, visits: Sequence[Visit]) -> Gap:
    missing = [
        (visit.extra.get(name, MISSING) if name in visit.extra else getattr(visit, name, None)) in {None, MISSING}
        for visit in visits
    ]
    has: dict[str, bool] = {}
    for visit, lacks in zip(visits, missing, strict=True):
        has[visit.participant_id] = has.get(visit.participant_id, False) or not lacks
    return Gap(name, (sum(missing), len(missing)), (sum(not value for value in has.values()), len(has)))
