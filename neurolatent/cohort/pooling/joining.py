"""Rows and sidecar of a pool."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType

from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.pooling.members import Member
from neurolatent.cohort.pooling.names import PARTICIPANT_RULE, pooled_id, pooled_site
from neurolatent.cohort.sidecar import Counts, PooledCohort, Sidecar, SourceTable
from neurolatent.cohort.visits import ORIGINAL_ID, Visit
from neurolatent.provenance import hash_settings

OWN_TEXTS = {
    "participant_id": PARTICIPANT_RULE,
    "site": "Where the scan was taken: the cohort's name, a hyphen and the site there; a cohort that names no site at "
    "all counts as one.",
    "image": "Path of the image, relative to the source_root of its cohort among the members.",
    ORIGINAL_ID: "What the cohort's own workspace calls the person.",
}


def join_visits(members: Iterable[Member]) -> list[Visit]:
    """Return all scans, people and sites renamed; a column that a cohort lacks is missing there."""
    return [visit for member in members for visit in _renamed(member)]


def join_sidecars(members: Sequence[Member], *, visits_hash: str, accepted_rules: Sequence[str]) -> Sidecar:
    """Return the pool's sidecar: what is counted adds up, what is told is told of each cohort."""
    sidecars = [member.sidecar for member in members]
    roots = [str(sidecar.source_root) for sidecar in sidecars]
    return Sidecar(
        cohort="+".join(sidecar.cohort for sidecar in sidecars),
        title=" + ".join(sidecar.title for sidecar in sidecars),
        simulation=any(sidecar.simulation for sidecar in sidecars),
        source_root=Path(os.path.commonpath(roots)),
        sources=tuple(
            SourceTable(f"{one.cohort}/{table.path}", table.sha256) for one in sidecars for table in one.sources
        ),
        columns=_columns(sidecars),
        exclusions=tuple(_below(one.cohort, exclusion) for one in sidecars for exclusion in one.exclusions),
        counts=Counts(*(sum(getattr(one.counts, part.name) for one in sidecars) for part in fields(Counts))),
        expected_participants=_sum(one.expected_participants for one in sidecars),
        expected_scans=_sum(one.expected_scans for one in sidecars),
        diagnosis_rule=_told(sidecars, lambda one: one.diagnosis_rule),
        diagnosis_source=_told(sidecars, lambda one: one.diagnosis_source),
        licence=_told(sidecars, lambda one: one.licence),
        licence_url=_told(sidecars, lambda one: one.licence_url or "") or None,
        apply=_told(sidecars, lambda one: one.apply),
        citation=" ".join(dict.fromkeys(one.citation for one in sidecars if one.citation)),
        descriptor_hash=hash_settings([one.descriptor_hash for one in sidecars]),
        visits_hash=visits_hash,
        test_only=test_only_people(members),
        members=tuple(map(_member, sidecars)),
        accepted_diagnosis_rules=tuple(accepted_rules),
        notes=tuple(f"{one.cohort}: {note}" for one in sidecars for note in one.notes),
        shares=tuple(good for good in sidecars[0].shares if all(good in one.shares for one in sidecars)),
    )


def test_only_people(members: Iterable[Member]) -> tuple[str, ...]:
    """Return whom the cohorts keep for the test."""
    return tuple(sorted(pooled_id(one.cohort, person) for one in members for person in one.sidecar.test_only))


def _renamed(member: Member) -> list[Visit]:
    named = any(visit.site for visit in member.visits)
    return [
        replace(
            visit,
            participant_id=pooled_id(member.cohort, visit.participant_id),
            site=pooled_site(member.cohort, visit.site) if visit.site or not named else None,
            extra=MappingProxyType({**visit.extra, ORIGINAL_ID: visit.participant_id}),
        )
        for visit in member.visits
    ]


def _member(sidecar: Sidecar) -> PooledCohort:
    own = {part.name: getattr(sidecar, part.name) for part in fields(PooledCohort) if part.name != "exclusions"}
    return PooledCohort(**own, exclusions=len(sidecar.exclusions))


def _columns(sidecars: Sequence[Sidecar]) -> dict[str, str]:
    names = dict.fromkeys(name for one in sidecars for name in one.columns)
    told = {name: _told(sidecars, lambda one, name=name: one.columns.get(name, "")) for name in names}
    return told | OWN_TEXTS


def _told(sidecars: Sequence[Sidecar], text: Callable[[Sidecar], str]) -> str:
    """Return what all say alike, or else what each says, by its cohort's name."""
    said = {one.cohort: text(one).strip() for one in sidecars}
    alike = set(said.values())
    if len(alike) == 1:
        return alike.pop()
    return " ".join(f"{cohort}: {words.rstrip('.')}." for cohort, words in said.items() if words)


def _below(cohort: str, exclusion: Exclusion) -> Exclusion:
    """Name an excluded scan below its cohort."""
    where = f"{cohort}/{exclusion.where}"
    return replace(exclusion, scan=f"{cohort}/{exclusion.scan}", where=where)


def _sum(numbers: Iterable[int | None]) -> int | None:
    """Add up what all of them know."""
    known = list(numbers)
    return None if any(number is None for number in known) else sum(number or 0 for number in known)
