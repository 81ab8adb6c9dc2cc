"""Who trains and who tests in a pool."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from neurolatent.cohort.pooling.members import Member
from neurolatent.cohort.pooling.names import pooled_id
from neurolatent.cohort.splits import Split, extend_split, make_split
from neurolatent.cohort.visits import Visit

Value = TypeVar("Value")


def pool_splits(
    members: Sequence[Member], visits: Sequence[Visit], *, seed: int, test_only: Iterable[str], existing: Split | None
) -> tuple[Split, str]:
    """Return the pool's split, and how it came about.

    Where all members are split alike, people stay where they are: somebody kept for the test by one cohort may have
    been left out of a model's training for just that, and must not train now. Otherwise there is nothing that all
    agree on, and everybody is dealt anew. In a split by site everybody is tested once and no part is for the test
    alone, so it is made anew over all sites. A pool that is made again moves nobody.
    """
    kept = _kept(members, seed)
    apart = frozenset(test_only) | (kept.test_only if kept else frozenset())
    if existing is not None:
        both = kept is not None and (kept.kind, kept.parts) == (existing.kind, existing.parts)
        base = _joined(kept, existing) if kept and both else existing
        return extend_split(base, visits, test_only=apart), "nobody moved from where the pool had them"
    if kept is not None:
        return extend_split(kept, visits, test_only=apart), "everybody stays in the part that their own split gave them"
    by_site = all(member.split and member.split.kind == "sites" for member in members)
    split = make_split(visits, seed=seed, leave_one_site_out=by_site, test_only=apart)
    why = "by site, over all cohorts" if by_site else "made anew over all, for the members are not all split alike"
    return split, why


def _kept(members: Sequence[Member], seed: int) -> Split | None:
    """Join the members' own splits, where they are of one kind with the same parts."""
    splits = [(member.cohort, member.split) for member in members if member.split]
    kinds = {(split.kind, split.parts) for _, split in splits}
    if len(splits) < len(members) or len(kinds) > 1 or splits[0][1].kind == "sites":
        return None
    return Split(
        kind=splits[0][1].kind,
        seed=seed,
        shares=_mean_shares([split for _, split in splits]),
        assignments=_merged((cohort, split.assignments) for cohort, split in splits),
        strata=_merged((cohort, split.strata) for cohort, split in splits),
        test_only=frozenset(pooled_id(cohort, one) for cohort, split in splits for one in split.test_only),
    )


def _mean_shares(splits: Sequence[Split]) -> dict[str, float]:
    """Return what newcomers are dealt by: the members' shares, each as heavy as its people."""
    first, people = dict(splits[0].shares), sum(len(split.assignments) for split in splits)
    if all(split.shares == first for split in splits):
        return first
    return {part: sum(split.shares[part] * len(split.assignments) for split in splits) / people for part in first}


def _merged(parts: Iterable[tuple[str, Mapping[str, Value]]]) -> dict[str, Value]:
    return {pooled_id(cohort, one): value for cohort, values in parts for one, value in values.items()}


def _joined(kept: Split, existing: Split) -> Split:
    """Take newcomers from the members' splits; whom the pool knows stays."""
    return replace(
        existing,
        assignments={**kept.assignments, **existing.assignments},
        strata={**kept.strata, **existing.strata},
        test_only=existing.test_only | (kept.test_only - existing.assignments.keys()),
    )
