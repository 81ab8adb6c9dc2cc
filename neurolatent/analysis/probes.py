"""Linear probes: how much a plain linear model reads from features, fitted on training subjects alone.

Scaling and the strength of the penalty are part of the fit; the penalty is chosen by inner folds grouped by subject, so
that no person helps to choose it from both sides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from neurolatent.errors import SettingsError
from neurolatent.shapes import FeatureArray, Values

INNER_FOLDS = 5
RIDGE_PENALTIES = np.array([10.0**power for power in range(-1, 6)])
LOGISTIC_STRENGTHS = tuple(10.0**power for power in range(-5, 2))
SMALLEST_CORRECTION_SLOPE = 0.5
"""Predictions flatter than this are not stretched further: dividing by a small slope multiplies noise."""

Direction = Float[ndarray, " feature"]
Flags = Bool[ndarray, " scan"]


@dataclass(frozen=True)
class Features:
    """One kind of features of a round's training scans and of its test scans."""

    train: FeatureArray
    test: Float[ndarray, "test feature"]


@dataclass(frozen=True)
class Scaling:
    """Features centred, and divided by their spread among the training scans.

    Codes and principal components share one spread: what varies little stays small, and the penalty holds it back.
    Features whose units differ are divided each by its own.
    """

    mean: Direction
    sd: Direction
    own_units: bool = False
    """Whether each is divided by its own spread."""

    def __call__(self, features: FeatureArray) -> FeatureArray:
        """Centre and scale."""
        return (features - self.mean) / self.sd


@dataclass(frozen=True)
class AgeProbe:
    """A ridge regression of age, with what its out-of-fold training predictions say about its bias."""

    scaling: Scaling
    weights: Direction
    """Years per standard deviation of each feature."""
    intercept_years: float
    penalty: float
    gap_slope: float
    """Of predicted minus true age on age, out of fold among the training scans."""
    gap_offset_years: float

    def predict(self, features: FeatureArray) -> Values:
        """Predicted age in years, as the regression gives it: drawn towards the mean."""
        return self.scaling(features) @ self.weights + self.intercept_years

    def correct_gap(self, gap_years: Values, age_years: Values) -> Values:
        """Subtract the training line from the gap: Beheshti et al. 2019 (doi:10.1016/j.nicl.2019.102063)."""
        return gap_years - (self.gap_offset_years + self.gap_slope * age_years)

    @property
    def stretch(self) -> float:
        """Years of corrected prediction per year of prediction: one over the slope on age, taken as 0.5 at least."""
        return 1 / max(1 + self.gap_slope, SMALLEST_CORRECTION_SLOPE)


@dataclass(frozen=True)
class ClassProbe:
    """A logistic regression of two classes."""

    scaling: Scaling
    regression: LogisticRegression

    def probability(self, features: FeatureArray) -> Values:
        """Probability of the positive class, were both equally frequent."""
        return self.regression.predict_proba(self.scaling(features))[:, 1]

    @property
    def weights(self) -> Direction:
        """Log odds of the positive class per standard deviation of each feature."""
        return self.regression.coef_[0]


Probe = AgeProbe | ClassProbe


def fit_classifier(
    features: FeatureArray,
    positive: Flags,
    subjects: Sequence[str],
    *,
    seed: int,
    own_units: bool = False,
) -> ClassProbe:
    """Fit a logistic regression with balanced classes, so that 0.5 is the threshold that weighs both alike."""
    smallest_class = min(int(positive.sum()), int((~positive).sum()))
    if smallest_class < 2:
        msg = (
            f"A probe needs two training subjects of each class, got {int(positive.sum())} of {len(positive)} positive."
        )
        raise SettingsError(msg)
    inner = StratifiedGroupKFold(min(INNER_FOLDS, smallest_class), shuffle=True, random_state=seed)
    folds = list(inner.split(features, positive, np.asarray(subjects)))
    fit_with = partial(_fit_logistic, own_units=own_units)
    losses = [
        sum(
            _log_loss(fit_with(features[fit], positive[fit], strength=strength), features[held], positive[held])
            for fit, held in folds
        )
        for strength in LOGISTIC_STRENGTHS
    ]
    return fit_with(features, positive, strength=LOGISTIC_STRENGTHS[int(np.argmin(losses))])


def fit_age(
    features: FeatureArray, age_years: Values, subjects: Sequence[str], *, seed: int, own_units: bool = False
) -> AgeProbe:
    """Fit a ridge regression, then its bias line on the training scans' out-of-fold predictions."""
    folds = list(_grouped_folds(features, subjects, seed=seed))
    out_of_fold = _out_of_fold(features, age_years, folds, own_units=own_units)
    best = int(np.argmin(((out_of_fold - age_years) ** 2).mean(1)))
    gap_slope, gap_offset_years = np.polyfit(age_years, out_of_fold[best] - age_years, 1)
    scaling = _fit_scaling(features, own_units=own_units)
    return AgeProbe(
        scaling=scaling,
        weights=_ridge_path(scaling(features), age_years)[best],
        intercept_years=float(age_years.mean()),
        penalty=float(RIDGE_PENALTIES[best]),
        gap_slope=float(gap_slope),
        gap_offset_years=float(gap_offset_years),
    )


def age_pattern(probe: AgeProbe, features: FeatureArray) -> Direction:
    """Turn the probe's filter into the pattern it reads, Σ·w: Haufe et al. 2014 (doi:10.1016/j.neuroimage.2013.10.067).

    It is given in the features' own units; moving along the raw weights would also move what they only cancel.
    """
    scaled = probe.scaling(features)
    pattern = scaled.T @ (scaled @ probe.weights) / (len(features) - 1)
    return pattern * probe.scaling.sd


def dose_per_year(probe: AgeProbe, direction: Direction) -> float:
    """How far along a direction the bias-corrected prediction rises by one year."""
    rise = float((probe.weights / probe.scaling.sd) @ direction) * probe.stretch
    if rise == 0:
        msg = "The age probe reads nothing from the code (all weights are 0), so no direction ages it. Train longer."
        raise SettingsError(msg)
    return 1 / rise


def published_step(probe: Probe, scale: float) -> Direction:
    """Y' − y of the published manipulation: scale · √d · w / ‖w‖, w the probe's raw weights (arXiv:2504.08635).

    That is its length in standardised space, where the probe reads; what is returned is in the code's own units, ready
    to be added to y. The paper standardises each of the d features by itself: a probe fitted otherwise is refused.
    Raw weights are no pattern (see `age_pattern`): they also move what they only cancel.
    """
    if not probe.scaling.own_units:
        expected, got = "a probe of features each divided by its own spread", "one of a spread shared by all"
        msg = f"published_step: expected {expected}, got {got}. Fit it with `own_units=True`."
        raise SettingsError(msg)
    length = float(np.linalg.norm(probe.weights))
    if length == 0:
        msg = "The probe reads nothing from the code (all weights are 0), so no direction moves it. Train longer."
        raise SettingsError(msg)
    return probe.scaling.sd * (scale * np.sqrt(len(probe.weights)) * probe.weights / length)


def _fit_scaling(features: FeatureArray, *, own_units: bool = False) -> Scaling:
    wide = features.astype(np.float64)
    sd = wide.std(0) if own_units else np.full(wide.shape[1], np.sqrt(wide.var(0).mean()))
    return Scaling(wide.mean(0), np.where(sd > 0, sd, 1.0), own_units)


def _ridge_path(scaled: FeatureArray, target: Values) -> Float[ndarray, "penalty feature"]:
    """Return the ridge weights for every penalty, from one decomposition: w = V (S² + α)⁻¹ S Uᵀ (t − mean t)."""
    u, s, v = np.linalg.svd(scaled, full_matrices=False)
    return (s / (s**2 + RIDGE_PENALTIES[:, None]) * (u.T @ (target - target.mean()))) @ v


def _out_of_fold(
    features: FeatureArray, target: Values, folds: Sequence[tuple[ndarray, ndarray]], *, own_units: bool
) -> Float[ndarray, "penalty scan"]:
    predicted = np.empty((len(RIDGE_PENALTIES), len(target)))
    for fit, held in folds:
        scaling = _fit_scaling(features[fit], own_units=own_units)
        weights = _ridge_path(scaling(features[fit]), target[fit])
        predicted[:, held] = weights @ scaling(features[held]).T + target[fit].mean()
    return predicted


def _grouped_folds(features: FeatureArray, subjects: Sequence[str], *, seed: int) -> Iterator[tuple[ndarray, ndarray]]:
    count = len(set(subjects))
    if count < 3:
        msg = f"A probe needs at least 3 training subjects, got {count}. Add people to the cohort."
        raise SettingsError(msg)
    inner = GroupKFold(min(INNER_FOLDS, count), shuffle=True, random_state=seed)
    return inner.split(features, groups=np.asarray(subjects))


def _fit_logistic(features: FeatureArray, positive: Flags, *, strength: float, own_units: bool) -> ClassProbe:
    scaling = _fit_scaling(features, own_units=own_units)
    regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=200, solver="newton-cholesky")
    return ClassProbe(scaling, regression.fit(scaling(features), positive))


def _log_loss(probe: ClassProbe, features: FeatureArray, positive: Flags) -> float:
    chance = np.clip(probe.probability(features), 1e-12, 1 - 1e-12)
    return -float(np.log(np.where(positive, chance, 1 - chance)).sum())
