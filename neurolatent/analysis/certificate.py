"""Who the model saw in training, held against who it is tested on.

A stage that learnt from labels, a normalisation or a harmonisation must not have met the test people: refused. A stage
that learnt from images alone makes the result transductive: marked. Otherwise the result is certified.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from neurolatent.analysis.finding import Certificate
from neurolatent.cohort.visits import MISSING, Visit
from neurolatent.errors import LeakageError
from neurolatent.model.weights import Card, Person, StageRecord

NEVER_ON_TEST_PEOPLE = frozenset({"normalisation", "harmonisation"})
LAYOUTS = frozenset({"bids", "table"})
"""Cohorts named by how their files lie: whose scans these are, the name does not say."""


@dataclass(frozen=True)
class Verdict:
    """The word that a finding carries, and why."""

    certificate: Certificate
    reason: str


@dataclass(frozen=True)
class Meeting:
    """A stage of training that has met people who are tested."""

    stage: str
    people: int
    forbidden: bool
    """Whether it must not: it learnt from labels, or scales what it is tested on."""


def certify(card: Card, visits: Iterable[Visit], test_subjects: Iterable[str]) -> Verdict:
    """Compare every stage's training people with the test people; raise where a stage that used labels saw one."""
    people = people_of(visits, test_subjects)
    met = meetings(card, people)
    for one in met:
        if one.forbidden:
            msg = (
                f"The stage {one.stage!r} was fitted on {one.people} of the {len(people)} test subjects, labels or "
                "scaling included; expected none. Retrain it on the split's training subjects, or test on others."
            )
            raise LeakageError(msg)
    if not met:
        reason = f"None of the {len(people)} test subjects was in the training of any stage{unless(card)}."
        return Verdict("certified", reason)
    listed = ", ".join(f"{one.stage} ({one.people})" for one in met)
    reason = f"Of the {len(people)} test subjects, stages trained without labels have seen: {listed}."
    return Verdict("transductive", reason)


def people_of(visits: Iterable[Visit], subjects: Iterable[str]) -> frozenset[Person]:
    """Return who these participants are in any workspace."""
    wanted = frozenset(subjects)
    return frozenset(visit.person for visit in visits if visit.participant_id in wanted)


def meetings(
    card: Card, people: Iterable[Person], also_known_as: Mapping[Person, frozenset[Person]] | None = None
) -> list[Meeting]:
    """Return the stages that have met some of these people, under one name or another."""
    names = {person: {person, *(also_known_as or {}).get(person, ())} for person in people}
    found: list[Meeting] = []
    for name, stage in card.stages.items():
        seen = _seen(stage, set[Person]().union(*names.values()))
        count = sum(not seen.isdisjoint(known) for known in names.values())
        if count:
            found.append(Meeting(name, count, stage.supervised or name in NEVER_ON_TEST_PEOPLE))
    return found


def _seen(stage: StageRecord, people: set[Person]) -> set[Person]:
    """Return who of these people a stage may have met, in training or in watching it.

    A stage that names nobody may have met anybody; one that names a cohort and `n/a`, anybody of that cohort, or of
    one that may be it under another name.
    """
    met = {*stage.subjects, *stage.validation_subjects}
    if not met:
        return people
    undisclosed = _undisclosed(stage)
    suspect = undisclosed | LAYOUTS if undisclosed else undisclosed
    return {person for person in people if person in met or person[0] in suspect}


def _undisclosed(stage: StageRecord) -> frozenset[str]:
    """Return the cohorts of which a stage met people whom nobody names."""
    met = {*stage.subjects, *stage.validation_subjects}
    return frozenset(cohort for cohort, participant_id in met if participant_id == MISSING)


def unless(card: Card) -> str:
    """Say on what a certificate rests where a stage does not name its people."""
    cohorts = sorted(frozenset[str]().union(*map(_undisclosed, card.stages.values())))
    return f", unless they are in {' or '.join(cohorts)} too, whose people are undisclosed" if cohorts else ""
