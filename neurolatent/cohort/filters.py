"""Scans that the user asked to leave out, each with its reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil

from neurolatent.cohort.checks import MONTHS_PER_YEAR
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.options import BuildOptions
from neurolatent.cohort.visits import COLUMNS, MISSING, Visit
from neurolatent.errors import SettingsError

Ask = Callable[[Visit], str | None]
"""Why a scan is to be left out, or `None`."""


def filter_visits(
    visits: Iterable[Visit], options: BuildOptions, *, drop_cdr05: bool
) -> tuple[list[Visit], list[Exclusion]]:
    """Return who stays and who was left out."""
    rows = list(visits)
    asks: list[Ask] = [_doubtful] if drop_cdr05 else []
    asks += [partial(_diagnosis, options), partial(_age, options)]
    asks += [partial(_missing, name) for name in _known(options.require, rows)]
    kept, dropped = _part(rows, asks)
    if options.max_visits is not None:
        late = _late_sessions(kept, options.max_visits)
        kept, more = _part(kept, [lambda visit: late.get(_session(visit))])
        dropped += more
    return kept, dropped


def cap_ages(visits: Sequence[Visit], cap: float | None) -> tuple[list[Visit], list[str]]:
    """Return the scans, great ages hidden, and what was done, in words.

    Whoever is older than the cap at any scan has the cap for an age at all of them: an age at another scan and the
    months between the two would tell it. The precision says that these ages do not follow the months.
    """
    great = _older_than(cap, visits) if cap is not None else frozenset[str]()
    if cap is None or not great:
        return list(visits), []
    followed_months = max(visit.months for visit in visits)
    hidden = {"age_years": cap, "age_precision_years": ceil(followed_months / MONTHS_PER_YEAR) + 1.0}
    capped = [
        replace(visit, **hidden) if visit.participant_id in great and visit.age_years is not None else visit
        for visit in visits
    ]
    return capped, [f"Older than {cap:g} at one of their scans: {len(great)}; {cap:g} stands for all their ages."]


def _older_than(cap: float, visits: Sequence[Visit]) -> frozenset[str]:
    """Return who is older at any scan, by an age or by an age at another scan and the months between."""
    first: dict[str, float] = {}
    last_months: dict[str, float] = {}
    for visit in visits:
        person = visit.participant_id
        last_months[person] = max(visit.months, last_months.get(person, visit.months))
        if visit.age_years is not None:
            at_first = max(visit.age_years - visit.months / MONTHS_PER_YEAR, first.get(person, 0.0))
            first[person] = at_first
            if visit.age_years > cap:
                first[person] = max(at_first, cap + 1)
    return frozenset(p for p, years in first.items() if years + last_months[p] / MONTHS_PER_YEAR > cap)


def _part(visits: Iterable[Visit], asks: Iterable[Ask]) -> tuple[list[Visit], list[Exclusion]]:
    kept: list[Visit] = []
    dropped: list[Exclusion] = []
    questions = list(asks)
    for visit in visits:
        reason = next((told for told in (ask(visit) for ask in questions) if told), None)
        if reason is None:
            kept.append(visit)
        else:
            dropped.append(Exclusion(visit.image, visit.image, f"left out by {reason}.", "note", "filter"))
    return kept, dropped


def _diagnosis(options: BuildOptions, visit: Visit) -> str | None:
    if not options.diagnosis or visit.diagnosis in options.diagnosis:
        return None
    return f"--diagnosis {' '.join(options.diagnosis)}: it is {visit.diagnosis or 'not stated'}"


def _age(options: BuildOptions, visit: Visit) -> str | None:
    if options.min_age is None or (visit.age_years is not None and visit.age_years >= options.min_age):
        return None
    got = "not stated" if visit.age_years is None else f"{visit.age_years:.1f} years"
    return f"--min-age {options.min_age:g}: age {got}"


def _known(names: Iterable[str], visits: list[Visit]) -> list[str]:
    """Refuse columns that the table will not have."""
    own = {name for visit in visits for name in visit.extra}
    unknown = [name for name in names if name not in {*COLUMNS, *own}]
    if unknown and visits:
        msg = f"--require {unknown[0]}: expected one of {[*COLUMNS, *sorted(own)]}, got {unknown[0]!r}. Correct it."
        raise SettingsError(msg)
    return list(names)


def _missing(name: str, visit: Visit) -> str | None:
    value = visit.extra.get(name, MISSING) if name in visit.extra else getattr(visit, name, None)
    return f"--require {name}: it has none" if value in (None, MISSING) else None


def _doubtful(visit: Visit) -> str | None:
    return "--cdr05 drop: its rating is 0.5" if visit.extra.get("cdr") == "0.5" else None


def _session(visit: Visit) -> tuple[str, str]:
    return visit.participant_id, visit.session_id


def _late_sessions(visits: Iterable[Visit], most: int) -> Mapping[tuple[str, str], str]:
    """Return the sessions beyond each person's first ones."""
    first: dict[str, dict[str, float]] = {}
    for visit in visits:
        sessions = first.setdefault(visit.participant_id, {})
        sessions[visit.session_id] = min(visit.months, sessions.get(visit.session_id, visit.months))
    return {
        (person, session): f"--max-visits {most}: an earlier {most} are kept"
        for person, sessions in first.items()
        for session in sorted(sessions, key=lambda name: (sessions[name], name))[most:]
    }
