"""How well AD can be told from CN by someone who knows every true volume: an upper bound for any image model.

A logistic regression on log volume shares, age, sex and log intracranial volume, fitted on simulated people without
images. It is not tuned to a published figure.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from neurolatent.phantom.parameters import GROUPS, Arm, PhantomParameters
from neurolatent.phantom.people import People, PerPerson, draw_people

SIMULATED_PEOPLE = 10_000
ORACLE_SEED = 0x0AC1E
"""Of the simulated people, who share nothing with a cohort's: their numbers count from 1,000,000."""
FIRST_INDEX = 1_000_000
NEWTON_STEPS = 25
RIDGE = 1e-3
Features = Float[np.ndarray, "person feature"]


@dataclass(frozen=True, eq=False)
class Oracle:
    """The fitted regression; features are standardised with the simulated people's mean and spread."""

    mean: Float[np.ndarray, " feature"]
    spread: Float[np.ndarray, " feature"]
    weights: Float[np.ndarray, " feature"]
    intercept: float

    def probability(self, people: People, months: PerPerson) -> PerPerson:
        """Return P(AD | AD or CN) of each person at months since the first scan."""
        standard = (oracle_features(people, months) - self.mean) / self.spread
        return _logistic(standard @ self.weights + self.intercept)


def oracle_features(people: People, months: PerPerson) -> Features:
    """Return what the oracle knows of each person at that time."""
    shares = people.log_volumes(months) - np.log(people.intracranial_ml)[:, None]
    female = np.array([float(sex == "F") for sex in people.sex])
    age = people.age_years + months / 12
    return np.column_stack([shares, age, female, np.log(people.intracranial_ml)])


def fit_oracle(parameters: PhantomParameters, *, arm: Arm) -> Oracle:
    """Fit on people of that arm, each at one of the scheduled visits."""
    index = np.arange(FIRST_INDEX, FIRST_INDEX + SIMULATED_PEOPLE)
    people = draw_people(parameters, seed=ORACLE_SEED, index=index, arm=arm)
    schedule = np.array(parameters.visit_months)
    features = oracle_features(people, schedule[index % len(schedule)])
    is_ad = people.group == GROUPS.index("AD")
    chosen = is_ad | (people.group == GROUPS.index("CN"))
    return _fit(features[chosen], is_ad[chosen].astype(np.float64))


def _fit(features: Features, truth: PerPerson) -> Oracle:
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
    return Oracle(mean, spread, weights[1:], float(weights[0]))


def _logistic(value: PerPerson) -> PerPerson:
    return 1 / (1 + np.exp(-value))
