"""The workspaces to be pooled: read, and refused where they do not fit together."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurolatent.cohort.pooling.names import cohort_label
from neurolatent.cohort.sidecar import Sidecar, read_sidecar
from neurolatent.cohort.splits import Split, read_split
from neurolatent.cohort.visits import Visit, read_visits
from neurolatent.errors import CohortError
from neurolatent.workspace import Workspace


@dataclass(frozen=True)
class Member:
    """One built workspace."""

    root: Path
    visits: tuple[Visit, ...]
    sidecar: Sidecar
    split: Split | None

    @property
    def cohort(self) -> str:
        """The name that its scans carry."""
        return self.sidecar.cohort

    @property
    def diagnosis_rules(self) -> tuple[str, ...]:
        """How its diagnoses were reached; none where it has no diagnosis."""
        rules = {visit.dx_rule or self.sidecar.diagnosis_rule for visit in self.visits if visit.diagnosis}
        return tuple(sorted(rules))


def read_members(roots: Sequence[Path]) -> list[Member]:
    """Read the workspaces, in the order of their cohorts' names, and refuse those that cannot be joined."""
    members = sorted((_read(root) for root in roots), key=lambda member: member.cohort)
    if len(members) < 2:
        msg = f"cohort pool: expected two workspaces or more, got {[str(root) for root in roots]}. Name the others."
        raise CohortError(msg)
    _refuse_twice(members)
    return members


def refuse_other_rules(members: Iterable[Member]) -> None:
    """Refuse diagnoses that mean different things in different cohorts."""
    rules = {member.cohort: member.diagnosis_rules for member in members if member.diagnosis_rules}
    if len(set(rules.values())) > 1:
        told = "; ".join(f"{cohort}: {' and '.join(map(repr, of_cohort))}" for cohort, of_cohort in rules.items())
        msg = (
            f"cohort pool: expected one rule of diagnosis, got {told}. Make the descriptors agree and build again, "
            "or pool with --accept-diagnosis-rules."
        )
        raise CohortError(msg)


def _read(root: Path) -> Member:
    workspace = Workspace(root)
    visits, sidecar = read_visits(workspace.visits_tsv), read_sidecar(workspace.visits_json)
    split = read_split(workspace.split_json, visits=visits) if workspace.split_json.is_file() else None
    if sidecar.members:
        names = [member.cohort for member in sidecar.members]
        msg = f"{root}: expected a built workspace, got a pool of {names}. Name the workspaces that it was made from."
        raise CohortError(msg)
    others = sorted({visit.cohort for visit in visits} - {sidecar.cohort})
    if others or not visits:
        got = f"scans of {others}" if others else "no scan"
        msg = f"{workspace.visits_tsv}: expected scans of the cohort {sidecar.cohort!r}, got {got}. Build it again."
        raise CohortError(msg)
    return Member(root, visits, sidecar, split)


def _refuse_twice(members: Iterable[Member]) -> None:
    """Refuse two workspaces of one cohort, or of names that a participant_id could not tell apart."""
    of_label: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        of_label[cohort_label(member.cohort)].append(member)
    for label, same in of_label.items():
        if len(same) > 1 or not label:
            both = frozenset.intersection(*(frozenset(v.participant_id for v in one.visits) for one in same))
            places = " and ".join(f"{one.root} ({one.cohort})" for one in same)
            msg = (
                f"cohort pool: expected cohorts whose names differ in letters and digits, got {places}, with "
                f"{len(both)} participant_ids in common. Leave one out, or build it from a descriptor of its own name."
            )
            raise CohortError(msg)
