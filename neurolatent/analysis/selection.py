"""Who an analysis looks at."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from neurolatent.analysis.study import Study
from neurolatent.cohort.visits import Visit
from neurolatent.errors import NotApplicableError
from neurolatent.shapes import Values
from neurolatent.workspace import ScanKey

FEWEST_TRAINING, FEWEST_TEST = 10, 5


@dataclass(frozen=True)
class Controls:
    """People whose ageing counts as healthy, and the sentence that says who they are."""

    participants: frozenset[str]
    described: str


def stable_controls(visits: Iterable[Visit]) -> Controls:
    """Return those diagnosed CN and never anything else; everyone, where the cohort has no diagnosis at all."""
    diagnoses: dict[str, set[str]] = {}
    for visit in visits:
        known = diagnoses.setdefault(visit.participant_id, set())
        if visit.diagnosis:
            known.add(visit.diagnosis)
    if not any(diagnoses.values()):
        everyone = frozenset(diagnoses)
        return Controls(everyone, f"The cohort states no diagnosis, so all {len(everyone)} people are analysed.")
    stable = frozenset(person for person, known in diagnoses.items() if known == {"CN"})
    return Controls(
        stable, f"Stable controls are the {len(stable)} people diagnosed CN at every visit with a diagnosis."
    )


def aged_scans(study: Study, participants: frozenset[str]) -> list[Visit]:
    """Return these people's usable scans that have an age."""
    return [visit for visit in study.usable if visit.participant_id in participants and visit.age_years is not None]


def ages(scans: Sequence[Visit]) -> Values:
    """Ages in years of scans that have one."""
    return np.array([visit.age_years for visit in scans], dtype=float)


def subjects(scans: Sequence[Visit]) -> list[str]:
    """Whose scans these are."""
    return [visit.participant_id for visit in scans]


def require_controls(protocol: str, study: Study, controls: Controls, scans: Sequence[Visit]) -> None:
    """Refuse scans of too few controls to fit or to test a regression of age."""
    people = controls.participants & set(subjects(scans))
    rounds = study.split.rounds()
    training, tested = min(len(people & round_.train) for round_ in rounds), len(people & study.test_subjects)
    if training < FEWEST_TRAINING or tested < FEWEST_TEST:
        msg = (
            f"{protocol}: expected at least {FEWEST_TRAINING} training and {FEWEST_TEST} test controls with an age, "
            f"got {training} and {tested}. It does not apply to this cohort and split."
        )
        raise NotApplicableError(msg)


def draw_people(participants: Iterable[str], *, most: int, seed: int) -> list[str]:
    """Draw at most so many people; in order of their names, whatever the order they come in."""
    ordered = sorted(participants)
    chosen = np.random.default_rng(seed).permutation(len(ordered))[:most]
    return [ordered[place] for place in sorted(chosen)]


def scans_worth_noise(visits: Iterable[Visit], present: Iterable[ScanKey]) -> tuple[ScanKey, ...]:
    """Return the scans whose z_T more than one analysis reads: the first scan of each stable control."""
    known, rows = frozenset(present), list(visits)
    controls = stable_controls(rows).participants
    usable = [visit for visit in rows if visit.key in known and visit.participant_id in controls]
    first: dict[str, Visit] = {}
    for visit in sorted(usable, key=lambda visit: (visit.participant_id, visit.months, visit.run.zfill(4))):
        first.setdefault(visit.participant_id, visit)
    return tuple(visit.key for visit in first.values())
