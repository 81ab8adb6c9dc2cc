"""Decide: certified, transductive or failed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from neurolatent.analysis.certificate import meetings, people_of
from neurolatent.analysis.leakage.evidence import Evidence, read_evidence
from neurolatent.analysis.leakage.images import Twins, find_twins, other_names
from neurolatent.analysis.leakage.lines import describe
from neurolatent.analysis.leakage.record import (
    Certification,
    Failure,
    Images,
    Likeness,
    Outcome,
    Overlap,
    StageSeen,
)
from neurolatent.cohort.splits import Round
from neurolatent.cohort.splits.record import listed
from neurolatent.errors import SettingsError
from neurolatent.model.weights import Person
from neurolatent.volume.likeness import THRESHOLD
from neurolatent.workspace import Workspace


def certify_workspace(workspace: Workspace, against: Sequence[Path] = ()) -> Certification:
    """Compare whoever is tested with whoever is trained on, here and in other workspaces.

    Args:
        workspace: The one whose split and models are certified.
        against: Other workspaces, from which models or people may have come.
    """
    own, *others = _read_all(workspace, against)
    twins = find_twins(own, others)
    tested = people_of(own.visits, frozenset[str]().union(*(one.test for one in own.rounds)))
    stages = _stages(own, tested, other_names(pair.persons for pair in twins))
    failures = (*_of_rounds(own.rounds), *_of_images(twins), *_of_stages(stages, len(tested)))
    overlaps = tuple(_overlap(own, other) for other in others)
    outcome: Outcome = "failed" if failures else "transductive" if stages else "certified"
    images = _images([own, *others], twins)
    return Certification(
        outcome=outcome,
        lines=describe(outcome, failures, len(tested), overlaps, images, own.cards, stages),
        failures=failures,
        test_people=len(tested),
        overlaps=overlaps,
        images=images,
        stages=stages,
        models=tuple(own.cards),
        inputs=own.hashes,
        others={other.label: other.hashes for other in others},
    )


def _read_all(workspace: Workspace, against: Sequence[Path]) -> list[Evidence]:
    """Read all workspaces; those whose cohorts have the same names get a number."""
    read = [read_evidence(workspace)]
    for number, root in enumerate(against, start=1):
        if root.resolve() == workspace.root.resolve():
            msg = f"--against {root}: expected another workspace than the one that is certified. Leave it out."
            raise SettingsError(msg)
        other = read_evidence(Workspace(root), needs_split=False)
        taken = {one.label for one in read}
        read.append(replace(other, label=f"{other.label} ({number})") if other.label in taken else other)
    return read


def _stages(
    own: Evidence, tested: frozenset[Person], names: Mapping[Person, frozenset[Person]]
) -> tuple[StageSeen, ...]:
    return tuple(
        StageSeen(model, one.stage, one.people, one.forbidden)
        for model, card in own.cards.items()
        for one in meetings(card, tested, names)
    )


def _of_rounds(rounds: Iterable[Round]) -> list[Failure]:
    """Look for people in training and test of one round: there can be none, unless the split was edited."""
    both = sorted(frozenset[str]().union(*(one.train & one.test for one in rounds)))
    reason = f"in training and test of one round are {listed(both)}. Restore split.json from a copy."
    return [Failure(None, reason)] if both else []


def _of_images(twins: Iterable[Twins]) -> list[Failure]:
    advice = "Give them one participant_id in the cohort's table or leave one out, build, and split with --replace."
    return [
        Failure(None, f"one person may stand on both sides of the split, by their images: {pair}. {advice}")
        for pair in twins
        if pair.across and not pair.elsewhere
    ]


def _of_stages(stages: Iterable[StageSeen], tested: int) -> list[Failure]:
    return [
        Failure(
            one.model,
            f"the stage {one.stage!r} of the model {one.model!r} was fitted on {one.test_people} of the {tested} test "
            "subjects, labels or scaling included. Train it anew on the split's training people, or remove the model.",
        )
        for one in stages
        if one.forbidden
    ]


def _overlap(own: Evidence, other: Evidence) -> Overlap:
    here, there = frozenset(own.persons.values()), frozenset(other.persons.values())
    return Overlap(
        workspace=other.label,
        in_both=len(here & there),
        tested_here_trained_there=_names(own.tested() & other.trained()),
        trained_here_tested_there=_names(own.trained() & other.tested()),
    )


def _names(people: Iterable[Person]) -> tuple[str, ...]:
    return tuple("/".join(person) for person in sorted(people))


def _images(places: Sequence[Evidence], twins: Sequence[Twins]) -> Images:
    alike = (Likeness(pair.one, pair.other, pair.cohorts, pair.elsewhere, pair.across, pair.likeness) for pair in twins)
    return Images(
        compared={one.label: len(one.fingerprints) for one in places},
        not_compared={one.label: len(one.visits) - len(one.fingerprints) for one in places},
        threshold=THRESHOLD,
        alike=tuple(alike),
    )
