"""What subjects are balanced by, as it was at their first scan."""

from collections.abc import Iterable

from neurolatent.cohort.visits import MISSING, Visit

AGE_BAND_YEARS = 10


def first_scans(visits: Iterable[Visit]) -> dict[str, Visit]:
    """Return each subject's first scan."""
    first: dict[str, Visit] = {}
    for visit in sorted(visits, key=lambda visit: (visit.months, *visit.key)):
        first.setdefault(visit.participant_id, visit)
    return first


def stratum(visit: Visit) -> str:
    """Return diagnosis, sex and age band; the site is kept apart, for it yields to these."""
    band = MISSING if visit.age_years is None else f"{int(visit.age_years // AGE_BAND_YEARS) * AGE_BAND_YEARS}"
    return f"{visit.diagnosis or MISSING} {visit.sex or MISSING} {band}"


def describe(*, sites: bool) -> list[str]:
    """Name the strata, the most important first."""
    known = ["diagnosis at the first scan", "sex", f"age in bands of {AGE_BAND_YEARS} years"]
    return [*known, "site of the first scan"] if sites else known
