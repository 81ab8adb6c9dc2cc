"""Where a visit has several images, take one by a stated rule; the others are listed with it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from neurolatent.cohort.candidates import Candidate
from neurolatent.cohort.descriptor import Choice
from neurolatent.cohort.exclusion import Exclusion


@dataclass(frozen=True)
class Series:
    """An image with what the rule goes by."""

    candidate: Candidate
    description: str
    number: int
    """Of the image in its archive: earlier images have lower ones."""


def choose_images(choice: Choice | None, series: Iterable[Series]) -> list[Candidate]:
    """Return all candidates, those that are not taken with the reason; without a rule each is a run of its own."""
    visits: dict[tuple[str, str], list[Series]] = {}
    for one in series:
        visits.setdefault((one.candidate.participant_id, one.candidate.session_id), []).append(one)
    return [candidate for own in visits.values() for candidate in _choose(choice, own)]


def _choose(choice: Choice | None, series: list[Series]) -> list[Candidate]:
    if choice is None:
        ordered = sorted(series, key=lambda one: one.number)
        return [replace(one.candidate, run=str(run)) for run, one in enumerate(ordered, start=1)]
    ranked = [(rank, one.number, place) for place, one in enumerate(series) if (rank := _rank_of(choice, one))]
    best = series[min(ranked)[2]] if ranked else None
    return [one.candidate if one is best else _left_out(choice, one, best) for one in series]


def is_wanted(choice: Choice | None, description: str) -> bool:
    """Whether an image of this description may ever be taken."""
    return choice is None or rank(choice, description) is not None


def rank(choice: Choice, description: str) -> tuple[int, ...] | None:
    """Return what series are ordered by, the best lowest; `None` for what is never taken."""
    if _fits(description, choice.avoid):
        return None
    place = next((place for place, pattern in enumerate(choice.prefer) if _fits(description, [pattern])), None)
    return None if place is None else (place, *(int(_fits(description, group)) for group in choice.after))


def _fits(description: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(description.lower(), pattern.lower()) for pattern in patterns)


def _rank_of(choice: Choice, one: Series) -> tuple[int, ...] | None:
    return rank(choice, one.description) if one.candidate.exclusion is None else None


def _left_out(choice: Choice, one: Series, best: Series | None) -> Candidate:
    if one.candidate.exclusion is not None:
        return one.candidate
    instead = f"{best.description!r} (image {best.number}) is taken instead" if best else "none of the visit fits"
    reason = f"got the series {one.description!r}; {instead}: {choice.rule}."
    return replace(
        one.candidate, exclusion=Exclusion(one.candidate.image, one.candidate.image, reason, "note", "choice")
    )
