"""Make a split, or add to one the people it lacks; nobody moves."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from neurolatent.cohort.splits.by_site import refuse_lone_site, site_parts
from neurolatent.cohort.splits.dealing import Traits, deal_subjects
from neurolatent.cohort.splits.record import PARTS, Kind, Split, listed
from neurolatent.cohort.splits.strata import first_scans, stratum
from neurolatent.cohort.visits import Visit
from neurolatent.errors import CohortError


def make_split(
    visits: Iterable[Visit],
    *,
    seed: int,
    folds: int | None = None,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    leave_one_site_out: bool = False,
    existing: Split | None = None,
    test_only: Iterable[str] = (),
) -> Split:
    """Assign every subject to a part, balanced within diagnosis, sex and age band, over all, and by site.

    Args:
        visits: The scans whose subjects are to be assigned.
        seed: Draws the order in which subjects are assigned.
        folds: Number of folds, three or more; `None` makes a holdout.
        fractions: Of subjects for training, validation and test, in a holdout.
        leave_one_site_out: Make each site a part instead: whoever had the first scan there.
        existing: A split that stays as it is; only subjects it lacks are added, even where others have left.
        test_only: Subjects never to train on. In a holdout they are in the test, and the shares are still of everyone:
            the test takes fewer of the others. In folds and by site they are dealt like everyone, and only tested.
    """
    kind = _kind(folds, leave_one_site_out=leave_one_site_out)
    shares = {} if kind == "sites" else _shares(folds, fractions)
    if existing is None:
        return extend_split(Split(kind, seed, shares, {}, {}), visits, test_only=test_only)
    _refuse_other(existing, kind, seed, shares)
    return extend_split(existing, visits, test_only=test_only)


def extend_split(split: Split, visits: Iterable[Visit], *, test_only: Iterable[str] = ()) -> Split:
    """Assign the subjects that a split lacks, by its own settings; nobody moves, even where others have left."""
    wanted = frozenset(test_only)
    _refuse_late(split, wanted)
    first = first_scans(visits)
    new = frozenset(first.keys() - split.assignments.keys())
    kept = split.test_only | (wanted & new)
    strata = {**split.strata, **{subject: stratum(first[subject]) for subject in new}}
    sites = {**{subject: visit.site for subject, visit in first.items() if visit.site}, **split.sites}
    if split.kind == "sites":
        assignments = {**split.assignments, **site_parts(new, sites, split.assignments)}
    else:
        assignments = _dealt(split, new, kept, Traits(strata, sites))
    extended = replace(
        split,
        assignments=dict(sorted(assignments.items())),
        strata=dict(sorted(strata.items())),
        test_only=kept,
        sites=dict(sorted(sites.items())),
    )
    _refuse_empty(extended)
    return extended


def _dealt(split: Split, new: frozenset[str], kept: frozenset[str], traits: Traits) -> dict[str, str]:
    """Return everyone's part in a holdout or in folds: first those who may train are dealt, then the test-only."""
    shares, shares_of_kept = _shares_of_groups(split, len(traits.strata), len(kept))
    others = {subject: part for subject, part in split.assignments.items() if subject not in kept}
    others = deal_subjects(new - kept, shares, others, traits, split.seed)
    return deal_subjects(new & kept, shares_of_kept, {**split.assignments, **others}, traits, split.seed)


def _kind(folds: int | None, *, leave_one_site_out: bool) -> Kind:
    if leave_one_site_out and folds is not None:
        msg = f"split: expected either --leave-one-site-out or --folds, got both (folds {folds}). Choose one."
        raise CohortError(msg)
    return "sites" if leave_one_site_out else "holdout" if folds is None else "folds"


def _shares(folds: int | None, fractions: tuple[float, float, float]) -> dict[str, float]:
    if folds is not None:
        if folds < 3:
            msg = f"split: expected at least 3 folds, for training, validation and test, got {folds}. Ask for more."
            raise CohortError(msg)
        return {f"fold-{number}": 1 / folds for number in range(1, folds + 1)}
    train, validation, test = fractions
    if min(fractions) < 0 or train <= 0 or test <= 0 or not math.isclose(sum(fractions), 1.0, abs_tol=1e-6):
        msg = (
            f"split: expected shares for training, validation and test that add up to 1, got {fractions}. Correct them."
        )
        raise CohortError(msg)
    return dict(zip(PARTS, (train, validation, test), strict=True))


def _shares_of_groups(split: Split, everyone: int, kept: int) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return the shares by which people who may train are dealt, and those for the test-only.

    In a holdout the test-only fill the test first; training and validation divide what it leaves in their proportion.
    """
    if split.kind == "folds" or not kept:
        return split.shares, split.shares
    had, others = split.shares["test"], everyone - kept
    test = max(0.0, had * everyone - kept) / max(1, others)
    rest = {part: share * (1 - test) / (1 - had) for part, share in split.shares.items()}
    return {**rest, "test": test}, {"test": 1.0}


def _refuse_other(existing: Split, kind: Kind, seed: int, shares: Mapping[str, float]) -> None:
    had = (existing.kind, existing.seed, dict(existing.shares))
    if had != (kind, seed, dict(shares)):
        msg = (
            f"split.json: expected the settings it was made with {had}, got {(kind, seed, dict(shares))}. "
            "Use the same, or remove split.json and all that was trained on it."
        )
        raise CohortError(msg)


def _refuse_late(split: Split, test_only: frozenset[str]) -> None:
    """Refuse to keep for the test whom the split lets train: a model may have seen them already."""
    late = (test_only & split.assignments.keys()) - split.test_only - split.members("test")
    if late:
        msg = (
            f"split.json: expected nobody for testing only among those who may train, got {listed(sorted(late))}. "
            "Run `neurolatent cohort split --replace` and train anew, or take the mark off them."
        )
        raise CohortError(msg)


def _refuse_empty(split: Split) -> None:
    """Refuse empty parts; a fold of test-only people counts as one, for it is to train and to be watched on too."""
    if split.kind == "sites":
        refuse_lone_site(split)
        return
    needed = [part for part in split.parts if part != "validation"]
    idle = split.test_only if split.kind == "folds" else frozenset[str]()
    empty = [part for part in needed if not split.members(part) - idle]
    if empty:
        apart = f", {len(split.test_only)} for testing only" if split.test_only else ""
        got = f"got {len(split.assignments)}{apart}: {empty} would be empty"
        msg = f"split: expected enough subjects for {needed}, {got}. Add subjects, or ask for fewer folds."
        raise CohortError(msg)
