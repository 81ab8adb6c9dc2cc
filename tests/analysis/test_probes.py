"""Linear probes and the pattern they read."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from neurolatent.analysis.probes import age_pattern, dose_per_year, fit_age, fit_classifier
from neurolatent.errors import SettingsError

PEOPLE = [f"s{n}" for n in range(200)]


def aged_features(seed: int = 1, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of which two carry age and a distractor together, so that a filter must subtract one from the other."""
    rng = np.random.default_rng(seed)
    age, distractor = rng.uniform(50, 90, 200), rng.normal(scale=20, size=200)
    pattern = np.array([1.0, 0.0, 0.5])
    spoiled = np.array([1.0, 1.0, 0.0])
    features = np.outer(age - 70, pattern) + np.outer(distractor, spoiled) + noise * rng.normal(size=(200, 3))
    return features, age, pattern


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def test_the_regression_is_scikit_learns_ridge_on_features_of_one_spread():
    features, age, _ = aged_features(noise=30.0)
    probe = fit_age(features, age, PEOPLE, seed=1)
    spread = np.sqrt(features.var(0).mean())
    reference = Ridge(alpha=probe.penalty).fit(features / spread, age)
    np.testing.assert_allclose(probe.predict(features), reference.predict(features / spread))


def test_features_that_vary_little_hardly_count():
    rng = np.random.default_rng(6)
    features, age, _ = aged_features(noise=0.1)
    noisy = np.hstack([features, 0.01 * rng.normal(size=(200, 150))])
    plain, burdened = (fit_age(x, age, PEOPLE, seed=1).predict(x) for x in (features, noisy))
    assert np.abs(plain - burdened).mean() < 0.2 * np.abs(plain - age).mean()


def test_the_pattern_recovers_the_generating_direction_where_the_weights_do_not():
    features, age, truth = aged_features()
    probe = fit_age(features, age, PEOPLE, seed=1)
    assert cosine(age_pattern(probe, features), truth) > 0.99
    assert cosine(probe.weights / probe.scaling.sd, truth) < 0.8


def test_the_dose_raises_the_predicted_age_by_as_much_as_asked():
    features, age, truth = aged_features(noise=0.1)
    probe = fit_age(features, age, PEOPLE, seed=1)
    pattern = age_pattern(probe, features)
    step = pattern * dose_per_year(probe, pattern) * 10
    risen = probe.predict(features + step) - probe.predict(features)
    np.testing.assert_allclose(risen * probe.stretch, 10)
    np.testing.assert_allclose(step, truth * 10, atol=0.8)


def test_the_gap_of_training_people_no_longer_depends_on_age_after_correction():
    features, age, _ = aged_features(noise=40.0)
    probe = fit_age(features, age, PEOPLE, seed=1)
    fresh, fresh_age, _ = aged_features(seed=2, noise=40.0)
    gap = probe.predict(fresh) - fresh_age
    assert np.polyfit(fresh_age, gap, 1)[0] < -0.3
    assert abs(np.polyfit(fresh_age, probe.correct_gap(gap, fresh_age), 1)[0]) < 0.1


def test_a_flat_regression_is_stretched_twofold_at_most():
    features, age, _ = aged_features(noise=500.0)
    probe = fit_age(features, age, PEOPLE, seed=1)
    assert 1 + probe.gap_slope < 0.5
    assert probe.stretch == 2.0


def test_a_persons_scans_never_choose_the_penalty_from_both_sides():
    """Every person's three scans carry a private mark; only a leak could make it look useful."""
    rng = np.random.default_rng(4)
    people = np.repeat(np.arange(80), 3)
    marks, age = rng.normal(size=(80, 20))[people], rng.uniform(50, 90, 80)[people]
    probe = fit_age(marks + 0.01 * rng.normal(size=(240, 20)), age, [f"s{n}" for n in people], seed=1)
    assert probe.penalty >= 100


def test_a_classifier_separates_what_is_separable_and_weighs_classes_alike():
    rng = np.random.default_rng(5)
    positive = rng.random(200) < 0.2
    features = rng.normal(size=(200, 5)) + 3 * positive[:, None]
    probe = fit_classifier(features, positive, PEOPLE, seed=1)
    chosen = probe.probability(features) > 0.5
    assert (chosen == positive).mean() > 0.97
    blind = fit_classifier(rng.normal(size=(200, 5)), positive, PEOPLE, seed=1).probability(features)
    assert 0.3 < np.median(blind) < 0.7, "one in five is positive, and 0.5 is still the threshold"


def test_a_class_of_one_person_is_refused():
    with pytest.raises(SettingsError, match="two training subjects of each class, got 1 of 10 positive"):
        fit_classifier(np.eye(10), np.arange(10) == 0, PEOPLE[:10], seed=1)
