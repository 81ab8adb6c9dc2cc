"""Split by subject, so that no person is on both sides; once written, an assignment never changes."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from neurolatent.cohort.visits import MISSING, Visit
from neurolatent.errors import CohortError
from neurolatent.provenance import hash_settings, read_json, write_json

FORMAT_VERSION = 1
PARTS = ("train", "validation", "test")
AGE_BAND_YEARS = 10
WATCHED_SHARE = 10
"""One in so many subjects is watched where a model trains on everyone."""
Kind = Literal["holdout", "folds"]


@dataclass(frozen=True)
class Round:
    """One fit and its test: nobody is in both."""

    name: str
    train: frozenset[str]
    test: frozenset[str]


@dataclass(frozen=True)
class Split:
    """Who trains and who tests."""

    kind: Kind
    seed: int
    shares: Mapping[str, float]
    """Part → the share of subjects it is to have: train, validation and test, or fold-1 … fold-K."""
    assignments: Mapping[str, str]
    """Subject → part."""
    strata: Mapping[str, str]
    """Subject → diagnosis, sex and age band at the first scan, as they were when the subject was assigned."""
    test_only: frozenset[str] = frozenset()
    """Subjects who are tested like the others, and whom no fit ever trains on or is watched on."""

    @property
    def hash(self) -> str:
        """One hash for who is where and who never trains, and nothing else."""
        where = dict(self.assignments)
        return hash_settings([where, sorted(self.test_only)] if self.test_only else where)

    def members(self, *parts: str) -> frozenset[str]:
        """Return the subjects of these parts."""
        return frozenset(subject for subject, part in self.assignments.items() if part in parts)

    def rounds(self) -> list[Round]:
        """Return the fits and tests of an analysis: one for a holdout (validation joins training), or one a fold."""
        if self.kind == "holdout":
            return [Round("holdout", self.members("train", "validation"), self.members("test"))]
        trainable = self._trainable()
        return [Round(part, trainable - self.members(part), self.members(part)) for part in self.shares]

    def training_subjects(self, *, fold: int | None = None) -> frozenset[str]:
        """Return whom a model trains on.

        Args:
            fold: Of a split in folds, 1 … K: the test fold; it and the next fold, for validation, are left out.
                `None` trains one model on all but the test-only: every result on these subjects is transductive.
        """
        if self.kind == "holdout":
            self._refuse_fold(fold)
            return self.members("train")
        if fold is None:
            return self._trainable()
        return self._trainable() - self.members(*self._test_and_validation(fold))

    def validation_subjects(self, *, fold: int | None = None) -> frozenset[str]:
        """Return whom training is watched on.

        Args:
            fold: As for `training_subjects`; validation is the next fold. `None` on a split in folds returns one
                subject in ten, drawn by hash: they train too, so their loss shows progress, not generalisation.
        """
        if self.kind == "holdout":
            self._refuse_fold(fold)
            return self.members("validation")
        if fold is None:
            return frozenset(_shuffled(self._trainable(), self.seed)[::WATCHED_SHARE])
        return self.members(self._test_and_validation(fold)[1]) & self._trainable()

    def test_subjects(self, *, fold: int | None = None) -> frozenset[str]:
        """Return who is kept for the test: of a fold, of the holdout, or only the test-only if all folds train."""
        if self.kind == "holdout":
            self._refuse_fold(fold)
            return self.members("test")
        return self.test_only if fold is None else self.members(self._test_and_validation(fold)[0])

    def refuse_unknown(self, visits: Iterable[Visit]) -> None:
        """Refuse scans of people whom the split does not know."""
        unknown = sorted({visit.participant_id for visit in visits} - self.assignments.keys())
        if unknown:
            msg = (
                f"split.json: expected every subject of visits.tsv, lacking {_listed(unknown)}. "
                "Run `neurolatent cohort split`: it adds them and moves nobody."
            )
            raise CohortError(msg)

    def _trainable(self) -> frozenset[str]:
        return frozenset(self.assignments) - self.test_only

    def _refuse_fold(self, fold: int | None) -> None:
        if fold is not None:
            msg = f"split.json: expected a split in folds, got a holdout and fold {fold}. Leave the fold out."
            raise CohortError(msg)

    def _test_and_validation(self, fold: int) -> tuple[str, str]:
        folds = len(self.shares)
        if not 1 <= fold <= folds:
            msg = f"split.json: expected a fold from 1 to {folds}, got {fold}. Choose one of these."
            raise CohortError(msg)
        return f"fold-{fold}", f"fold-{fold % folds + 1}"


def make_split(
    visits: Iterable[Visit],
    *,
    seed: int,
    folds: int | None = None,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    existing: Split | None = None,
    test_only: Iterable[str] = (),
) -> Split:
    """Assign every subject to a part, balanced within diagnosis, sex and age band, and over all.

    Args:
        visits: The scans whose subjects are to be assigned.
        seed: Draws the order in which subjects are assigned.
        folds: Number of folds, three or more; `None` makes a holdout.
        fractions: Of subjects for training, validation and test, in a holdout.
        existing: A split that stays as it is; only subjects it lacks are added, even where others have left.
        test_only: Subjects never to train on. In a holdout they are in the test, and the shares are still of everyone:
            the test takes fewer of the others. In folds they are dealt like everyone, and only tested.
    """
    shares = _shares(folds, fractions)
    kind: Kind = "holdout" if folds is None else "folds"
    if existing is None:
        return extend_split(Split(kind, seed, shares, {}, {}), visits, test_only=test_only)
    _refuse_other(existing, kind, seed, shares)
    return extend_split(existing, visits, test_only=test_only)


def extend_split(split: Split, visits: Iterable[Visit], *, test_only: Iterable[str] = ()) -> Split:
    """Assign the subjects that a split lacks, by its own settings; nobody moves, even where others have left."""
    wanted = frozenset(test_only)
    _refuse_late(split, wanted)
    new = {subject: stratum for subject, stratum in _strata(visits).items() if subject not in split.assignments}
    strata = {**split.strata, **new}
    kept = split.test_only | wanted.intersection(new)
    shares, shares_of_kept = _shares_of_groups(split, len(strata), len(kept))
    others = {subject: part for subject, part in split.assignments.items() if subject not in kept}
    others = _deal_subjects(new.keys() - kept, shares, others, strata, split.seed)
    assignments = {**split.assignments, **others}
    assignments = _deal_subjects(new.keys() & kept, shares_of_kept, assignments, strata, split.seed)
    extended = replace(
        split, assignments=dict(sorted(assignments.items())), strata=dict(sorted(strata.items())), test_only=kept
    )
    _refuse_empty(extended)
    return extended


def write_split(path: Path, split: Split) -> None:
    """Write the split, whole or not at all."""
    record = {
        "format_version": FORMAT_VERSION,
        "kind": split.kind,
        "seed": split.seed,
        "shares": dict(split.shares),
        "stratified_by": ["diagnosis at the first scan", "sex", f"age in bands of {AGE_BAND_YEARS} years"],
        "hash": split.hash,
        "subjects": {subject: _entry(split, subject) for subject in split.assignments},
    }
    write_json(path, record)


def read_split(path: Path, *, visits: Iterable[Visit] | None = None) -> Split:
    """Read and check a split; with `visits`, refuse one that lacks any of their subjects."""
    if not path.is_file():
        msg = f"{path}: no split. Make it with `neurolatent cohort split {path.parent}`."
        raise CohortError(msg)
    try:
        record = read_json(path)
        found = record.get("format_version")
        if found != FORMAT_VERSION:
            msg = f"{path.name}: expected format version {FORMAT_VERSION}, got {found!r}. Split the cohort anew."
            raise CohortError(msg)
        split = _from_record(record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        msg = f"{path.name}: expected a whole split, got something else ({error!r}). Restore it from a copy."
        raise CohortError(msg) from error
    if split.hash != record["hash"] or not set(split.assignments.values()) <= set(split.shares):
        msg = f"{path.name}: expected hash {record['hash']}, got {split.hash}: it was edited. Restore it from a copy."
        raise CohortError(msg)
    if visits is not None:
        split.refuse_unknown(visits)
    return split


def _entry(split: Split, subject: str) -> dict[str, Any]:
    entry = {"part": split.assignments[subject], "stratum": split.strata[subject]}
    return {**entry, "test_only": True} if subject in split.test_only else entry


def _from_record(record: Mapping[str, Any]) -> Split:
    subjects = record["subjects"]
    if record["kind"] not in get_args(Kind):
        msg = f"unknown kind {record['kind']!r}"
        raise ValueError(msg)
    return Split(
        record["kind"],
        record["seed"],
        record["shares"],
        {subject: entry["part"] for subject, entry in subjects.items()},
        {subject: entry["stratum"] for subject, entry in subjects.items()},
        frozenset(subject for subject, entry in subjects.items() if entry.get("test_only")),
    )


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
            f"split.json: expected nobody for testing only among those who may train, got {_listed(sorted(late))}. "
            "Run `neurolatent cohort split --replace` and train anew, or take the mark off them."
        )
        raise CohortError(msg)


def _refuse_empty(split: Split) -> None:
    """Refuse empty parts; a fold of test-only people counts as one, for it is to train and to be watched on too."""
    needed = [part for part in split.shares if part != "validation"]
    idle = split.test_only if split.kind == "folds" else frozenset[str]()
    empty = [part for part in needed if not split.members(part) - idle]
    if empty:
        apart = f", {len(split.test_only)} for testing only" if split.test_only else ""
        got = f"got {len(split.assignments)}{apart}: {empty} would be empty"
        msg = f"split: expected enough subjects for {needed}, {got}. Add subjects, or ask for fewer folds."
        raise CohortError(msg)


def _listed(subjects: Sequence[str]) -> str:
    return f"{len(subjects)}: " + ", ".join(subjects[:3]) + (" …" if len(subjects) > 3 else "")


def _strata(visits: Iterable[Visit]) -> dict[str, str]:
    """Return each subject's diagnosis, sex and age band, as at the first scan."""
    first: dict[str, Visit] = {}
    for visit in sorted(visits, key=lambda visit: (visit.months, *visit.key)):
        first.setdefault(visit.participant_id, visit)
    return {subject: _stratum(visit) for subject, visit in first.items()}


def _stratum(visit: Visit) -> str:
    band = MISSING if visit.age_years is None else f"{int(visit.age_years // AGE_BAND_YEARS) * AGE_BAND_YEARS}"
    return f"{visit.diagnosis or MISSING} {visit.sex or MISSING} {band}"


def _shuffled(subjects: Iterable[str], seed: int) -> list[str]:
    """Order subjects by chance, the same whatever order they came in and whoever else is there."""
    return sorted(subjects, key=lambda subject: hashlib.sha256(f"{seed} {subject}".encode()).digest())


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


def _deal_subjects(
    new: Iterable[str], shares: Mapping[str, float], placed: Mapping[str, str], strata: Mapping[str, str], seed: int
) -> dict[str, str]:
    """Add new subjects to those `placed`, stratum by stratum, so that all together come near the shares."""
    of_stratum: dict[str, list[str]] = defaultdict(list)
    for subject in new:
        of_stratum[strata[subject]].append(subject)
    assignments, totals = dict(placed), Counter(placed.values())
    for stratum in sorted(of_stratum):
        counts = Counter(part for subject, part in placed.items() if strata[subject] == stratum)
        subjects = _shuffled(of_stratum[stratum], seed)
        assignments |= zip(subjects, _deal(len(subjects), shares, counts, totals), strict=True)
    return assignments


def _deal(new: int, shares: Mapping[str, float], counts: Counter[str], totals: Counter[str]) -> Sequence[str]:
    """Choose the parts of a stratum's new subjects, one by one; `counts` and `totals` are brought up to date.

    A part that lacks a whole subject of its share within the stratum comes first. What is left over goes, among the
    parts that still lack a fraction there, to the one that lacks most over all: so every stratum is balanced to
    within one subject (where nothing stood before), and many small strata do not all favour the largest part.
    """
    size = new + counts.total()
    dealt: list[str] = []
    for _ in range(new):
        lacking = {part: round(share * size - counts[part], 9) for part, share in shares.items()}
        over_all = {part: round(share * (totals.total() + 1) - totals[part], 9) for part, share in shares.items()}
        whole = [part for part in shares if lacking[part] >= 1]
        some = [part for part in shares if lacking[part] > 0]
        if whole:
            chosen = max(whole, key=lambda part: (lacking[part], over_all[part]))
        else:
            chosen = max(some, key=lambda part: (over_all[part], -totals[part], lacking[part]))
        counts[chosen] += 1
        totals[chosen] += 1
        dealt.append(chosen)
    return dealt
