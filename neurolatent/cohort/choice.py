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
    ranks = {one.number: _rank(choice, one.description) for one in series}
    fit = [one for one in series if ranks[one.number] is not None and one.candidate.exclusion is None]
    best = min(fit, key=lambda one: (ranks[one.number], one.number), default=None)
    return [one.candidate if one is best else _left_out(choice, one, best) for one in series]


def _rank(choice: Choice, description: str) -> int | None:
    """Return the place among the preferred, the best first; `None` for what is never taken."""
    name = description.lower()
    if any(fnmatchcase(name, pattern.lower()) for pattern in choice.avoid):
        return None
    return next((rank for rank, pattern in enumerate(choice.prefer) if fnmatchcase(name, pattern.lower())), None)


def _left_out(choice: Choice, one: Series, best: Series | None) -> Candidate:
    if one.candidate.exclusion is not None:
        return one.candidate
    instead = f"{best.description!r} is taken instead" if best else "none of the visit fits"
    reason = f"got the series {one.description!r}; {instead}: {choice.rule}."
    return replace(
        one.candidate, exclusion=Exclusion(one.candidate.image, one.candidate.image, reason, "note", "choice")
    )
