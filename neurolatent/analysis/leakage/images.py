"""Scans that look like one person's, though their participants are called differently."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from neurolatent.analysis.leakage.evidence import Evidence
from neurolatent.cohort.splits import Round
from neurolatent.model.weights import Person
from neurolatent.volume.likeness import near_duplicates
from neurolatent.workspace import ScanKey

Place = tuple[int, ScanKey]
"""Number of a workspace, and a scan in it."""


@dataclass(frozen=True)
class Twins:
    """The likest scans of two participants."""

    one: str
    """As participant/session/run."""
    other: str
    cohorts: tuple[str, str]
    elsewhere: bool
    """Whether the other is in another workspace than the one that is certified."""
    across: bool
    """Whether one of them is trained on where the other is tested."""
    likeness: float
    persons: tuple[Person, Person]

    def __str__(self) -> str:
        """Say it in one line."""
        (one, other), number = self.cohorts, f"{self.likeness:.2f}"
        return f"{self.one} ({one}) and {self.other} ({other}{', elsewhere' if self.elsewhere else ''}): {number}"


def find_twins(own: Evidence, others: Sequence[Evidence]) -> list[Twins]:
    """Return the pairs of participants who look like one person, the likest first; none that are both elsewhere."""
    places = [own, *others]
    fingerprints: dict[Place, str] = {
        (number, key): text for number, one in enumerate(places) for key, text in one.fingerprints.items()
    }
    found: dict[frozenset[tuple[int, str]], Twins] = {}
    for first, second, likeness in near_duplicates(fingerprints):
        (number, key), (number_there, key_there) = sorted((first, second))
        person = own.persons[key.participant_id] if number == 0 else None
        person_there = places[number_there].persons[key_there.participant_id]
        pair = frozenset({(number, key.participant_id), (number_there, key_there.participant_id)})
        if person is None or person == person_there or pair in found:
            continue
        found[pair] = Twins(
            one="/".join(key),
            other="/".join(key_there),
            cohorts=(person[0], person_there[0]),
            elsewhere=number_there > 0,
            across=_across(own.rounds, key.participant_id, places[number_there].rounds, key_there.participant_id)
            if number_there
            else _on_both_sides(own.rounds, key.participant_id, key_there.participant_id),
            likeness=round(likeness, 4),
            persons=(person, person_there),
        )
    return list(found.values())


def other_names(pairs: Iterable[tuple[Person, Person]]) -> Mapping[Person, frozenset[Person]]:
    """Return for each person of the pairs all whom the pairs, one after another, take for the same."""
    known: dict[Person, frozenset[Person]] = {}
    for one, other in pairs:
        together = known.get(one, frozenset({one})) | known.get(other, frozenset({other}))
        known |= dict.fromkeys(together, together)
    return known


def _on_both_sides(rounds: Iterable[Round], one: str, other: str) -> bool:
    """Whether some round trains on one of two participants and tests the other."""
    return any((one in r.train and other in r.test) or (other in r.train and one in r.test) for r in rounds)


def _across(rounds: Iterable[Round], one: str, rounds_there: Iterable[Round], other: str) -> bool:
    """Whether a participant here may be tested by a model of there that trained on the other, or the other way."""
    here, there = list(rounds), list(rounds_there)
    trained, tested = any(one in r.train for r in here), any(one in r.test for r in here)
    trained_there, tested_there = any(other in r.train for r in there), any(other in r.test for r in there)
    return (tested and trained_there) or (trained and tested_there)
