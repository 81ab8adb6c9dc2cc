"""Who trains and who tests: the record, and the rounds of fits and tests that follow from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from neurolatent.cohort.splits.draws import chance, shuffled
from neurolatent.cohort.visits import Visit
from neurolatent.errors import CohortError
from neurolatent.provenance import hash_settings

PARTS = ("train", "validation", "test")
WATCHED_SHARE = 10
"""One in so many subjects is watched where no part of the split is there for it."""
Kind = Literal["holdout", "folds", "sites"]


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
    """Part → the share of subjects it is to have: train, validation and test, or fold-1 … fold-K. Nothing where each
    site is a part, for nobody chooses how large sites are."""
    assignments: Mapping[str, str]
    """Subject → part."""
    strata: Mapping[str, str]
    """Subject → diagnosis, sex and age band at the first scan, as they were when the subject was assigned."""
    test_only: frozenset[str] = frozenset()
    """Subjects who are tested like the others, and whom no fit ever trains on or is watched on."""
    sites: Mapping[str, str] = field(default_factory=dict[str, str])
    """Subject → where the first scan was taken, where that is known."""

    @property
    def hash(self) -> str:
        """One hash for who is where and who never trains, and nothing else."""
        where = dict(self.assignments)
        if self.kind == "sites":  # The seed draws whom training is watched on, which no part tells.
            return hash_settings([where, sorted(self.test_only), self.seed])
        return hash_settings([where, sorted(self.test_only)] if self.test_only else where)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts in their order; sites by name."""
        return tuple(sorted(set(self.assignments.values()))) if self.kind == "sites" else tuple(self.shares)

    def members(self, *parts: str) -> frozenset[str]:
        """Return the subjects of these parts."""
        return frozenset(subject for subject, part in self.assignments.items() if part in parts)

    def rounds(self) -> list[Round]:
        """Return the fits and tests of an analysis.

        One for a holdout, where validation joins training; one for each fold; one for each site, fitted on the others.
        """
        if self.kind == "holdout":
            return [Round("holdout", self.members("train", "validation"), self.members("test"))]
        trainable = self._trainable()
        return [Round(part, trainable - self.members(part), self.members(part)) for part in self.parts]

    def training_subjects(self, *, fold: int | str | None = None) -> frozenset[str]:
        """Return whom a model trains on.

        Args:
            fold: The part that is tested: of a split in folds its number, 1 … K; of one by site its name. That part
                and validation are left out. `None` trains one model on all but the test-only: every result on these
                subjects is transductive. A holdout takes no fold.
        """
        if self.kind == "holdout":
            self._refuse_fold(fold)
            return self.members("train")
        if fold is None:
            return self._trainable()
        return self._trainable() - self.members(self._tested(fold)) - self.validation_subjects(fold=fold)

    def validation_subjects(self, *, fold: int | str | None = None) -> frozenset[str]:
        """Return whom training is watched on.

        Args:
            fold: As for `training_subjects`. Of a split in folds, validation is the next fold; of one by site, people
                from all other sites. `None` returns one subject in ten, drawn by hash: they train too, so their loss
                shows progress, not generalisation.
        """
        if self.kind == "holdout":
            self._refuse_fold(fold)
            return self.members("validation")
        if fold is None:
            return frozenset(shuffled(self._trainable(), self.seed)[::WATCHED_SHARE])
        tested = self._tested(fold)
        if self.kind == "sites":
            return self._watched(tested)
        number = self.parts.index(tested) + 1
        return self.members(self.parts[number % len(self.parts)]) & self._trainable()

    def test_subjects(self, *, fold: int | str | None = None) -> frozenset[str]:
        """Return who is kept for the test: of a fold, of a site, of the holdout, or only the test-only if all train."""
        if self.kind == "holdout":
            self._refuse_fold(fold)
            return self.members("test")
        return self.test_only if fold is None else self.members(self._tested(fold))

    def refuse_unknown(self, visits: Iterable[Visit]) -> None:
        """Refuse scans of people whom the split does not know."""
        unknown = sorted({visit.participant_id for visit in visits} - self.assignments.keys())
        if unknown:
            msg = (
                f"split.json: expected every subject of visits.tsv, lacking {listed(unknown)}. "
                "Run `neurolatent cohort split`: it adds them and moves nobody."
            )
            raise CohortError(msg)

    def _trainable(self) -> frozenset[str]:
        return frozenset(self.assignments) - self.test_only

    def _watched(self, tested: str) -> frozenset[str]:
        """Draw one in ten from the sites that train, each person by a chance of their own, so that newcomers move none.

        Not a whole site: training would stop where it suits one other scanner, and of few sites it would cost one of
        those that it is to learn the differences between scanners from.
        """
        others = self._trainable() - self.members(tested)
        chances = {subject: chance(f"{self.seed} {tested} {subject}") for subject in others}
        drawn = {subject for subject, value in chances.items() if value < 1 / WATCHED_SHARE}
        return frozenset(drawn or sorted(others, key=lambda subject: chances[subject])[:1])

    def _refuse_fold(self, fold: int | str | None) -> None:
        if fold is not None:
            msg = f"split.json: expected a split in folds, got a holdout and fold {fold}. Leave the fold out."
            raise CohortError(msg)

    def _tested(self, fold: int | str) -> str:
        if self.kind == "sites":
            if fold not in self.parts:
                msg = f"split.json: expected a site of {list(self.parts)}, got {fold!r}. Choose one of these."
                raise CohortError(msg)
            return str(fold)
        folds = len(self.parts)
        if not isinstance(fold, int) or not 1 <= fold <= folds:
            msg = f"split.json: expected a fold from 1 to {folds}, got {fold}. Choose one of these."
            raise CohortError(msg)
        return self.parts[fold - 1]


def listed(subjects: Sequence[str]) -> str:
    """Return how many, and the first three."""
    return f"{len(subjects)}: " + ", ".join(subjects[:3]) + (" …" if len(subjects) > 3 else "")
