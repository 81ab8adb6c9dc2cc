"""Scores as functions of weights on the scans, for many resamples at once."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from neurolatent.analysis.intervals import Drawn, Statistic, Weights
from neurolatent.errors import SettingsError

ScanValues = Float[ndarray, " scan"]
ScanFlags = Bool[ndarray, " scan"]


def mean(values: ScanValues) -> Statistic:
    """Weighted mean over the scans."""
    return lambda weights: weights @ values / weights.sum(1)


def mean_where(values: ScanValues, where: ScanFlags) -> Statistic:
    """Weighted mean over the scans of one kind, such as sensitivity over the patients."""
    return lambda weights: weights[:, where] @ values[where] / weights[:, where].sum(1)


def ratio_of_means(upper: ScanValues, lower: ScanValues) -> Statistic:
    """Quotient of two weighted means over the same scans."""
    return lambda weights: (weights @ upper) / (weights @ lower)


def root_mean_square(errors: ScanValues) -> Statistic:
    """Weighted root mean square."""
    return lambda weights: np.sqrt(weights @ errors**2 / weights.sum(1))


def r_squared(truth: ScanValues, predicted: ScanValues) -> Statistic:
    """One minus the residual over the total sum of squares, around the weighted mean of the truth."""

    def statistic(weights: Weights) -> Drawn:
        total = weights.sum(1)
        spread = weights @ truth**2 / total - (weights @ truth / total) ** 2
        return 1 - (weights @ (truth - predicted) ** 2 / total) / spread

    return statistic


def slope(x: ScanValues, y: ScanValues) -> Statistic:
    """Slope of the weighted least-squares line of y on x."""

    def statistic(weights: Weights) -> Drawn:
        total = weights.sum(1)
        mean_x, mean_y = weights @ x / total, weights @ y / total
        return (weights @ (x * y) / total - mean_x * mean_y) / (weights @ x**2 / total - mean_x**2)

    return statistic


def balanced_accuracy(correct: ScanValues, positive: ScanFlags) -> Statistic:
    """Mean of the accuracy among the positive and among the negative."""
    sensitivity, specificity = mean_where(correct, positive), mean_where(correct, ~positive)
    return lambda weights: (sensitivity(weights) + specificity(weights)) / 2


def roc_auc(positive: ScanFlags, score: ScanValues, fold: Sequence[str]) -> Statistic:
    """Chance that a positive outscores a negative of the same fold, ties half, averaged over folds."""
    folds = np.asarray(fold)
    members = [np.flatnonzero(folds == name) for name in np.unique(folds)]
    for rows in members:
        if positive[rows].all() or not positive[rows].any():
            name, kind = folds[rows[0]], "positive" if positive[rows].all() else "negative"
            expected = f"expected both classes among its {len(rows)} test subjects"
            msg = f"Fold {name}: {expected}, all are {kind}. Split into fewer folds."
            raise SettingsError(msg)
    parts = [(rows, _roc_auc(positive[rows], score[rows])) for rows in members]
    return lambda weights: np.mean([statistic(weights[:, rows]) for rows, statistic in parts], axis=0)


def average_precision(positive: ScanFlags, score: ScanValues) -> Statistic:
    """Area under precision over recall, as a step function, over all folds together.

    Within small folds a resample's copies of one person lift it: averaged over five folds of 17 people its 95 %
    interval covered the truth in 42 to 75 of 100 simulations, over all together in 93.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # tied scores are one threshold

    def statistic(weights: Weights) -> Drawn:
        sorted_weights = weights[:, order]
        hits = np.cumsum(sorted_weights * positive[order], axis=1)[:, ends]
        chosen = np.cumsum(sorted_weights, axis=1)[:, ends]
        precision = np.divide(hits, chosen, out=np.zeros_like(hits), where=chosen > 0)
        gained = np.diff(hits, axis=1, prepend=0)
        return (precision * gained).sum(1) / hits[:, -1]

    return statistic


def _roc_auc(positive: ScanFlags, score: ScanValues) -> Statistic:
    above = score[positive][:, None] - score[~positive][None, :]
    wins = (above > 0) + 0.5 * (above == 0)

    def statistic(weights: Weights) -> Drawn:
        of_positive, of_negative = weights[:, positive], weights[:, ~positive]
        won = ((of_positive @ wins) * of_negative).sum(1)
        return won / (of_positive.sum(1) * of_negative.sum(1))

    return statistic
