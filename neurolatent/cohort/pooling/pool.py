"""Pool: read the workspaces, join what they hold, and write a workspace that later steps take like any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neurolatent.cohort.pooling.dividing import pool_splits
from neurolatent.cohort.pooling.joining import join_sidecars, join_visits, test_only_people
from neurolatent.cohort.pooling.members import Member, read_members, refuse_other_rules
from neurolatent.cohort.sidecar import PooledCohort, Sidecar, read_sidecar, write_sidecar
from neurolatent.cohort.splits import Split, read_split, write_split
from neurolatent.cohort.visits import write_visits
from neurolatent.errors import CohortError
from neurolatent.provenance import hash_file
from neurolatent.workspace import Workspace


@dataclass(frozen=True)
class PoolResult:
    """What was pooled."""

    members: tuple[PooledCohort, ...]
    sidecar: Sidecar
    split: Split
    division: str
    """How the split came about."""


def pool_cohorts(
    roots: Sequence[Path], workspace: Workspace, *, seed: int = 1, accept_diagnosis_rules: bool = False
) -> PoolResult:
    """Join built workspaces; their images stay where they are.

    Args:
        roots: Workspaces of different cohorts; nothing in them is changed. Their order does not matter.
        workspace: Where the pool goes: a new folder, or a pool of some of these cohorts, of whose people none moves.
        seed: Of the split, where it is made anew.
        accept_diagnosis_rules: Pool diagnoses that were reached in different ways; the sidecar then says so.
    """
    members = read_members(roots)
    _refuse_other_workspace(members, workspace)
    rules = sorted({rule for member in members for rule in member.diagnosis_rules})
    if not accept_diagnosis_rules:
        refuse_other_rules(members)
    visits = join_visits(members)
    existing = read_split(workspace.split_json) if workspace.split_json.is_file() else None
    split, division = pool_splits(members, visits, seed=seed, test_only=test_only_people(members), existing=existing)
    write_visits(workspace.visits_tsv, visits)
    accepted = rules if accept_diagnosis_rules and len(rules) > 1 else []
    sidecar = join_sidecars(members, visits_hash=hash_file(workspace.visits_tsv), accepted_rules=accepted)
    write_sidecar(workspace.visits_json, sidecar)
    write_split(workspace.split_json, split)
    return PoolResult(sidecar.members, sidecar, split, division)


def _refuse_other_workspace(members: Sequence[Member], workspace: Workspace) -> None:
    """Refuse to write over anything but a pool of these cohorts."""
    if not workspace.visits_json.is_file():
        return
    held = {member.cohort for member in read_sidecar(workspace.visits_json).members}
    new = {member.cohort for member in members}
    if not held or not held <= new:
        got = f"a pool of {sorted(held)}" if held else "a cohort that was built there"
        expected = f"expected a new folder, or a pool of some of {sorted(new)}"
        msg = f"--out {workspace.root}: {expected}, got {got}. Choose another."
        raise CohortError(msg)
