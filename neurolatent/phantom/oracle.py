"""What can be known at best: diagnosis, conversion and age by someone who knows every true volume.

Regressions on log volume shares, age, sex and log intracranial volume, fitted on simulated people without images. They
bound what any image model can do on the phantom; no image shows volumes as exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from neurolatent.phantom.parameters import GROUPS, Arm, PhantomParameters
from neurolatent.phantom.people import People, PerPerson, draw_people

SIMULATED_PEOPLE = 20_000
ORACLE_SEED = 0x0AC1E
"""Of the simulated people, who share nothing with a cohort's: their numbers count from 1,000,000."""
FIRST_INDEX = 1_000_000
NEWTON_STEPS = 25
RIDGE = 1e-3
Features = Float[np.ndarray, "person feature"]
Chosen = Bool[np.ndarray, " person"]


@dataclass(frozen=True, eq=False)
class Regression:
    """A linear predictor of features that are standardised with the simulated people's mean and spread."""

    mean: Float[np.ndarray, " feature"]
    spread: Float[np.ndarray, " feature"]
    weights: Float[np.ndarray, " feature"]
    intercept: float

    def __call__(self, features: Features) -> PerPerson:
        """Return the predictor: log odds, or years."""
        return (features - self.mean) / self.spread @ self.weights + self.intercept


@dataclass(frozen=True, eq=False)
class Oracle:
    """The fitted regressions."""

    diagnosis: Regression
    conversion: Regression
    age: Regression

    def p_ad(self, people: People, months: PerPerson) -> PerPerson:
        """Return P(AD | AD or CN) of each person at months since the first scan."""
        return _logistic(self.diagnosis(_all_features(people, months)))

    def p_conversion(self, people: People, months: PerPerson) -> PerPerson:
        """Return P(converts within the study | MCI) of each person, as the volumes are at that time."""
        return _logistic(self.conversion(_all_features(people, months)))

    def age_years(self, people: People, months: PerPerson) -> PerPerson:
        """Return the age that a control's volumes would tell."""
        return self.age(volume_features(people, months))


def volume_features(people: People, months: PerPerson) -> Features:
    """Return what the oracle sees of each person at that time: log shares of ICV, hypointensities, sex, log ICV."""
    shares = people.log_volumes(months) - np.log(people.intracranial_ml)[:, None]
    lesions = np.log(people.hypointensities_ml(months))
    female = np.array([float(sex == "F") for sex in people.sex])
    return np.column_stack([shares, lesions, female, np.log(people.intracranial_ml)])


def fit_oracle(parameters: PhantomParameters, *, arm: Arm) -> Oracle:
    """Fit on people of that arm, each at one of the scheduled visits; conversion at the first."""
    index = np.arange(FIRST_INDEX, FIRST_INDEX + SIMULATED_PEOPLE)
    people = draw_people(parameters, seed=ORACLE_SEED, index=index, arm=arm)
    schedule = np.array(parameters.visit_months)
    months = schedule[index % len(schedule)]
    features, first = _all_features(people, months), _all_features(people, np.zeros(len(index)))
    cn, stable, converting, ad = (people.group == number for number in range(len(GROUPS)))
    return Oracle(
        diagnosis=_fit(fit_logistic, features, ad, ad | cn),
        conversion=_fit(fit_logistic, first, converting, stable | converting),
        age=_fit(_fit_ridge, volume_features(people, months), people.age_years + months / 12, cn),
    )


def _all_features(people: People, months: PerPerson) -> Features:
    return np.column_stack([volume_features(people, months), people.age_years + months / 12])


def _fit(
    solve: Callable[[Features, PerPerson], Regression], features: Features, wanted: PerPerson | Chosen, chosen: Chosen
) -> Regression:
    return solve(features[chosen], wanted[chosen].astype(np.float64))


def fit_logistic(features: Features, truth: PerPerson) -> Regression:
    """Maximise the likelihood, lightly ridged, by Newton's method."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    design = np.column_stack([np.ones(len(features)), (features - mean) / spread])
    penalty = RIDGE * len(features) * np.diag([0.0, *np.ones(features.shape[1])])
    weights = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        chance = _logistic(design @ weights)
        gradient = design.T @ (truth - chance) - penalty @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty
        weights = weights + np.linalg.solve(curvature, gradient)
    return Regression(mean, spread, weights[1:], float(weights[0]))


def _fit_ridge(features: Features, wanted: PerPerson) -> Regression:
    """Least squares, lightly ridged."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    standard = (features - mean) / spread
    penalty = RIDGE * len(features) * np.eye(features.shape[1])
    weights = np.linalg.solve(standard.T @ standard + penalty, standard.T @ (wanted - wanted.mean()))
    return Regression(mean, spread, weights, float(wanted.mean()))


def _logistic(value: PerPerson) -> PerPerson:
    return 1 / (1 + np.exp(-value))
