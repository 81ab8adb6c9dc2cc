"""Weighted scores against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, r2_score, roc_auc_score

from neurolatent.analysis import scores
from neurolatent.errors import SettingsError

RNG = np.random.default_rng(1)
POSITIVE = RNG.random(60) < 0.4
SCORE = np.round(RNG.normal(size=60) + POSITIVE, 1)  # rounded, so that there are ties
WEIGHTS = RNG.integers(0, 4, size=(5, 60)).astype(float)
ONE_FOLD = ["all"] * 60


def repeated(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.repeat(values, weights.astype(int))


@pytest.mark.parametrize(
    ("statistic", "reference"),
    [
        (scores.roc_auc(POSITIVE, SCORE, ONE_FOLD), roc_auc_score),
        (scores.average_precision(POSITIVE, SCORE), average_precision_score),
    ],
)
def test_a_weight_counts_as_so_many_copies_of_a_scan(statistic, reference):
    expected = [reference(repeated(POSITIVE, weights), repeated(SCORE, weights)) for weights in WEIGHTS]
    np.testing.assert_allclose(statistic(WEIGHTS), expected)


def test_regression_scores_agree_with_their_definitions():
    truth, predicted = RNG.normal(size=60), RNG.normal(size=60)
    for weights, r2, rmse, slope in zip(
        WEIGHTS,
        scores.r_squared(truth, predicted)(WEIGHTS),
        scores.root_mean_square(predicted - truth)(WEIGHTS),
        scores.slope(truth, predicted)(WEIGHTS),
        strict=True,
    ):
        true, guess = repeated(truth, weights), repeated(predicted, weights)
        assert r2 == pytest.approx(r2_score(true, guess))
        assert rmse == pytest.approx(np.sqrt(np.mean((true - guess) ** 2)))
        assert slope == pytest.approx(np.polyfit(true, guess, 1)[0])


def test_balanced_accuracy_weighs_both_classes_alike():
    correct = ((SCORE > 0.5) == POSITIVE).astype(float)
    found = scores.balanced_accuracy(correct, POSITIVE)(np.ones((1, 60)))
    assert found[0] == pytest.approx(balanced_accuracy_score(POSITIVE, SCORE > 0.5))


def test_areas_are_taken_within_folds_and_averaged():
    positive = np.array([True, False, True, False])
    score = np.array([0.2, 0.1, 0.9, 0.8])
    fold = ["a", "a", "b", "b"]
    assert scores.roc_auc(positive, score, fold)(np.ones((1, 4)))[0] == 1.0
    assert scores.roc_auc(positive, score, ["all"] * 4)(np.ones((1, 4)))[0] == 0.75


def test_a_fold_of_one_class_is_refused_by_name():
    with pytest.raises(
        SettingsError, match="Fold b: expected both classes among its 2 test subjects, all are negative"
    ):
        scores.roc_auc(np.array([True, False, False, False]), np.arange(4.0), ["a", "a", "b", "b"])
