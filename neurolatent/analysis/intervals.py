"""Intervals from drawing subjects again, so that a person's repeated scans count as one person's.

A draw is a row of weights: how often the subject of each scan was drawn. A statistic is a function of such weights
(`neurolatent.analysis.scores`), so all models of a table, and all differences, are judged on the same draws.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from neurolatent.errors import SettingsError

RESAMPLES = 2000
LEVEL = 0.95
FEWEST_SUBJECTS = 2

Weights = Float[ndarray, "draw scan"]
Drawn = Float[ndarray, " draw"]
Statistic = Callable[[Weights], Drawn]


@dataclass(frozen=True)
class Resamples:
    """Bootstrap draws over the subjects of some scans."""

    weights: Weights
    n_subjects: int
    stratified_by: str | None = None

    @property
    def n_scans(self) -> int:
        """Scans that the weights are for."""
        return self.weights.shape[1]

    @property
    def method(self) -> str:
        """Say in words how intervals from these draws are made."""
        within = f" within {self.stratified_by}" if self.stratified_by else ""
        return f"percentile bootstrap over subjects{within}, {len(self.weights)} resamples"


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its interval."""

    value: float
    low: float
    high: float


def resample_subjects(
    subjects: Sequence[str],
    *,
    seed: int,
    strata: Sequence[str] | None = None,
    stratified_by: str | None = None,
    resamples: int = RESAMPLES,
) -> Resamples:
    """Draw subjects with replacement, within strata where given; the subject and stratum of each scan come in order."""
    names, row_of_scan = np.unique(np.asarray(subjects), return_inverse=True)
    if len(names) < FEWEST_SUBJECTS:
        msg = f"An interval needs at least {FEWEST_SUBJECTS} subjects, got {names.tolist()}. Add scans to the test set."
        raise SettingsError(msg)
    stratum = _stratum_of_subject(names, subjects, strata)
    rng = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(names)))
    for label in np.unique(stratum):
        members = np.flatnonzero(stratum == label)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    return Resamples(counts[:, row_of_scan], len(names), stratified_by)


def interval(resamples: Resamples, statistic: Statistic, *, level: float = LEVEL) -> Interval:
    """Return the statistic of the scans as they are, and the percentiles of its values over the draws."""
    value = float(statistic(np.ones((1, resamples.n_scans)))[0])
    drawn = statistic(resamples.weights)
    if not np.isfinite(drawn).all():
        msg = (
            f"Expected a number from every resample, {int((~np.isfinite(drawn)).sum())} of {len(drawn)} gave none "
            f"({resamples.n_subjects} subjects). The test set is too small for this quantity."
        )
        raise SettingsError(msg)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def difference(first: Statistic, second: Statistic) -> Statistic:
    """Return the statistic `first − second` on the same draws: a paired difference."""

    def paired(weights: Weights) -> Drawn:
        return first(weights) - second(weights)

    return paired


def _stratum_of_subject(names: np.ndarray, subjects: Sequence[str], strata: Sequence[str] | None) -> np.ndarray:
    if strata is None:
        return np.zeros(len(names), dtype=int)
    known: dict[str, str] = {}
    for subject, label in zip(subjects, strata, strict=True):
        if known.setdefault(subject, label) != label:
            msg = f"{subject}: expected one stratum for all of a subject's scans, got {known[subject]!r} and {label!r}."
            raise SettingsError(msg)
    return np.array([known[str(name)] for name in names])
