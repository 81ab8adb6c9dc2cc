"""What can be known at best: diagnosis, conversion and age by someone who knows every true volume.

Regressions on log volume shares, age, sex and log intracranial volume, fitted on simulated people without images. No
image shows volumes as exactly; they know nothing of scanners, by which a confounded cohort tells more.
"""

from collections.abc import Iterable
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
CONVERGED = 1e-5
LINEAR_LIMITS = (-30.0, 30.0)
FLOORS = 6
Weights = Float[np.ndarray, " weight"]
Features = Float[np.ndarray, "person feature"]
Chosen = Bool[np.ndarray, " person"]


@dataclass(frozen=True, eq=False)
class Regression:
    """A linear predictor of features that are standardised with the simulated people's mean and spread.

    Its odds are exp(linear) + floor: some people with AD look like controls, so no volumes speak wholly against it.
    """

    mean: Float[np.ndarray, " feature"]
    spread: Float[np.ndarray, " feature"]
    weights: Float[np.ndarray, " feature"]
    intercept: float
    floor: float = 0.0

    def __call__(self, features: Features) -> PerPerson:
        """Return the linear predictor."""
        return (features - self.mean) / self.spread @ self.weights + self.intercept

    def chance(self, features: Features) -> PerPerson:
        """Return the probability that the odds stand for."""
        odds = np.exp(np.clip(self(features), *LINEAR_LIMITS)) + self.floor
        return odds / (1 + odds)


@dataclass(frozen=True, eq=False)
class Oracle:
    """The fitted regressions."""

    visit_months: tuple[float, ...]
    diagnosis: tuple[Regression, ...]
    """One for each of `visit_months`: AD goes on, and what it looks like at first is nobody's later."""
    conversion: Regression
    age: Regression

    def p_ad(self, people: People, months: PerPerson) -> PerPerson:
        """Return P(AD | AD or CN) of each person at months since the first scan."""
        nearest = np.abs(months[:, None] - np.array(self.visit_months)).argmin(axis=1)
        features = _all_features(people, months)
        chances = np.stack([regression.chance(features) for regression in self.diagnosis], axis=1)
        return chances[np.arange(len(months)), nearest]

    def p_conversion(self, people: People, months: PerPerson) -> PerPerson:
        """Return P(converts within the study | MCI) of each person, as the volumes are at that time."""
        return self.conversion.chance(_all_features(people, months))

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
    """Fit on people of that arm: diagnosis at each scheduled visit, conversion at the first, age at the middle one."""
    index = np.arange(FIRST_INDEX, FIRST_INDEX + SIMULATED_PEOPLE)
    people = draw_people(parameters, seed=ORACLE_SEED, index=index, arm=arm)
    cn, stable, converting, ad = (people.group == number for number in range(len(GROUPS)))
    floors = np.linspace(0.0, parameters.atypical_ad, FLOORS) * float(ad.sum() / cn.sum())
    either, impaired = people.take(np.flatnonzero(ad | cn)), people.take(np.flatnonzero(stable | converting))
    visits = [np.full(len(either.index), months) for months in parameters.visit_months]
    middle = float(np.median(parameters.visit_months))
    controls = people.take(np.flatnonzero(cn))
    return Oracle(
        visit_months=parameters.visit_months,
        diagnosis=tuple(fit_odds(_all_features(either, months), ad[ad | cn], floors=floors) for months in visits),
        conversion=fit_odds(
            _all_features(impaired, np.zeros(len(impaired.index))), converting[stable | converting], floors=(0.0,)
        ),
        age=_fit_ridge(
            volume_features(controls, np.full(len(controls.index), middle)), controls.age_years + middle / 12
        ),
    )


def _all_features(people: People, months: PerPerson) -> Features:
    return np.column_stack([volume_features(people, months), people.age_years + months / 12])


def fit_odds(features: Features, positive: Chosen, *, floors: Iterable[float]) -> Regression:
    """Fit odds = exp(linear) + floor by Fisher scoring, lightly ridged, with the likeliest of these floors."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    design = np.column_stack([np.ones(len(features)), (features - mean) / spread])
    weights = np.zeros(design.shape[1])
    found: list[tuple[float, Regression]] = []
    for floor in floors:
        weights = _score(design, positive, weights, floor)
        fitted = Regression(mean, spread, weights[1:], float(weights[0]), floor)
        found.append((_log_likelihood(fitted.chance(features), positive), fitted))
    return max(found, key=lambda pair: pair[0])[1]


def _score(design: Features, positive: Chosen, weights: Weights, floor: float) -> Weights:
    """Maximise the likelihood from the given weights on."""
    penalty = RIDGE * len(design) * np.diag([0.0, *np.ones(design.shape[1] - 1)])
    for _ in range(NEWTON_STEPS):
        linear = np.exp(np.clip(design @ weights, *LINEAR_LIMITS))
        odds = linear + floor
        chance, share = odds / (1 + odds), linear / odds
        gradient = design.T @ ((positive - chance) * share) - penalty @ weights
        curvature = (design * (chance * (1 - chance) * share**2)[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if np.abs(step).max() < CONVERGED:
            break
    return weights


def _log_likelihood(chance: PerPerson, positive: Chosen) -> float:
    return float(np.log(np.where(positive, chance, 1 - chance)).mean())


def _fit_ridge(features: Features, wanted: PerPerson) -> Regression:
    """Least squares, lightly ridged."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    standard = (features - mean) / spread
    penalty = RIDGE * len(features) * np.eye(features.shape[1])
    weights = np.linalg.solve(standard.T @ standard + penalty, standard.T @ (wanted - wanted.mean()))
    return Regression(mean, spread, weights, float(wanted.mean()))
