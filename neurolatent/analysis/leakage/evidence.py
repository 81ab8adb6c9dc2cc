"""What one workspace tells of its people: who trains and who tests, what their scans show, whom its models have met."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from neurolatent.cohort.splits import Round, Split, read_split
from neurolatent.cohort.visits import Visit, read_visits
from neurolatent.model.weights import CARD_NAME, Card, Person, read_card
from neurolatent.provenance import hash_file, hash_settings
from neurolatent.volume.records import ScanFiles, read_record
from neurolatent.workspace import ScanKey, Workspace


@dataclass(frozen=True)
class Evidence:
    """One workspace, read for comparison."""

    label: str
    """Its cohorts: a path may tell too much."""
    visits: tuple[Visit, ...]
    split: Split | None
    fingerprints: Mapping[ScanKey, str]
    """Of the scans that were preprocessed."""
    cards: Mapping[str, Card]
    """Folder below `model` → card."""
    hashes: Mapping[str, str]
    """Of the table of scans, the split, the fingerprints and every card."""

    @cached_property
    def rounds(self) -> tuple[Round, ...]:
        """The fits and tests; where there is no split yet, everybody may be trained on."""
        if self.split is None:
            return (Round("all", frozenset(visit.participant_id for visit in self.visits), frozenset()),)
        return tuple(self.split.rounds())

    @cached_property
    def persons(self) -> Mapping[str, Person]:
        """Participant → who that is in any workspace."""
        return {visit.participant_id: visit.person for visit in self.visits}

    def trained(self) -> frozenset[Person]:
        """Return whom some round trains on."""
        return self._people(one.train for one in self.rounds)

    def tested(self) -> frozenset[Person]:
        """Return whom some round tests."""
        return self._people(one.test for one in self.rounds)

    def _people(self, groups: Iterable[frozenset[str]]) -> frozenset[Person]:
        everyone = frozenset[str]().union(*groups)
        return frozenset(self.persons[subject] for subject in everyone if subject in self.persons)


def read_evidence(workspace: Workspace, *, needs_split: bool = True) -> Evidence:
    """Read a workspace; one that is only compared with may lack a split."""
    visits = read_visits(workspace.visits_tsv)
    wanted = needs_split or workspace.split_json.is_file()
    split = read_split(workspace.split_json, visits=visits) if wanted else None
    cards = {name: read_card(workspace.model(name)) for name in model_names(workspace)}
    fingerprints = read_fingerprints(workspace, visits)
    label = "+".join(sorted({visit.cohort for visit in visits})) or "nobody"
    hashes = {**cheap_hashes(workspace), "fingerprints": hash_fingerprints(fingerprints)}
    return Evidence(label, visits, split, fingerprints, cards, hashes)


def cheap_hashes(workspace: Workspace) -> dict[str, str]:
    """Return the hashes of all but the fingerprints, which lie in a file a scan."""
    split = {"split": hash_file(workspace.split_json)} if workspace.split_json.is_file() else {}
    cards = {f"card of {name}": hash_file(workspace.model(name) / CARD_NAME) for name in model_names(workspace)}
    return {"visits": hash_file(workspace.visits_tsv), **split, **cards}


def model_names(workspace: Workspace) -> list[str]:
    """Return every folder below `model` that holds finished weights."""
    folders = (path.parent for path in workspace.models.rglob(CARD_NAME))
    return sorted(folder.relative_to(workspace.models).as_posix() for folder in folders)


def read_fingerprints(workspace: Workspace, visits: Iterable[Visit]) -> dict[ScanKey, str]:
    """Return what preprocessing wrote of each scan's content, on whichever grid: the fingerprint is the same on all."""
    folders = sorted(workspace.derivatives.glob("cache_res-*"))
    labels = [folder.name.removeprefix("cache_res-") for folder in folders]
    found: dict[ScanKey, str] = {}
    for visit in visits:
        for label in labels:
            record = read_record(ScanFiles(workspace.derivatives, visit.key, label).record)
            if record and record.content_fingerprint:
                found[visit.key] = record.content_fingerprint
                break
    return found


def hash_fingerprints(fingerprints: Mapping[ScanKey, str]) -> str:
    """Return one hash for what all scans show."""
    return hash_settings(sorted([*key, text] for key, text in fingerprints.items()))
