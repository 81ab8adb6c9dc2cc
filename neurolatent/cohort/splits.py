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

    @property
    def hash(self) -> str:
        """One hash for who is where, and nothing else."""
        return hash_settings(dict(self.assignments))

    def members(self, *parts: str) -> frozenset[str]:
        """Return the subjects of these parts."""
        return frozenset(subject for subject, part in self.assignments.items() if part in parts)

    def rounds(self) -> list[Round]:
        """Return the fits and tests of an analysis: one for a holdout (validation joins training), or one a fold."""
        if self.kind == "holdout":
            return [Round("holdout", self.members("train", "validation"), self.members("test"))]
        everyone = frozenset(self.assignments)
        return [Round(part, everyone - self.members(part), self.members(part)) for part in self.shares]

    def training_subjects(self, *, fold: int | None = None) -> frozenset[str]:
        """Return whom a model trains on.

        Args:
            fold: Of a split in folds, 1 … K: the test fold; it and the next fold, for validation, are left out.
                `None` trains one model on everyone: every result on these subjects is then transductive.
        """
        if self.kind == "holdout":
            self._refuse_fold(fold)
            return self.members("train")
        if fold is None:
            return frozenset(self.assignments)
        return frozenset(self.assignments) - self.members(*self._test_and_validation(fold))

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
            return frozenset(_shuffled(self.assignments, self.seed)[::WATCHED_SHARE])
        return self.members(self._test_and_validation(fold)[1])

    def test_subjects(self, *, fold: int | None = None) -> frozenset[str]:
        """Return who is kept for the test: of a fold, or of the holdout; nobody where a model trains on all folds."""
        if self.kind == "holdout":
            self._refuse_fold(fold)
            return self.members("test")
        return frozenset() if fold is None else self.members(self._test_and_validation(fold)[0])

    def refuse_unknown(self, visits: Iterable[Visit]) -> None:
        """Refuse scans of people whom the split does not know."""
        unknown = sorted({visit.participant_id for visit in visits} - self.assignments.keys())
        if unknown:
            shown = ", ".join(unknown[:3]) + (" …" if len(unknown) > 3 else "")
            msg = (
                f"split.json: expected every subject of visits.tsv, lacking {len(unknown)}: {shown}. "
                "Run `neurolatent cohort split`: it adds them and moves nobody."
            )
            raise CohortError(msg)

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
) -> Split:
    """Assign every subject to a part, balanced within diagnosis, sex and age band, and over all.

    Args:
        visits: The scans whose subjects are to be assigned.
        seed: Draws the order in which subjects are assigned.
        folds: Number of folds, three or more; `None` makes a holdout.
        fractions: Of subjects for training, validation and test, in a holdout.
        existing: A split that stays as it is; only subjects it lacks are added, even where others have left.
    """
    shares = _shares(folds, fractions)
    kind: Kind = "holdout" if folds is None else "folds"
    if existing is None:
        return extend_split(Split(kind, seed, shares, {}, {}), visits)
    _refuse_other(existing, kind, seed, shares)
    return extend_split(existing, visits)


def extend_split(split: Split, visits: Iterable[Visit]) -> Split:
    """Assign the subjects that a split lacks, by its own settings; nobody moves, even where others have left."""
    strata, assignments = dict(split.strata), dict(split.assignments)
    new: dict[str, list[str]] = defaultdict(list)
    for subject, stratum in _strata(visits).items():
        if subject not in assignments:
            strata[subject] = stratum
            new[stratum].append(subject)
    totals = Counter(assignments.values())
    for stratum in sorted(new):
        counts = Counter(part for subject, part in assignments.items() if strata[subject] == stratum)
        subjects = _shuffled(new[stratum], split.seed)
        assignments |= zip(subjects, _deal(len(subjects), split.shares, counts, totals), strict=True)
    extended = replace(split, assignments=dict(sorted(assignments.items())), strata=dict(sorted(strata.items())))
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
        "subjects": {
            subject: {"part": part, "stratum": split.strata[subject]} for subject, part in split.assignments.items()
        },
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


def _refuse_empty(split: Split) -> None:
    needed = [part for part in split.shares if part != "validation"]
    empty = [part for part in needed if not split.members(part)]
    if empty:
        got = f"got {len(split.assignments)}: {empty} would be empty"
        msg = f"split: expected enough subjects for {needed}, {got}. Add subjects, or ask for fewer folds."
        raise CohortError(msg)


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
