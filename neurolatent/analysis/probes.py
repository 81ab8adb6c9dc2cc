"""Linear probes: how much a plain linear model reads from features, fitted on training subjects alone.

Scaling and the strength of the penalty are part of the fit; the penalty is chosen by inner folds grouped by subject, so
that no person helps to choose it from both sides.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from neurolatent.errors import SettingsError
from neurolatent.shapes import FeatureArray, Values

INNER_FOLDS = 5
RIDGE_PENALTIES = tuple(10.0**power for power in range(-1, 6))
LOGISTIC_STRENGTHS = tuple(10.0**power for power in range(-5, 2))
SMALLEST_CORRECTION_SLOPE = 0.5
"""Predictions flatter than this are not stretched further: dividing by a small slope multiplies noise."""

Direction = Float[ndarray, " feature"]


class LeadingColumns(TransformerMixin, BaseEstimator):
    """Keep the first columns; for principal components, which come in order of variance."""

    def __init__(self, columns: int | None = None) -> None:
        self.columns = columns

    def fit(self, features: FeatureArray, target: object = None) -> Self:  # noqa: ARG002
        """Learn nothing."""
        return self

    def transform(self, features: FeatureArray) -> FeatureArray:
        """Cut the other columns off."""
        return features[:, : self.columns]


@dataclass(frozen=True)
class AgeProbe:
    """A ridge regression of age, with what its out-of-fold training predictions say about its bias."""

    pipeline: Pipeline
    gap_slope: float
    """Of predicted minus true age on age, out of fold among the training scans."""
    gap_offset_years: float

    def predict(self, features: FeatureArray) -> Values:
        """Predicted age in years, as the regression gives it: drawn towards the mean."""
        return self.pipeline.predict(features)

    def correct_gap(self, gap_years: Values, age_years: Values) -> Values:
        """Subtract the training line from the gap: Beheshti et al. 2019 (doi:10.1016/j.nicl.2019.102063)."""
        return gap_years - (self.gap_offset_years + self.gap_slope * age_years)

    @property
    def filter_weights(self) -> Direction:
        """Years per standard deviation of each feature."""
        return self.pipeline.named_steps["fit"].coef_

    @property
    def feature_sd(self) -> Direction:
        """Standard deviation of each feature among the training scans."""
        return self.pipeline.named_steps["scale"].scale_

    @property
    def stretch(self) -> float:
        """Years of corrected prediction per year of prediction: one over the slope on age, taken as 0.5 at least."""
        return 1 / max(1 + self.gap_slope, SMALLEST_CORRECTION_SLOPE)


def fit_classifier(
    features: FeatureArray,
    positive: Bool[ndarray, " scan"],
    subjects: Sequence[str],
    *,
    seed: int,
    leading_columns: Sequence[int | None] = (None,),
) -> GridSearchCV:
    """Fit a logistic regression with balanced classes, so that 0.5 is the threshold that weighs both alike."""
    smallest_class = min(int(positive.sum()), int((~positive).sum()))
    if smallest_class < 2:
        msg = (
            f"A probe needs two training subjects of each class, got {int(positive.sum())} positive of {len(positive)}."
        )
        raise SettingsError(msg)
    classifier = LogisticRegression(class_weight="balanced", max_iter=2000, random_state=seed)
    search = GridSearchCV(
        Pipeline([("columns", LeadingColumns()), ("scale", StandardScaler()), ("fit", classifier)]),
        {"fit__C": LOGISTIC_STRENGTHS, "columns__columns": list(leading_columns)},
        scoring="neg_log_loss",
        cv=StratifiedGroupKFold(min(INNER_FOLDS, smallest_class), shuffle=True, random_state=seed),
        error_score="raise",  # pyright: ignore[reportArgumentType]
    )
    with warnings.catch_warnings():
        # A weak penalty on separable classes never converges; the inner folds then prefer a stronger one.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return search.fit(features, positive, groups=np.asarray(subjects))


def fit_age(
    features: FeatureArray,
    age_years: Values,
    subjects: Sequence[str],
    *,
    seed: int,
    leading_columns: Sequence[int | None] = (None,),
) -> AgeProbe:
    """Fit a ridge regression, then its bias line on the training scans' out-of-fold predictions."""
    groups = np.asarray(subjects)
    folds = GroupKFold(_inner_folds(subjects), shuffle=True, random_state=seed)
    search = GridSearchCV(
        Pipeline([("columns", LeadingColumns()), ("scale", StandardScaler()), ("fit", Ridge())]),
        {"fit__alpha": RIDGE_PENALTIES, "columns__columns": list(leading_columns)},
        scoring="neg_mean_squared_error",
        cv=folds,
        error_score="raise",  # pyright: ignore[reportArgumentType]
    ).fit(features, age_years, groups=groups)
    out_of_fold = cross_val_predict(search.best_estimator_, features, age_years, groups=groups, cv=folds)
    gap_slope, gap_offset_years = np.polyfit(age_years, out_of_fold - age_years, 1)
    return AgeProbe(search.best_estimator_, float(gap_slope), float(gap_offset_years))


def age_pattern(probe: AgeProbe, features: FeatureArray) -> Direction:
    """Turn the probe's filter into the pattern it reads, Σ·w: Haufe et al. 2014 (doi:10.1016/j.neuroimage.2013.10.067).

    It is given in the features' own units; moving along the raw weights would also move what they only cancel.
    """
    centred = (features - features.mean(0)) / probe.feature_sd
    pattern = centred.T @ (centred @ probe.filter_weights) / (len(features) - 1)
    return pattern * probe.feature_sd


def dose_per_year(probe: AgeProbe, direction: Direction) -> float:
    """How far along a direction the bias-corrected prediction rises by one year."""
    rise = float((probe.filter_weights / probe.feature_sd) @ direction) * probe.stretch
    if rise == 0:
        msg = "The age probe reads nothing from the code (all weights are 0), so no direction ages it. Train longer."
        raise SettingsError(msg)
    return 1 / rise


def _inner_folds(subjects: Sequence[str]) -> int:
    count = len(set(subjects))
    if count < 3:
        msg = f"A probe needs at least 3 training subjects, got {count}. Add people to the cohort."
        raise SettingsError(msg)
    return min(INNER_FOLDS, count)
